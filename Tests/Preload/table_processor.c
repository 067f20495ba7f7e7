/* A Secure Processor that answers two commands and then hangs: what fails how, and that a guest moves on. */
#include <unistd.h>

#include "machine.h"
#include "tables.h"
#include "tap.h"

#define UNTOUCHED 0x5eedu

/* GUEST_STATUS with something in the field of the firmware's status. */
static int status_of(int vm, uint32_t *error) {
  struct kvm_sev_guest_status status;
  struct kvm_sev_cmd command = {
      .id = KVM_SEV_GUEST_STATUS, .data = (uint64_t)(uintptr_t)&status, .error = UNTOUCHED};
  int result = ioctl(vm, KVM_MEMORY_ENCRYPT_OP, &command);
  *error = command.error;
  return result;
}

static void hangs(void) {
  uint32_t error;
  struct sev_user_data_status platform;
  struct sev_issue_cmd issue = {
      .cmd = SEV_PLATFORM_STATUS, .data = (uint64_t)(uintptr_t)&platform, .error = UNTOUCHED};
  int source = plain_vm(false), target = plain_vm(false), other = plain_vm(false);
  WANT(0, sev(source, KVM_SEV_INIT, NULL));
  /* LAUNCH_START and ACTIVATE. */
  WANT(0, sev_launch_start(source, 0));
  WANT(ETIMEDOUT, status_of(source, &error));
  WANT_TRUE(error == 0);
  WANT(EBUSY, status_of(source, &error));
  WANT_TRUE(error == UNTOUCHED);
  WANT(EBUSY, ioctl(firmware_open(), SEV_ISSUE_CMD, &issue));
  WANT_TRUE(issue.error == UNTOUCHED);
  WANT(0, sev(other, KVM_SEV_INIT, NULL));
  WANT(EBUSY, sev_launch_start(other, 0));
  WANT(0, vm_move(target, source));
  WANT(EIO, status_of(source, &error));
  vm_free(source);
  vm_free(target);
  vm_free(other);
}

void table_processor(void) { tap_case("processor: hangs after two commands", hangs); }
