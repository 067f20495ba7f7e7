/* Orders to vCPU threads: futexes and clocks. */
#define _GNU_SOURCE
#include "gate.h"

#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { ORDER_PARK = 0, ORDER_RUN = 1, ORDER_END = 2, ORDER_MASK = 3 };

uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

void word_wait(_Atomic uint32_t *word, uint32_t value, uint64_t nanoseconds) {
  struct timespec time = {.tv_sec = (time_t)(nanoseconds / 1000000000u), .tv_nsec = (long)(nanoseconds % 1000000000u)};
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, nanoseconds == UINT64_MAX ? NULL : &time, NULL, 0);
}

void word_wake(_Atomic uint32_t *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0); }

void ask_for_slice(uint64_t nanoseconds) {
  struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t utilization_minimum, utilization_maximum;
  } attributes = {.size = sizeof attributes};
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) < 0) return;
  attributes.size = sizeof attributes;
  attributes.runtime = nanoseconds;
  syscall(SYS_sched_setattr, 0, &attributes, 0);
}

void gate_init(struct gate *gate) {
  atomic_init(&gate->order, ORDER_PARK);
  atomic_init(&gate->acknowledged, UINT32_MAX);
}

static void give(struct gate *gate, uint32_t kind) {
  uint32_t word = ((atomic_load(&gate->order) & ~(uint32_t)ORDER_MASK) + 4) | kind;
  atomic_store(&gate->order, word);
  word_wake(&gate->order);
}

void gate_let_run(struct gate *gate) { give(gate, ORDER_RUN); }
void gate_park(struct gate *gate) { give(gate, ORDER_PARK); }
void gate_end(struct gate *gate) { give(gate, ORDER_END); }

void gate_wait_until_parked(struct gate *gate) {
  uint32_t wanted = atomic_load(&gate->order), seen;
  /* A vCPU leaves the guest within a microsecond or two when its thread is on a core. */
  for (int turn = 0; turn < 2000; turn++)
    if (atomic_load(&gate->acknowledged) == wanted) return;
  while ((seen = atomic_load(&gate->acknowledged)) != wanted) word_wait(&gate->acknowledged, seen, UINT64_MAX);
}

bool gate_wait_for_permission(struct gate *gate, uint32_t *permission) {
  for (;;) {
    uint32_t word = atomic_load(&gate->order);
    switch (word & ORDER_MASK) {
      case ORDER_RUN: *permission = word; return true;
      case ORDER_END: return false;
      default:
        atomic_store(&gate->acknowledged, word);
        word_wake(&gate->acknowledged);
        word_wait(&gate->order, word, UINT64_MAX);
    }
  }
}

void gate_sleep(struct gate *gate, uint32_t permission, uint64_t nanoseconds) {
  word_wait(&gate->order, permission, nanoseconds);
}
