#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hidden_descriptors.h"
#include "kvm_numbers.h"
#include "objects.h"
#include "process.h"
#include "sev_transport.h"
#include "stand_in.h"

#define MOST_CPUID_ENTRIES 256
#define MOST_MSRS 256

/* What is only kept, not understood: written whole, read back whole. Registers are the model's. */
struct kept {
  struct kvm_fpu fpu;
  struct kvm_lapic_state lapic;
  struct kvm_mp_state mp_state;
  struct kvm_vcpu_events events;
  uint8_t xsave[4096]; /* struct kvm_xsave, whose end is open */
  struct kvm_xcrs xcrs;
};

static const struct {
  uint32_t get, set;
  size_t offset, size;
} kept_table[] = {
    {KVM_GET_FPU, KVM_SET_FPU, offsetof(struct kept, fpu), sizeof(struct kvm_fpu)},
    {KVM_GET_LAPIC, KVM_SET_LAPIC, offsetof(struct kept, lapic), sizeof(struct kvm_lapic_state)},
    {KVM_GET_MP_STATE, KVM_SET_MP_STATE, offsetof(struct kept, mp_state), sizeof(struct kvm_mp_state)},
    {KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, offsetof(struct kept, events), sizeof(struct kvm_vcpu_events)},
    {KVM_GET_XSAVE, KVM_SET_XSAVE, offsetof(struct kept, xsave), 4096},
    {KVM_GET_XCRS, KVM_SET_XCRS, offsetof(struct kept, xcrs), sizeof(struct kvm_xcrs)},
};

struct vcpu {
  uint64_t run_offset;
  struct kept kept;
  uint32_t cpuid_count;
  struct kvm_cpuid_entry2 cpuid[MOST_CPUID_ENTRIES];
  uint32_t msr_count;
  struct kvm_msr_entry msrs[MOST_MSRS];
};

/* The kvm_run pages of all vCPUs are in one file, so that a vCPU costs no descriptor. */
static atomic_int run_file = -1;
static pthread_mutex_t run_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t run_end;
/* Places that are free again. */
static uint64_t *run_free;
static size_t run_free_count, run_free_capacity;

/* A zeroed place for a vCPU; under the lock. */
static int take_run_pages(uint64_t *offset) {
  if (hidden_number(&run_file) < 0) {
    int fd = memfd_create("sevmodel-run", MFD_CLOEXEC);
    if (fd < 0) return -errno;
    int status = hidden_adopt(fd, &run_file);
    if (status < 0) return status;
    run_end = 0;
    run_free_count = 0;
  }
  if (run_free_count > 0) {
    *offset = run_free[--run_free_count];
    int status = fallocate(atomic_load(&run_file), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)*offset,
                           STAND_IN_RUN_BYTES);
    return status < 0 ? -errno : 0;
  }
  if (ftruncate(atomic_load(&run_file), (off_t)(run_end + STAND_IN_RUN_BYTES)) < 0) return -errno;
  *offset = run_end;
  run_end += STAND_IN_RUN_BYTES;
  return 0;
}

void *stand_in_vcpu_create(void) {
  struct vcpu *vcpu = calloc(1, sizeof *vcpu);
  if (!vcpu) return NULL;
  vcpu->kept.fpu.fcw = 0x37f;
  vcpu->kept.fpu.mxcsr = 0x1f80;
  vcpu->kept.xcrs.nr_xcrs = 1;
  vcpu->kept.xcrs.xcrs[0].value = 1;
  pthread_mutex_lock(&run_lock);
  int status = take_run_pages(&vcpu->run_offset);
  pthread_mutex_unlock(&run_lock);
  if (status == 0) return vcpu;
  free(vcpu);
  return NULL;
}

void stand_in_vcpu_free(void *state) {
  struct vcpu *vcpu = state;
  pthread_mutex_lock(&run_lock);
  if (run_free_count == run_free_capacity) {
    size_t capacity = run_free_capacity ? 2 * run_free_capacity : 16;
    void *grown = realloc(run_free, capacity * sizeof *run_free);
    if (grown) {
      run_free = grown;
      run_free_capacity = capacity;
    }
  }
  /* Without memory the place is lost until the process ends. */
  if (run_free_count < run_free_capacity) run_free[run_free_count++] = vcpu->run_offset;
  pthread_mutex_unlock(&run_lock);
  free(vcpu);
}

void stand_in_after_fork(void) {
  pthread_mutex_init(&run_lock, NULL);
  run_free_count = 0;
}

static int set_cpuid(struct vcpu *vcpu, uint64_t argument) {
  struct kvm_cpuid2 header;
  if (sev_copy_in(argument, &header, sizeof header) != 0) return -EFAULT;
  if (header.nent > MOST_CPUID_ENTRIES) return -E2BIG;
  if (sev_copy_in(argument + sizeof header, vcpu->cpuid, header.nent * sizeof *vcpu->cpuid) != 0)
    return -EFAULT;
  vcpu->cpuid_count = header.nent;
  return 0;
}

static int get_cpuid(const struct vcpu *vcpu, uint64_t argument) {
  struct kvm_cpuid2 header;
  if (sev_copy_in(argument, &header, sizeof header) != 0) return -EFAULT;
  if (header.nent < vcpu->cpuid_count) return -E2BIG;
  header.nent = vcpu->cpuid_count;
  if (sev_copy_out(argument + sizeof header, vcpu->cpuid, header.nent * sizeof *vcpu->cpuid) != 0)
    return -EFAULT;
  return sev_copy_out(argument, &header, sizeof header);
}

static struct kvm_msr_entry *find_msr(struct vcpu *vcpu, uint32_t index) {
  for (uint32_t at = 0; at < vcpu->msr_count; at++)
    if (vcpu->msrs[at].index == index) return &vcpu->msrs[at];
  return NULL;
}

/* Both return how many entries were done. An MSR that was never written reads as 0. */
static int transfer_msrs(struct vcpu *vcpu, uint64_t argument, bool writes) {
  struct kvm_msrs header;
  if (sev_copy_in(argument, &header, sizeof header) != 0) return -EFAULT;
  if (header.nmsrs > MOST_MSRS) return -E2BIG;
  for (uint32_t at = 0; at < header.nmsrs; at++) {
    uint64_t address = argument + sizeof header + at * sizeof(struct kvm_msr_entry);
    struct kvm_msr_entry entry, *known;
    if (sev_copy_in(address, &entry, sizeof entry) != 0) return -EFAULT;
    known = find_msr(vcpu, entry.index);
    if (writes) {
      if (!known && vcpu->msr_count == MOST_MSRS) return (int)at;
      if (!known) known = &vcpu->msrs[vcpu->msr_count++];
      *known = entry;
    } else {
      entry.data = known ? known->data : 0;
      if (sev_copy_out(address, &entry, sizeof entry) != 0) return -EFAULT;
    }
  }
  return (int)header.nmsrs;
}

static int locked_ioctl(struct vcpu *vcpu, uint32_t request, uint64_t argument) {
  for (size_t index = 0; index < sizeof kept_table / sizeof *kept_table; index++) {
    void *state = (char *)&vcpu->kept + kept_table[index].offset;
    if (request == kept_table[index].get) return sev_copy_out(argument, state, kept_table[index].size);
    if (request != kept_table[index].set) continue;
    /* By way of a copy: one that faults in the middle changes nothing. */
    struct kept copy;
    if (sev_copy_in(argument, &copy, kept_table[index].size) != 0) return -EFAULT;
    memcpy(state, &copy, kept_table[index].size);
    return 0;
  }
  switch (request) {
  case KVM_SET_CPUID2: return set_cpuid(vcpu, argument);
  case KVM_GET_CPUID2: return get_cpuid(vcpu, argument);
  case KVM_GET_MSRS: return transfer_msrs(vcpu, argument, false);
  case KVM_SET_MSRS: return transfer_msrs(vcpu, argument, true);
  case KVM_GET_TSC_KHZ: return STAND_IN_TSC_KHZ;
  /* Nothing would ever come of these, since no guest runs. */
  case KVM_SET_TSC_KHZ:
  case KVM_SET_SIGNAL_MASK:
  case KVM_NMI: return 0;
  case KVM_HAS_DEVICE_ATTR: return -ENXIO;
  default: return -EINVAL;
  }
}

int stand_in_vcpu_ioctl(struct object *object, uint32_t request, uint64_t argument) {
  pthread_mutex_lock(&object->lock);
  int status = object->stand_in ? locked_ioctl(object->stand_in, request, argument) : -EBADF;
  pthread_mutex_unlock(&object->lock);
  return status;
}

int stand_in_run_pages(struct object *object, uint64_t *offset) {
  int fd = -EBADF;
  pthread_mutex_lock(&object->lock);
  const struct vcpu *vcpu = object->stand_in;
  if (vcpu) {
    *offset = vcpu->run_offset;
    fd = hidden_number(&run_file);
  }
  pthread_mutex_unlock(&object->lock);
  return fd;
}

int stand_in_run(struct object *object) {
  uint64_t offset;
  uint8_t immediate_exit = 0;
  int fd = stand_in_run_pages(object, &offset);
  if (fd < 0) return fd;
  off_t place = (off_t)(offset + offsetof(struct kvm_run, immediate_exit));
  if (pread(fd, &immediate_exit, 1, place) != 1) return -EFAULT;
  if (immediate_exit) return -EINTR;
  SAY_ONCE("KVM_RUN needs a real /dev/kvm; the stand-in has no processor and answers ENODEV");
  return -ENODEV;
}
