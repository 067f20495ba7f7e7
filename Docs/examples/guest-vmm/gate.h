/*
 * How the control thread orders a vCPU's thread to run, to park or to end, and learns that it parked.
 *
 * Each order has a number, so that an acknowledgement always belongs to the latest one: a vCPU that had not even
 * woken up when it was stopped again acknowledges that stop and no other.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef GATE_H
#define GATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct gate {
  _Atomic uint32_t order;
  _Atomic uint32_t acknowledged;
};

void gate_init(struct gate *gate);

/* Control thread. */
void gate_let_run(struct gate *gate);
void gate_park(struct gate *gate);
void gate_wait_until_parked(struct gate *gate); /* after gate_park() */
void gate_end(struct gate *gate);

/* The vCPU's thread: waits until it may run; false when it is to end. */
bool gate_wait_for_permission(struct gate *gate, uint32_t *permission);
/* Sleeps while the permission holds, at most so long. */
void gate_sleep(struct gate *gate, uint32_t permission, uint64_t nanoseconds);
static inline bool gate_is_valid(struct gate *gate, uint32_t permission) {
  return atomic_load_explicit(&gate->order, memory_order_acquire) == permission;
}

/* futex(2). */
void word_wait(_Atomic uint32_t *word, uint32_t value, uint64_t nanoseconds);
void word_wake(_Atomic uint32_t *word);

/* CLOCK_MONOTONIC. */
uint64_t now(void);

/* How long the calling thread wants to run in one piece: 100000 ns lets a thread that others wait for in at once
 * (Linux 6.12 and later), 0 is the usual. Nothing depends on the success. */
void ask_for_slice(uint64_t nanoseconds);

#endif
