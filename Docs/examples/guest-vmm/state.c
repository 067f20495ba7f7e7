/* The form of saved state. This program runs where integers are little-endian, as x86 does. */
#include "state.h"

#include <errno.h>
#include <string.h>

#define STATE_MAGIC UINT32_C(0x31534D42) /* "BMS1" */
enum { HEADER_SIZE = 32 };

void state_begin(struct state_writer *writer, void *bytes, size_t room) {
  *writer = (struct state_writer){.bytes = bytes, .size = HEADER_SIZE, .room = room};
  writer->is_overflown = room < HEADER_SIZE;
}

void state_put(struct state_writer *writer, const void *bytes, size_t size) {
  if (writer->is_overflown || writer->room - writer->size < size) {
    writer->is_overflown = 1;
    return;
  }
  memcpy(writer->bytes + writer->size, bytes, size);
  writer->size += size;
}

static void put16(struct state_writer *writer, uint16_t value) { state_put(writer, &value, sizeof value); }
void state_put32(struct state_writer *writer, uint32_t value) { state_put(writer, &value, sizeof value); }
void state_put64(struct state_writer *writer, uint64_t value) { state_put(writer, &value, sizeof value); }

void state_begin_section(struct state_writer *writer, uint16_t section, uint16_t index) {
  put16(writer, section);
  put16(writer, index);
  writer->section = writer->size;
  writer->section_count++;
  state_put32(writer, 0);
}

void state_end_section(struct state_writer *writer) {
  if (writer->is_overflown) return;
  uint32_t length = (uint32_t)(writer->size - writer->section - 4);
  memcpy(writer->bytes + writer->section, &length, sizeof length);
}

int64_t state_finish(struct state_writer *writer, const struct state_header *header) {
  if (writer->is_overflown) return -ENOSPC;
  struct state_writer head = {.bytes = writer->bytes, .room = HEADER_SIZE};
  const uint8_t reserved = 0;
  state_put32(&head, STATE_MAGIC);
  put16(&head, header->format);
  state_put(&head, &header->kind, 1);
  state_put(&head, &reserved, 1);
  state_put64(&head, header->features);
  state_put64(&head, header->ram_size);
  put16(&head, header->vcpu_count);
  put16(&head, writer->section_count);
  state_put32(&head, (uint32_t)writer->size);
  return (int64_t)writer->size;
}

const void *state_take(struct state_reader *reader, size_t size) {
  if (reader->is_short || reader->size - reader->position < size) {
    reader->is_short = 1;
    return NULL;
  }
  reader->position += size;
  return reader->bytes + (reader->position - size);
}

static void take(struct state_reader *reader, void *value, size_t size) {
  const void *bytes = state_take(reader, size);
  memset(value, 0, size);
  if (bytes != NULL) memcpy(value, bytes, size);
}

static uint16_t take16(struct state_reader *reader) {
  uint16_t value;
  take(reader, &value, sizeof value);
  return value;
}
uint32_t state_take32(struct state_reader *reader) {
  uint32_t value;
  take(reader, &value, sizeof value);
  return value;
}
uint64_t state_take64(struct state_reader *reader) {
  uint64_t value;
  take(reader, &value, sizeof value);
  return value;
}

int state_open(const void *bytes, size_t size, struct state_header *header) {
  struct state_reader reader = {.bytes = bytes, .size = size};
  uint8_t reserved;
  uint32_t magic = state_take32(&reader);
  header->format = take16(&reader);
  take(&reader, &header->kind, 1);
  take(&reader, &reserved, 1);
  header->features = state_take64(&reader);
  header->ram_size = state_take64(&reader);
  header->vcpu_count = take16(&reader);
  header->section_count = take16(&reader);
  uint32_t total = state_take32(&reader);
  if (reader.is_short || magic != STATE_MAGIC || reserved != 0 || total != size || size > STATE_MOST_BYTES
      || header->format < STATE_OLDEST_FORMAT || header->format > STATE_FORMAT
      || (header->features & ~FEATURES_READ) != 0)
    return -EINVAL;
  /* Every byte belongs to a section. */
  for (uint16_t index = 0; index < header->section_count; index++) {
    uint16_t section = take16(&reader);
    take16(&reader);
    if (section < SECTION_DEVICES || section > SECTION_MEMORY_STATUS) return -EINVAL;
    if (state_take(&reader, state_take32(&reader)) == NULL && reader.is_short) return -EINVAL;
  }
  return reader.is_short || reader.position != size ? -EINVAL : 0;
}

int state_find(const void *bytes, size_t size, uint16_t section, uint16_t index, struct state_reader *found) {
  struct state_reader reader = {.bytes = bytes, .size = size, .position = HEADER_SIZE};
  while (reader.position < size && !reader.is_short) {
    int is_it = take16(&reader) == section;
    is_it &= take16(&reader) == index;
    uint32_t length = state_take32(&reader);
    const void *start = state_take(&reader, length);
    if (!reader.is_short && is_it) {
      *found = (struct state_reader){.bytes = start, .size = length};
      return 0;
    }
  }
  return -ENOENT;
}

void devices_save(struct devices *devices, struct state_writer *writer) {
  state_begin_section(writer, SECTION_DEVICES, 0);
  state_put64(writer, devices->line_count);
  state_put64(writer, devices->disk_sequence);
  state_put32(writer, devices->pending_size);
  state_put(writer, devices->pending, devices->pending_size);
  state_end_section(writer);
}

int devices_check(const struct devices *devices, const struct state_header *header, struct state_reader reader) {
  state_take64(&reader);
  state_take64(&reader);
  if (header->format >= 2) {
    uint32_t size = state_take32(&reader);
    if (size > MOST_PENDING) return -EINVAL;
    state_take(&reader, size);
  }
  if (reader.is_short || reader.position != reader.size) return -EINVAL;
  return (header->features & FEATURE_DISK) != 0 && devices->disk < 0 ? -EINVAL : 0;
}

void devices_restore(struct devices *devices, uint16_t format, struct state_reader reader) {
  pthread_mutex_lock(&devices->lock);
  devices->line_count = state_take64(&reader);
  devices->disk_sequence = state_take64(&reader);
  devices->pending_size = format >= 2 ? state_take32(&reader) : 0;
  /* As many bytes are there: devices_check() has seen them. */
  const void *pending = state_take(&reader, devices->pending_size);
  if (pending != NULL) memcpy(devices->pending, pending, devices->pending_size);
  pthread_mutex_unlock(&devices->lock);
}
