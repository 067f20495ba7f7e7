/* KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM, row by row as the kernel's sev_migrate_tests has it. */
#include <pthread.h>
#include <unistd.h>

#include "machine.h"
#include "tables.h"
#include "tap.h"

#define CHAIN 3
#define ROUNDS 10000

static void chain(bool es) {
  int source = sev_vm(es), target[CHAIN];
  for (int n = 0; n < CHAIN; n++) target[n] = plain_vm(true);
  WANT(0, vm_move(target[0], source));
  WANT(0, vm_move(target[1], target[0]));
  WANT(0, vm_move(target[2], target[1]));
  WANT(EIO, vm_move(source, target[2]));
  vm_free(source);
  for (int n = 0; n < CHAIN; n++) vm_free(target[n]);
}
static void chain_sev(void) { chain(false); }
static void chain_es(void) { chain(true); }

static void dead_source(bool es) {
  int source = sev_vm(es), target = plain_vm(true), other = plain_vm(true);
  struct kvm_sev_guest_status status;
  struct kvm_regs registers;
  WANT(0, vm_move(target, source));
  WANT(EIO, sev_status(source, &status));
  WANT(EIO, ioctl(source, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS));
  WANT(EIO, ioctl(source, KVM_CREATE_VCPU, 9));
  WANT(EIO, ioctl(vm_vcpu(source, 0), KVM_GET_REGS, &registers));
  WANT(EIO, ioctl(vm_vcpu(source, 0), KVM_RUN, 0));
  WANT(EINVAL, vm_move(other, source));
  vm_free(source);
  vm_free(target);
  vm_free(other);
}
static void dead_source_sev(void) { dead_source(false); }
static void dead_source_es(void) { dead_source(true); }

struct locking {
  int target, sources[CHAIN];
};

static void *move_round(void *argument) {
  const struct locking *locking = argument;
  for (int round = 0; round < ROUNDS; round++) vm_move(locking->target, locking->sources[round % CHAIN]);
  return NULL;
}

/* What each move gives depends on the threads' pace; that all of them end is what counts. */
static void locking(void) {
  struct locking input[CHAIN];
  pthread_t threads[CHAIN];
  for (int n = 0; n < CHAIN; n++) input[0].sources[n] = input[n].target = sev_vm(false);
  for (int n = 1; n < CHAIN; n++)
    for (int m = 0; m < CHAIN; m++) input[n].sources[m] = input[0].sources[m];
  for (int n = 0; n < CHAIN; n++) pthread_create(&threads[n], NULL, move_round, &input[n]);
  for (int n = 0; n < CHAIN; n++) pthread_join(threads[n], NULL);
  for (int n = 0; n < CHAIN; n++) vm_free(input[n].target);
}

static void move_and_free(int expected, int target, int source) {
  WANT(expected, vm_move(target, source));
  vm_free(target);
  vm_free(source);
}

static void plain_from_plain(void) { move_and_free(EINVAL, plain_vm(false), plain_vm(true)); }
static void sev_from_es(void) { move_and_free(EINVAL, sev_vm(false), sev_vm(true)); }
static void es_from_sev(void) { move_and_free(EINVAL, sev_vm(true), sev_vm(false)); }
static void no_vcpus_from_es(void) { move_and_free(EINVAL, plain_vm(false), sev_vm(true)); }

static void es_without_vmsa(void) {
  int source = plain_vm(false);
  WANT(0, sev(source, KVM_SEV_ES_INIT, NULL));
  WANT(0, ioctl(source, KVM_CREATE_VCPU, 1));
  move_and_free(EINVAL, plain_vm(false), source);
}

static void same(void) {
  int vm = sev_vm(false);
  WANT(EINVAL, vm_move(vm, vm));
  vm_free(vm);
}

static void not_a_vm(void) {
  int vm = plain_vm(true);
  WANT(EBADF, vm_move(vm, 9999));
  WANT(EBADF, vm_move(vm, -1));
  WANT(EBADF, vm_move(vm, 1));
  WANT(EBADF, vm_move(vm, kvm_device()));
  WANT(EBADF, vm_move(vm, firmware_open()));
  WANT(EBADF, vm_move(vm, vm_vcpu(vm, 0)));
  vm_free(vm);
}

static void bad_arguments(void) {
  int vm = plain_vm(true);
  struct kvm_enable_cap enable = {.cap = KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM, .flags = 1};
  WANT(EINVAL, ioctl(vm, KVM_ENABLE_CAP, &enable));
  WANT(EFAULT, ioctl(vm, KVM_ENABLE_CAP, 8));
  vm_free(vm);
}

/* The stored number of /dev/sev does not move: firmware commands look at number 0. */
static void firmware_number(void) {
  int source = sev_vm(false), target = plain_vm(true), saved = dup(0);
  struct kvm_sev_guest_status status;
  WANT(0, vm_move(target, source));
  WANT(EBADF, sev_status(target, &status));
  WANT(0, dup2(firmware_open(), 0));
  WANT(0, sev_status(target, &status));
  WANT(0, dup2(saved, 0));
  close(saved);
  vm_free(source);
  vm_free(target);
}

void table_move(void) {
  tap_case("move: migrate_from, SEV", chain_sev);
  tap_case("move: migrate_from, ES", chain_es);
  tap_case("move: every ioctl on the source gives EIO afterwards, SEV", dead_source_sev);
  tap_case("move: every ioctl on the source gives EIO afterwards, ES", dead_source_es);
  tap_case("move: locking, three threads of 10000 rounds end", locking);
  tap_case("move: parameters, plain without vCPUs from plain", plain_from_plain);
  tap_case("move: parameters, SEV from ES", sev_from_es);
  tap_case("move: parameters, ES from SEV", es_from_sev);
  tap_case("move: parameters, plain without vCPUs from ES with vCPUs", no_vcpus_from_es);
  tap_case("move: parameters, plain from ES without LAUNCH_UPDATE_VMSA", es_without_vmsa);
  tap_case("move: a VM from itself", same);
  tap_case("move: the source is no VM", not_a_vm);
  tap_case("move: flags and a bad pointer", bad_arguments);
  tap_case("move: the number of /dev/sev does not move", firmware_number);
}
