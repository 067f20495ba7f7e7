/* /dev/kvm, /dev/sev and what is not SEV about a VM: the same with the real /dev/kvm and with the stand-in.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "machine.h"
#include "tables.h"
#include "tap.h"

#define MOST_ENTRIES 256
#define SET_USER_MEMORY_REGION2 0x40A0AE49u
#define CAP_USER_MEMORY2 231

static void opening(void) {
  int fds[] = {open("/dev/kvm", O_RDONLY), openat(AT_FDCWD, "/dev/kvm", O_RDWR),
               openat(0, "/dev/sev", O_RDONLY), open64("/dev/sev", O_RDWR),
               openat64(AT_FDCWD, "/dev/kvm", O_RDWR | O_CLOEXEC)};
  for (size_t n = 0; n < sizeof fds / sizeof *fds; n++) {
    WANT_TRUE(fds[n] >= 0);
    close(fds[n]);
  }
  WANT(0, access("/dev/sev", R_OK | W_OK));
  WANT(0, faccessat(AT_FDCWD, "/dev/kvm", R_OK, 0));
  WANT(ENOENT, open("/dev/sev-guest-of-nobody", O_RDONLY));
}

static void parameters(void) {
  char text[8] = "";
  int fd = open("/sys/module/kvm_amd/parameters/sev_es", O_RDONLY);
  WANT_TRUE(fd >= 0 && read(fd, text, sizeof text) == 2 && text[0] == 'Y');
  close(fd);
  fd = open("/sys/module/kvm/parameters/force_emulation_prefix", O_RDONLY);
  WANT_TRUE(fd >= 0 && read(fd, text, sizeof text) >= 1);
  close(fd);
  WANT(ENOENT, open("/sys/module/kvm/parameters/nobody_has_this", O_RDONLY));
}

static void system_calls(void) {
  WANT_TRUE(ioctl(kvm_device(), KVM_GET_API_VERSION, 0) == 12);
  WANT_TRUE(ioctl(kvm_device(), KVM_GET_VCPU_MMAP_SIZE, 0) >= (int)sizeof(struct kvm_run));
  WANT_TRUE(kvm_capability(KVM_CAP_VM_COPY_ENC_CONTEXT_FROM) == 1);
  WANT_TRUE(kvm_capability(KVM_CAP_USER_MEMORY) == 1);
  WANT_TRUE(kvm_capability(KVM_CAP_IMMEDIATE_EXIT) == 1);
  WANT_TRUE(kvm_capability(KVM_CAP_MAX_VCPUS) >= VCPUS);
  WANT_TRUE(kvm_capability(9999) == 0);
  WANT(EINVAL, ioctl(kvm_device(), KVM_GET_REGS, 0));
}

struct cpuid {
  struct kvm_cpuid2 header;
  struct kvm_cpuid_entry2 entries[MOST_ENTRIES];
};

static const struct kvm_cpuid_entry2 *find_leaf(const struct cpuid *cpuid, uint32_t leaf) {
  for (uint32_t n = 0; n < cpuid->header.nent; n++)
    if (cpuid->entries[n].function == leaf) return &cpuid->entries[n];
  return NULL;
}

static void supported_cpuid(void) {
  static struct cpuid cpuid;
  cpuid.header.nent = MOST_ENTRIES;
  WANT(0, ioctl(kvm_device(), KVM_GET_SUPPORTED_CPUID, &cpuid));
  const struct kvm_cpuid_entry2 *encryption = find_leaf(&cpuid, 0x8000001f),
                                *last = find_leaf(&cpuid, 0x80000000);
  WANT_TRUE(encryption && (encryption->eax & 2) != 0 && (encryption->eax & 8) != 0);
  WANT_TRUE(encryption && encryption->ecx > 0 && (encryption->ebx & 63) > 30);
  WANT_TRUE(last && last->eax >= 0x8000001f);
  WANT_TRUE(find_leaf(&cpuid, 0x80000008) && find_leaf(&cpuid, 0x40000000));
  cpuid.header.nent = 1;
  WANT(E2BIG, ioctl(kvm_device(), KVM_GET_SUPPORTED_CPUID, &cpuid));
  WANT(EFAULT, ioctl(kvm_device(), KVM_GET_SUPPORTED_CPUID, 16));
}

static int platform(int fd, uint32_t command, void *data, uint32_t *error) {
  struct sev_issue_cmd issue = {.cmd = command, .data = (uint64_t)(uintptr_t)data};
  int status = ioctl(fd, SEV_ISSUE_CMD, &issue);
  *error = issue.error;
  return status;
}

static void firmware_commands(void) {
  int reading = open("/dev/sev", O_RDONLY), writing = open("/dev/sev", O_RDWR);
  struct sev_user_data_status status = {0};
  struct sev_user_data_pdh_cert_export certificates = {0};
  uint32_t error;
  /* The first VM initialises the platform. */
  int vm = plain_vm(false);
  WANT(0, sev(vm, KVM_SEV_INIT, NULL));
  WANT(0, platform(reading, SEV_PLATFORM_STATUS, &status, &error));
  WANT_TRUE(status.state != 0 && error == 0);
  WANT(EPERM, platform(reading, SEV_FACTORY_RESET, NULL, &error));
  WANT(EIO, platform(writing, SEV_PDH_CERT_EXPORT, &certificates, &error));
  WANT_TRUE(error == FW_INVALID_LENGTH && certificates.pdh_cert_len == 2084 &&
            certificates.cert_chain_len == 6252);
  char *pdh = calloc(1, certificates.pdh_cert_len), *chain = calloc(1, certificates.cert_chain_len);
  certificates.pdh_cert_address = (uint64_t)(uintptr_t)pdh;
  certificates.cert_chain_address = (uint64_t)(uintptr_t)chain;
  WANT(0, platform(writing, SEV_PDH_CERT_EXPORT, &certificates, &error));
  WANT_TRUE(pdh[0] == 1 && chain[0] == 1);
  WANT(EINVAL, platform(writing, 99, NULL, &error));
  WANT(EFAULT, ioctl(writing, SEV_ISSUE_CMD, 16));
  WANT(EFAULT, platform(writing, SEV_PLATFORM_STATUS, (void *)16, &error));
  free(pdh);
  free(chain);
  close(reading);
  close(writing);
  vm_free(vm);
}

static void memory_slots(void) {
  int vm = plain_vm(false);
  void *memory = memory_map(16 * 4096);
  struct kvm_userspace_memory_region slot = {.slot = 0,
                                             .guest_phys_addr = 0,
                                             .memory_size = 8 * 4096,
                                             .userspace_addr = (uint64_t)(uintptr_t)memory};
  WANT(0, ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot));
  struct kvm_userspace_memory_region other = slot;
  other.slot = 1;
  other.guest_phys_addr = 4096;
  WANT(EEXIST, ioctl(vm, KVM_SET_USER_MEMORY_REGION, &other));
  other.guest_phys_addr = 8 * 4096;
  WANT(0, ioctl(vm, KVM_SET_USER_MEMORY_REGION, &other));
  other.memory_size = 12 * 4096;
  WANT(EINVAL, ioctl(vm, KVM_SET_USER_MEMORY_REGION, &other));
  other.memory_size = 100;
  WANT(EINVAL, ioctl(vm, KVM_SET_USER_MEMORY_REGION, &other));
  other = (struct kvm_userspace_memory_region){.slot = 7};
  WANT(EINVAL, ioctl(vm, KVM_SET_USER_MEMORY_REGION, &other));
  slot.memory_size = 0;
  WANT(0, ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot));
  WANT(EFAULT, ioctl(vm, KVM_SET_USER_MEMORY_REGION, 16));
  if (kvm_capability(CAP_USER_MEMORY2) > 0) {
    uint8_t second[160] = {0};
    slot.memory_size = 8 * 4096;
    memcpy(second, &slot, sizeof slot);
    WANT(0, ioctl(vm, SET_USER_MEMORY_REGION2, second));
  }
  vm_free(vm);
  munmap(memory, 16 * 4096);
}

static void vcpu_calls(void) {
  int vm = plain_vm(false);
  WANT(0, ioctl(vm, KVM_CREATE_IRQCHIP, 0));
  WANT(EEXIST, ioctl(vm, KVM_CREATE_IRQCHIP, 0));
  vm_add_vcpus(vm, 2);
  WANT(EEXIST, ioctl(vm, KVM_CREATE_VCPU, 0));
  WANT(EINVAL, ioctl(vm, KVM_CREATE_VCPU, 1 << 20));
  int vcpu = vm_vcpu(vm, 1);
  static struct cpuid cpuid, back;
  struct kvm_regs registers = {0}, read = {0};
  struct kvm_sregs special, special_read;
  struct kvm_xcrs xcrs;
  struct kvm_mp_state mp_state = {.mp_state = KVM_MP_STATE_RUNNABLE};
  cpuid.header.nent = back.header.nent = MOST_ENTRIES;
  WANT(0, ioctl(kvm_device(), KVM_GET_SUPPORTED_CPUID, &cpuid));
  WANT(0, ioctl(vcpu, KVM_SET_CPUID2, &cpuid));
  WANT(0, ioctl(vcpu, KVM_GET_CPUID2, &back));
  WANT_TRUE(back.header.nent == cpuid.header.nent);
  WANT(0, ioctl(vcpu, KVM_GET_REGS, &registers));
  WANT_TRUE(registers.rip == 0xfff0 && registers.rflags == 2);
  registers.rbx = 0x77;
  WANT(0, ioctl(vcpu, KVM_SET_REGS, &registers));
  WANT(0, ioctl(vcpu, KVM_GET_REGS, &read));
  WANT_TRUE(memcmp(&registers, &read, sizeof read) == 0);
  WANT(0, ioctl(vcpu, KVM_GET_SREGS, &special));
  special.cs.base = 0;
  special.cs.selector = 0;
  WANT(0, ioctl(vcpu, KVM_SET_SREGS, &special));
  WANT(0, ioctl(vcpu, KVM_GET_SREGS, &special_read));
  WANT_TRUE(special_read.cs.base == 0);
  WANT(0, ioctl(vcpu, KVM_GET_XCRS, &xcrs));
  WANT(0, ioctl(vcpu, KVM_SET_XCRS, &xcrs));
  WANT(0, ioctl(vcpu, KVM_SET_MP_STATE, &mp_state));
  WANT(EFAULT, ioctl(vcpu, KVM_SET_REGS, 16));
  WANT(EFAULT, ioctl(vcpu, KVM_GET_REGS, 16));
  vm_free(vm);
}

static void run_page(void) {
  int vm = plain_vm(false), size = ioctl(kvm_device(), KVM_GET_VCPU_MMAP_SIZE, 0);
  vm_add_vcpus(vm, 2);
  struct kvm_run *run[2];
  for (int n = 0; n < 2; n++) {
    run[n] = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vm_vcpu(vm, n), 0);
    if (run[n] == MAP_FAILED) return tap_fail(__LINE__, "mmap of a vCPU: %s", strerrorname_np(errno));
  }
  run[0]->immediate_exit = 1;
  WANT_TRUE(run[1]->immediate_exit == 0);
  WANT(EINTR, ioctl(vm_vcpu(vm, 0), KVM_RUN, 0));
  int target = plain_vm(true);
  int source = sev_vm(false);
  struct kvm_run *dead = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vm_vcpu(source, 0), 0);
  if (kvm_capability(KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM) > 0) {
    WANT(0, vm_move(target, source));
    WANT(EIO, ioctl(vm_vcpu(source, 0), KVM_RUN, 0));
    dead->immediate_exit = 1;
  }
  for (int n = 0; n < 2; n++) munmap(run[n], (size_t)size);
  munmap(dead, (size_t)size);
  vm_free(vm);
  vm_free(source);
  vm_free(target);
}

/* A guest of one instruction, in a VM that the model takes for encrypted. */
static void real_guest(void) {
  int vm = plain_vm(false);
  uint8_t *memory = memory_map(4096);
  memory[0] = 0xf4; /* hlt */
  struct kvm_userspace_memory_region slot = {.memory_size = 4096,
                                             .userspace_addr = (uint64_t)(uintptr_t)memory};
  WANT(0, sev(vm, KVM_SEV_INIT, NULL));
  WANT(0, ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot));
  vm_add_vcpus(vm, 1);
  WANT(0, sev_launch_start(vm, 0));
  struct kvm_sev_launch_update_data update = {.uaddr = (uint64_t)(uintptr_t)memory, .len = 4096};
  WANT(0, sev(vm, KVM_SEV_LAUNCH_UPDATE_DATA, &update));
  int vcpu = vm_vcpu(vm, 0), size = ioctl(kvm_device(), KVM_GET_VCPU_MMAP_SIZE, 0);
  struct kvm_run *run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  struct kvm_sregs special;
  struct kvm_regs registers = {.rflags = 2};
  WANT(0, ioctl(vcpu, KVM_GET_SREGS, &special));
  special.cs.base = special.cs.selector = 0;
  WANT(0, ioctl(vcpu, KVM_SET_SREGS, &special));
  WANT(0, ioctl(vcpu, KVM_SET_REGS, &registers));
  WANT(0, ioctl(vcpu, KVM_RUN, 0));
  WANT_TRUE(run->exit_reason == KVM_EXIT_HLT);
  munmap(run, (size_t)size);
  munmap(memory, 4096);
  vm_free(vm);
}

/* CAP_IPC_LOCK is a thread's: only this one gives it up. */
static void *register_beyond_limit(void *argument) {
  int vm = *(int *)argument;
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
  void *memory = memory_map(64 * 4096);
  syscall(SYS_capget, &header, sets);
  sets[0].effective &= ~(1u << CAP_IPC_LOCK);
  syscall(SYS_capset, &header, sets);
  WANT(ENOMEM, region(vm, true, memory, 64 * 4096));
  WANT(0, region(vm, true, memory, 16 * 4096));
  WANT(0, region(vm, true, memory, 16 * 4096));
  WANT(ENOMEM, region(vm, true, memory, 4096));
  WANT(0, region(vm, false, memory, 16 * 4096));
  WANT(0, region(vm, true, memory, 4096));
  return NULL;
}

static void memory_limit(void) {
  int vm = sev_vm(false);
  struct rlimit before, small = {.rlim_cur = 32 * 4096};
  getrlimit(RLIMIT_MEMLOCK, &before);
  small.rlim_max = before.rlim_max;
  WANT(0, setrlimit(RLIMIT_MEMLOCK, &small));
  pthread_t thread;
  pthread_create(&thread, NULL, register_beyond_limit, &vm);
  pthread_join(thread, NULL);
  setrlimit(RLIMIT_MEMLOCK, &before);
  vm_free(vm);
}

static void region_rules(void) {
  int vm = sev_vm(false);
  void *memory = memory_map(8 * 4096),
       *readonly = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  WANT(EINVAL, region(vm, true, memory, 0));
  WANT(EINVAL, region(vm, true, (void *)-4096, 8192));
  WANT(ENOMEM, region(vm, true, readonly, 4096));
  WANT(ENOMEM, region(vm, true, (void *)0x10000, 4096));
  WANT(0, region(vm, true, memory, 8 * 4096));
  WANT(0, region(vm, true, memory, 8 * 4096));
  WANT(EINVAL, region(vm, false, memory, 4096));
  WANT(0, region(vm, false, memory, 8 * 4096));
  WANT(0, region(vm, false, memory, 8 * 4096));
  WANT(EINVAL, region(vm, false, memory, 8 * 4096));
  munmap(readonly, 4096);
  vm_free(vm);
}

static void other_files(void) {
  int null = open("/dev/null", O_RDWR), vm = plain_vm(false);
  WANT(ENOTTY, ioctl(null, KVM_GET_API_VERSION, 0));
  WANT(ENOTTY, ioctl(null, KVM_MEMORY_ENCRYPT_OP, NULL));
  WANT(EBADF, ioctl(9999, KVM_CREATE_VM, 0));
  WANT(EINVAL, ioctl(firmware_open(), KVM_CREATE_VCPU, 0));
  WANT(EINVAL, ioctl(firmware_open(), KVM_MEMORY_ENCRYPT_OP, NULL));
  WANT(ENOTTY, ioctl(vm, SEV_ISSUE_CMD, NULL));
  WANT(ENOTTY, ioctl(vm, KVM_GET_API_VERSION, 0));
  close(null);
  vm_free(vm);
}

void test_devices(void) {
  tap_case("devices: the ways to open them", opening);
  tap_case("devices: parameters of KVM's modules", parameters);
  tap_case("devices: calls on /dev/kvm", system_calls);
  tap_case("devices: supported CPUID has the leaf of memory encryption", supported_cpuid);
  tap_case("devices: commands of /dev/sev", firmware_commands);
  tap_case("devices: other files are left alone", other_files);
  tap_case("machines: memory slots", memory_slots);
  tap_case("machines: REG_REGION and UNREG_REGION", region_rules);
  tap_case("machines: REG_REGION beyond the memlock limit", memory_limit);
  tap_case("vcpus: state", vcpu_calls);
  tap_case("vcpus: shared pages, immediate_exit", run_page);
  if (kvm_is_real()) tap_case("vcpus: a real guest runs", real_guest);
  else tap_skip("vcpus: a real guest runs", "the stand-in has no processor");
}
