/* KVM_CAP_VM_COPY_ENC_CONTEXT_FROM, row by row as the kernel's sev_migrate_tests has it. */
#include "machine.h"
#include "tables.h"
#include "tap.h"

#define NR_MAX 103 /* one more than the last id of Linux 6.11 */

static void mirror(bool es) {
  int source = sev_vm(es), copy = plain_vm(false);
  WANT(0, vm_copy(copy, source));
  vm_add_vcpus(copy, VCPUS);
  if (es) WANT(0, sev(copy, KVM_SEV_LAUNCH_UPDATE_VMSA, NULL));
  vm_free(source);
  vm_free(copy);
}
static void mirror_sev(void) { mirror(false); }
static void mirror_es(void) { mirror(true); }

static bool is_allowed(uint32_t id) {
  return id == KVM_SEV_LAUNCH_UPDATE_VMSA || id == KVM_SEV_GUEST_STATUS || id == KVM_SEV_DBG_DECRYPT ||
         id == KVM_SEV_DBG_ENCRYPT;
}

static void commands(bool es) {
  int source = sev_vm(es), copy = plain_vm(false);
  struct kvm_sev_guest_status status;
  WANT(0, vm_copy(copy, source));
  vm_add_vcpus(copy, VCPUS);
  for (uint32_t id = 0; id < NR_MAX; id++)
    if (!is_allowed(id)) WANT(EINVAL, sev(copy, id, NULL));
  WANT(0, sev_status(copy, &status));
  vm_free(source);
  vm_free(copy);
}
static void commands_sev(void) { commands(false); }
static void commands_es(void) { commands(true); }

static void regions(void) {
  int source = sev_vm(false), copy = plain_vm(false);
  void *memory = memory_map(8192);
  WANT(0, vm_copy(copy, source));
  WANT(EINVAL, region(copy, true, memory, 8192));
  WANT(EINVAL, region(copy, false, memory, 8192));
  vm_free(copy);
  vm_free(source);
}

static void copy_and_free(int expected, int target, int source) {
  WANT(expected, vm_copy(target, source));
  vm_free(target);
  vm_free(source);
}

static void itself(void) {
  int vm = sev_vm(false);
  WANT(EINVAL, vm_copy(vm, vm));
  vm_free(vm);
}
static void of_plain(void) { copy_and_free(EINVAL, plain_vm(false), plain_vm(true)); }
static void with_vcpus(void) { copy_and_free(EINVAL, plain_vm(true), sev_vm(false)); }
static void sev_of_es(void) { copy_and_free(EINVAL, sev_vm(false), sev_vm(true)); }
static void es_of_sev(void) { copy_and_free(EINVAL, sev_vm(true), sev_vm(false)); }

static void of_mirror(void) {
  int source = sev_vm(false), copy = plain_vm(false), second = plain_vm(false);
  WANT(0, vm_copy(copy, source));
  WANT(EINVAL, vm_copy(second, copy));
  vm_free(second);
  vm_free(copy);
  vm_free(source);
}

static void move_both(void) {
  int source = sev_vm(false), copy = plain_vm(false), copy_target = plain_vm(false), target = plain_vm(true);
  WANT(0, vm_copy(copy, source));
  WANT(0, vm_move(copy_target, copy));
  WANT(0, vm_move(target, source));
  vm_free(copy);
  vm_free(copy_target);
  vm_free(target);
  vm_free(source);
}

/* Chains of three for both, now the owner first, now the mirror; then all are freed, owners first or last. */
static void chains(bool frees_mirrors_first) {
  int owner[4], copy[4];
  owner[0] = sev_vm(false);
  copy[0] = plain_vm(false);
  for (int n = 1; n < 4; n++) {
    owner[n] = plain_vm(true);
    copy[n] = plain_vm(false);
  }
  WANT(0, vm_copy(copy[0], owner[0]));
  WANT(0, vm_move(copy[1], copy[0]));
  WANT(0, vm_move(owner[1], owner[0]));
  WANT(0, vm_move(owner[2], owner[1]));
  WANT(0, vm_move(copy[2], copy[1]));
  WANT(0, vm_move(copy[3], copy[2]));
  WANT(0, vm_move(owner[3], owner[2]));
  for (int pass = 0; pass < 2; pass++)
    for (int n = 0; n < 4; n++) vm_free((pass == 0) == frees_mirrors_first ? copy[n] : owner[n]);
}
static void chains_owners_first(void) { chains(false); }
static void chains_mirrors_first(void) { chains(true); }

void table_mirror(void) {
  tap_case("mirror: COPY, then 4 vCPUs, SEV", mirror_sev);
  tap_case("mirror: COPY, then 4 vCPUs and LAUNCH_UPDATE_VMSA, ES", mirror_es);
  tap_case("mirror: every other command is EINVAL, GUEST_STATUS is not, SEV", commands_sev);
  tap_case("mirror: every other command is EINVAL, GUEST_STATUS is not, ES", commands_es);
  tap_case("mirror: REG_REGION and UNREG_REGION are EINVAL", regions);
  tap_case("mirror_parameters: COPY of itself", itself);
  tap_case("mirror_parameters: COPY of a plain VM", of_plain);
  tap_case("mirror_parameters: COPY into a VM with vCPUs", with_vcpus);
  tap_case("mirror_parameters: COPY of ES into SEV", sev_of_es);
  tap_case("mirror_parameters: COPY of SEV into ES", es_of_sev);
  tap_case("mirror_parameters: COPY of a mirror", of_mirror);
  tap_case("move_copy: MOVE the mirror, then its owner", move_both);
  tap_case("move_copy: chains of three, owners freed first", chains_owners_first);
  tap_case("move_copy: chains of three, mirrors freed first", chains_mirrors_first);
}

static void owner_is_busy(void) {
  int source = sev_vm(false), copy = plain_vm(false), target = plain_vm(true);
  WANT(0, vm_copy(copy, source));
  WANT(EBUSY, vm_move(target, source));
  vm_free(copy);
  WANT(0, vm_move(target, source));
  vm_free(target);
  vm_free(source);
}

void table_old_mirror(void) {
  tap_case("Linux 5.16: a VM with a mirror does not move until the mirror is gone", owner_is_busy);
}
