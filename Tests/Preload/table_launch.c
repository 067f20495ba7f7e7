/* A launch from start to end, with the state after each step, as the kernel's selftests check it. */
#include <string.h>
#include <sys/mman.h>

#include "machine.h"
#include "tables.h"
#include "tap.h"

#define MEMORY (16 * 4096)

static void want_status(int vm, uint32_t state, uint32_t policy) {
  struct kvm_sev_guest_status status;
  WANT(0, sev_status(vm, &status));
  WANT_TRUE(status.state == state);
  WANT_TRUE(status.policy == policy);
  WANT_TRUE(status.handle != 0);
}

static void launch(bool typed, bool es) {
  int vm = vm_create(!typed ? TYPE_DEFAULT : es ? TYPE_SEV_ES : TYPE_SEV);
  uint32_t policy = es ? POLICY_ES : 0;
  struct sev_init2 init = {0};
  uint8_t measurement[256] = {0}, zeros[256] = {0};
  void *memory = memory_map(MEMORY);
  if (typed) WANT(0, sev(vm, SEV_INIT2, &init));
  else WANT(0, sev(vm, es ? KVM_SEV_ES_INIT : KVM_SEV_INIT, NULL));
  vm_add_vcpus(vm, 1);
  WANT(0, sev_launch_start(vm, policy));
  want_status(vm, GUEST_LAUNCH_UPDATE, policy);
  WANT(0, region(vm, true, memory, MEMORY));
  struct kvm_sev_launch_update_data update = {.uaddr = (uint64_t)(uintptr_t)memory, .len = MEMORY};
  WANT(0, sev(vm, KVM_SEV_LAUNCH_UPDATE_DATA, &update));
  if (es) WANT(0, sev(vm, KVM_SEV_LAUNCH_UPDATE_VMSA, NULL));
  struct kvm_sev_launch_measure measure = {.uaddr = (uint64_t)(uintptr_t)measurement,
                                           .len = sizeof measurement};
  WANT(0, sev(vm, KVM_SEV_LAUNCH_MEASURE, &measure));
  WANT_TRUE(measure.len == 48);
  WANT_TRUE(memcmp(measurement, zeros, 48) != 0);
  want_status(vm, GUEST_LAUNCH_SECRET, policy);
  WANT(0, sev(vm, KVM_SEV_LAUNCH_FINISH, NULL));
  want_status(vm, GUEST_RUNNING, policy);
  WANT(0, region(vm, false, memory, MEMORY));
  vm_free(vm);
  munmap(memory, MEMORY);
}
static void plain_sev(void) { launch(false, false); }
static void plain_es(void) { launch(false, true); }
static void typed_sev(void) { launch(true, false); }
static void typed_es(void) { launch(true, true); }

static void query(void) {
  int vm = sev_vm(false);
  struct kvm_sev_launch_measure measure = {0};
  WANT(EIO, sev(vm, KVM_SEV_LAUNCH_MEASURE, &measure));
  WANT_TRUE(sev_error == FW_INVALID_LENGTH && measure.len == 48);
  vm_free(vm);
}

static void wrong_order(void) {
  int vm = sev_vm(false);
  WANT(EIO, sev(vm, KVM_SEV_LAUNCH_FINISH, NULL));
  WANT_TRUE(sev_error == 2); /* INVALID_GUEST_STATE */
  vm_free(vm);
}

static void start_twice(void) {
  int vm = sev_vm(false);
  WANT(EIO, sev_launch_start(vm, 0));
  WANT_TRUE(sev_error == FW_ASID_OWNED);
  want_status(vm, GUEST_LAUNCH_UPDATE, 0);
  vm_free(vm);
}

static void without_init(void) {
  int vm = plain_vm(false);
  struct kvm_sev_receive_update_data packet = {0};
  WANT(ENOTTY, sev_launch_start(vm, 0));
  WANT(ENOTTY, sev(vm, KVM_SEV_LAUNCH_FINISH, NULL));
  WANT(EINVAL, sev(vm, KVM_SEV_RECEIVE_UPDATE_DATA, &packet));
  WANT(EINVAL, sev(vm, 99, NULL));
  WANT(ENOTTY, region(vm, true, memory_map(4096), 4096));
  vm_free(vm);
}

static void pointers(void) {
  int vm = sev_vm(false);
  struct kvm_sev_cmd *readonly = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  WANT(0, ioctl(vm, KVM_MEMORY_ENCRYPT_OP, NULL));
  WANT(EFAULT, ioctl(vm, KVM_MEMORY_ENCRYPT_OP, 16));
  WANT(EFAULT, sev(vm, KVM_SEV_GUEST_STATUS, (void *)16));
  /* INIT (id 0) in a block that cannot be written back: EFAULT replaces what the handler said. */
  WANT(EFAULT, ioctl(vm, KVM_MEMORY_ENCRYPT_OP, readonly));
  WANT(EFAULT, ioctl(vm, KVM_MEMORY_ENCRYPT_REG_REGION, 16));
  munmap(readonly, 4096);
  vm_free(vm);
}

static void registers_of(unsigned long type, int expected, bool are_zero) {
  int vm = vm_create(type);
  struct sev_init2 init = {0};
  struct kvm_regs before = {.rax = 0x1234, .rip = 0xfff0, .rflags = 2}, after;
  WANT(0, type == TYPE_DEFAULT ? sev(vm, KVM_SEV_ES_INIT, NULL) : sev(vm, SEV_INIT2, &init));
  vm_add_vcpus(vm, 1);
  WANT(0, ioctl(vm_vcpu(vm, 0), KVM_SET_REGS, &before));
  memset(&after, 0xff, sizeof after);
  WANT(0, ioctl(vm_vcpu(vm, 0), KVM_GET_REGS, &after));
  WANT_TRUE(after.rax == 0x1234 && after.rip == 0xfff0);
  WANT(0, sev_launch_start(vm, POLICY_ES));
  WANT(0, sev(vm, KVM_SEV_LAUNCH_UPDATE_VMSA, NULL));
  WANT(expected, ioctl(vm_vcpu(vm, 0), KVM_SET_REGS, &before));
  WANT(expected, ioctl(vm_vcpu(vm, 0), KVM_GET_REGS, &after));
  if (are_zero && !kvm_is_real()) WANT_TRUE(after.rax == 0);
  vm_free(vm);
}
static void registers_typed(void) { registers_of(TYPE_SEV_ES, EINVAL, false); }
static void registers_plain(void) { registers_of(TYPE_DEFAULT, 0, true); }

static void run_before_init(void) {
  int vm = vm_create(TYPE_SEV);
  vm_add_vcpus(vm, 1);
  WANT(EINVAL, ioctl(vm_vcpu(vm, 0), KVM_RUN, 0));
  vm_free(vm);
}

void table_launch(void) {
  tap_case("launch: states from start to end, SEV by INIT", plain_sev);
  tap_case("launch: states from start to end, ES by ES_INIT", plain_es);
  tap_case("launch: states from start to end, SEV by INIT2", typed_sev);
  tap_case("launch: states from start to end, ES by INIT2", typed_es);
  tap_case("launch: a measurement's length can be asked for", query);
  tap_case("launch: LAUNCH_FINISH before LAUNCH_MEASURE", wrong_order);
  tap_case("launch: a second LAUNCH_START harms nothing", start_twice);
  tap_case("launch: commands on a VM without SEV", without_init);
  tap_case("launch: bad pointers", pointers);
  tap_case("launch: registers of a typed ES VM are refused once protected", registers_typed);
  tap_case("launch: registers of a default ES VM mean nothing once protected", registers_plain);
  tap_case("launch: a typed VM does not run before INIT2", run_before_init);
}
