#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm_numbers.h"
#include "objects.h"
#include "sev_transport.h"
#include "stand_in.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

#define MOST_VCPUS 1024

int stand_in_open(int flags) {
  unsigned wanted = flags & O_CLOEXEC ? MFD_CLOEXEC : 0;
  int fd = memfd_create(STAND_IN_NAME, wanted | MFD_NOEXEC_SEAL);
  /* Before Linux 6.3 that flag is unknown. */
  if (fd < 0 && errno == EINVAL) fd = memfd_create(STAND_IN_NAME, wanted);
  return fd < 0 ? -errno : fd;
}

int stand_in_check_extension(uint64_t capability) {
  switch (capability) {
  case KVM_CAP_NR_VCPUS: return (int)sysconf(_SC_NPROCESSORS_ONLN);
  case KVM_CAP_MAX_VCPUS:
  case KVM_CAP_MAX_VCPU_ID: return MOST_VCPUS;
  case KVM_CAP_NR_MEMSLOTS: return (int)STAND_IN_MOST_SLOTS;
  case KVM_CAP_IRQCHIP:
  case KVM_CAP_HLT:
  case KVM_CAP_USER_MEMORY:
  case NUMBER_CAP_USER_MEMORY2:
  case KVM_CAP_SET_TSS_ADDR:
  case KVM_CAP_EXT_CPUID:
  case KVM_CAP_MP_STATE:
  case KVM_CAP_SYNC_MMU:
  case KVM_CAP_DESTROY_MEMORY_REGION_WORKS:
  case KVM_CAP_IRQ_ROUTING:
  case KVM_CAP_JOIN_MEMORY_REGIONS_WORKS:
  case KVM_CAP_PIT2:
  case KVM_CAP_IOEVENTFD:
  case KVM_CAP_SET_IDENTITY_MAP_ADDR:
  case KVM_CAP_INTERNAL_ERROR_DATA:
  case KVM_CAP_VCPU_EVENTS:
  case KVM_CAP_DEBUGREGS:
  case KVM_CAP_ENABLE_CAP:
  case KVM_CAP_XSAVE:
  case KVM_CAP_XCRS:
  case KVM_CAP_GET_TSC_KHZ:
  case KVM_CAP_SIGNAL_MSI:
  case KVM_CAP_READONLY_MEM:
  case KVM_CAP_ENABLE_CAP_VM:
  case KVM_CAP_CHECK_EXTENSION_VM:
  case KVM_CAP_SPLIT_IRQCHIP:
  case KVM_CAP_IMMEDIATE_EXIT:
  case KVM_CAP_SREGS2:
  case KVM_CAP_SYS_ATTRIBUTES: return 1;
  default: return 0;
  }
}

static void add(struct kvm_cpuid2 *cpuid, uint32_t capacity, uint32_t leaf, uint32_t index, uint32_t flags) {
  if (cpuid->nent == capacity) return;
  struct kvm_cpuid_entry2 entry = {.function = leaf, .index = index, .flags = flags};
  __cpuid_count(leaf, index, entry.eax, entry.ebx, entry.ecx, entry.edx);
  cpuid->entries[cpuid->nent++] = entry;
}

uint32_t stand_in_cpuid(struct kvm_cpuid2 *cpuid, uint32_t capacity) {
  const uint32_t indexed = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
  const unsigned last = __get_cpuid_max(0, NULL), last_extended = __get_cpuid_max(0x80000000, NULL);
  cpuid->nent = 0;
  cpuid->padding = 0;
  /* What the processor has: nothing runs here that KVM would have to leave something out for. */
  for (unsigned leaf = 0; leaf <= last && leaf <= 0x1f; leaf++) {
    if (leaf == 4 || leaf == 0xb || leaf == 0x1f)
      for (unsigned index = 0; index < 4; index++) add(cpuid, capacity, leaf, index, indexed);
    else if (leaf == 7 || leaf == 0xd || leaf == 0x14)
      for (unsigned index = 0; index < (leaf == 0xd ? 10u : 2u); index++)
        add(cpuid, capacity, leaf, index, indexed);
    else add(cpuid, capacity, leaf, 0, 0);
  }
  if (cpuid->nent + 2 <= capacity) {
    struct kvm_cpuid_entry2 signature = {.function = 0x40000000, .eax = 0x40000001};
    memcpy(&signature.ebx, "KVMK", 4);
    memcpy(&signature.ecx, "VMKV", 4);
    memcpy(&signature.edx, "M\0\0\0", 4);
    cpuid->entries[cpuid->nent++] = signature;
    cpuid->entries[cpuid->nent++] = (struct kvm_cpuid_entry2){.function = 0x40000001};
  }
  for (unsigned leaf = 0x80000000; leaf <= last_extended && leaf <= 0x80000021; leaf++)
    if (leaf != NUMBER_CPUID_ENCRYPTION) add(cpuid, capacity, leaf, 0, 0);
  return cpuid->nent;
}

/* KVM_GET_MSR_INDEX_LIST and its kin: none, but the caller's count is asked for first, as KVM does. */
static int empty_list(uint64_t argument) {
  uint32_t count;
  if (sev_copy_in(argument, &count, sizeof count) != 0) return -EFAULT;
  count = 0;
  return sev_copy_out(argument, &count, sizeof count);
}

int stand_in_system(uint32_t request, uint64_t argument) {
  struct kvm_device_attr attribute;
  switch (request) {
  case KVM_GET_API_VERSION: return argument == 0 ? KVM_API_VERSION : -EINVAL;
  case KVM_GET_VCPU_MMAP_SIZE: return argument == 0 ? (int)STAND_IN_RUN_BYTES : -EINVAL;
  case KVM_GET_EMULATED_CPUID:
  case KVM_GET_MSR_INDEX_LIST:
  case KVM_GET_MSR_FEATURE_INDEX_LIST: return empty_list(argument);
  case KVM_HAS_DEVICE_ATTR:
  case KVM_GET_DEVICE_ATTR:
    return sev_copy_in(argument, &attribute, sizeof attribute) != 0 ? -EFAULT : -ENXIO;
  default: return -EINVAL;
  }
}
