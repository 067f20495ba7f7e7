/* What a program may do with numbers: duplicates, closing, running into the library's own descriptors. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "machine.h"
#include "tables.h"
#include "tap.h"

static int launched(void) {
  int vm = plain_vm(false);
  WANT(0, sev(vm, KVM_SEV_INIT, NULL));
  WANT(0, sev_launch_start(vm, 0));
  return vm;
}

/* Whether the model knows a token: a receive of it into a fresh VM tells. */
static int receive(uint64_t token) {
  struct sev_local_receive receive = {.token = token};
  int vm = plain_vm(false), status, error;
  WANT(0, sev(vm, KVM_SEV_INIT, NULL));
  status = sev(vm, SEV_LOCAL_RECEIVE, &receive);
  error = errno;
  vm_free(vm);
  errno = error;
  return status;
}

static uint64_t send_guest(int vm) {
  uint64_t token = 0;
  WANT(0, sev(vm, SEV_LOCAL_SEND, &token));
  return token;
}

static int count_descriptors(void) {
  DIR *directory = opendir("/proc/self/fd");
  int count = 0;
  while (readdir(directory)) count++;
  closedir(directory);
  return count;
}

static void duplicates(void) {
  int vm = launched(), copy = dup(vm), high = fcntl(vm, F_DUPFD_CLOEXEC, 300),
      placed = dup3(vm, 301, O_CLOEXEC);
  struct kvm_sev_guest_status status;
  WANT_TRUE(copy >= 0 && high >= 300 && placed == 301);
  WANT(0, sev_status(copy, &status));
  int vcpu = ioctl(high, KVM_CREATE_VCPU, 0);
  WANT_TRUE(vcpu >= 0);
  WANT(EEXIST, ioctl(vm, KVM_CREATE_VCPU, 0));
  close(vcpu);
  close(vm);
  WANT(0, sev_status(placed, &status));
  uint64_t token = send_guest(copy);
  close(copy);
  close(high);
  WANT(0, receive(token));
  close(placed);
}

static void last_close(void) {
  int vm = launched();
  uint64_t token = send_guest(vm);
  int copy = dup(vm);
  close(vm);
  close(copy);
  WANT(EFAULT, receive(token));
}

static void overwritten(void) {
  int vm = launched();
  uint64_t token = send_guest(vm);
  WANT(0, dup2(1, vm));
  WANT(EFAULT, receive(token));
  WANT(ENOTTY, ioctl(vm, KVM_CHECK_EXTENSION, 0));
  close(vm);
}

static void vcpu_keeps_vm(void) {
  int vm = launched();
  vm_add_vcpus(vm, 1);
  uint64_t token = send_guest(vm);
  int vcpu = dup(vm_vcpu(vm, 0));
  vm_free(vm);
  WANT(0, receive(token));
  struct kvm_regs registers;
  WANT(0, ioctl(vcpu, KVM_GET_REGS, &registers));
  close(vcpu);
}

static void lowest_numbers(void) {
  kvm_device();
  int next = dup(1);
  close(next);
  int vm = vm_create(TYPE_DEFAULT);
  int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0), firmware = open("/dev/sev", O_RDWR),
      kvm = open("/dev/kvm", O_RDWR);
  WANT_TRUE(vm == next && vcpu == next + 1 && firmware == next + 2 && kvm == next + 3);
  WANT_TRUE((fcntl(vm, F_GETFD) & FD_CLOEXEC) && (fcntl(vcpu, F_GETFD) & FD_CLOEXEC));
  WANT_TRUE(!(fcntl(firmware, F_GETFD) & FD_CLOEXEC) && !(fcntl(kvm, F_GETFD) & FD_CLOEXEC));
  close(kvm);
  close(firmware);
  kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  firmware = open("/dev/sev", O_RDWR | O_CLOEXEC);
  WANT_TRUE((fcntl(firmware, F_GETFD) & FD_CLOEXEC) && (fcntl(kvm, F_GETFD) & FD_CLOEXEC));
  close(kvm);
  close(firmware);
  close(vcpu);
  close(vm);
}

/* As programs do that open /dev/sev for each command and never close it. */
static void many_firmware(void) {
  int vm = launched();
  struct kvm_sev_guest_status status;
  for (int n = 0; n < 500; n++) WANT(0, sev_status(vm, &status));
  vm_free(vm);
}

/* The highest number that is a socket: one of the library's connections. */
static int highest_socket(void) {
  DIR *directory = opendir("/proc/self/fd");
  int highest = -1;
  struct dirent *entry;
  while ((entry = readdir(directory))) {
    int number = atoi(entry->d_name);
    struct stat status;
    if (number > highest && fstat(number, &status) == 0 && S_ISSOCK(status.st_mode)) highest = number;
  }
  closedir(directory);
  return highest;
}

static void hidden_numbers(void) {
  int vm = launched(), hidden = highest_socket();
  struct kvm_sev_guest_status status;
  WANT_TRUE(hidden > 100);
  WANT_TRUE((fcntl(hidden, F_GETFD) & FD_CLOEXEC) != 0);
  WANT(EBADF, close(hidden));
  WANT(EBADF, vm_move(vm, hidden));
  WANT(0, sev_status(vm, &status));
  WANT(0, dup2(1, hidden));
  WANT(0, sev_status(vm, &status));
  WANT(0, close(hidden));
  WANT(0, sev_status(vm, &status));
  vm_free(vm);
}

static void closed_behind_the_back(void) {
  int vm = launched(), hidden = highest_socket();
  struct kvm_sev_guest_status status;
  /* A raw system call is not seen; its number is then another file's, which must not be written to. */
  syscall(SYS_close, hidden);
  int other = (int)syscall(SYS_dup3, 1, hidden, O_CLOEXEC);
  WANT(0, sev_status(vm, &status));
  WANT(0, close(other));
  WANT(0, sev_status(vm, &status));
  vm_free(vm);
}

/* As daemons do when they start. */
static void close_everything(void) {
  int device = kvm_device(), vm = launched();
  uint64_t token = send_guest(vm);
  struct kvm_sev_guest_status status;
  for (int number = 3; number < 1024; number++)
    if (number != device) close(number);
  WANT(EFAULT, receive(token));
  vm = launched();
  WANT(0, sev_status(vm, &status));
  token = send_guest(vm);
  WANT_TRUE(device < vm);
  WANT(0, close_range((unsigned)vm, ~0U, 0));
  WANT(EFAULT, receive(token));
}

static void *one_thread(void *argument) {
  uint64_t *failures = argument;
  for (int round = 0; round < 50; round++) {
    int vm = ioctl(kvm_device(), KVM_CREATE_VM, 0);
    struct kvm_sev_cmd command = {.id = KVM_SEV_INIT};
    if (vm < 0 || ioctl(vm, KVM_MEMORY_ENCRYPT_OP, &command) != 0) ++*failures;
    close(vm);
  }
  return NULL;
}

static void threads(void) {
  enum { THREADS = 8 };
  pthread_t thread[THREADS];
  uint64_t failures[THREADS] = {0};
  kvm_device();
  int before = count_descriptors();
  for (int n = 0; n < THREADS; n++) pthread_create(&thread[n], NULL, one_thread, &failures[n]);
  for (int n = 0; n < THREADS; n++) pthread_join(thread[n], NULL);
  for (int n = 0; n < THREADS; n++) WANT_TRUE(failures[n] == 0);
  /* Their connections ended with them. */
  WANT_TRUE(count_descriptors() == before);
}

static void many_machines(void) {
  enum { MACHINES = 60 };
  int vm[MACHINES];
  int before = count_descriptors();
  for (int n = 0; n < MACHINES; n++) {
    vm[n] = plain_vm(false);
    vm_add_vcpus(vm[n], 2);
    WANT(EINVAL, sev(vm[n], KVM_SEV_INIT, NULL));
  }
  for (int n = 0; n < MACHINES; n++) vm_free(vm[n]);
  firmware_close_all();
  WANT_TRUE(count_descriptors() == before);
}

static int signalled_vm;
static volatile sig_atomic_t signals, signal_failures;

static void on_alarm(int number) {
  (void)number;
  struct kvm_sev_cmd command = {.id = 99};
  int error = errno;
  if (ioctl(signalled_vm, KVM_MEMORY_ENCRYPT_OP, &command) != -1 || errno != EINVAL) signal_failures++;
  signals++;
  errno = error;
}

/* An ioctl in the middle of another's conversation must not be taken for its answer. */
static void signal_handlers(void) {
  int vm = launched();
  struct kvm_sev_guest_status status;
  signalled_vm = plain_vm(false);
  struct sigaction action = {.sa_handler = on_alarm};
  sigaction(SIGALRM, &action, NULL);
  struct itimerval timer = {.it_interval.tv_usec = 500, .it_value.tv_usec = 500};
  setitimer(ITIMER_REAL, &timer, NULL);
  for (int n = 0; n < 3000 || signals < 20; n++) {
    struct kvm_sev_cmd command = {.id = KVM_SEV_GUEST_STATUS, .data = (uint64_t)(uintptr_t)&status};
    WANT(0, ioctl(vm, KVM_MEMORY_ENCRYPT_OP, &command));
  }
  setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
  WANT_TRUE(signal_failures == 0);
  vm_free(vm);
  vm_free(signalled_vm);
}

void test_descriptors(void) {
  tap_case("descriptors: dup, F_DUPFD and dup3 lead to the same VM", duplicates);
  tap_case("descriptors: the last close destroys the VM at once", last_close);
  tap_case("descriptors: dup2 over the last one destroys the VM", overwritten);
  tap_case("descriptors: a vCPU keeps its VM alive", vcpu_keeps_vm);
  tap_case("descriptors: new ones have the lowest free numbers", lowest_numbers);
  tap_case("descriptors: /dev/sev opened for each command and never closed", many_firmware);
  tap_case("descriptors: the library's own cannot be closed or overwritten", hidden_numbers);
  tap_case("descriptors: a connection closed by a raw system call is replaced", closed_behind_the_back);
  tap_case("descriptors: many VMs leave nothing behind", many_machines);
  tap_case("threads: each has a connection, which ends with it", threads);
  tap_case("signals: an ioctl in a handler", signal_handlers);
  tap_case("descriptors: everything is closed, one by one and by close_range", close_everything);
}
