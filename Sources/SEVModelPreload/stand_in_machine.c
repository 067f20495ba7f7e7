#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "kvm_numbers.h"
#include "objects.h"
#include "sev_transport.h"
#include "stand_in.h"

#define PAGE_MASK 4095u
#define ADDRESS_SPACES 1u
#define KNOWN_FLAGS (KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY)
/* KVM_SET_TSS_ADDR takes three pages below 4 GiB. */
#define HIGHEST_TSS 0xffffd000u

struct machine {
  struct kvm_userspace_memory_region *slots;
  size_t slot_count, slot_capacity;
  int64_t clock_offset;
  bool has_irqchip, has_pit;
};

void *stand_in_machine_create(void) { return calloc(1, sizeof(struct machine)); }

void stand_in_machine_free(void *state) {
  struct machine *machine = state;
  free(machine->slots);
  free(machine);
}

static bool overlaps(const struct kvm_userspace_memory_region *a,
                     const struct kvm_userspace_memory_region *b) {
  return a->guest_phys_addr < b->guest_phys_addr + b->memory_size &&
         b->guest_phys_addr < a->guest_phys_addr + a->memory_size;
}

/* The rules of KVM for memory slots: which fields are checked, and what may change. */
static int set_slot(struct machine *machine, struct kvm_userspace_memory_region region) {
  if ((region.flags & ~(uint32_t)KNOWN_FLAGS) != 0) return -EINVAL;
  if (((region.memory_size | region.guest_phys_addr | region.userspace_addr) & PAGE_MASK) != 0)
    return -EINVAL;
  if (region.slot >> 16 >= ADDRESS_SPACES || (region.slot & 0xffff) >= STAND_IN_MOST_SLOTS) return -EINVAL;
  if (region.guest_phys_addr + region.memory_size < region.guest_phys_addr) return -EINVAL;
  if (region.userspace_addr + region.memory_size < region.userspace_addr || region.memory_size >> 43)
    return -EINVAL;
  struct kvm_userspace_memory_region *old = NULL;
  for (size_t index = 0; index < machine->slot_count; index++)
    if (machine->slots[index].slot == region.slot) old = &machine->slots[index];
  if (region.memory_size == 0) {
    if (!old) return -EINVAL;
    *old = machine->slots[--machine->slot_count];
    return 0;
  }
  if (old && (old->userspace_addr != region.userspace_addr || old->memory_size != region.memory_size ||
              ((old->flags ^ region.flags) & KVM_MEM_READONLY) != 0))
    return -EINVAL;
  for (size_t index = 0; index < machine->slot_count; index++)
    if (&machine->slots[index] != old && overlaps(&machine->slots[index], &region)) return -EEXIST;
  if (!old) {
    if (machine->slot_count == machine->slot_capacity) {
      size_t capacity = machine->slot_capacity ? 2 * machine->slot_capacity : 8;
      void *slots = realloc(machine->slots, capacity * sizeof *machine->slots);
      if (!slots) return -ENOMEM;
      machine->slots = slots;
      machine->slot_capacity = capacity;
    }
    old = &machine->slots[machine->slot_count++];
  }
  *old = region;
  return 0;
}

/* Capabilities that only change how a guest runs are taken and have no effect: none runs. */
static int enable_capability(struct machine *machine, uint64_t argument) {
  struct kvm_enable_cap capability;
  if (sev_copy_in(argument, &capability, sizeof capability) != 0) return -EFAULT;
  if (capability.flags != 0) return -EINVAL;
  switch (capability.cap) {
  case KVM_CAP_SPLIT_IRQCHIP:
    if (machine->has_irqchip) return -EEXIST;
    machine->has_irqchip = true;
    return 0;
  case KVM_CAP_DISABLE_QUIRKS:
  case KVM_CAP_X2APIC_API:
  case KVM_CAP_EXCEPTION_PAYLOAD:
  case KVM_CAP_MAX_VCPU_ID: return 0;
  default: return -EINVAL;
  }
}

static int64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int get_clock(const struct machine *machine, uint64_t argument) {
  struct kvm_clock_data data = {.clock = (uint64_t)(nanoseconds() + machine->clock_offset)};
  return sev_copy_out(argument, &data, sizeof data);
}

static int set_clock(struct machine *machine, uint64_t argument) {
  struct kvm_clock_data data;
  if (sev_copy_in(argument, &data, sizeof data) != 0) return -EFAULT;
  machine->clock_offset = (int64_t)data.clock - nanoseconds();
  return 0;
}

static int set_region(struct machine *machine, uint64_t argument) {
  /* The second form begins as the first; its guest_memfd is refused with its flag. */
  struct kvm_userspace_memory_region region;
  if (sev_copy_in(argument, &region, sizeof region) != 0) return -EFAULT;
  return set_slot(machine, region);
}

static int locked_ioctl(struct machine *machine, uint32_t request, uint64_t argument) {
  switch (request) {
  case KVM_SET_USER_MEMORY_REGION:
  case NUMBER_SET_USER_MEMORY_REGION2: return set_region(machine, argument);
  case KVM_ENABLE_CAP: return enable_capability(machine, argument);
  case KVM_CREATE_IRQCHIP:
    if (machine->has_irqchip) return -EEXIST;
    machine->has_irqchip = true;
    return 0;
  case KVM_CREATE_PIT2:
    if (machine->has_pit) return -EEXIST;
    if (!machine->has_irqchip) return -ENOENT;
    machine->has_pit = true;
    return 0;
  case KVM_SET_TSS_ADDR: return argument > HIGHEST_TSS ? -EINVAL : 0;
  case KVM_GET_TSC_KHZ: return STAND_IN_TSC_KHZ;
  case KVM_GET_CLOCK: return get_clock(machine, argument);
  case KVM_SET_CLOCK: return set_clock(machine, argument);
  case KVM_IRQ_LINE:
  case KVM_SIGNAL_MSI: return machine->has_irqchip ? 0 : -ENXIO;
  /* Nothing would ever come of these, since no guest runs. */
  case KVM_SET_IDENTITY_MAP_ADDR:
  case KVM_SET_BOOT_CPU_ID:
  case KVM_SET_GSI_ROUTING:
  case KVM_SET_TSC_KHZ:
  case KVM_IRQFD:
  case KVM_IOEVENTFD: return 0;
  case KVM_HAS_DEVICE_ATTR: return -ENXIO;
  case KVM_CREATE_DEVICE: return -ENODEV;
  default: return -ENOTTY;
  }
}

int stand_in_machine_ioctl(struct object *object, uint32_t request, uint64_t argument) {
  pthread_mutex_lock(&object->lock);
  /* NULL when another thread closed the VM just now. */
  int status = object->stand_in ? locked_ioctl(object->stand_in, request, argument) : -EBADF;
  pthread_mutex_unlock(&object->lock);
  return status;
}
