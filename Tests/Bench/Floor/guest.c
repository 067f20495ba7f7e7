#define _GNU_SOURCE
#include "guest.h"

#include <err.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PAGE_WORDS = 512, SPINS = 2000 };

struct writer {
  struct guest *guest;
  int index;
  pthread_t thread;
  _Alignas(64) _Atomic uint32_t acknowledged;
  _Atomic uint64_t first_stamp;
  _Atomic uint64_t last_stamp;
};

struct guest {
  uint64_t *words;
  size_t page_count;
  int count;
  /* Even: park. Odd: run. Counts the orders, so that an acknowledgement belongs to one of them. */
  _Alignas(64) _Atomic uint32_t order;
  _Alignas(64) _Atomic uint32_t has_run;
  struct writer writers[MAXIMUM_WRITERS];
};

uint64_t monotonic_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void wait_while(_Atomic uint32_t *word, uint32_t expected) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

static void wake_all(_Atomic uint32_t *word) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static void run_writer(struct writer *writer, uint32_t order) {
  struct guest *guest = writer->guest;
  size_t page = (size_t)writer->index;
  uint64_t now = monotonic_now();
  atomic_store_explicit(&writer->first_stamp, now, memory_order_release);
  if (atomic_exchange(&guest->has_run, 1) == 0) wake_all(&guest->has_run);
  while (atomic_load_explicit(&guest->order, memory_order_relaxed) == order) {
    volatile uint64_t *words = guest->words + page * PAGE_WORDS;
    for (int word = 0; word < PAGE_WORDS; word++) words[word] = now + (uint64_t)word;
    page += (size_t)guest->count;
    if (page >= guest->page_count) page = (size_t)writer->index;
    now = monotonic_now();
  }
  atomic_store_explicit(&writer->last_stamp, monotonic_now(), memory_order_release);
}

static void *serve(void *argument) {
  struct writer *writer = argument;
  while (1) {
    uint32_t order = atomic_load(&writer->guest->order);
    if (order & 1) {
      run_writer(writer, order);
    } else {
      atomic_store(&writer->acknowledged, order);
      wake_all(&writer->acknowledged);
      wait_while(&writer->guest->order, order);
    }
  }
  return NULL;
}

static void wait_until_parked(struct guest *guest, uint32_t order) {
  for (int index = 0; index < guest->count; index++) {
    _Atomic uint32_t *acknowledged = &guest->writers[index].acknowledged;
    /* A writer that is on a core parks within a microsecond. */
    for (int spin = 0; spin < SPINS && atomic_load(acknowledged) != order; spin++) {}
    uint32_t seen;
    while ((seen = atomic_load(acknowledged)) != order) wait_while(acknowledged, seen);
  }
}

struct guest *guest_make(void *memory, size_t byte_count, int count) {
  struct guest *guest = aligned_alloc(64, (sizeof *guest + 63) & ~(size_t)63);
  if (!guest) err(1, "allocating the guest");
  guest->words = memory;
  guest->page_count = byte_count / (PAGE_WORDS * sizeof(uint64_t));
  guest->count = count;
  atomic_init(&guest->order, 0);
  atomic_init(&guest->has_run, 0);
  for (int index = 0; index < count; index++) {
    struct writer *writer = &guest->writers[index];
    writer->guest = guest;
    writer->index = index;
    atomic_init(&writer->acknowledged, UINT32_MAX);
    atomic_init(&writer->first_stamp, 0);
    atomic_init(&writer->last_stamp, 0);
    if (pthread_create(&writer->thread, NULL, serve, writer) != 0)
      errx(1, "starting a writer thread failed");
  }
  wait_until_parked(guest, 0);
  return guest;
}

void guest_run(struct guest *guest) {
  atomic_store(&guest->has_run, 0);
  atomic_fetch_add(&guest->order, 1);
  wake_all(&guest->order);
}

uint64_t guest_stop(struct guest *guest) {
  uint32_t order = atomic_fetch_add(&guest->order, 1) + 1;
  wait_until_parked(guest, order);
  uint64_t last = 0;
  for (int index = 0; index < guest->count; index++) {
    uint64_t stamp = atomic_load(&guest->writers[index].last_stamp);
    if (stamp > last) last = stamp;
  }
  return last;
}

uint64_t guest_first_stamp(struct guest *guest) {
  while (atomic_load(&guest->has_run) == 0) wait_while(&guest->has_run, 0);
  uint64_t first = UINT64_MAX;
  for (int index = 0; index < guest->count; index++) {
    uint64_t stamp = atomic_load(&guest->writers[index].first_stamp);
    if (stamp != 0 && stamp < first) first = stamp;
  }
  return first;
}
