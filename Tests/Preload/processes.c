/* Several processes: fork, exec, vfork, and descriptors in messages. */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine.h"
#include "tables.h"
#include "tap.h"

extern char **environ;

static int launched(void) {
  int vm = plain_vm(false);
  WANT(0, sev(vm, KVM_SEV_INIT, NULL));
  WANT(0, sev_launch_start(vm, 0));
  return vm;
}

static uint64_t send_guest(int vm) {
  uint64_t token = 0;
  WANT(0, sev(vm, SEV_LOCAL_SEND, &token));
  return token;
}

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

/* 0 if every ioctl on the VM gives EIO, else the line that does not. */
static int check_foreign(int vm, int vcpu) {
  struct kvm_sev_guest_status status;
  struct kvm_regs registers;
  struct kvm_userspace_memory_region slot = {0};
  if (sev(vm, KVM_SEV_GUEST_STATUS, &status) != -1 || errno != EIO) return __LINE__;
  if (ioctl(vm, KVM_CHECK_EXTENSION, 0) != -1 || errno != EIO) return __LINE__;
  if (ioctl(vm, KVM_CREATE_VCPU, 7) != -1 || errno != EIO) return __LINE__;
  if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot) != -1 || errno != EIO) return __LINE__;
  if (region(vm, true, &status, 4096) != -1 || errno != EIO) return __LINE__;
  if (vcpu >= 0 && (ioctl(vcpu, KVM_GET_REGS, &registers) != -1 || errno != EIO)) return __LINE__;
  if (vcpu >= 0 && (ioctl(vcpu, KVM_RUN, 0) != -1 || errno != EIO)) return __LINE__;
  return 0;
}

/* The exit status of a child; lines are told apart by what fits into 8 bits. */
static void want_exit(pid_t child, int line) {
  int status;
  waitpid(child, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    tap_fail(line, "the child ended with status %x (line %d)", status, WEXITSTATUS(status));
}

static void forked(void) {
  int vm = launched();
  struct kvm_sev_guest_status status;
  vm_add_vcpus(vm, 1);
  pid_t child = fork();
  if (child == 0) {
    int line = check_foreign(vm, vm_vcpu(vm, 0));
    /* The child's own VMs work. */
    int own = plain_vm(true);
    if (line == 0 && (sev_status(own, &status) != -1 || errno != ENOTTY)) line = __LINE__;
    _exit(line);
  }
  want_exit(child, __LINE__);
  WANT(0, sev_status(vm, &status));
  struct kvm_regs registers;
  WANT(0, ioctl(vm_vcpu(vm, 0), KVM_GET_REGS, &registers));
  vm_free(vm);
}

/* A child that has a duplicate keeps the VM alive, until it ends. */
static void kept_by_child(void) {
  int vm = launched(), hold[2];
  uint64_t first = send_guest(vm);
  WANT(0, pipe(hold));
  pid_t child = fork();
  if (child == 0) {
    char byte;
    close(hold[1]);
    _exit(read(hold[0], &byte, 1) == 0 ? 0 : __LINE__);
  }
  close(hold[0]);
  vm_free(vm);
  WANT(0, receive(first));
  close(hold[1]);
  want_exit(child, __LINE__);

  vm = launched();
  uint64_t second = send_guest(vm);
  child = fork();
  if (child == 0) _exit(0);
  want_exit(child, __LINE__);
  vm_free(vm);
  WANT(EFAULT, receive(second));
}

int after_exec(int vm) {
  int line = check_foreign(vm, -1), own = plain_vm(false);
  struct kvm_sev_guest_status status;
  if (line == 0 && (sev_status(own, &status) != -1 || errno != ENOTTY)) line = __LINE__;
  /* As the source of a MOVE it is still good, if this kernel has that. */
  if (line == 0 && kvm_capability(KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM) > 0 && vm_move(own, vm) != 0)
    line = __LINE__;
  return line;
}

static void executed(void) {
  int vm = launched();
  char number[16];
  fcntl(vm, F_SETFD, 0);
  snprintf(number, sizeof number, "%d", vm);
  pid_t child = fork();
  if (child == 0) {
    execl("/proc/self/exe", "conformance", "--after-exec", number, (char *)NULL);
    _exit(255);
  }
  want_exit(child, __LINE__);
  vm_free(vm);
}

/* Children that share memory or close everything before exec must not disturb the parent's library. */
static void vforked(void) {
  int vm = launched(), status_word;
  struct kvm_sev_guest_status status;
  vm_add_vcpus(vm, 1);
  pid_t child = vfork();
  if (child == 0) {
    for (int number = 3; number < 1100; number++) close(number);
    execl("/bin/true", "true", (char *)NULL);
    _exit(1);
  }
  want_exit(child, __LINE__);
  child = vfork();
  if (child == 0) {
    dup2(1, vm);
    dup2(1, 1000);
    close_range(3, ~0U, 0);
    _exit(0);
  }
  want_exit(child, __LINE__);
  char *arguments[] = {"true", NULL};
  WANT(0, posix_spawn(&child, "/bin/true", NULL, NULL, arguments, environ) == 0 ? 0 : -1);
  waitpid(child, &status_word, 0);
  WANT(0, sev_status(vm, &status));
  struct kvm_mp_state state;
  WANT(0, ioctl(vm_vcpu(vm, 0), KVM_GET_MP_STATE, &state));
  vm_free(vm);
}

static void send_descriptor(int socket, int fd) {
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct iovec vector = {.iov_base = "x", .iov_len = 1};
  struct msghdr message = {
      .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  if (sendmsg(socket, &message, 0) != 1) abort();
}

static int receive_descriptor(int socket) {
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control = {0};
  char byte;
  int fd = -1;
  struct iovec vector = {.iov_base = &byte, .iov_len = 1};
  struct msghdr message = {
      .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&message))
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
  return fd;
}

static void in_a_message(void) {
  int pair[2], vm = launched();
  struct kvm_sev_guest_status status;
  WANT(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
  pid_t child = fork();
  if (child == 0) {
    int received = receive_descriptor(pair[1]), line = received < 0 ? __LINE__ : check_foreign(received, -1);
    /* A VM of another process can be the source of a MOVE. */
    if (line == 0 && kvm_capability(KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM) > 0 &&
        vm_move(plain_vm(false), received) != 0)
      line = __LINE__;
    _exit(line);
  }
  send_descriptor(pair[0], vm);
  want_exit(child, __LINE__);
  if (kvm_capability(KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM) > 0) {
    /* It was moved away by somebody else: dead, and known to be. */
    WANT(EIO, sev_status(vm, &status));
    WANT(EIO, ioctl(vm, KVM_CHECK_EXTENSION, 0));
    WANT(EIO, ioctl(vm, KVM_CREATE_VCPU, 0));
  }
  vm_free(vm);
  close(pair[0]);
  close(pair[1]);
}

/* A descriptor that waits in a socket keeps the VM alive; when the socket goes, so does the VM. */
static void in_flight(void) {
  int pair[2], vm = launched();
  uint64_t token = send_guest(vm);
  WANT(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
  send_descriptor(pair[0], vm);
  vm_free(vm);
  WANT(0, receive(token));
  vm = launched();
  token = send_guest(vm);
  send_descriptor(pair[0], vm);
  vm_free(vm);
  close(pair[0]);
  close(pair[1]);
  WANT(EFAULT, receive(token));
}

/* Received by the process that made it, while another duplicate was open all the time. */
static void back_again(void) {
  int pair[2], vm = launched();
  struct kvm_sev_guest_status status;
  WANT(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
  send_descriptor(pair[0], vm);
  int again = receive_descriptor(pair[1]);
  vm_free(vm);
  WANT(0, sev_status(again, &status));
  WANT(0, ioctl(again, KVM_CREATE_VCPU, 0));
  close(again);
  close(pair[0]);
  close(pair[1]);
}

void test_processes(void) {
  tap_case("fork: the child gets EIO, the parent goes on, the child's own VMs work", forked);
  tap_case("fork: a VM lives as long as the child has it", kept_by_child);
  tap_case("exec: a VM from before is foreign", executed);
  tap_case("vfork: the parent's library is not disturbed", vforked);
  tap_case("SCM_RIGHTS: a VM of another process", in_a_message);
  tap_case("SCM_RIGHTS: a VM in flight", in_flight);
  tap_case("SCM_RIGHTS: a VM that comes back to its maker", back_again);
}
