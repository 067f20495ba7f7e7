/*
 * Saved state as baton-vmm writes and reads it: format name "baton-vmm", versions 1 and 2.
 *
 * Little-endian: a header of 32 bytes (magic, format, kind, features, RAM size, vCPU count, section count, total
 * length), then sections, each with kind, index, length and bytes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef STATE_H
#define STATE_H

#include <stddef.h>
#include <stdint.h>

#include "devices.h"

enum { STATE_FORMAT = 2, STATE_OLDEST_FORMAT = 1, STATE_MOST_BYTES = 4 << 20 };
enum {
  SECTION_DEVICES = 1,
  SECTION_SOFTWARE_VCPU = 2,
  SECTION_KVM_VCPU = 3,
  SECTION_KVM_BOARD = 4,
  SECTION_MEMORY_STATUS = 5 /* what a SEV guest said about its pages: the bytes of baton_regions_save() */
};
enum { KIND_KVM = 1, KIND_SOFTWARE = 2 };
enum {
  FEATURE_SOFTWARE_VCPUS = 1,
  FEATURE_KVM_VCPUS = 2,
  FEATURE_DISK = 4,
  FEATURE_PENDING_CONSOLE = 8,
  FEATURE_MEMORY_STATUS = 16
};
#define FEATURES_READ UINT64_C(31)

/* What the header says besides lengths. */
struct state_header {
  uint16_t format;
  uint8_t kind;
  uint64_t features;
  uint64_t ram_size;
  uint16_t vcpu_count;
  uint16_t section_count;
};

/* Writing: into a buffer of the caller's, which is large enough or marks the writer as overflown. */
struct state_writer {
  uint8_t *bytes;
  size_t size, room;
  size_t section; /* where the open section's length stands */
  uint16_t section_count;
  int is_overflown;
};
void state_begin(struct state_writer *writer, void *bytes, size_t room);
void state_put(struct state_writer *writer, const void *bytes, size_t size);
void state_put32(struct state_writer *writer, uint32_t value);
void state_put64(struct state_writer *writer, uint64_t value);
void state_begin_section(struct state_writer *writer, uint16_t section, uint16_t index);
void state_end_section(struct state_writer *writer);
/* The state's size, or -ENOSPC. */
int64_t state_finish(struct state_writer *writer, const struct state_header *header);

/* Reading: nothing is believed. A reader that ran out of bytes is marked, and gives zeros. */
struct state_reader {
  const uint8_t *bytes;
  size_t size, position;
  int is_short;
};
const void *state_take(struct state_reader *reader, size_t size); /* NULL if there are not as many */
uint32_t state_take32(struct state_reader *reader);
uint64_t state_take64(struct state_reader *reader);
/* 0, or -EINVAL for bytes that are no state that this program reads. */
int state_open(const void *bytes, size_t size, struct state_header *header);
/* The section of that kind and index: 0, or -ENOENT. */
int state_find(const void *bytes, size_t size, uint16_t section, uint16_t index, struct state_reader *found);

/* Console and disk, which every machine has. */
void devices_save(struct devices *devices, struct state_writer *writer);
int devices_check(const struct devices *devices, const struct state_header *header, struct state_reader reader);
void devices_restore(struct devices *devices, uint16_t format, struct state_reader reader);

#endif
