/*
 * One record of a local SOCK_SEQPACKET connection with at most one descriptor. Failures end the process:
 * the floor is a measurement, and half a measurement is none.
 */
#ifndef FLOOR_RECORDS_H
#define FLOOR_RECORDS_H

#include <stddef.h>

/* Sends a record; `descriptor` is -1 or goes along. */
void record_send(int socket, const void *bytes, size_t count, int descriptor);

/* Receives a record of at most `capacity` bytes and returns its length. `*descriptor` is -1 or now owned. */
size_t record_receive(int socket, void *bytes, size_t capacity, int *descriptor);

/* Connects to a listening seqpacket socket. */
int record_connect(const char *path);

#endif
