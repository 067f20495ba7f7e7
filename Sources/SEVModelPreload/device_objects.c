#include <errno.h>

#include "conversation.h"
#include "device.h"
#include "kvm_numbers.h"
#include "real_calls.h"
#include "sev_transport.h"
#include "stand_in.h"

/* What the model keeps of a vCPU, as its wire counts it. */
static const struct vcpu_state {
  uint32_t get, set, which, size;
} vcpu_states[] = {
    {KVM_GET_REGS, KVM_SET_REGS, 1, sizeof(struct kvm_regs)},
    {KVM_GET_SREGS, KVM_SET_SREGS, 2, sizeof(struct kvm_sregs)},
    {KVM_GET_SREGS2, KVM_SET_SREGS2, 3, sizeof(struct kvm_sregs2)},
    {KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, 4, sizeof(struct kvm_debugregs)},
    {0, KVM_SET_GUEST_DEBUG, 5, sizeof(struct kvm_guest_debug)},
};
#define LARGEST_STATE 320
_Static_assert(sizeof(struct kvm_sregs2) == LARGEST_STATE, "the largest of the states");

bool device_knows(uint32_t request) {
  return ((request >> 8) & 0xff) == KVMIO || request == SEV_ISSUE_CMD;
}

/* Everything about a VM that is neither SEV nor a vCPU: the real VM's affair, or the stand-in's. */
static int pass_machine(struct object *machine, uint32_t request, uint64_t argument) {
  int host = atomic_load(&machine->host);
  return host >= 0 ? device_pass(host, request, argument)
                   : stand_in_machine_ioctl(machine, request, argument);
}

static int pass_vcpu(struct object *vcpu, uint32_t request, uint64_t argument) {
  int host = atomic_load(&vcpu->host);
  return host >= 0 ? device_pass(host, request, argument) : stand_in_vcpu_ioctl(vcpu, request, argument);
}

static int create_vcpu(int machine_fd, struct object *machine, uint32_t id) {
  int fd = model_make(WIRE_MAKE_VCPU, machine_fd, id), host = -1, status;
  int machine_host = atomic_load(&machine->host);
  if (fd < 0) return fd;
  void *state = NULL;
  if (machine_host >= 0) {
    host = device_pass(machine_host, KVM_CREATE_VCPU, id);
    status = host < 0 ? host : 0;
  } else {
    state = stand_in_vcpu_create();
    status = state ? 0 : -ENOMEM;
  }
  if (status == 0) status = objects_enter(fd, OBJECT_VCPU, host, state, stand_in_vcpu_free);
  if (status == 0) return fd;
  real()->close(fd);
  return status;
}

static int enable_capability(int fd, struct object *machine, uint64_t argument) {
  struct kvm_enable_cap capability;
  /* What cannot be read is the model's to refuse: EIO of a dead VM comes before EFAULT. */
  uint32_t number = sev_copy_in(argument, &capability, sizeof capability) == 0
                        ? capability.cap
                        : KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM;
  int status;
  switch (number) {
  case KVM_CAP_VM_COPY_ENC_CONTEXT_FROM:
  case KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM: return model_request(WIRE_ENABLE_CAPABILITY, fd, argument);
  case KVM_CAP_X86_USER_SPACE_MSR:
  case KVM_CAP_EXIT_HYPERCALL:
    status = model_request(WIRE_ENABLE_CAPABILITY, fd, argument);
    /* A real guest's exits come from the real VM, which has to know too. The stand-in has no guest. */
    if (status < 0 || atomic_load(&machine->host) < 0) return status;
    return pass_machine(machine, KVM_ENABLE_CAP, argument);
  default:
    status = model_check_use(fd);
    return status < 0 ? status : pass_machine(machine, KVM_ENABLE_CAP, argument);
  }
}

static int check_extension(int fd, struct object *machine, uint64_t capability) {
  struct model_result answer;
  int status = model_call(WIRE_CHECK_EXTENSION, fd, capability, &answer);
  if (status < 0) return status;
  if (answer.outcome == 1) return (int)answer.values[0];
  if (atomic_load(&machine->host) < 0) return stand_in_check_extension(capability);
  return pass_machine(machine, KVM_CHECK_EXTENSION, capability);
}

/* The SEV commands and their kin, on any descriptor: the model knows what it is. */
static bool is_sev(uint32_t request, enum wire_kind *kind) {
  switch (request) {
  case (uint32_t)KVM_MEMORY_ENCRYPT_OP: *kind = WIRE_MEMORY_ENCRYPT_OPERATION; return true;
  case (uint32_t)KVM_MEMORY_ENCRYPT_REG_REGION: *kind = WIRE_REGISTER_REGION; return true;
  case (uint32_t)KVM_MEMORY_ENCRYPT_UNREG_REGION: *kind = WIRE_UNREGISTER_REGION; return true;
  case NUMBER_GET_SHARED_PAGES: *kind = WIRE_GET_SHARED_PAGES; return true;
  case NUMBER_SET_SHARED_PAGES: *kind = WIRE_SET_SHARED_PAGES; return true;
  default: return false;
  }
}

int device_machine_ioctl(int fd, struct object *machine, uint32_t request, uint64_t argument) {
  enum wire_kind kind;
  if (is_sev(request, &kind)) return model_request(kind, fd, argument);
  if (request == KVM_ENABLE_CAP) return enable_capability(fd, machine, argument);
  if (request == KVM_CHECK_EXTENSION) return check_extension(fd, machine, argument);
  if (request == KVM_CREATE_VCPU) return create_vcpu(fd, machine, (uint32_t)argument);
  int status = model_check_use(fd);
  return status < 0 ? status : pass_machine(machine, request, argument);
}

/*
 * Registers. The model keeps a copy, which LAUNCH_UPDATE_VMSA measures, and knows when they are protected;
 * then it refuses them on a typed VM. With a real vCPU its registers are what counts otherwise.
 */
static int transfer_state(int fd, struct object *vcpu, const struct vcpu_state *state, bool writes,
                          uint64_t argument) {
  uint8_t bytes[LARGEST_STATE];
  int status;
  if (!writes) {
    status = model_get_vcpu_state(fd, state->which, bytes, state->size);
    if (status < 0) return status;
    if (atomic_load(&vcpu->host) >= 0) return pass_vcpu(vcpu, state->get, argument);
    return sev_copy_out(argument, bytes, state->size);
  }
  if (sev_copy_in(argument, bytes, state->size) != 0) {
    status = model_check_use(fd);
    return status < 0 ? status : -EFAULT;
  }
  status = model_set_vcpu_state(fd, state->which, bytes, state->size);
  if (status < 0 || atomic_load(&vcpu->host) < 0) return status;
  return pass_vcpu(vcpu, state->set, argument);
}

int device_vcpu_ioctl(int fd, struct object *vcpu, uint32_t request, uint64_t argument) {
  for (size_t index = 0; index < sizeof vcpu_states / sizeof *vcpu_states; index++) {
    const struct vcpu_state *state = &vcpu_states[index];
    if (request == state->get || request == state->set)
      return transfer_state(fd, vcpu, state, request == state->set, argument);
  }
  if (request == KVM_RUN) {
    int status = atomic_load(&vcpu->may_run) ? model_check_use(fd) : model_call(WIRE_CHECK_RUN, fd, 0, NULL);
    if (status < 0) return status;
    atomic_store(&vcpu->may_run, true);
    return atomic_load(&vcpu->host) >= 0 ? pass_vcpu(vcpu, request, argument) : stand_in_run(vcpu);
  }
  int status = model_check_use(fd);
  return status < 0 ? status : pass_vcpu(vcpu, request, argument);
}

/* The firmware device has no other requests: it reads the argument of the one that it has. */
static bool is_firmware(int fd) { return model_request(WIRE_FIRMWARE_COMMAND, fd, 0) == -EFAULT; }

int device_unknown_ioctl(int fd, uint32_t request, uint64_t argument) {
  enum wire_kind kind;
  int status = -ENOTTY;
  if (request == SEV_ISSUE_CMD) return model_request(WIRE_FIRMWARE_COMMAND, fd, argument);
  if (is_sev(request, &kind)) status = model_request(kind, fd, argument);
  else if (request == KVM_ENABLE_CAP) status = model_request(WIRE_ENABLE_CAPABILITY, fd, argument);
  if (status != -ENOTTY) return status;
  if (is_firmware(fd)) return -EINVAL;
  /* EIO for a VM or vCPU of another address space, ENOTTY for anything else. One that is this process's own
     but was closed here, and came back in a message, has lost its real VM: EIO too. */
  status = model_call(WIRE_CHECK_USE, fd, 0, NULL);
  return status < 0 ? status : is_sev(request, &kind) ? -ENOTTY : -EIO;
}
