/* KVM_SEV_INIT2, as the kernel's sev_init2_tests has it. */
#include "machine.h"
#include "tables.h"
#include "tap.h"

#define KNOWN_FEATURES (1ULL << 5) /* debug swap */

static bool has_type(unsigned long type) { return (kvm_capability(CAP_VM_TYPES) >> type & 1) != 0; }

static void init2(int expected, unsigned long type, struct sev_init2 init) {
  int vm = vm_create(type);
  if (vm < 0) return tap_fail(__LINE__, "KVM_CREATE_VM of type %lu", type);
  WANT(expected, sev(vm, SEV_INIT2, &init));
  vm_free(vm);
  firmware_close_all();
}

static void types(void) {
  WANT_TRUE(has_type(TYPE_SEV) && has_type(TYPE_SEV_ES));
  init2(0, TYPE_SEV, (struct sev_init2){0});
  init2(0, TYPE_SEV_ES, (struct sev_init2){0});
}

/* SNP is not modelled: the type is neither offered nor accepted, as on a host without it. */
static void snp(void) {
  WANT_TRUE(!has_type(4));
  WANT(EINVAL, vm_create(4));
}

static void default_type(void) { init2(EINVAL, TYPE_DEFAULT, (struct sev_init2){0}); }

static void software_protected(void) {
  if (has_type(1)) init2(EINVAL, 1, (struct sev_init2){0});
  else WANT(EINVAL, vm_create(1));
}

static void unknown_types(void) {
  WANT(EINVAL, vm_create(6));
  WANT(EINVAL, vm_create(64));
}

static void flags(void) {
  for (int bit = 0; bit < 32; bit++) {
    init2(EINVAL, TYPE_SEV, (struct sev_init2){.flags = 1u << bit});
    init2(EINVAL, TYPE_SEV_ES, (struct sev_init2){.flags = 1u << bit});
  }
}

static uint64_t supported(void) {
  uint64_t features = 0;
  struct kvm_device_attr attribute = {.group = 1, .attr = 0, .addr = (uint64_t)(uintptr_t)&features};
  WANT(0, ioctl(kvm_device(), KVM_HAS_DEVICE_ATTR, &attribute));
  WANT(0, ioctl(kvm_device(), KVM_GET_DEVICE_ATTR, &attribute));
  return features;
}

static void features(void) {
  uint64_t known = supported();
  for (int bit = 0; bit < 64; bit++) {
    uint64_t feature = 1ULL << bit;
    init2(EINVAL, TYPE_SEV, (struct sev_init2){.vmsa_features = feature});
    if ((known & feature) == 0) init2(EINVAL, TYPE_SEV_ES, (struct sev_init2){.vmsa_features = feature});
    if ((known & feature & KNOWN_FEATURES) != 0)
      init2(0, TYPE_SEV_ES, (struct sev_init2){.vmsa_features = feature});
  }
}

static void ghcb(void) {
  init2(EINVAL, TYPE_SEV, (struct sev_init2){.ghcb_version = 1});
  init2(EINVAL, TYPE_SEV_ES, (struct sev_init2){.ghcb_version = 3});
  init2(0, TYPE_SEV_ES, (struct sev_init2){.ghcb_version = 2});
}

static void twice(void) {
  int vm = vm_create(TYPE_SEV);
  struct sev_init2 init = {0};
  WANT(0, sev(vm, SEV_INIT2, &init));
  WANT(EINVAL, sev(vm, SEV_INIT2, &init));
  WANT(EINVAL, sev(vm, KVM_SEV_INIT, NULL));
  vm_free(vm);
}

static void typed_with_init(void) {
  int vm = vm_create(TYPE_SEV);
  WANT(EINVAL, sev(vm, KVM_SEV_INIT, NULL));
  vm_free(vm);
}

static void after_vcpus(void) {
  int vm = vm_create(TYPE_SEV), plain = plain_vm(true);
  struct sev_init2 init = {0};
  vm_add_vcpus(vm, 1);
  WANT(EINVAL, sev(vm, SEV_INIT2, &init));
  WANT(EINVAL, sev(plain, KVM_SEV_INIT, NULL));
  vm_free(vm);
  vm_free(plain);
}

static void bad_pointer(void) {
  int vm = vm_create(TYPE_SEV);
  WANT(EFAULT, sev(vm, SEV_INIT2, NULL));
  WANT(EFAULT, sev(vm, SEV_INIT2, (void *)8));
  vm_free(vm);
}

static void cpuid_agrees(void) {
  struct {
    struct kvm_cpuid2 header;
    struct kvm_cpuid_entry2 entries[256];
  } cpuid = {.header.nent = 256};
  uint32_t eax = 0;
  WANT(0, ioctl(kvm_device(), KVM_GET_SUPPORTED_CPUID, &cpuid));
  for (uint32_t n = 0; n < cpuid.header.nent; n++)
    if (cpuid.entries[n].function == 0x8000001f) eax = cpuid.entries[n].eax;
  WANT_TRUE(((eax >> 1 & 1) != 0) == has_type(TYPE_SEV));
  WANT_TRUE(((eax >> 3 & 1) != 0) == has_type(TYPE_SEV_ES));
  WANT_TRUE(((eax >> 4 & 1) != 0) == has_type(4));
}

void table_init2(void) {
  tap_case("init2: zeroed struct on the types SEV and SEV_ES", types);
  tap_case("init2: the type SNP is not offered and not accepted", snp);
  tap_case("init2: EINVAL on the type DEFAULT", default_type);
  tap_case("init2: EINVAL on the type SW_PROTECTED, where it exists", software_protected);
  tap_case("init2: unknown types are EINVAL", unknown_types);
  tap_case("init2: any flag is EINVAL", flags);
  tap_case("init2: any unsupported VMSA feature is EINVAL", features);
  tap_case("init2: GHCB versions", ghcb);
  tap_case("init2: twice is EINVAL", twice);
  tap_case("init2: INIT on a typed VM is EINVAL", typed_with_init);
  tap_case("init2: INIT2 and INIT after vCPUs are EINVAL", after_vcpus);
  tap_case("init2: bad pointers are EFAULT", bad_pointer);
  tap_case("init2: VM types and CPUID say the same", cpuid_agrees);
}
