/* LOCAL_SEND and LOCAL_RECEIVE of the 2021 patches: the outcomes and what they leave behind. */
#include <sys/mman.h>
#include <unistd.h>

#include "machine.h"
#include "tables.h"
#include "tap.h"

#define MEMORY (4 * 4096)

static int send_guest(int vm, uint64_t *token) {
  *token = 0;
  return sev(vm, SEV_LOCAL_SEND, token);
}

static int receive_guest(int vm, uint64_t token) {
  struct sev_local_receive receive = {.token = token};
  return sev(vm, SEV_LOCAL_RECEIVE, &receive);
}

static int inited(void) {
  int vm = plain_vm(false);
  WANT(0, sev(vm, KVM_SEV_INIT, NULL));
  return vm;
}

static int launched(void) {
  int vm = inited();
  WANT(0, sev_launch_start(vm, 0));
  return vm;
}

static void free_all(int first, int second, int third) {
  vm_free(first);
  vm_free(second);
  vm_free(third);
}

static void plain(void) {
  int vm = plain_vm(false);
  uint64_t token;
  WANT(ENOTTY, send_guest(vm, &token));
  WANT(ENOTTY, receive_guest(vm, 1));
  vm_free(vm);
}

static void not_launched(void) {
  int source = inited(), target = inited();
  uint64_t token;
  WANT(0, send_guest(source, &token));
  WANT_TRUE(token != 0);
  WANT(0, receive_guest(target, token));
  free_all(source, target, -1);
}

static void second_send(void) {
  int vm = launched();
  uint64_t token;
  WANT(0, send_guest(vm, &token));
  WANT(EPERM, send_guest(vm, &token));
  vm_free(vm);
}

static void gate(void) {
  int vm = launched();
  uint64_t token;
  struct kvm_sev_guest_status status;
  WANT(0, send_guest(vm, &token));
  WANT(EPERM, sev_status(vm, &status));
  WANT(EPERM, sev(vm, KVM_SEV_LAUNCH_FINISH, NULL));
  WANT(EPERM, receive_guest(vm, token));
  WANT(EPERM, sev(vm, 99, NULL));
  WANT(0, ioctl(vm, KVM_MEMORY_ENCRYPT_OP, NULL));
  vm_free(vm);
}

static void debug(void) {
  int vm = launched();
  uint64_t token;
  uint8_t *memory = memory_map(4096), out[16] = {0};
  struct kvm_sev_dbg decrypt = {
      .src_uaddr = (uint64_t)(uintptr_t)memory, .dst_uaddr = (uint64_t)(uintptr_t)out, .len = sizeof out};
  WANT(0, send_guest(vm, &token));
  WANT(0, sev(vm, KVM_SEV_DBG_DECRYPT, &decrypt));
  munmap(memory, 4096);
  vm_free(vm);
}

static void bad_data(void) {
  int vm = launched();
  struct kvm_sev_guest_status status;
  void *readonly = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  WANT(EFAULT, sev(vm, SEV_LOCAL_SEND, (void *)16));
  WANT(0, sev_status(vm, &status));
  WANT(EFAULT, sev(vm, SEV_LOCAL_SEND, readonly));
  WANT(0, sev_status(vm, &status));
  munmap(readonly, 4096);
  vm_free(vm);
}

static void unknown_token(void) {
  int vm = inited();
  WANT(EFAULT, receive_guest(vm, 0x1122334455667788));
  vm_free(vm);
}

static void used_token(void) {
  int source = launched(), first = inited(), second = inited();
  uint64_t token;
  WANT(0, send_guest(source, &token));
  WANT(0, receive_guest(first, token));
  WANT(EFAULT, receive_guest(second, token));
  free_all(source, first, second);
}

static void dead_source(void) {
  int source = launched(), target = inited();
  uint64_t token;
  WANT(0, send_guest(source, &token));
  vm_free(source);
  WANT(EFAULT, receive_guest(target, token));
  vm_free(target);
}

static void into_launched(void) {
  int source = launched(), target = launched();
  uint64_t token;
  WANT(0, send_guest(source, &token));
  WANT(EPERM, receive_guest(target, token));
  free_all(source, target, -1);
}

static void into_region(void) {
  int source = launched(), target = inited();
  uint64_t token;
  void *memory = memory_map(MEMORY);
  WANT(0, region(target, true, memory, MEMORY));
  WANT(0, send_guest(source, &token));
  WANT(EPERM, receive_guest(target, token));
  free_all(source, target, -1);
}

static void readonly_page(void) {
  int source = launched(), target = inited(), other = inited();
  struct sev_local_receive *page =
      mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  uint64_t token;
  WANT(0, send_guest(source, &token));
  page->token = token;
  mprotect(page, 4096, PROT_READ);
  WANT(EFAULT, sev(target, SEV_LOCAL_RECEIVE, page));
  WANT(0, receive_guest(other, token));
  munmap(page, 4096);
  free_all(source, target, other);
}

static void start_after_receive(void) {
  int source = launched(), target = inited();
  uint64_t token;
  WANT(0, send_guest(source, &token));
  WANT(0, receive_guest(target, token));
  WANT(EIO, sev_launch_start(target, 0));
  WANT_TRUE(sev_error == FW_ASID_OWNED);
  free_all(source, target, -1);
}

static void status_after_receive(void) {
  int source = launched(), target = inited(), saved = dup(0);
  uint64_t token;
  struct kvm_sev_guest_status status;
  WANT(0, send_guest(source, &token));
  WANT(0, receive_guest(target, token));
  WANT(EBADF, sev_status(target, &status));
  WANT(0, dup2(firmware_open(), 0));
  WANT(0, sev_status(target, &status));
  WANT_TRUE(status.state == GUEST_LAUNCH_UPDATE);
  WANT(0, dup2(saved, 0));
  close(saved);
  free_all(source, target, -1);
}

static void regions(void) {
  int source = launched(), target = inited();
  void *memory = memory_map(MEMORY);
  uint64_t token;
  WANT(0, region(source, true, memory, MEMORY));
  WANT(0, send_guest(source, &token));
  WANT(EINVAL, region(source, false, memory, MEMORY));
  WANT(0, receive_guest(target, token));
  WANT(EINVAL, region(source, false, memory, MEMORY));
  WANT(0, region(target, false, memory, MEMORY));
  free_all(source, target, -1);
}

static void onwards(void) {
  int first = launched(), second = inited(), third = inited();
  uint64_t token, next;
  WANT(0, send_guest(first, &token));
  WANT(0, receive_guest(second, token));
  vm_free(first);
  WANT(0, send_guest(second, &next));
  WANT_TRUE(next != token);
  WANT(0, receive_guest(third, next));
  free_all(second, third, -1);
}

void table_local(void) {
  tap_case("local: SEND and RECEIVE on a plain VM", plain);
  tap_case("local: SEND of a VM that was not launched", not_launched);
  tap_case("local: a second SEND", second_send);
  tap_case("local: GUEST_STATUS and others after SEND", gate);
  tap_case("local: DBG_DECRYPT after SEND", debug);
  tap_case("local: SEND with a bad data pointer leaves no gate", bad_data);
  tap_case("local: RECEIVE of an unknown token", unknown_token);
  tap_case("local: RECEIVE of a used token", used_token);
  tap_case("local: RECEIVE of a token of a destroyed source", dead_source);
  tap_case("local: RECEIVE into a launched VM", into_launched);
  tap_case("local: RECEIVE into a VM with a region", into_region);
  tap_case("local: RECEIVE with a read-only data page, then elsewhere", readonly_page);
  tap_case("local: LAUNCH_START after RECEIVE", start_after_receive);
  tap_case("local: GUEST_STATUS after RECEIVE needs /dev/sev at number 0", status_after_receive);
  tap_case("local: UNREG_REGION of an old region, on source and target", regions);
  tap_case("local: a received guest is sent on", onwards);
}

static void es_is_refused(void) {
  int vm = sev_vm(true);
  uint64_t token;
  WANT(EPERM, send_guest(vm, &token));
  vm_free(vm);
}

void table_local_two_patches(void) {
  tap_case("local: SEND of an ES VM without the third patch", es_is_refused);
}
