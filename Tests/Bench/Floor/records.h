/*
 * One record of a local SOCK_SEQPACKET connection with at most two descriptors. Failures end the process:
 * the floor is a measurement, and half a measurement is none.
 */
#ifndef FLOOR_RECORDS_H
#define FLOOR_RECORDS_H

#include <stddef.h>

/* What goes along with a record; -1 is none. Without a first one there is no second. */
struct descriptors {
  int first, second;
};

#define NO_DESCRIPTORS ((struct descriptors){-1, -1})

/* Sends a record; the descriptors stay the caller's. */
void record_send(int socket, const void *bytes, size_t count, struct descriptors descriptors);

/* Receives a record of at most `capacity` bytes and returns its length; the descriptors are the caller's. */
size_t record_receive(int socket, void *bytes, size_t capacity, struct descriptors *descriptors);

/* Closes those that are there. */
void descriptors_close(struct descriptors descriptors);

/* Connects to a listening seqpacket socket. */
int record_connect(const char *path);

#endif
