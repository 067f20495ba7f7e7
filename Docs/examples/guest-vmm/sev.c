/* SEV commands of a VM: launch, LOCAL_SEND and LOCAL_RECEIVE, MOVE. */
#define _GNU_SOURCE
#include "sev.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "gate.h"

/* The kernel's header does not have the commands of the local-migration patches (June 2021, version 1). */
enum { SEV_LOCAL_SEND = 22, SEV_LOCAL_RECEIVE = 23 };
struct local_send {
  uint64_t token;
};
struct local_receive {
  uint64_t token;
  uint32_t handle, padding;
};
enum { POLICY_ENCRYPTED_STATE = 1 << 2, FIRMWARE = 0, MEASUREMENT_SIZE = 48 };

/* 0 or -errno; what the firmware said goes to `status` if that is not NULL. */
static int command(int vm, uint32_t id, void *data, uint32_t *status) {
  struct kvm_sev_cmd block = {.id = id, .data = (uintptr_t)data, .error = UINT32_MAX, .sev_fd = FIRMWARE};
  int result = ioctl(vm, KVM_MEMORY_ENCRYPT_OP, &block) < 0 ? -errno : 0;
  if (status != NULL) *status = block.error;
  return result;
}

static int check(const char *what, int result) {
  if (result < 0) fprintf(stderr, "guest-vmm: %s: %s\n", what, strerror(-result));
  return result;
}

/* ---- facts ---- */

void sev_facts_encode(const struct sev_facts *facts, uint8_t *bytes) {
  bytes[0] = 1; /* the version of this layout */
  bytes[1] = facts->has_encrypted_state ? 1 : 0;
  memcpy(bytes + 2, &facts->region_address, 8);
  memcpy(bytes + 10, &facts->region_size, 8);
}

int sev_facts_decode(struct sev_facts *facts, const void *details, uint32_t size) {
  const uint8_t *bytes = details;
  if (size != SEV_FACTS_SIZE || bytes[0] != 1 || bytes[1] > 1) return -EINVAL;
  facts->has_encrypted_state = bytes[1];
  memcpy(&facts->region_address, bytes + 2, 8);
  memcpy(&facts->region_size, bytes + 10, 8);
  return 0;
}

/* ---- what the kernel can do ---- */

int sev_probe(int plain_vm, struct sev_ways *ways) {
  struct local_receive nothing = {0};
  *ways = (struct sev_ways){0};
  /* With no argument it does nothing, and says whether SEV is there at all. */
  if (ioctl(plain_vm, KVM_MEMORY_ENCRYPT_OP, NULL) < 0) return check("this host has no SEV", -errno);
  /* Never with command 22: on newer kernels that is INIT2, which could succeed. Command 23 on a VM that is no guest
   * is ENOTTY where there is a LOCAL_RECEIVE, and EINVAL where there is none. */
  ways->token = command(plain_vm, SEV_LOCAL_RECEIVE, &nothing, NULL) == -ENOTTY;
  ways->move = ioctl(plain_vm, KVM_CHECK_EXTENSION, KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM) > 0;
  return 0;
}

int sev_open_firmware(void) {
  /* LAUNCH_START stores the number of the descriptor in the VM. Neither LOCAL_RECEIVE nor MOVE carries it, so that a
   * successor's VM looks at number 0: it is there in every process. */
  int firmware = open("/dev/sev", O_RDWR | O_CLOEXEC);
  if (firmware < 0) return check("opening /dev/sev", -errno);
  if (firmware == FIRMWARE) return 0;
  int result = dup3(firmware, FIRMWARE, O_CLOEXEC) < 0 ? -errno : 0;
  close(firmware);
  return check("putting /dev/sev at descriptor 0", result);
}

/* ---- launch ---- */

int sev_initialize(int vm, int has_encrypted_state) {
  return check(has_encrypted_state ? "ES_INIT" : "INIT",
               command(vm, has_encrypted_state ? KVM_SEV_ES_INIT : KVM_SEV_INIT, NULL, NULL));
}

int sev_register(int vm, const struct sev_facts *facts) {
  struct kvm_enc_region region = {.addr = facts->region_address, .size = facts->region_size};
  return check("registering guest RAM", ioctl(vm, KVM_MEMORY_ENCRYPT_REG_REGION, &region) < 0 ? -errno : 0);
}

int sev_launch(int vm, const struct sev_facts *facts, uint64_t image, uint32_t image_size) {
  struct kvm_sev_launch_start start = {.policy = facts->has_encrypted_state ? POLICY_ENCRYPTED_STATE : 0};
  struct kvm_sev_launch_update_data update = {.uaddr = facts->region_address + image, .len = image_size};
  uint8_t measurement[MEASUREMENT_SIZE];
  struct kvm_sev_launch_measure measure = {.uaddr = (uintptr_t)measurement, .len = sizeof measurement};
  int result;
  /* Registered first: a pin may still move a page, and ciphertext does not survive that. */
  if ((result = sev_register(vm, facts)) < 0) return result;
  if ((result = check("LAUNCH_START", command(vm, KVM_SEV_LAUNCH_START, &start, NULL))) < 0) return result;
  if ((result = check("LAUNCH_UPDATE_DATA", command(vm, KVM_SEV_LAUNCH_UPDATE_DATA, &update, NULL))) < 0) return result;
  if (facts->has_encrypted_state
      && (result = check("LAUNCH_UPDATE_VMSA", command(vm, KVM_SEV_LAUNCH_UPDATE_VMSA, NULL, NULL))) < 0)
    return result;
  if ((result = check("LAUNCH_MEASURE", command(vm, KVM_SEV_LAUNCH_MEASURE, &measure, NULL))) < 0) return result;
  return check("LAUNCH_FINISH", command(vm, KVM_SEV_LAUNCH_FINISH, NULL, NULL));
}

int sev_unregister(int vm, const struct sev_facts *facts) {
  struct kvm_enc_region region = {.addr = facts->region_address, .size = facts->region_size};
  return check("unregistering guest RAM", ioctl(vm, KVM_MEMORY_ENCRYPT_UNREG_REGION, &region) < 0 ? -errno : 0);
}

int sev_guest_state(int vm) {
  struct kvm_sev_guest_status status = {0};
  int result = check("GUEST_STATUS", command(vm, KVM_SEV_GUEST_STATUS, &status, NULL));
  return result < 0 ? result : (int)status.state;
}

/* ---- way token ---- */

int sev_send(int vm, uint64_t *token) {
  struct local_send parameters = {0};
  int result = command(vm, SEV_LOCAL_SEND, &parameters, NULL);
  /* "Yes" without a token is a kernel that has another command of that number. */
  if (result == 0 && parameters.token == 0) result = -ENOTTY;
  *token = parameters.token;
  explicit_bzero(&parameters, sizeof parameters);
  return check("LOCAL_SEND", result);
}

/* The preload library says ENODEV when its model has gone: then nobody can say what was done. */
static enum sev_taking refused(const char *what, int result) {
  check(what, result);
  return result == -ENODEV ? SEV_UNKNOWN : SEV_UNTOUCHED;
}

enum sev_taking sev_receive(int vm, uint64_t token) {
  struct local_receive parameters = {.token = token};
  int result = command(vm, SEV_LOCAL_RECEIVE, &parameters, NULL);
  explicit_bzero(&parameters, sizeof parameters);
  if (result == 0) return SEV_TAKEN;
  /* Unknown, used, or its source is gone. */
  if (result == -EFAULT) return SEV_USED;
  return refused("LOCAL_RECEIVE", result);
}

/* ---- way move ---- */

enum sev_taking sev_move(int vm, const int *sources, uint32_t count) {
  const uint64_t patience = now() + 200000000;
  if (count == 0) return refused("MOVE: there is no VM to move out of", -EBADF);
  for (uint32_t index = 0; index < count;) {
    struct kvm_enable_cap capability = {.cap = KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM, .args = {(uint64_t)sources[index]}};
    if (ioctl(vm, KVM_ENABLE_CAP, &capability) == 0) return SEV_TAKEN;
    if (errno == EINVAL) {
      index++; /* it has no context, or not any more */
    } else if (errno == EBUSY && now() < patience) {
      usleep(100); /* somebody else's move of this VM is under way, and will have succeeded or failed soon */
    } else {
      return refused("MOVE", -errno);
    }
  }
  return SEV_USED;
}
