/*
 * /sys/module/kvm*: what programs read to learn about KVM before they open it. The kernel's selftests do so,
 * and give up where the files are missing.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conversation.h"
#include "device_path.h"
#include "real_calls.h"
#include "stand_in.h"

static const struct parameter {
  const char *name;  /* behind PATH_PARAMETER_PREFIX */
  uint64_t shown_if; /* the bit of the model's description that makes it Y */
  const char *otherwise;
} parameters[] = {
    {"_amd/parameters/sev", 1, "N\n"},
    {"_amd/parameters/sev_es", 2, "N\n"},
    {"_amd/parameters/sev_snp", 0, "N\n"},
    {"/parameters/enable_pmu", 0, "N\n"},
    {"/parameters/force_emulation_prefix", 0, "0\n"},
};

static int file_with(const char *text, int flags) {
  int fd = memfd_create("sevmodel-parameter", flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
  if (fd < 0) return -errno;
  if (write(fd, text, strlen(text)) == (ssize_t)strlen(text) && lseek(fd, 0, SEEK_SET) == 0) return fd;
  int error = errno;
  real()->close(fd);
  return -error;
}

int stand_in_parameter(const char *path, int flags) {
  const char *name = path + sizeof PATH_PARAMETER_PREFIX - 1;
  for (size_t index = 0; index < sizeof parameters / sizeof *parameters; index++) {
    const struct parameter *parameter = &parameters[index];
    if (strcmp(name, parameter->name) != 0) continue;
    /* What the model knows counts more than what the host's module says. */
    if (parameter->shown_if == 0 && real()->access(path, F_OK) == 0) return -ENOENT;
    struct model_result description = {0};
    if (parameter->shown_if != 0 && model_call(WIRE_DESCRIBE, -1, 0, &description) < 0) return -ENOENT;
    return file_with((description.values[0] & parameter->shown_if) != 0 ? "Y\n" : parameter->otherwise,
                     flags);
  }
  return -ENOENT;
}
