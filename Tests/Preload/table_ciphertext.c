/* Ciphertext mode: what is in memory, and what the key and the place make of it. */
#include <string.h>
#include <sys/mman.h>

#include "machine.h"
#include "tables.h"
#include "tap.h"

#define PAGE 4096

static int debug(int vm, uint32_t id, const void *source, void *target, uint32_t length) {
  struct kvm_sev_dbg copy = {
      .src_uaddr = (uint64_t)(uintptr_t)source, .dst_uaddr = (uint64_t)(uintptr_t)target, .len = length};
  return sev(vm, id, &copy);
}

static bool holds_only(const uint8_t *bytes, uint8_t value) {
  for (size_t n = 0; n < PAGE; n++)
    if (bytes[n] != value) return false;
  return true;
}

/* A launched VM over two pages of 0x5a that are now encrypted. */
static int encrypted_vm(uint8_t **memory) {
  int vm = plain_vm(false);
  *memory = memory_map(2 * PAGE);
  WANT(0, sev(vm, KVM_SEV_INIT, NULL));
  WANT(0, sev_launch_start(vm, 0));
  WANT(0, region(vm, true, *memory, 2 * PAGE));
  struct kvm_sev_launch_update_data update = {.uaddr = (uint64_t)(uintptr_t)*memory, .len = 2 * PAGE};
  WANT(0, sev(vm, KVM_SEV_LAUNCH_UPDATE_DATA, &update));
  return vm;
}

static void encrypted(void) {
  uint8_t *memory, plain[PAGE];
  int vm = encrypted_vm(&memory);
  WANT_TRUE(!holds_only(memory, 0x5a));
  /* The same bytes at two places look different. */
  WANT_TRUE(memcmp(memory, memory + PAGE, PAGE) != 0);
  WANT(0, debug(vm, KVM_SEV_DBG_DECRYPT, memory, plain, PAGE));
  WANT_TRUE(holds_only(plain, 0x5a));
  munmap(memory, 2 * PAGE);
  vm_free(vm);
}

static void moved_page(void) {
  uint8_t *memory, plain[PAGE];
  int vm = encrypted_vm(&memory);
  memcpy(memory + PAGE, memory, PAGE);
  WANT(0, debug(vm, KVM_SEV_DBG_DECRYPT, memory + PAGE, plain, PAGE));
  WANT_TRUE(!holds_only(plain, 0x5a));
  munmap(memory, 2 * PAGE);
  vm_free(vm);
}

static void written(void) {
  uint8_t *memory, in[PAGE], out[PAGE];
  int vm = encrypted_vm(&memory);
  memset(in, 0x33, sizeof in);
  WANT(0, debug(vm, KVM_SEV_DBG_ENCRYPT, in, memory, PAGE));
  WANT_TRUE(!holds_only(memory, 0x33));
  WANT(0, debug(vm, KVM_SEV_DBG_DECRYPT, memory, out, PAGE));
  WANT_TRUE(holds_only(out, 0x33));
  munmap(memory, 2 * PAGE);
  vm_free(vm);
}

void table_ciphertext(void) {
  tap_case("ciphertext: launched memory is encrypted, DBG_DECRYPT sees through", encrypted);
  tap_case("ciphertext: a page that was copied elsewhere is garbage", moved_page);
  tap_case("ciphertext: DBG_ENCRYPT writes what DBG_DECRYPT reads", written);
}
