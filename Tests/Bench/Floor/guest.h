/*
 * The guest of the floor: threads that write shared memory all the time, as software vCPUs do.
 */
#ifndef FLOOR_GUEST_H
#define FLOOR_GUEST_H

#include <stddef.h>
#include <stdint.h>

enum { MAXIMUM_WRITERS = 64 };

struct guest;

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t monotonic_now(void);

/* Makes `count` parked writers over `byte_count` bytes at `memory`. Never returns NULL: exits instead. */
struct guest *guest_make(void *memory, size_t byte_count, int count);

/* Lets the writers run. */
void guest_run(struct guest *guest);

/* Parks all writers; the stamp of the last iteration of any of them. */
uint64_t guest_stop(struct guest *guest);

/* Waits until a writer has run; the stamp of the first iteration of any of them. */
uint64_t guest_first_stamp(struct guest *guest);

#endif
