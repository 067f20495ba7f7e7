#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "real_calls.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct real_calls calls;
static atomic_int found;

/* Since glibc 2.34; before, nobody calls them by name. */
static int close_range_call(unsigned first, unsigned last, int flags) {
  return (int)syscall(SYS_close_range, first, last, flags);
}

static void closefrom_call(int first) { close_range_call(first < 0 ? 0 : (unsigned)first, ~0U, 0); }

static void *find(const char *name) {
  void *symbol = dlsym(RTLD_NEXT, name);
  if (!symbol) {
    fprintf(stderr, "libsevmodel-preload: the C library has no %s; preload it into glibc programs only\n",
            name);
    abort();
  }
  return symbol;
}

/* POSIX promises that a function pointer fits a void * and comes back whole; ISO C alone does not. */
#define FIND(member) (*(void **)&calls.member = find(#member))

const struct real_calls *real(void) {
  if (!atomic_load_explicit(&found, memory_order_acquire)) {
    int saved = errno;
    /* Two threads may do this at once: both store the same. */
    FIND(open);
    FIND(openat);
    FIND(close);
    FIND(dup2);
    FIND(dup3);
    FIND(ioctl);
    FIND(mmap);
    FIND(access);
    FIND(faccessat);
    void *range = dlsym(RTLD_NEXT, "close_range"), *from = dlsym(RTLD_NEXT, "closefrom");
    calls.close_range = close_range_call;
    calls.closefrom = closefrom_call;
    if (range) *(void **)&calls.close_range = range;
    if (from) *(void **)&calls.closefrom = from;
    atomic_store_explicit(&found, 1, memory_order_release);
    errno = saved;
  }
  return &calls;
}
