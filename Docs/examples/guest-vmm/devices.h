/*
 * The console and the disk. Both travel to the successor as descriptors, and with what they remember as state.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef DEVICES_H
#define DEVICES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum { MOST_PENDING = 4096 };

struct devices {
  pthread_mutex_t lock;
  int console; /* -1: output is shown to nobody */
  int disk;    /* -1: none */
  uint64_t sector_count;
  bool console_is_broken;
  /* What travels. */
  uint64_t line_count;
  uint64_t disk_sequence;
  uint32_t pending_size;
  uint8_t pending[MOST_PENDING];
};

/* Owns the descriptors from then on; a disk's lock must be this open file's. 0 or -errno. */
int devices_init(struct devices *devices, int console, int disk);
void devices_close(struct devices *devices);
/* Opens an image, creates it if it is not there, and locks it; once in a guest's life. Descriptor or -errno. */
int disk_open(const char *path);

/* Output of the guest; both return whether no complete line waits for its reader any more. */
bool console_put(struct devices *devices, const void *bytes, uint32_t size);
bool console_flush(struct devices *devices);
void disk_write(struct devices *devices, uint64_t sequence);

#endif
