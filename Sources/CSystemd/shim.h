/* libsystemd, as Swift sees it. */
#ifndef BATON_CSYSTEMD_H
#define BATON_CSYSTEMD_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sys/epoll.h>
#include <sys/uio.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <systemd/sd-journal.h>
#endif
