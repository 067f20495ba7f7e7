/* The C library's functions that this library stands in front of. */
#ifndef SEVMODEL_REAL_CALLS_H
#define SEVMODEL_REAL_CALLS_H

#include <stddef.h>
#include <sys/types.h>

/* What is exported; everything else in the shared object is hidden. */
#define EXPORTED __attribute__((visibility("default")))

struct real_calls {
  int (*open)(const char *path, int flags, ...);
  int (*openat)(int directory, const char *path, int flags, ...);
  int (*close)(int fd);
  int (*close_range)(unsigned first, unsigned last, int flags);
  void (*closefrom)(int first);
  int (*dup2)(int from, int to);
  int (*dup3)(int from, int to, int flags);
  int (*ioctl)(int fd, unsigned long request, ...);
  void *(*mmap)(void *address, size_t length, int protection, int flags, int fd, off_t offset);
  int (*access)(const char *path, int mode);
  int (*faccessat)(int directory, const char *path, int mode, int flags);
};

/* Finds them at the first call; that one may come before this library's constructors have run. */
const struct real_calls *real(void);

#endif
