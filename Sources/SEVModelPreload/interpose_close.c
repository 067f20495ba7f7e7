/*
 * close(2) and whatever else ends a descriptor. The model sees the last close of a VM by itself; what is done
 * here is for the real VM behind it, for the stand-in's state, and for the library's own descriptors.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "hidden_descriptors.h"
#include "objects.h"
#include "process.h"
#include "real_calls.h"

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

EXPORTED int close(int fd) {
  if (!process_is_enabled()) return real()->close(fd);
  if (hidden_is(fd)) {
    /* For the program it is not open: daemons close all numbers there could be. */
    errno = EBADF;
    return -1;
  }
  int saved = errno;
  bool was_ours = objects_find(fd) != NULL;
  errno = saved;
  int status = real()->close(fd);
  if (was_ours && process_owns_records()) objects_collect();
  return status;
}

/* Closes a range but for the library's own descriptors. */
static int close_all_but_hidden(unsigned first, unsigned last, int flags) {
  int status = 0;
  for (;;) {
    int hidden = first > INT_MAX ? -1 : hidden_next((int)first);
    if (hidden < 0 || (unsigned)hidden > last) break;
    if ((unsigned)hidden > first) status = real()->close_range(first, (unsigned)hidden - 1, flags);
    if (status < 0) return status;
    first = (unsigned)hidden + 1;
    if (first > last) return 0;
  }
  return real()->close_range(first, last, flags);
}

EXPORTED int close_range(unsigned first, unsigned last, int flags) {
  /* Those of the library are close-on-exec anyway. */
  if (!process_is_enabled() || first > last || (flags & (int)CLOSE_RANGE_CLOEXEC) != 0)
    return real()->close_range(first, last, flags);
  int status = close_all_but_hidden(first, last, flags);
  if (process_owns_records()) objects_collect();
  return status;
}

EXPORTED void closefrom(int first) {
  if (!process_is_enabled()) {
    real()->closefrom(first);
    return;
  }
  close_range(first < 0 ? 0 : (unsigned)first, UINT_MAX, 0);
}

/* What dup2 and dup3 need done about the number that they are to take. */
static int make_way(int from, int to, bool *was_ours) {
  *was_ours = false;
  if (from == to) return 0;
  if (hidden_is(from)) return -EBADF;
  int saved = errno, status = 0;
  /* A vfork child has numbers of its own: overwriting one there takes nothing from the parent. */
  if (hidden_is(to) && process_owns_records()) status = hidden_give_way(to);
  *was_ours = objects_find(to) != NULL;
  errno = saved;
  return status;
}

EXPORTED int dup2(int from, int to) {
  bool was_ours;
  if (!process_is_enabled()) return real()->dup2(from, to);
  int status = make_way(from, to, &was_ours);
  if (status < 0) {
    errno = -status;
    return -1;
  }
  status = real()->dup2(from, to);
  if (was_ours && process_owns_records()) objects_collect();
  return status;
}

EXPORTED int dup3(int from, int to, int flags) {
  bool was_ours;
  if (!process_is_enabled()) return real()->dup3(from, to, flags);
  int status = make_way(from, to, &was_ours);
  if (status < 0) {
    errno = -status;
    return -1;
  }
  status = real()->dup3(from, to, flags);
  if (was_ours && process_owns_records()) objects_collect();
  return status;
}
