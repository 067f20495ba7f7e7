/* Loading the reference guest, and reading what it says about itself. */
#include "guest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

__extension__ typedef unsigned __int128 wide;

static const uint8_t image[] = {
#include "guest_image.inc"
};

uint32_t guest_image_size(void) { return ((uint32_t)sizeof image + 15) & ~UINT32_C(15); }

void guest_console_line(uint64_t sequence, char *line) {
  char text[32];
  snprintf(text, sizeof text, "guest %012" PRIu64 "\n", sequence % UINT64_C(1000000000000));
  memcpy(line, text, GUEST_CONSOLE_LINE_SIZE);
}

/* Identity page tables of 2 MiB pages over RAM, the hole for devices included. */
static void write_page_tables(const struct ram *ram) {
  enum { PRESENT = 1, WRITABLE = 2, UNCACHED = 0x18, LARGE = 0x80 };
  const uint64_t gibibyte = UINT64_C(1) << 30;
  const uint64_t level4 = GUEST_PAGE_TABLES, level3 = level4 + GUEST_PAGE, level2 = level3 + GUEST_PAGE;
  uint64_t top = ram->size > GUEST_LOW_SIZE ? ram->size + GUEST_HOLE_SIZE : GUEST_LOW_SIZE + gibibyte;
  ram_store(ram, level4, level3 | WRITABLE | PRESENT);
  for (uint64_t table = 0; table < (top + gibibyte - 1) / gibibyte; table++) {
    uint64_t place = level2 + table * GUEST_PAGE;
    ram_store(ram, level3 + table * 8, place | WRITABLE | PRESENT);
    for (uint64_t entry = 0; entry < 512; entry++) {
      uint64_t address = table * gibibyte + entry * (UINT64_C(2) << 20);
      int is_device = address >= GUEST_LOW_SIZE && address < GUEST_LOW_SIZE + GUEST_HOLE_SIZE;
      ram_store(ram, place + entry * 8, address | LARGE | WRITABLE | PRESENT | (is_device ? UNCACHED : 0));
    }
  }
}

static uint64_t ticks(const struct guest_plan *plan, uint64_t nanoseconds) {
  return (uint64_t)((wide)nanoseconds * plan->tick_kilohertz / 1000000);
}

void guest_load(const struct ram *ram, const struct guest_plan *plan) {
  uint64_t available = (ram->size - GUEST_FIRST_TEST_PAGE) / GUEST_PAGE;
  /* Under KVM, where each instruction may be emulated, only so many pages are tested. */
  uint64_t pages = plan->is_kvm ? 2048 : available;
  uint64_t stride = plan->is_kvm ? available / pages * GUEST_PAGE : GUEST_PAGE;
  header_store(ram, HEADER_VERSION, GUEST_ABI_VERSION);
  header_store(ram, HEADER_RAM_SIZE, ram->size);
  header_store(ram, HEADER_VCPU_COUNT, plan->vcpu_count);
  header_store(ram, HEADER_TICK_KILOHERTZ, plan->tick_kilohertz);
  header_store(ram, HEADER_FIRST_PAGE, GUEST_FIRST_TEST_PAGE);
  header_store(ram, HEADER_PAGE_STRIDE, stride);
  header_store(ram, HEADER_PAGE_COUNT, pages);
  header_store(ram, HEADER_LOW_SIZE, GUEST_LOW_SIZE);
  header_store(ram, HEADER_HOLE_SIZE, GUEST_HOLE_SIZE);
  header_store(ram, HEADER_CONSOLE_INTERVAL, ticks(plan, 5000000));
  header_store(ram, HEADER_DISK_INTERVAL, plan->has_disk ? ticks(plan, 50000000) : 0);
  header_store(ram, HEADER_TIMER_PERIOD, 10000000);
  header_store(ram, HEADER_PACING, plan->duty_percent < 100 ? plan->duty_percent : 0);
  header_store(ram, HEADER_HAS_KVMCLOCK, plan->has_kvmclock ? 1 : 0);
  header_store(ram, HEADER_DISK_SEQUENCE, 1);
  guest_console_line(0, (char *)ram->base + GUEST_HEADER + HEADER_CONSOLE_LINE);
  for (uint32_t vcpu = 0; vcpu < plan->vcpu_count; vcpu++) {
    ram_store(ram, vcpu_page(vcpu) + VCPU_INDEX, vcpu);
    ram_store(ram, vcpu_page(vcpu) + VCPU_CURSOR, vcpu);
    ram_store(ram, vcpu_page(vcpu) + VCPU_GENERATION, 1);
  }
  memcpy(ram->base + GUEST_IMAGE, image, sizeof image);
  write_page_tables(ram);
  /* The magic comes last: a header without it is no guest. */
  header_store(ram, HEADER_MAGIC, GUEST_MAGIC);
}

int guest_check(const struct ram *ram, uint32_t vcpu_count) {
  if (header_load(ram, HEADER_MAGIC) == GUEST_MAGIC && header_load(ram, HEADER_VERSION) == GUEST_ABI_VERSION
      && header_load(ram, HEADER_RAM_SIZE) == ram->size && header_load(ram, HEADER_VCPU_COUNT) == vcpu_count)
    return 0;
  fprintf(stderr, "guest-vmm: RAM holds no guest of this layout with %" PRIu64 " bytes and %u vCPUs\n", ram->size,
          vcpu_count);
  return -EINVAL;
}

/* A sum over the vCPUs, or the largest. */
static uint64_t over_vcpus(const struct ram *ram, uint64_t word, int is_largest) {
  uint64_t result = 0, count = header_load(ram, HEADER_VCPU_COUNT);
  for (uint32_t vcpu = 0; vcpu < count && vcpu < GUEST_MOST_VCPUS; vcpu++) {
    uint64_t value = ram_load(ram, vcpu_page(vcpu) + word);
    if (!is_largest) result += value;
    else if (value > result) result = value;
  }
  return result;
}

void guest_report(const struct ram *ram, char *text, uint64_t size) {
  uint64_t kilohertz = header_load(ram, HEADER_TICK_KILOHERTZ);
  uint64_t gap = over_vcpus(ram, VCPU_LARGEST_GAP, 1);
  if (kilohertz != 0) gap = (uint64_t)((wide)gap * 1000000 / kilohertz);
  const struct {
    uint64_t count;
    const char *sentence;
  } problems[] = {
      {over_vcpus(ram, VCPU_PAGE_ERRORS, 0), "wrong pages were found"},
      {over_vcpus(ram, VCPU_MISMATCHES, 0), "times registers did not fit memory"},
      {over_vcpus(ram, VCPU_BACKWARDS, 0), "times a vCPU's clock went backwards"},
      {header_load(ram, HEADER_FAULT), "exceptions"},
      {header_load(ram, HEADER_CLOCK_BACKWARDS), "times kvmclock went backwards"},
  };
  char list[512] = "";
  for (size_t index = 0; index < sizeof problems / sizeof *problems; index++) {
    size_t used = strlen(list);
    if (problems[index].count != 0)
      snprintf(list + used, sizeof list - used, "%s\"%" PRIu64 " %s\"", used ? "," : "", problems[index].count,
               problems[index].sentence);
  }
  snprintf(text, size,
           "{\"counter\":%" PRIu64 ",\"pagesWritten\":%" PRIu64 ",\"pagesChecked\":%" PRIu64 ",\"pageErrors\":%" PRIu64
           ",\"consoleSequence\":%" PRIu64 ",\"diskSequence\":%" PRIu64 ",\"timerTicks\":%" PRIu64
           ",\"largestGapNanoseconds\":%" PRIu64 ",\"clockLagNanoseconds\":%" PRId64 ",\"problems\":[%s]}",
           over_vcpus(ram, VCPU_COUNTER, 0), over_vcpus(ram, VCPU_PAGES_WRITTEN, 0),
           over_vcpus(ram, VCPU_PAGES_CHECKED, 0), over_vcpus(ram, VCPU_PAGE_ERRORS, 0),
           header_load(ram, HEADER_CONSOLE_SEQUENCE), header_load(ram, HEADER_DISK_SEQUENCE),
           over_vcpus(ram, VCPU_TIMER_TICKS, 0), gap, (int64_t)header_load(ram, HEADER_CLOCK_LAG), list);
}
