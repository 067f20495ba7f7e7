/* Everything that Swift sees of the C shim; a new header is named here. */
#ifndef BATON_CLINUX_ALL_H
#define BATON_CLINUX_ALL_H
#include "daemon.h"
#include "kvm_calls.h"
#include "populate.h"
#include "program_image.h"
#include "sev_transport.h"
#include "spawn_child.h"
#include "spawn_detached.h"
#include "stream.h"
#include "system_calls.h"
#include "terminal.h"
#endif
