#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

int64_t clinux_raise_descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return -errno;
  if (limit.rlim_cur != limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0) return -errno;
  }
  return (int64_t)limit.rlim_cur;
}

int clinux_allocate(int fd, int64_t size) { return -posix_fallocate(fd, 0, size); }

int clinux_change_group(const char *path, uint32_t group) {
  return chown(path, (uid_t)-1, (gid_t)group) < 0 ? -errno : 0;
}

const char *clinux_environment(const char *name) { return getenv(name); }
