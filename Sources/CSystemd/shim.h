/*
 * libsystemd, as Swift sees it.
 *
 * _GNU_SOURCE is not defined here: it renames a member of fd_set, and Swift's own module of the C
 * library, made without it, would no longer agree.
 */
#ifndef BATON_CSYSTEMD_H
#define BATON_CSYSTEMD_H
#include <sys/epoll.h>
#include <sys/uio.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <systemd/sd-journal.h>
#endif
