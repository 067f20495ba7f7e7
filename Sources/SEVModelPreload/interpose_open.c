/* open(2) and its kin: /dev/sev is the model's, /dev/kvm is the real one or the stand-in. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <unistd.h>

#include "conversation.h"
#include "device_path.h"
#include "process.h"
#include "real_calls.h"
#include "stand_in.h"

/* The fortified forms of glibc, which programs built with _FORTIFY_SOURCE call. */
EXPORTED int __open_2(const char *path, int flags);
EXPORTED int __open64_2(const char *path, int flags);
EXPORTED int __openat_2(int directory, const char *path, int flags);
EXPORTED int __openat64_2(int directory, const char *path, int flags);

static int failed(int error) {
  errno = error;
  return -1;
}

static int open_firmware(int flags) {
  int fd = model_make(WIRE_OPEN_FIRMWARE, -1, (flags & O_ACCMODE) != O_RDONLY);
  if (fd < 0) return failed(-fd);
  /* The model's descriptors come close-on-exec; open(2) makes them so only when asked. */
  if (!(flags & O_CLOEXEC)) fcntl(fd, F_SETFD, 0);
  return fd;
}

static int open_kvm(int flags) {
  if (!process_wants_stand_in()) {
    int saved = errno, fd = real()->open("/dev/kvm", flags & ~O_CREAT);
    if (fd >= 0) return fd;
    if (errno == EMFILE || errno == ENFILE) return -1;
    errno = saved;
  }
  int fd = stand_in_open(flags);
  return fd < 0 ? failed(-fd) : fd;
}

static bool has_mode(int flags) { return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE; }

#define READ_MODE(flags, mode)        \
  mode_t mode = 0;                    \
  if (has_mode(flags)) {              \
    va_list arguments;                \
    va_start(arguments, flags);       \
    mode = va_arg(arguments, mode_t); \
    va_end(arguments);                \
  }

static int open_device(enum device_path device, int directory, const char *path, int flags, mode_t mode) {
  int fd;
  switch (device) {
  case PATH_FIRMWARE: return open_firmware(flags);
  case PATH_KVM: return open_kvm(flags);
  case PATH_PARAMETER:
    if ((flags & O_ACCMODE) == O_RDONLY && (fd = stand_in_parameter(path, flags)) >= 0) return fd;
    break;
  case PATH_OTHER: break;
  }
  /* An absolute path does not look at the directory; open(2) itself is openat(2) from the working directory.
   */
  return directory == AT_FDCWD ? real()->open(path, flags, mode)
                               : real()->openat(directory, path, flags, mode);
}

static int do_open(const char *path, int flags, mode_t mode) {
  return open_device(device_of_path(path), AT_FDCWD, path, flags, mode);
}

static int do_openat(int directory, const char *path, int flags, mode_t mode) {
  return open_device(device_of_path(path), directory, path, flags, mode);
}

EXPORTED int open(const char *path, int flags, ...) {
  READ_MODE(flags, mode)
  return do_open(path, flags, mode);
}

EXPORTED int open64(const char *path, int flags, ...) {
  READ_MODE(flags, mode)
  return do_open(path, flags | O_LARGEFILE, mode);
}

EXPORTED int openat(int directory, const char *path, int flags, ...) {
  READ_MODE(flags, mode)
  return do_openat(directory, path, flags, mode);
}

EXPORTED int openat64(int directory, const char *path, int flags, ...) {
  READ_MODE(flags, mode)
  return do_openat(directory, path, flags | O_LARGEFILE, mode);
}

EXPORTED int __open_2(const char *path, int flags) { return do_open(path, flags, 0); }
EXPORTED int __open64_2(const char *path, int flags) { return do_open(path, flags | O_LARGEFILE, 0); }
EXPORTED int __openat_2(int directory, const char *path, int flags) {
  return do_openat(directory, path, flags, 0);
}
EXPORTED int __openat64_2(int directory, const char *path, int flags) {
  return do_openat(directory, path, flags | O_LARGEFILE, 0);
}

/* Programs look whether the devices are there before they open them. */
static bool is_device(const char *path) {
  enum device_path device = device_of_path(path);
  return device == PATH_KVM || device == PATH_FIRMWARE;
}

EXPORTED int access(const char *path, int mode) { return is_device(path) ? 0 : real()->access(path, mode); }

EXPORTED int faccessat(int directory, const char *path, int mode, int flags) {
  return is_device(path) ? 0 : real()->faccessat(directory, path, mode, flags);
}
