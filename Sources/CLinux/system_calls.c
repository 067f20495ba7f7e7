#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "system_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/futex.h>
#include <linux/memfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

_Static_assert(sizeof(struct clinux_poll_entry) == sizeof(struct pollfd), "poll entry layout");
_Static_assert(CLINUX_POLL_IN == POLLIN && CLINUX_POLL_OUT == POLLOUT, "poll bits");
_Static_assert(CLINUX_POLL_ERROR == POLLERR && CLINUX_POLL_HANGUP == POLLHUP, "poll bits");

static inline ssize_t result(ssize_t value) { return value < 0 ? -errno : value; }

int clinux_close(int fd) { return (int)result(close(fd)); }
int clinux_duplicate(int fd, int lowest) { return (int)result(fcntl(fd, F_DUPFD_CLOEXEC, lowest)); }
int clinux_duplicate_onto(int fd, int target) { return (int)result(dup3(fd, target, 0)); }

int clinux_set_close_on_exec(int fd, int enabled) {
  return (int)result(fcntl(fd, F_SETFD, enabled ? FD_CLOEXEC : 0));
}

int clinux_set_nonblocking(int fd, int enabled) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return -errno;
  flags = enabled ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  return (int)result(fcntl(fd, F_SETFL, flags));
}

int clinux_open(const char *path, int flags, unsigned mode) {
  return (int)result(open(path, flags | O_CLOEXEC, mode));
}
int clinux_unlink(const char *path) { return (int)result(unlink(path)); }
int clinux_rename(const char *from, const char *to) { return (int)result(rename(from, to)); }
int clinux_mkdir(const char *path, unsigned mode) { return (int)result(mkdir(path, mode)); }
int clinux_chmod(const char *path, unsigned mode) { return (int)result(chmod(path, mode)); }
ssize_t clinux_read(int fd, void *buffer, size_t count) { return result(read(fd, buffer, count)); }
ssize_t clinux_write(int fd, const void *buffer, size_t count) {
  return result(write(fd, buffer, count));
}
ssize_t clinux_pread(int fd, void *buffer, size_t count, int64_t offset) {
  return result(pread(fd, buffer, count, offset));
}
ssize_t clinux_pwrite(int fd, const void *buffer, size_t count, int64_t offset) {
  return result(pwrite(fd, buffer, count, offset));
}
int clinux_pipe(int fds[2]) { return (int)result(pipe2(fds, O_CLOEXEC)); }
int clinux_ftruncate(int fd, int64_t size) { return (int)result(ftruncate(fd, size)); }

int clinux_ofd_write_lock(int fd) {
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  return (int)result(fcntl(fd, F_OFD_SETLK, &lock));
}

int clinux_file_identity(int fd, struct clinux_file_identity *out) {
  struct stat status;
  if (fstat(fd, &status) < 0) return -errno;
  out->device = status.st_dev;
  out->inode = status.st_ino;
  out->size = (uint64_t)status.st_size;
  out->mode = status.st_mode;
  out->links = (uint32_t)status.st_nlink;
  return 0;
}

int clinux_local_socket(int type) {
  return (int)result(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
}
int clinux_local_pair(int type, int fds[2]) {
  return (int)result(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds));
}

static int local_address(const char *path, struct sockaddr_un *address, socklen_t *length) {
  size_t count = strlen(path);
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  if (count == 0) return -EINVAL;
  if (count >= sizeof address->sun_path) return -ENAMETOOLONG;
  memcpy(address->sun_path, path, count);
  *length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + count + 1);
  return 0;
}

int clinux_local_bind(int fd, const char *path) {
  struct sockaddr_un address;
  socklen_t length;
  int failure = local_address(path, &address, &length);
  if (failure < 0) return failure;
  return (int)result(bind(fd, (struct sockaddr *)&address, length));
}
int clinux_local_connect(int fd, const char *path) {
  struct sockaddr_un address;
  socklen_t length;
  int failure = local_address(path, &address, &length);
  if (failure < 0) return failure;
  return (int)result(connect(fd, (struct sockaddr *)&address, length));
}
int clinux_set_send_timeout(int fd, int milliseconds) {
  const struct timeval limit = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};
  return (int)result(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit));
}
int clinux_listen(int fd, int backlog) { return (int)result(listen(fd, backlog)); }
int clinux_accept(int fd) { return (int)result(accept4(fd, NULL, NULL, SOCK_CLOEXEC)); }
int clinux_shutdown(int fd) { return (int)result(shutdown(fd, SHUT_RDWR)); }

union control {
  struct cmsghdr header;
  char bytes[CMSG_SPACE(sizeof(int) * CLINUX_MAXIMUM_DESCRIPTORS)];
};

ssize_t clinux_send_record(int fd, const void *bytes, size_t count, const int *descriptors,
                           int descriptor_count, int dont_wait) {
  union control control;
  struct iovec vector = {.iov_base = (void *)bytes, .iov_len = count};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
  if (descriptor_count < 0 || descriptor_count > CLINUX_MAXIMUM_DESCRIPTORS) return -EINVAL;
  if (descriptor_count > 0) {
    size_t size = sizeof(int) * (size_t)descriptor_count;
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(size);
    memset(control.bytes, 0, message.msg_controllen);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(header), descriptors, size);
  }
  return result(sendmsg(fd, &message, MSG_NOSIGNAL | (dont_wait ? MSG_DONTWAIT : 0)));
}

ssize_t clinux_receive_record(int fd, void *bytes, size_t count, int *descriptors, int dont_wait,
                              struct clinux_received *out) {
  union control control;
  struct iovec vector = {.iov_base = bytes, .iov_len = count};
  struct msghdr message = {.msg_iov = &vector,
                           .msg_iovlen = 1,
                           .msg_control = control.bytes,
                           .msg_controllen = sizeof control.bytes};
  out->descriptor_count = 0;
  out->flags = 0;
  ssize_t received = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | (dont_wait ? MSG_DONTWAIT : 0));
  if (received < 0) return -errno;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    size_t size = header->cmsg_len - CMSG_LEN(0);
    memcpy(descriptors + out->descriptor_count, CMSG_DATA(header), size);
    out->descriptor_count += (int)(size / sizeof(int));
  }
  out->flags = message.msg_flags;
  return received;
}
int clinux_message_truncated(int flags) { return (flags & MSG_TRUNC) != 0; }
int clinux_control_truncated(int flags) { return (flags & MSG_CTRUNC) != 0; }

int clinux_peer_credentials(int fd, struct clinux_peer *out) {
  struct ucred credentials;
  socklen_t length = sizeof credentials;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0) return -errno;
  out->pid = credentials.pid;
  out->uid = credentials.uid;
  out->gid = credentials.gid;
  return 0;
}
int clinux_peer_groups(int fd, uint32_t *groups, int capacity) {
  socklen_t length = (socklen_t)(sizeof(gid_t) * (size_t)capacity);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length) < 0) return -errno;
  return (int)(length / sizeof(gid_t));
}
int clinux_peer_pidfd(int fd) {
  int pidfd = -1;
  socklen_t length = sizeof pidfd;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length) < 0) return -errno;
  return pidfd;
}
int clinux_pidfd_open(int32_t pid) { return (int)result(syscall(SYS_pidfd_open, pid, 0)); }
int clinux_pidfd_signal(int pidfd, int signal) {
  return (int)result(syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0));
}
int clinux_set_not_dumpable(void) { return (int)result(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)); }

int clinux_memfd(const char *name, int sealable, int huge_page_shift) {
  unsigned flags = MFD_CLOEXEC | (sealable ? MFD_ALLOW_SEALING : 0);
  if (huge_page_shift > 0) flags |= MFD_HUGETLB | ((unsigned)huge_page_shift << MFD_HUGE_SHIFT);
  int fd = memfd_create(name, flags | MFD_NOEXEC_SEAL);
  /* Kernels before 6.3 do not know MFD_NOEXEC_SEAL. */
  if (fd < 0 && errno == EINVAL) fd = memfd_create(name, flags);
  return (int)result(fd);
}
int clinux_add_seals(int fd, int seals) { return (int)result(fcntl(fd, F_ADD_SEALS, seals)); }
int clinux_get_seals(int fd) { return (int)result(fcntl(fd, F_GET_SEALS)); }

void *clinux_map_shared(int fd, size_t size, int writable, int populate, int *error) {
  int protection = PROT_READ | (writable ? PROT_WRITE : 0);
  void *address = mmap(NULL, size, protection, MAP_SHARED | (populate ? MAP_POPULATE : 0), fd, 0);
  if (address == MAP_FAILED) {
    *error = errno;
    return NULL;
  }
  *error = 0;
  return address;
}
int clinux_unmap(void *address, size_t size) { return (int)result(munmap(address, size)); }
int clinux_advise_dont_dump(void *address, size_t size) {
  return (int)result(madvise(address, size, MADV_DONTDUMP));
}
int clinux_advise_dont_fork(void *address, size_t size) {
  return (int)result(madvise(address, size, MADV_DONTFORK));
}
void clinux_wipe(void *address, size_t size) { explicit_bzero(address, size); }

int clinux_poll(struct clinux_poll_entry *entries, unsigned count, int64_t timeout_nanoseconds) {
  struct timespec timeout = {.tv_sec = timeout_nanoseconds / 1000000000,
                             .tv_nsec = timeout_nanoseconds % 1000000000};
  return (int)result(ppoll((struct pollfd *)entries, count, timeout_nanoseconds < 0 ? NULL : &timeout, NULL));
}
int clinux_eventfd(void) { return (int)result(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

static void signal_set(const int *signals, int count, sigset_t *set) {
  sigemptyset(set);
  for (int index = 0; index < count; index++) sigaddset(set, signals[index]);
}
int clinux_block_signals(const int *signals, int count) {
  sigset_t set;
  signal_set(signals, count, &set);
  return -pthread_sigmask(SIG_BLOCK, &set, NULL);
}
int clinux_signalfd(const int *signals, int count) {
  sigset_t set;
  signal_set(signals, count, &set);
  return (int)result(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}
int clinux_signalfd_read(int fd) {
  struct signalfd_siginfo info;
  ssize_t count = read(fd, &info, sizeof info);
  if (count < 0) return -errno;
  return count == sizeof info ? (int)info.ssi_signo : -EIO;
}

static uint64_t nanoseconds(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
uint64_t clinux_monotonic_nanoseconds(void) { return nanoseconds(CLOCK_MONOTONIC); }
uint64_t clinux_realtime_nanoseconds(void) { return nanoseconds(CLOCK_REALTIME); }

int clinux_futex_wait(const uint32_t *word, uint32_t expected, int64_t timeout_nanoseconds) {
  struct timespec timeout = {.tv_sec = timeout_nanoseconds / 1000000000,
                             .tv_nsec = timeout_nanoseconds % 1000000000};
  return (int)result(syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected,
                             timeout_nanoseconds < 0 ? NULL : &timeout, NULL, 0));
}
int clinux_futex_wake(const uint32_t *word, int count) {
  return (int)result(syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0));
}
uint32_t clinux_load32(const uint32_t *word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }
void clinux_store32(uint32_t *word, uint32_t value) { __atomic_store_n(word, value, __ATOMIC_SEQ_CST); }
uint32_t clinux_exchange32(uint32_t *word, uint32_t value) {
  return __atomic_exchange_n(word, value, __ATOMIC_SEQ_CST);
}
int32_t clinux_thread_id(void) { return (int32_t)syscall(SYS_gettid); }
int clinux_name_thread(const char *name) { return -pthread_setname_np(pthread_self(), name); }

/* sched_setattr(2) has no wrapper in glibc 2.36, and <linux/sched/types.h> clashes with <sched.h>. */
struct scheduling_attributes {
  uint32_t size;
  uint32_t policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime;
  uint64_t deadline;
  uint64_t period;
};

int clinux_set_slice(uint64_t nanoseconds) {
  struct scheduling_attributes attributes = {.size = sizeof attributes};
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) < 0) return -errno;
  attributes.size = sizeof attributes;
  attributes.runtime = nanoseconds;
  return (int)result(syscall(SYS_sched_setattr, 0, &attributes, 0));
}

int clinux_group_id(const char *name) {
  struct group *group = getgrnam(name);
  return group ? (int)group->gr_gid : -ENOENT;
}
