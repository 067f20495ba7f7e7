/* A thread's connection to the model. */
#ifndef SEVMODEL_CONNECTION_H
#define SEVMODEL_CONNECTION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "wire.h"

struct connection {
  atomic_int socket;
  uint64_t address_space; /* for which it was made; a forked child needs one of its own */
  bool is_busy;
  int cancel_state;
  union {
    struct wire_header header;
    struct wire_make make;
    struct wire_made made;
    struct wire_request request;
    struct wire_finished finished;
    struct wire_ask ask;
    struct wire_answer answer;
    struct wire_call call;
    struct wire_result result;
    uint8_t bytes[WIRE_CAPACITY];
  } record;
};

/*
 * The calling thread's connection, for one request; give it back with connection_release. A second one when a
 * signal handler asks in the middle of a request. NULL if the model cannot be reached, which is said once.
 */
struct connection *connection_acquire(void);
void connection_release(struct connection *connection);
/* The request failed midway: the connection is of no use any more. */
void connection_break(struct connection *connection);

/* Fills in the header of the record to be sent. */
void connection_start(struct connection *connection, enum wire_kind kind, uint32_t length);
/* Sends the record with 0 to 2 descriptors. 0 or -errno. */
int connection_send(struct connection *connection, const int *descriptors, int count);
/* Waits for a record. Its kind, or -errno. `descriptor` is -1 or now the caller's. */
int connection_receive(struct connection *connection, int *descriptor);

#endif
