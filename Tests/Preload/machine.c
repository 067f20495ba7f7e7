#include "machine.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tap.h"

#define MOST_FIRMWARE 1024
#define MOST_FILES 4096

static int firmware[MOST_FIRMWARE], firmware_count;
/* The vCPUs of a VM, by the VM's number. */
static int vcpus[MOST_FILES][VCPUS];
uint32_t sev_error;

int kvm_device(void) {
  static int fd = -1;
  if (fd >= 0) return fd;
  fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (fd < 0) {
    perror("/dev/kvm");
    exit(70);
  }
  return fd;
}

int kvm_capability(long number) { return ioctl(kvm_device(), KVM_CHECK_EXTENSION, number); }

bool kvm_is_real(void) {
  struct stat status;
  return fstat(kvm_device(), &status) == 0 && S_ISCHR(status.st_mode);
}

int firmware_open(void) {
  int fd = open("/dev/sev", O_RDWR);
  if (fd < 0) tap_fail(__LINE__, "/dev/sev: %s", strerrorname_np(errno));
  if (fd >= 0 && firmware_count < MOST_FIRMWARE) firmware[firmware_count++] = fd;
  return fd;
}

void firmware_close_all(void) {
  while (firmware_count > 0) close(firmware[--firmware_count]);
}

int vm_create(unsigned long type) {
  int fd = ioctl(kvm_device(), KVM_CREATE_VM, type);
  if (fd >= 0)
    for (int n = 0; n < VCPUS; n++) vcpus[fd][n] = -1;
  return fd;
}

void vm_add_vcpus(int vm, int count) {
  for (int n = 0; n < count; n++) {
    vcpus[vm][n] = ioctl(vm, KVM_CREATE_VCPU, n);
    if (vcpus[vm][n] < 0) tap_fail(__LINE__, "KVM_CREATE_VCPU %d: %s", n, strerrorname_np(errno));
  }
}

int vm_vcpu(int vm, int n) { return vcpus[vm][n]; }

void vm_free(int vm) {
  if (vm < 0) return;
  for (int n = 0; n < VCPUS; n++) {
    if (vcpus[vm][n] >= 0) close(vcpus[vm][n]);
    vcpus[vm][n] = -1;
  }
  close(vm);
}

int vm_enable(int vm, uint32_t capability, uint64_t argument) {
  struct kvm_enable_cap enable = {.cap = capability, .args = {argument}};
  return ioctl(vm, KVM_ENABLE_CAP, &enable);
}

int vm_move(int target, int source) {
  return vm_enable(target, KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM, (uint64_t)source);
}
int vm_copy(int target, int source) {
  return vm_enable(target, KVM_CAP_VM_COPY_ENC_CONTEXT_FROM, (uint64_t)source);
}

int sev(int vm, uint32_t id, void *data) {
  struct kvm_sev_cmd command = {
      .id = id, .data = (uint64_t)(uintptr_t)data, .sev_fd = (uint32_t)firmware_open()};
  int status = ioctl(vm, KVM_MEMORY_ENCRYPT_OP, &command), error = errno;
  sev_error = command.error;
  errno = error;
  return status;
}

int sev_launch_start(int vm, uint32_t policy) {
  struct kvm_sev_launch_start start = {.policy = policy};
  return sev(vm, KVM_SEV_LAUNCH_START, &start);
}

int sev_status(int vm, struct kvm_sev_guest_status *status) {
  memset(status, 0xff, sizeof *status);
  return sev(vm, KVM_SEV_GUEST_STATUS, status);
}

int plain_vm(bool with_vcpus) {
  int vm = vm_create(TYPE_DEFAULT);
  if (vm < 0) tap_fail(__LINE__, "KVM_CREATE_VM: %s", strerrorname_np(errno));
  if (vm >= 0 && with_vcpus) vm_add_vcpus(vm, VCPUS);
  return vm;
}

int sev_vm(bool es) {
  int vm = plain_vm(false);
  WANT(0, sev(vm, es ? KVM_SEV_ES_INIT : KVM_SEV_INIT, NULL));
  vm_add_vcpus(vm, VCPUS);
  WANT(0, sev_launch_start(vm, es ? POLICY_ES : 0));
  if (es) WANT(0, sev(vm, KVM_SEV_LAUNCH_UPDATE_VMSA, NULL));
  return vm;
}

void *memory_map(uint64_t size) {
  int fd = memfd_create("guest", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, (off_t)size) < 0) abort();
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) abort();
  close(fd);
  memset(memory, 0x5a, size);
  return memory;
}

int region(int vm, bool registers, void *address, uint64_t size) {
  struct kvm_enc_region range = {.addr = (uint64_t)(uintptr_t)address, .size = size};
  return ioctl(vm, registers ? KVM_MEMORY_ENCRYPT_REG_REGION : KVM_MEMORY_ENCRYPT_UNREG_REGION, &range);
}
