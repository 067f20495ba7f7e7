#include <errno.h>
#include <stdlib.h>

#include "conversation.h"
#include "device.h"
#include "kvm_numbers.h"
#include "real_calls.h"
#include "sev_transport.h"
#include "stand_in.h"

/* As many entries as KVM takes. */
#define MOST_ENTRIES 256

int device_pass(int host, uint32_t request, uint64_t argument) {
  int saved = errno, status = real()->ioctl(host, request, argument);
  if (status < 0) {
    status = -errno;
    errno = saved;
  }
  return status;
}

/*
 * The real VM to a VM of the model. Real KVM here knows no SEV: to a type that it refuses its own VM is an
 * ordinary one.
 */
static int make_host_machine(int system, uint64_t type) {
  bool is_encrypted = type >= NUMBER_TYPE_SEV && type <= NUMBER_TYPE_SNP;
  int status = is_encrypted ? -EINVAL : device_pass(system, KVM_CREATE_VM, type);
  return status == -EINVAL ? device_pass(system, KVM_CREATE_VM, NUMBER_TYPE_DEFAULT) : status;
}

static int create_machine(int system, bool is_stand_in, uint64_t type) {
  int fd = model_make(WIRE_MAKE_MACHINE, -1, type), host = -1, status;
  if (fd < 0) return fd;
  void *state = NULL;
  if (is_stand_in) {
    state = stand_in_machine_create();
    status = state ? 0 : -ENOMEM;
  } else {
    host = make_host_machine(system, type);
    status = host < 0 ? host : 0;
  }
  if (status == 0) status = objects_enter(fd, OBJECT_MACHINE, host, state, stand_in_machine_free);
  if (status == 0) return fd;
  real()->close(fd);
  return status;
}

/* The leaves that KVM or the stand-in supports, with the model's leaf of memory encryption. */
static int supported_cpuid(int system, bool is_stand_in, struct kvm_cpuid2 *cpuid) {
  struct model_result encryption;
  int status = model_call(WIRE_ENCRYPTION_CPUID, -1, 0, &encryption);
  if (status < 0) return status;
  if (is_stand_in) {
    stand_in_cpuid(cpuid, MOST_ENTRIES - 1);
  } else {
    cpuid->nent = MOST_ENTRIES - 1;
    status = device_pass(system, KVM_GET_SUPPORTED_CPUID, (uint64_t)(uintptr_t)cpuid);
    if (status < 0) return status;
  }
  struct kvm_cpuid_entry2 *leaf = NULL;
  for (uint32_t index = 0; index < cpuid->nent; index++) {
    struct kvm_cpuid_entry2 *entry = &cpuid->entries[index];
    if (entry->function == 0x80000000 && entry->eax < NUMBER_CPUID_ENCRYPTION)
      entry->eax = NUMBER_CPUID_ENCRYPTION;
    if (entry->function == NUMBER_CPUID_ENCRYPTION) leaf = entry;
  }
  if (!leaf) leaf = &cpuid->entries[cpuid->nent++];
  *leaf = (struct kvm_cpuid_entry2){.function = NUMBER_CPUID_ENCRYPTION,
                                    .eax = (uint32_t)encryption.values[0],
                                    .ebx = (uint32_t)encryption.values[1],
                                    .ecx = (uint32_t)encryption.values[2],
                                    .edx = (uint32_t)encryption.values[3]};
  return 0;
}

static int get_supported_cpuid(int system, bool is_stand_in, uint64_t argument) {
  struct kvm_cpuid2 wanted;
  if (sev_copy_in(argument, &wanted, sizeof wanted) != 0) return -EFAULT;
  struct kvm_cpuid2 *cpuid = calloc(1, sizeof *cpuid + MOST_ENTRIES * sizeof *cpuid->entries);
  if (!cpuid) return -ENOMEM;
  int status = supported_cpuid(system, is_stand_in, cpuid);
  if (status == 0 && wanted.nent < cpuid->nent) status = -E2BIG;
  if (status == 0) {
    /* Entries first, then their number, as KVM does. */
    status = sev_copy_out(argument + sizeof *cpuid, cpuid->entries, cpuid->nent * sizeof *cpuid->entries);
    if (status == 0) status = sev_copy_out(argument, cpuid, sizeof *cpuid);
  }
  free(cpuid);
  return status;
}

static int check_extension(int system, bool is_stand_in, uint64_t capability) {
  struct model_result answer;
  int status = model_call(WIRE_CHECK_EXTENSION, -1, capability, &answer);
  if (status < 0) return status;
  if (answer.outcome == 1) return (int)answer.values[0];
  return is_stand_in ? stand_in_check_extension(capability)
                     : device_pass(system, KVM_CHECK_EXTENSION, capability);
}

/* The group of SEV attributes is the model's; nothing if it is another's. */
static int device_attribute(uint32_t request, uint64_t argument, bool *is_ours) {
  struct kvm_device_attr attribute;
  struct model_result features;
  *is_ours = sev_copy_in(argument, &attribute, sizeof attribute) == 0 && attribute.group == NUMBER_GROUP_SEV;
  if (!*is_ours) return 0;
  if (attribute.flags != 0) return -EINVAL;
  if (attribute.attr != NUMBER_SEV_VMSA_FEATURES) return -ENXIO;
  if (request == KVM_HAS_DEVICE_ATTR) return 0;
  int status = model_call(WIRE_VMSA_FEATURES, -1, 0, &features);
  return status < 0 ? status : sev_copy_out(attribute.addr, &features.values[0], sizeof features.values[0]);
}

int device_system_ioctl(int fd, bool is_stand_in, uint32_t request, uint64_t argument) {
  bool is_ours;
  int status;
  switch (request) {
  case KVM_CREATE_VM: return create_machine(fd, is_stand_in, argument);
  case KVM_CHECK_EXTENSION: return check_extension(fd, is_stand_in, argument);
  case KVM_GET_SUPPORTED_CPUID: return get_supported_cpuid(fd, is_stand_in, argument);
  case KVM_HAS_DEVICE_ATTR:
  case KVM_GET_DEVICE_ATTR:
    status = device_attribute(request, argument, &is_ours);
    if (is_ours) return status;
    break;
  default: break;
  }
  return is_stand_in ? stand_in_system(request, argument) : device_pass(fd, request, argument);
}
