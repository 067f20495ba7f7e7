/* Software vCPUs of the reference guest. One iteration is one instruction, so to say. */
#define _GNU_SOURCE
#include "software_vcpu.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "gate.h"

/* What a real vCPU keeps in registers. It must agree with the vCPU's page in RAM whenever the guest runs: an old
 * copy of one of them is found at once. */
struct registers {
  uint64_t counter, cursor, generation, last_stamp, timer_deadline, clock_offset;
};

struct vcpu {
  struct software_vcpus *all;
  uint32_t index;
  struct gate gate;
  struct registers registers; /* the thread's while it runs, the control thread's while it is parked */
  _Atomic uint64_t first_stamp, last_stamp;
  pthread_t thread;
};

struct software_vcpus {
  const struct ram *ram;
  struct devices *devices;
  uint32_t count, duty_percent;
  _Atomic uint32_t has_run;      /* since the last order to run */
  _Atomic bool logs_writes;
  _Atomic uint64_t *written;     /* a bit for each page, from the first log on */
  _Atomic bool console_waits;    /* output waits for its reader: the guest says nothing new meanwhile */
  struct vcpu vcpus[GUEST_MOST_VCPUS];
};

/* ---- the log of writes: what KVM keeps for real vCPUs ---- */

/* After the page was written. */
static void note(struct software_vcpus *all, uint64_t offset) {
  const uint64_t page = offset / GUEST_PAGE;
  if (atomic_load(&all->logs_writes)) atomic_fetch_or(&all->written[page / 64], UINT64_C(1) << (page % 64));
}

static uint64_t word_count(const struct software_vcpus *all) { return (all->ram->size / GUEST_PAGE + 63) / 64; }

int software_vcpus_log_writes(struct software_vcpus *all, int is_on) {
  if (is_on && all->written == NULL) all->written = calloc(word_count(all), sizeof *all->written);
  if (is_on && all->written == NULL) return -ENOMEM;
  if (is_on)
    for (uint64_t word = 0; word < word_count(all); word++) atomic_store(&all->written[word], 0);
  atomic_store(&all->logs_writes, is_on != 0);
  return 0;
}

void software_vcpus_take_writes(struct software_vcpus *all, uint64_t *pages) {
  for (uint64_t word = 0; word < word_count(all); word++)
    if (atomic_load(&all->written[word]) != 0) pages[word] |= atomic_exchange(&all->written[word], 0);
}

/* ---- test pages: all 512 words follow from a page's number and the pass that wrote it ---- */

static const uint64_t step = UINT64_C(0x0001000300050007);

static void make_page(uint64_t *words, uint64_t index, uint64_t generation) {
  const uint64_t sum = (index ^ (generation << 32)) * GUEST_CHECKSUM_MULTIPLIER;
  words[0] = index;
  words[1] = generation;
  for (uint64_t word = 0; word < 254; word++) words[2 + word] = sum + 1 + word * step;
  words[256] = ~sum;
  for (uint64_t word = 0; word < 254; word++) words[257 + word] = ~sum + 1 + word * step;
  words[511] = sum;
}

static void fill_page(const struct ram *ram, uint64_t offset, uint64_t index, uint64_t generation) {
  uint64_t words[512];
  make_page(words, index, generation);
  for (uint64_t word = 0; word < 512; word++) ram_store(ram, offset + word * 8, words[word]);
}

static bool page_matches(const struct ram *ram, uint64_t offset, uint64_t index, uint64_t generation) {
  uint64_t words[512], difference = 0;
  make_page(words, index, generation);
  for (uint64_t word = 0; word < 512; word++) difference |= ram_load(ram, offset + word * 8) ^ words[word];
  return difference == 0;
}

/* ---- the boot vCPU's board: console, disk, clocks ---- */

static void increment(const struct ram *ram, uint64_t place) { ram_store(ram, place, ram_load(ram, place) + 1); }

static void serve_board(struct software_vcpus *all, uint64_t time, uint64_t clock) {
  const struct ram *ram = all->ram;
  if (all->console_waits) {
    all->console_waits = !console_flush(all->devices);
  } else if (time - header_load(ram, HEADER_CONSOLE_STAMP) >= header_load(ram, HEADER_CONSOLE_INTERVAL)) {
    char line[GUEST_CONSOLE_LINE_SIZE];
    uint64_t sequence = header_load(ram, HEADER_CONSOLE_SEQUENCE);
    header_store(ram, HEADER_CONSOLE_STAMP, time);
    if (sequence != all->devices->line_count) increment(ram, vcpu_page(0) + VCPU_MISMATCHES);
    header_store(ram, HEADER_CONSOLE_SEQUENCE, sequence + 1);
    guest_console_line(sequence, line);
    all->console_waits = !console_put(all->devices, line, sizeof line);
  }
  uint64_t interval = header_load(ram, HEADER_DISK_INTERVAL);
  if (interval != 0 && all->devices->disk >= 0 && time - header_load(ram, HEADER_DISK_STAMP) >= interval) {
    uint64_t sequence = header_load(ram, HEADER_DISK_SEQUENCE);
    header_store(ram, HEADER_DISK_STAMP, time);
    if (sequence != all->devices->disk_sequence) increment(ram, vcpu_page(0) + VCPU_MISMATCHES);
    disk_write(all->devices, sequence);
    all->devices->disk_sequence++;
    header_store(ram, HEADER_DISK_SEQUENCE, sequence + 1);
  }
  /* The guest's clock travels as an offset, its ticks do not: both must have moved equally far. */
  header_store(ram, HEADER_CLOCK_SAMPLES, header_load(ram, HEADER_CLOCK_SAMPLES) + 1);
  if (header_load(ram, HEADER_CLOCK_TICK_BASE) == 0) {
    header_store(ram, HEADER_CLOCK_TICK_BASE, time);
    header_store(ram, HEADER_CLOCK_BASE, clock);
  }
  if (clock < header_load(ram, HEADER_CLOCK_LAST)) increment(ram, GUEST_HEADER + HEADER_CLOCK_BACKWARDS);
  header_store(ram, HEADER_CLOCK_LAST, clock);
  uint64_t lag =
      (time - header_load(ram, HEADER_CLOCK_TICK_BASE)) - (clock - header_load(ram, HEADER_CLOCK_BASE));
  uint64_t distance = (int64_t)lag < 0 ? 0 - lag : lag;
  header_store(ram, HEADER_CLOCK_LAG, lag);
  if (distance > header_load(ram, HEADER_CLOCK_LARGEST_LAG)) header_store(ram, HEADER_CLOCK_LARGEST_LAG, distance);
}

/* ---- an iteration ---- */

static void iterate(struct vcpu *vcpu, uint64_t time) {
  const struct ram *ram = vcpu->all->ram;
  struct registers *registers = &vcpu->registers;
  const uint64_t page = vcpu_page(vcpu->index);
  if (registers->last_stamp != 0) {
    if (time < registers->last_stamp) {
      increment(ram, page + VCPU_BACKWARDS);
    } else if (time - registers->last_stamp > ram_load(ram, page + VCPU_LARGEST_GAP)) {
      ram_store(ram, page + VCPU_LARGEST_GAP, time - registers->last_stamp);
      ram_store(ram, page + VCPU_GAP_BEGIN, registers->last_stamp);
      ram_store(ram, page + VCPU_GAP_END, time);
    }
  }
  registers->last_stamp = time;
  ram_store(ram, page + VCPU_LAST_STAMP, time);

  if (ram_load(ram, page + VCPU_COUNTER) != registers->counter
      || ram_load(ram, page + VCPU_CURSOR) != registers->cursor
      || ram_load(ram, page + VCPU_GENERATION) != registers->generation)
    increment(ram, page + VCPU_MISMATCHES);
  ram_store(ram, page + VCPU_COUNTER, ++registers->counter);

  uint64_t period = header_load(ram, HEADER_TIMER_PERIOD);
  if (registers->timer_deadline == 0) registers->timer_deadline = time + period;
  if (time >= registers->timer_deadline) {
    increment(ram, page + VCPU_TIMER_TICKS);
    registers->timer_deadline = time + period;
  }

  /* The page holds exactly what the pass before wrote; then this pass writes it. */
  uint64_t offset =
      header_load(ram, HEADER_FIRST_PAGE) + registers->cursor * header_load(ram, HEADER_PAGE_STRIDE);
  uint64_t working_set = header_load(ram, HEADER_WORKING_SET);
  bool is_rest = working_set != 0 && registers->cursor >= working_set; /* written in the first pass only */
  if (registers->generation > 1) {
    if (page_matches(ram, offset, registers->cursor, is_rest ? 1 : registers->generation - 1)) {
      increment(ram, page + VCPU_PAGES_CHECKED);
    } else {
      if (ram_load(ram, page + VCPU_PAGE_ERRORS) == 0) ram_store(ram, page + VCPU_FIRST_BAD_PAGE, offset);
      increment(ram, page + VCPU_PAGE_ERRORS);
    }
  }
  if (!is_rest || registers->generation == 1) {
    fill_page(ram, offset, registers->cursor, registers->generation);
    note(vcpu->all, offset);
    increment(ram, page + VCPU_PAGES_WRITTEN);
  }

  registers->cursor += header_load(ram, HEADER_VCPU_COUNT);
  if (registers->cursor >= header_load(ram, HEADER_PAGE_COUNT)) {
    registers->cursor = vcpu->index;
    ram_store(ram, page + VCPU_GENERATION, ++registers->generation);
  }
  ram_store(ram, page + VCPU_CURSOR, registers->cursor);
  note(vcpu->all, page);
  if (vcpu->index == 0) {
    serve_board(vcpu->all, time, time + registers->clock_offset);
    note(vcpu->all, page); /* where the board counts what it finds wrong */
    note(vcpu->all, GUEST_HEADER);
  }
}

static void run(struct vcpu *vcpu, uint32_t permission) {
  const uint64_t burst = 100000, duty = vcpu->all->duty_percent;
  uint64_t time = now(), begin = time;
  ram_store(vcpu->all->ram, vcpu_page(vcpu->index) + VCPU_RESUME_STAMP, time);
  ram_store(vcpu->all->ram, vcpu_page(vcpu->index) + VCPU_STARTED, 1);
  note(vcpu->all, vcpu_page(vcpu->index));
  atomic_store(&vcpu->first_stamp, time);
  if (atomic_exchange(&vcpu->all->has_run, 1) == 0) word_wake(&vcpu->all->has_run);
  while (gate_is_valid(&vcpu->gate, permission)) {
    iterate(vcpu, time);
    time = now();
    if (duty < 100 && time - begin >= burst) {
      gate_sleep(&vcpu->gate, permission, (time - begin) * (100 - duty) / duty);
      begin = time = now();
    }
  }
  atomic_store(&vcpu->last_stamp, now());
}

static void *serve(void *context) {
  struct vcpu *vcpu = context;
  uint32_t permission;
  ask_for_slice(0);
  while (gate_wait_for_permission(&vcpu->gate, &permission)) run(vcpu, permission);
  return NULL;
}

/* ---- the control thread's ---- */

struct software_vcpus *software_vcpus_new(
    const struct ram *ram, struct devices *devices, uint32_t count, uint32_t duty_percent) {
  struct software_vcpus *all = calloc(1, sizeof *all);
  if (all == NULL) return NULL;
  all->ram = ram;
  all->devices = devices;
  all->duty_percent = duty_percent;
  for (; all->count < count; all->count++) {
    struct vcpu *vcpu = &all->vcpus[all->count];
    vcpu->all = all;
    vcpu->index = all->count;
    vcpu->registers = (struct registers){.cursor = all->count, .generation = 1};
    gate_init(&vcpu->gate);
    int error = pthread_create(&vcpu->thread, NULL, serve, vcpu);
    if (error != 0) {
      software_vcpus_free(all);
      errno = error;
      return NULL;
    }
  }
  return all;
}

void software_vcpus_free(struct software_vcpus *all) {
  if (all == NULL) return;
  for (uint32_t index = 0; index < all->count; index++) gate_end(&all->vcpus[index].gate);
  for (uint32_t index = 0; index < all->count; index++) pthread_join(all->vcpus[index].thread, NULL);
  free(all->written);
  free(all);
}

void software_vcpus_let_run(struct software_vcpus *all) {
  atomic_store(&all->has_run, 0);
  for (uint32_t index = 0; index < all->count; index++) {
    atomic_store(&all->vcpus[index].first_stamp, 0);
    gate_let_run(&all->vcpus[index].gate);
  }
}

uint64_t software_vcpus_stop(struct software_vcpus *all) {
  uint64_t latest = 0;
  /* All are told before the first one is waited for. */
  for (uint32_t index = 0; index < all->count; index++) gate_park(&all->vcpus[index].gate);
  for (uint32_t index = 0; index < all->count; index++) gate_wait_until_parked(&all->vcpus[index].gate);
  /* Only now: once state was saved, output that waits is the successor's. */
  all->console_waits = !console_flush(all->devices);
  for (uint32_t index = 0; index < all->count; index++) {
    uint64_t stamp = atomic_load(&all->vcpus[index].last_stamp);
    if (stamp > latest) latest = stamp;
  }
  return latest;
}

uint64_t software_vcpus_first_instruction(struct software_vcpus *all, uint64_t timeout_ns) {
  uint64_t deadline = now() + timeout_ns, time, earliest = 0;
  while (atomic_load(&all->has_run) == 0 && (time = now()) < deadline) word_wait(&all->has_run, 0, deadline - time);
  for (uint32_t index = 0; index < all->count; index++) {
    uint64_t stamp = atomic_load(&all->vcpus[index].first_stamp);
    if (stamp != 0 && (earliest == 0 || stamp < earliest)) earliest = stamp;
  }
  return earliest;
}

void software_vcpus_save(struct software_vcpus *all, struct state_writer *writer) {
  for (uint32_t index = 0; index < all->count; index++) {
    state_begin_section(writer, SECTION_SOFTWARE_VCPU, (uint16_t)index);
    state_put(writer, &all->vcpus[index].registers, sizeof(struct registers));
    state_end_section(writer);
  }
}

int software_vcpus_restore(struct software_vcpus *all, const void *state, size_t size) {
  struct registers restored[GUEST_MOST_VCPUS];
  for (uint32_t index = 0; index < all->count; index++) {
    struct state_reader reader;
    if (state_find(state, size, SECTION_SOFTWARE_VCPU, (uint16_t)index, &reader) != 0
        || reader.size != sizeof *restored)
      return -EINVAL;
    memcpy(&restored[index], reader.bytes, sizeof *restored);
    if (restored[index].generation == 0 || restored[index].cursor >= header_load(all->ram, HEADER_PAGE_COUNT))
      return -EINVAL;
  }
  for (uint32_t index = 0; index < all->count; index++) all->vcpus[index].registers = restored[index];
  all->console_waits = true; /* looked at anew before anything else is said */
  return 0;
}
