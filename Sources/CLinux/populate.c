#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "populate.h"

#include <errno.h>
#include <sys/mman.h>

/* Since Linux 5.14. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

int clinux_populate(void *address, size_t size) {
  if (madvise(address, size, MADV_POPULATE_READ) == 0) return 0;
  if (errno != EINVAL) return -errno;
  const volatile char *byte = address;
  for (size_t offset = 0; offset < size; offset += 4096) (void)byte[offset];
  return 0;
}

int clinux_unpopulate(void *address, size_t size) {
  return madvise(address, size, MADV_DONTNEED) < 0 ? -errno : 0;
}
