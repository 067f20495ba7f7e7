/*
 * The state of KVM's vCPUs, interrupt controllers, PIT and clock: which calls, in which order.
 *
 * Saving: MP_STATE first, because reading it may deliver INIT or SIPI; VCPU_EVENTS last of a vCPU; the TSC offsets
 * after the clock. Restoring: CPUID first, because it decides what later calls accept; LAPIC after SREGS, where its
 * base is, and before MSRs; VCPU_EVENTS last, because SET_REGS drops pending exceptions.
 */
#define _GNU_SOURCE
#include "kvm_vcpu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "kvm_vcpus.h"

enum { MSR_TSC = 0x10, MSR_TSC_DEADLINE = 0x6E0, MSRS_PER_CALL = 255, IRQCHIPS = 3 };

/* MSRs that show KVM a place in guest memory to write to: wall clock and kvmclock (old and new numbers),
 * asynchronous page faults, steal time, end of interrupt. Setting kvmclock's writes there at once. */
static int points_into_memory(uint32_t msr) {
  return msr == 0x11 || msr == 0x12 || (msr >= 0x4B564D00 && msr <= 0x4B564D04);
}

struct msr_table {
  struct kvm_msrs head;
  struct kvm_msr_entry entries[MSRS_PER_CALL];
};

/* What follows a vCPU's MP_STATE in its section, in its order. */
struct fixed {
  struct kvm_regs regs;
  struct kvm_sregs sregs;
  struct kvm_xcrs xcrs;
  struct kvm_debugregs debugregs;
  struct kvm_lapic_state lapic;
  struct kvm_vcpu_events events;
};

static int fail(const char *what, uint32_t vcpu) {
  int error = errno;
  fprintf(stderr, "guest-vmm: vCPU %u: %s: %s\n", vcpu, what, strerror(error));
  return -error;
}

/* ---- saving ---- */

static int save_msrs(struct kvm_vcpus *all, struct kvm_vcpu *vcpu, struct state_writer *writer) {
  state_put32(writer, all->msr_count);
  for (uint32_t done = 0; done < all->msr_count;) {
    struct msr_table table = {.head = {.nmsrs = all->msr_count - done}};
    if (table.head.nmsrs > MSRS_PER_CALL) table.head.nmsrs = MSRS_PER_CALL;
    for (uint32_t index = 0; index < table.head.nmsrs; index++) table.entries[index].index = all->msrs[done + index];
    int count = ioctl(vcpu->fd, KVM_GET_MSRS, &table);
    if (count != (int)table.head.nmsrs) return fail("KVM_GET_MSRS", vcpu->index);
    for (uint32_t index = 0; index < table.head.nmsrs; index++) {
      state_put32(writer, table.entries[index].index);
      state_put64(writer, table.entries[index].data);
    }
    done += table.head.nmsrs;
  }
  return 0;
}

static int tsc_offset(struct kvm_vcpu *vcpu, unsigned long request, uint64_t *value) {
  struct kvm_device_attr attribute = {
      .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)value};
  return ioctl(vcpu->fd, request, &attribute);
}

/* `offset_place`: where the TSC offset is to be written once the clock was read. */
static int save_vcpu(
    struct kvm_vcpus *all, struct kvm_vcpu *vcpu, struct state_writer *writer, size_t *offset_place) {
  struct kvm_mp_state mp_state;
  struct fixed fixed;
  struct cpuid_table cpuid = {.head = {.nent = MOST_CPUID_ENTRIES}};
  int fd = vcpu->fd;
  int kilohertz = ioctl(fd, KVM_GET_TSC_KHZ, 0);
  uint8_t *xsave = calloc(1, (size_t)all->xsave_size);
  if (xsave == NULL) return -ENOMEM;
  int is_large = all->xsave_size > (int)sizeof(struct kvm_xsave);
  if (ioctl(fd, KVM_GET_MP_STATE, &mp_state) < 0 || ioctl(fd, KVM_GET_REGS, &fixed.regs) < 0
      || ioctl(fd, KVM_GET_SREGS, &fixed.sregs) < 0
      || ioctl(fd, is_large ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, xsave) < 0
      || ioctl(fd, KVM_GET_XCRS, &fixed.xcrs) < 0 || ioctl(fd, KVM_GET_DEBUGREGS, &fixed.debugregs) < 0
      || ioctl(fd, KVM_GET_LAPIC, &fixed.lapic) < 0 || ioctl(fd, KVM_GET_CPUID2, &cpuid) < 0
      || ioctl(fd, KVM_GET_VCPU_EVENTS, &fixed.events) < 0) {
    free(xsave);
    return fail("saving its state", vcpu->index);
  }
  uint32_t cpuid_size = (uint32_t)(sizeof cpuid.head + cpuid.head.nent * sizeof *cpuid.entries);
  state_put(writer, &mp_state, sizeof mp_state);
  state_put(writer, &fixed, sizeof fixed);
  state_put32(writer, kilohertz > 0 ? (uint32_t)kilohertz : 0);
  state_put32(writer, vcpu->has_tsc_offset ? 1 : 0);
  *offset_place = writer->size;
  state_put64(writer, 0);
  state_put32(writer, (uint32_t)all->xsave_size);
  state_put(writer, xsave, (size_t)all->xsave_size);
  free(xsave);
  state_put32(writer, cpuid_size);
  state_put(writer, &cpuid, cpuid_size);
  return save_msrs(all, vcpu, writer);
}

int kvm_vcpus_save(struct kvm_vcpus *all, struct state_writer *writer) {
  size_t places[GUEST_MOST_VCPUS];
  struct kvm_clock_data clock = {0};
  struct kvm_pit_state2 pit;
  for (uint32_t index = 0; index < all->count; index++) {
    state_begin_section(writer, SECTION_KVM_VCPU, (uint16_t)index);
    int result = save_vcpu(all, &all->vcpus[index], writer, &places[index]);
    if (result < 0) return result;
    state_end_section(writer);
  }
  state_begin_section(writer, SECTION_KVM_BOARD, 0);
  if (ioctl(all->vm, KVM_GET_CLOCK, &clock) < 0) return fail("KVM_GET_CLOCK", 0);
  state_put(writer, &clock, sizeof clock);
  for (uint32_t chip = 0; chip < IRQCHIPS; chip++) {
    struct kvm_irqchip state = {.chip_id = chip};
    if (ioctl(all->vm, KVM_GET_IRQCHIP, &state) < 0) return fail("KVM_GET_IRQCHIP", 0);
    state_put(writer, &state, sizeof state);
  }
  if (ioctl(all->vm, KVM_GET_PIT2, &pit) < 0) return fail("KVM_GET_PIT2", 0);
  state_put(writer, &pit, sizeof pit);
  state_end_section(writer);
  for (uint32_t index = 0; index < all->count && !writer->is_overflown; index++) {
    uint64_t offset = 0;
    if (all->vcpus[index].has_tsc_offset) tsc_offset(&all->vcpus[index], KVM_GET_DEVICE_ATTR, &offset);
    memcpy(writer->bytes + places[index], &offset, sizeof offset);
  }
  return 0;
}

/* ---- restoring ---- */

/* A vCPU's section, checked; pointers into the state. */
struct parsed {
  struct kvm_mp_state mp_state;
  struct fixed fixed;
  uint32_t tsc_kilohertz, has_offset, cpuid_size, msr_count;
  uint64_t offset;
  const void *xsave, *cpuid;
  struct state_reader msrs;
};

static int parse(const struct kvm_vcpus *all, struct state_reader reader, struct parsed *parsed) {
  parsed->mp_state.mp_state = state_take32(&reader);
  const void *fixed = state_take(&reader, sizeof parsed->fixed);
  if (fixed == NULL) return -EINVAL;
  memcpy(&parsed->fixed, fixed, sizeof parsed->fixed);
  parsed->tsc_kilohertz = state_take32(&reader);
  parsed->has_offset = state_take32(&reader);
  parsed->offset = state_take64(&reader);
  uint32_t xsave_size = state_take32(&reader);
  parsed->xsave = state_take(&reader, xsave_size);
  parsed->cpuid_size = state_take32(&reader);
  parsed->cpuid = state_take(&reader, parsed->cpuid_size);
  parsed->msr_count = state_take32(&reader);
  parsed->msrs = reader;
  if (reader.is_short || parsed->has_offset > 1 || xsave_size != (uint32_t)all->xsave_size
      || parsed->cpuid_size > sizeof(struct cpuid_table) || parsed->msr_count > MOST_MSRS
      || state_take(&reader, (size_t)parsed->msr_count * 12) == NULL || reader.position != reader.size)
    return -EINVAL;
  uint32_t entries;
  memcpy(&entries, parsed->cpuid, sizeof entries);
  return parsed->cpuid_size == sizeof(struct kvm_cpuid2) + (size_t)entries * sizeof(struct kvm_cpuid_entry2) ? 0
                                                                                                            : -EINVAL;
}

static int write_msrs(struct kvm_vcpu *vcpu, struct msr_table *table) {
  int count = table->head.nmsrs == 0 ? 0 : ioctl(vcpu->fd, KVM_SET_MSRS, table);
  if (count != (int)table->head.nmsrs) return fail("KVM_SET_MSRS", vcpu->index);
  table->head.nmsrs = 0;
  return 0;
}

/* All but those that wait: the deadline for the TSC offset, those that point into memory for the right to run. The
 * TSC itself is left out where there is an offset: its value would lag by the blackout. */
static int restore_msrs(struct kvm_vcpu *vcpu, struct parsed *parsed, uint64_t *deadline) {
  struct msr_table table = {.head = {0}};
  int has_offset = parsed->has_offset && vcpu->has_tsc_offset;
  vcpu->unattached_count = 0;
  for (uint32_t index = 0; index < parsed->msr_count; index++) {
    struct kvm_msr_entry entry = {.index = state_take32(&parsed->msrs)};
    entry.data = state_take64(&parsed->msrs);
    if (entry.index == MSR_TSC_DEADLINE) {
      *deadline = entry.data;
    } else if (points_into_memory(entry.index)) {
      if (entry.data != 0 && vcpu->unattached_count < 8) vcpu->unattached[vcpu->unattached_count++] = entry;
    } else if (entry.index != MSR_TSC || !has_offset) {
      table.entries[table.head.nmsrs++] = entry;
      if (table.head.nmsrs == MSRS_PER_CALL && write_msrs(vcpu, &table) < 0) return -EIO;
    }
  }
  return write_msrs(vcpu, &table);
}

static int restore_vcpu(struct kvm_vcpu *vcpu, struct parsed *parsed, uint64_t *deadline) {
  struct fixed *fixed = &parsed->fixed;
  struct cpuid_table cpuid;
  int fd = vcpu->fd, result;
  memcpy(&cpuid, parsed->cpuid, parsed->cpuid_size);
  if (ioctl(fd, KVM_SET_CPUID2, &cpuid) < 0
      || (parsed->tsc_kilohertz != 0 && ioctl(fd, KVM_SET_TSC_KHZ, (unsigned long)parsed->tsc_kilohertz) < 0)
      || ioctl(fd, KVM_SET_MP_STATE, &parsed->mp_state) < 0 || ioctl(fd, KVM_SET_REGS, &fixed->regs) < 0
      || ioctl(fd, KVM_SET_SREGS, &fixed->sregs) < 0 || ioctl(fd, KVM_SET_XSAVE, parsed->xsave) < 0
      || ioctl(fd, KVM_SET_XCRS, &fixed->xcrs) < 0 || ioctl(fd, KVM_SET_DEBUGREGS, &fixed->debugregs) < 0
      || ioctl(fd, KVM_SET_LAPIC, &fixed->lapic) < 0)
    return fail("restoring its state", vcpu->index);
  result = restore_msrs(vcpu, parsed, deadline);
  if (result == 0 && ioctl(fd, KVM_SET_VCPU_EVENTS, &fixed->events) < 0)
    return fail("KVM_SET_VCPU_EVENTS", vcpu->index);
  return result;
}

static int restore_board(struct kvm_vcpus *all, struct state_reader reader) {
  struct kvm_clock_data clock;
  struct kvm_irqchip chip;
  struct kvm_pit_state2 pit;
  memcpy(&clock, state_take(&reader, sizeof clock), sizeof clock);
  for (uint32_t index = 0; index < IRQCHIPS; index++) {
    memcpy(&chip, state_take(&reader, sizeof chip), sizeof chip);
    if (ioctl(all->vm, KVM_SET_IRQCHIP, &chip) < 0) return fail("KVM_SET_IRQCHIP", 0);
  }
  memcpy(&pit, state_take(&reader, sizeof pit), sizeof pit);
  /* The clock goes on by the real time that has passed, where the source's KVM told it. */
  clock.flags &= KVM_CLOCK_REALTIME;
  if (ioctl(all->vm, KVM_SET_PIT2, &pit) < 0 || ioctl(all->vm, KVM_SET_CLOCK, &clock) < 0)
    return fail("restoring clock and PIT", 0);
  return 0;
}

static int restore_time(struct kvm_vcpu *vcpu, struct parsed *parsed, uint64_t deadline) {
  struct msr_table table = {.head = {.nmsrs = 1}, .entries = {{.index = MSR_TSC_DEADLINE, .data = deadline}}};
  uint64_t readback = 0;
  if (parsed->has_offset && vcpu->has_tsc_offset
      && (tsc_offset(vcpu, KVM_SET_DEVICE_ATTR, &parsed->offset) < 0
          || tsc_offset(vcpu, KVM_GET_DEVICE_ATTR, &readback) < 0 || readback != parsed->offset))
    fprintf(stderr, "guest-vmm: the TSC offset does not read back as it was set\n");
  return deadline == 0 ? 0 : write_msrs(vcpu, &table);
}

int kvm_vcpus_restore(struct kvm_vcpus *all, const void *state, size_t size) {
  struct parsed *parsed = calloc(all->count, sizeof *parsed);
  uint64_t deadlines[GUEST_MOST_VCPUS] = {0};
  struct state_reader reader;
  int result = parsed == NULL ? -ENOMEM : 0;
  /* Everything is read before anything is written. */
  for (uint32_t index = 0; result == 0 && index < all->count; index++)
    result = state_find(state, size, SECTION_KVM_VCPU, (uint16_t)index, &reader) == 0
                 ? parse(all, reader, &parsed[index])
                 : -EINVAL;
  if (result == 0
      && (state_find(state, size, SECTION_KVM_BOARD, 0, &reader) != 0
          || reader.size != sizeof(struct kvm_clock_data) + IRQCHIPS * sizeof(struct kvm_irqchip)
                                + sizeof(struct kvm_pit_state2)))
    result = -EINVAL;
  for (uint32_t index = 0; result == 0 && index < all->count; index++)
    result = restore_vcpu(&all->vcpus[index], &parsed[index], &deadlines[index]);
  if (result == 0) result = restore_board(all, reader);
  for (uint32_t index = 0; result == 0 && index < all->count; index++)
    result = restore_time(&all->vcpus[index], &parsed[index], deadlines[index]);
  free(parsed);
  return result;
}

int kvm_attach_memory(struct kvm_vcpus *all) {
  for (uint32_t index = 0; index < all->count; index++) {
    struct kvm_vcpu *vcpu = &all->vcpus[index];
    struct msr_table table = {.head = {.nmsrs = vcpu->unattached_count}};
    memcpy(table.entries, vcpu->unattached, vcpu->unattached_count * sizeof *vcpu->unattached);
    if (write_msrs(vcpu, &table) < 0) return -EIO;
    vcpu->unattached_count = 0;
  }
  /* Tells a guest with a kvmclock that it was paused; EINVAL where it has none. */
  for (uint32_t index = 0; index < all->count; index++)
    if (ioctl(all->vcpus[index].fd, KVM_KVMCLOCK_CTRL, 0) < 0 && errno != EINVAL) return -errno;
  return 0;
}
