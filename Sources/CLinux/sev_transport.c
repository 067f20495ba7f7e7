#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "sev_transport.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

static inline ssize_t result(ssize_t value) { return value < 0 ? -errno : value; }

union one_descriptor {
  struct cmsghdr header;
  char bytes[CMSG_SPACE(sizeof(int))];
};

union two_descriptors {
  struct cmsghdr header;
  char bytes[CMSG_SPACE(2 * sizeof(int))];
};

ssize_t sev_send2(
    int socket, const void *record, size_t count, const int *descriptors, int descriptor_count) {
  union two_descriptors control;
  struct iovec vector = {.iov_base = (void *)record, .iov_len = count};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
  if (descriptor_count > 2) return -EINVAL;
  if (descriptor_count > 0) {
    size_t bytes = (size_t)descriptor_count * sizeof(int);
    memset(&control, 0, sizeof control);
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(bytes);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(bytes);
    memcpy(CMSG_DATA(header), descriptors, bytes);
  }
  ssize_t sent;
  do sent = sendmsg(socket, &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return result(sent);
}

ssize_t sev_send(int socket, const void *record, size_t count, int descriptor) {
  return sev_send2(socket, record, count, &descriptor, descriptor >= 0 ? 1 : 0);
}

ssize_t sev_receive(int socket, void *record, size_t capacity, int *descriptor) {
  union one_descriptor control;
  struct iovec vector = {.iov_base = record, .iov_len = capacity};
  struct msghdr message = {.msg_iov = &vector,
                           .msg_iovlen = 1,
                           .msg_control = control.bytes,
                           /* Not CMSG_SPACE, whose padding has room for a second one. */
                           .msg_controllen = CMSG_LEN(sizeof(int))};
  ssize_t received;
  *descriptor = -1;
  do received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (received < 0 && errno == EINTR);
  if (received < 0) return -errno;
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
      header->cmsg_len == CMSG_LEN(sizeof *descriptor))
    memcpy(descriptor, CMSG_DATA(header), sizeof *descriptor);
  if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
    if (*descriptor >= 0) close(*descriptor);
    *descriptor = -1;
    return -EMSGSIZE;
  }
  return received;
}

int sev_copy_in(uint64_t address, void *to, size_t count) {
  struct iovec local = {.iov_base = to, .iov_len = count};
  struct iovec remote = {.iov_base = (void *)(uintptr_t)address, .iov_len = count};
  return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)count ? 0 : -EFAULT;
}

int sev_copy_out(uint64_t address, const void *from, size_t count) {
  struct iovec local = {.iov_base = (void *)from, .iov_len = count};
  struct iovec remote = {.iov_base = (void *)(uintptr_t)address, .iov_len = count};
  return process_vm_writev(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)count ? 0 : -EFAULT;
}

int sev_fault_in(uint64_t address, uint64_t count, int for_writing) {
  const uint64_t page = 4096;
  uint64_t first = address & ~(page - 1), end;
  if (__builtin_add_overflow(address, count, &end) || __builtin_add_overflow(end, page - 1, &end))
    return -ENOMEM;
  end &= ~(page - 1);
  int advice = for_writing ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;
  int status;
  do status = madvise((void *)(uintptr_t)first, end - first, advice);
  while (status < 0 && (errno == EINTR || errno == EAGAIN));
  return (int)result(status);
}

/* PROCMAP_QUERY of linux/fs.h (Linux 6.11), under names of our own: older headers have none. */
struct mapping_query {
  uint64_t size, flags, address;
  uint64_t start, end, mapping_flags, page_size, offset, inode;
  uint32_t device_major, device_minor, name_size, build_id_size;
  uint64_t name, build_id;
};
#define MAPPING_QUERY _IOWR('f', 17, struct mapping_query)
#define MAPPING_SHARED 0x08u

struct mapping {
  uint64_t start, end, offset, inode;
  int is_shared;
};

/* Whether the mapping that holds `address` was found; -1 where the kernel cannot be asked this way. */
static int query(int maps, uint64_t address, struct mapping *found) {
  struct mapping_query query = {.size = sizeof query, .address = address};
  if (ioctl(maps, MAPPING_QUERY, &query) < 0) return errno == ENOENT ? 0 : -1;
  found->start = query.start;
  found->end = query.end;
  found->offset = query.offset;
  found->inode = query.inode;
  found->is_shared = (query.mapping_flags & MAPPING_SHARED) != 0;
  return 1;
}

/* The same by the text, for Linux before 6.11. */
static int search(uint64_t address, struct mapping *found) {
  FILE *maps = fopen("/proc/self/maps", "re");
  if (!maps) return 0;
  char line[512];
  int is_found = 0, is_whole = 1;
  while (!is_found && fgets(line, sizeof line, maps)) {
    /* A line longer than the buffer goes on with a name, which is of no interest. */
    int starts = is_whole;
    is_whole = 0;
    for (const char *end = line; *end; end++) is_whole = *end == '\n';
    char shared;
    if (!starts ||
        sscanf(
            line, "%" SCNx64 "-%" SCNx64 " %*c%*c%*c%c %" SCNx64 " %*x:%*x %" SCNu64, &found->start,
            &found->end, &shared, &found->offset, &found->inode) != 5)
      continue;
    found->is_shared = shared == 's';
    is_found = found->start <= address && address < found->end;
  }
  fclose(maps);
  return is_found;
}

int sev_page_identity(
    uint64_t address, uint64_t count, uint64_t anonymous, uint64_t *pairs, int capacity) {
  const uint64_t page = 4096;
  uint64_t end, at = address & ~(page - 1);
  if (count == 0 || __builtin_add_overflow(address, count, &end)) return -EFAULT;
  int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC), pages = 0;
  struct mapping mapping = {0};
  for (; at < end; at += page, pages++) {
    if (pages == capacity) {
      pages = -E2BIG;
      break;
    }
    if (at < mapping.start || at >= mapping.end) {
      int status = maps < 0 ? -1 : query(maps, at, &mapping);
      if (status < 0) status = search(at, &mapping);
      if (status == 0) {
        pages = -EFAULT;
        break;
      }
    }
    int is_file = mapping.is_shared && mapping.inode != 0;
    pairs[2 * pages] = is_file ? mapping.inode : anonymous;
    pairs[2 * pages + 1] = is_file ? mapping.offset + (at - mapping.start) : at;
  }
  if (maps >= 0) close(maps);
  return pages;
}

uint64_t sev_address_space(void) {
  /* The page is shared by the threads, zeroed in a forked child, and not there after exec. */
  static uint64_t *page;
  uint64_t *name = __atomic_load_n(&page, __ATOMIC_ACQUIRE);
  if (!name) {
    uint64_t *fresh = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fresh == MAP_FAILED) return 0;
    if (madvise(fresh, 4096, MADV_WIPEONFORK) < 0) {
      munmap(fresh, 4096);
      return 0;
    }
    if (__atomic_compare_exchange_n(&page, &name, fresh, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
      name = fresh;
    else
      munmap(fresh, 4096);
  }
  uint64_t value = __atomic_load_n(name, __ATOMIC_ACQUIRE);
  while (value == 0) {
    uint64_t fresh = 0;
    if (getrandom(&fresh, sizeof fresh, 0) != sizeof fresh || fresh == 0) continue;
    if (__atomic_compare_exchange_n(name, &value, fresh, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
      value = fresh;
  }
  return value;
}

uint64_t sev_lockable_pages(void) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
  if (syscall(SYS_capget, &header, sets) == 0 && (sets[0].effective & (1u << CAP_IPC_LOCK)))
    return UINT64_MAX;
  struct rlimit limit;
  if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0) return 0;
  return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur / 4096;
}

int sev_ioctl(int fd, unsigned long request, uint64_t argument) {
  return (int)result(ioctl(fd, request, (void *)(uintptr_t)argument));
}

int sev_raise_descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return -errno;
  limit.rlim_cur = limit.rlim_max;
  return (int)result(setrlimit(RLIMIT_NOFILE, &limit));
}

int sev_shutdown_reading(int socket) { return (int)result(shutdown(socket, SHUT_RD)); }

int sev_queue_create(void) { return (int)result(epoll_create1(EPOLL_CLOEXEC)); }

int sev_queue_add(int queue, int fd, int readable, uint64_t key) {
  struct epoll_event event = {.events = readable ? EPOLLIN : 0, .data.u64 = key};
  return (int)result(epoll_ctl(queue, EPOLL_CTL_ADD, fd, &event));
}

int sev_queue_remove(int queue, int fd) { return (int)result(epoll_ctl(queue, EPOLL_CTL_DEL, fd, NULL)); }

int sev_queue_wait(int queue, struct sev_event *events, int capacity, int timeout_milliseconds) {
  struct epoll_event raw[64];
  if (capacity > 64) capacity = 64;
  int count;
  do count = epoll_wait(queue, raw, capacity, timeout_milliseconds);
  while (count < 0 && errno == EINTR);
  if (count < 0) return -errno;
  for (int index = 0; index < count; index++) {
    events[index].key = raw[index].data.u64;
    events[index].readable = (raw[index].events & EPOLLIN) != 0;
    events[index].hung_up = (raw[index].events & (EPOLLHUP | EPOLLERR)) != 0;
  }
  return count;
}
