/* mmap(2): the pages that a vCPU shares with its program are the real vCPU's, or a file of the stand-in. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <sys/mman.h>

#include "objects.h"
#include "process.h"
#include "real_calls.h"
#include "stand_in.h"

EXPORTED void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t offset);

static void *map_stand_in(struct object *vcpu, void *address, size_t length, int protection, int flags,
                          off_t offset) {
  uint64_t start;
  int file = stand_in_run_pages(vcpu, &start);
  if (file < 0 || offset < 0 || length > STAND_IN_RUN_BYTES ||
      (uint64_t)offset > STAND_IN_RUN_BYTES - length) {
    errno = file < 0 ? -file : EINVAL;
    return MAP_FAILED;
  }
  return real()->mmap(address, length, protection, flags, file, (off_t)start + offset);
}

EXPORTED void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
  if (fd < 0 || (flags & MAP_ANONYMOUS) != 0 || !process_is_enabled())
    return real()->mmap(address, length, protection, flags, fd, offset);
  int saved = errno;
  struct object *object = objects_find(fd);
  errno = saved;
  if (!object || object->kind != OBJECT_VCPU)
    return real()->mmap(address, length, protection, flags, fd, offset);
  int host = atomic_load(&object->host);
  if (host >= 0) return real()->mmap(address, length, protection, flags, host, offset);
  return map_stand_in(object, address, length, protection, flags, offset);
}

EXPORTED void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t offset) {
  return mmap(address, length, protection, flags, fd, offset);
}
