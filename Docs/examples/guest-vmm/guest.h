/*
 * The reference guest: where things lie in its RAM. The numbers are those of Sources/GuestImage/GuestABI.swift,
 * which says what each means; the guest under KVM (guest.S) and software vCPUs keep to them alike.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef GUEST_H
#define GUEST_H

#include <stdint.h>

#define GUEST_MAGIC UINT64_C(0x5453474E4F544142) /* "BATONGST" */
#define GUEST_CHECKSUM_MULTIPLIER UINT64_C(0x9E3779B97F4A7C15)

enum {
  GUEST_ABI_VERSION = 1,
  GUEST_PAGE = 4096,
  GUEST_MOST_VCPUS = 32,
  /* Offsets in RAM. */
  GUEST_HEADER = 0x1000,
  GUEST_VCPU_PAGES = 0x2000,
  GUEST_IMAGE = 0x40000,
  GUEST_INTERRUPT_TABLE = 0x40600,
  GUEST_DESCRIPTOR_TABLE = 0x41600,
  GUEST_STACKS = 0x60000,
  GUEST_PAGE_TABLES = 0x80000,
  GUEST_FIRST_TEST_PAGE = 0x100000,
  /* Ports. */
  GUEST_CONSOLE_PORT = 0x3F8,
  GUEST_DISK_PORT = 0x510,
  GUEST_CONSOLE_LINE_SIZE = 19
};

/* RAM from here on lies above the hole for devices, as the guest sees it. */
#define GUEST_LOW_SIZE UINT64_C(0xC0000000)
#define GUEST_HOLE_SIZE UINT64_C(0x40000000)

/* Words of the header page. */
enum {
  HEADER_MAGIC = 0x00,
  HEADER_VERSION = 0x08,
  HEADER_RAM_SIZE = 0x10,
  HEADER_VCPU_COUNT = 0x18,
  HEADER_TICK_KILOHERTZ = 0x20,
  HEADER_FIRST_PAGE = 0x28,
  HEADER_PAGE_STRIDE = 0x30,
  HEADER_PAGE_COUNT = 0x38,
  HEADER_LOW_SIZE = 0x40,
  HEADER_HOLE_SIZE = 0x48,
  HEADER_CONSOLE_INTERVAL = 0x50,
  HEADER_DISK_INTERVAL = 0x58,
  HEADER_TIMER_PERIOD = 0x60,
  HEADER_PACING = 0x68,
  HEADER_HAS_KVMCLOCK = 0x70,
  HEADER_WORKING_SET = 0x78, /* software vCPUs: how many pages are written in every pass; 0 is all */
  HEADER_CONSOLE_SEQUENCE = 0x100,
  HEADER_DISK_SEQUENCE = 0x108,
  HEADER_CONSOLE_STAMP = 0x110,
  HEADER_DISK_STAMP = 0x118,
  HEADER_FAULT = 0x128,
  HEADER_CLOCK_SAMPLES = 0x140,
  HEADER_CLOCK_BASE = 0x148,
  HEADER_CLOCK_TICK_BASE = 0x150,
  HEADER_CLOCK_LAST = 0x158,
  HEADER_CLOCK_LAG = 0x160,
  HEADER_CLOCK_LARGEST_LAG = 0x168,
  HEADER_CLOCK_BACKWARDS = 0x170,
  HEADER_CONSOLE_LINE = 0x200
};

/* Words of a vCPU's page. */
enum {
  VCPU_STARTED = 0x00,
  VCPU_COUNTER = 0x08,
  VCPU_CURSOR = 0x10,
  VCPU_GENERATION = 0x18,
  VCPU_PAGES_WRITTEN = 0x20,
  VCPU_PAGES_CHECKED = 0x28,
  VCPU_PAGE_ERRORS = 0x30,
  VCPU_FIRST_BAD_PAGE = 0x38,
  VCPU_LAST_STAMP = 0x40,
  VCPU_LARGEST_GAP = 0x48,
  VCPU_GAP_BEGIN = 0x50,
  VCPU_GAP_END = 0x58,
  VCPU_TIMER_TICKS = 0x60,
  VCPU_MISMATCHES = 0x68,
  VCPU_RESUME_STAMP = 0x70,
  VCPU_BACKWARDS = 0x78,
  VCPU_INDEX = 0x80
};

/* Guest RAM as this process has it mapped. */
struct ram {
  uint8_t *base;
  uint64_t size;
  int file; /* the sealed memfd */
};

/* The guest writes these words while we look at them, hence relaxed atomics. */
static inline uint64_t ram_load(const struct ram *ram, uint64_t offset) {
  return __atomic_load_n((const uint64_t *)(const void *)(ram->base + offset), __ATOMIC_RELAXED);
}
static inline void ram_store(const struct ram *ram, uint64_t offset, uint64_t value) {
  __atomic_store_n((uint64_t *)(void *)(ram->base + offset), value, __ATOMIC_RELAXED);
}
static inline uint64_t header_load(const struct ram *ram, uint64_t word) { return ram_load(ram, GUEST_HEADER + word); }
static inline void header_store(const struct ram *ram, uint64_t word, uint64_t value) {
  ram_store(ram, GUEST_HEADER + word, value);
}
static inline uint64_t vcpu_page(uint32_t vcpu) { return GUEST_VCPU_PAGES + (uint64_t)vcpu * GUEST_PAGE; }

/* What a guest is made of when it begins; the successor's is the same. */
struct guest_plan {
  uint32_t vcpu_count;
  uint32_t duty_percent; /* how much of the time a software vCPU works */
  int is_kvm;
  int has_disk;
  int has_kvmclock;
  uint64_t tick_kilohertz; /* ticks of the guest's stamps in a millisecond */
};

/* Puts the guest into fresh RAM; once in its life. */
void guest_load(const struct ram *ram, const struct guest_plan *plan);
/* 0, or -EINVAL and a sentence on stderr when RAM holds no guest of this layout and size. */
int guest_check(const struct ram *ram, uint32_t vcpu_count);
/* "guest ", twelve digits and a line feed; GUEST_CONSOLE_LINE_SIZE bytes. */
void guest_console_line(uint64_t sequence, char *line);
/* What the guest says about itself, as a JSON object with the fields that baton-vmm has, into `text`. */
void guest_report(const struct ram *ram, char *text, uint64_t size);
/* How many bytes of the image are to be measured and encrypted at launch. */
uint32_t guest_image_size(void);

#endif
