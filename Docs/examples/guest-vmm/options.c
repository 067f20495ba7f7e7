/* The command line of the example VMMs. */
#define _GNU_SOURCE
#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One of these words, by its place. */
static int choose(const char *value, const char *const *words, uint32_t count, uint32_t *choice) {
  for (uint32_t index = 0; index < count; index++)
    if (strcmp(value, words[index]) == 0) {
      *choice = index;
      return 0;
    }
  return -1;
}

static int read_number(const char *value, uint32_t *number) {
  char *end;
  unsigned long read = strtoul(value, &end, 10);
  if (*value < '0' || *value > '9' || (*end != 0 && strcmp(end, "M") != 0) || read > 1000000) return -1;
  *number = (uint32_t)read;
  return 0;
}

static int read_file(const char *path, struct file *file) {
  enum { MOST = 16384 };
  int opened = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t size = -1;
  file->bytes = malloc(MOST);
  if (opened >= 0 && file->bytes != NULL) size = read(opened, file->bytes, MOST);
  if (size < 0) fprintf(stderr, "guest-vmm: reading %s: %s\n", path, strerror(errno));
  if (opened >= 0) close(opened);
  file->size = size > 0 ? (size_t)size : 0;
  return size > 0 ? 0 : -1;
}

static int read_option(struct options *options, const char *name, const char *value) {
  static const char *const kinds[] = {"auto", "kvm", "software"};
  static const char *const ways[] = {"auto", "token", "move", "none"};
  struct machine_setup *machine = &options->machine;
  uint32_t megabytes;
  if (strcmp(name, "--vm") == 0) return options->guest = value, 0;
  if (strcmp(name, "--registry") == 0) return options->registry = value, 0;
  if (strcmp(name, "--console") == 0) return machine->console = value, 0;
  if (strcmp(name, "--disk") == 0) return machine->disk = value, 0;
  if (strcmp(name, "--events") == 0) return options->events = value, 0;
  if (strcmp(name, "--remote-socket") == 0) return options->remote = value, 0;
  if (strcmp(name, "--link-timeout") == 0) return read_number(value, &options->silence_ms);
  if (strcmp(name, "--signed-cek") == 0) return read_file(value, &options->signed_cek);
  if (strcmp(name, "--amd-chain") == 0) return read_file(value, &options->amd_chain);
  if (strcmp(name, "--vcpus") == 0) return read_number(value, &machine->vcpu_count);
  if (strcmp(name, "--duty") == 0) return read_number(value, &machine->duty_percent);
  if (strcmp(name, "--vcpu") == 0) return choose(value, kinds, 3, &machine->vcpu_kind);
  if (strcmp(name, "--sev") == 0) return choose(value, ways, 4, &machine->way);
  if (strcmp(name, "--memory") != 0 || read_number(value, &megabytes) < 0) return -1;
  machine->ram_size = (uint64_t)megabytes << 20;
  return 0;
}

int options_read(struct options *options, int count, char **arguments) {
  *options = (struct options){
      .registry = "/run/baton/handoff",
      .gives_custody = 1,
      .machine = {.ram_size = UINT64_C(64) << 20, .vcpu_count = 2, .duty_percent = 100, .way = MACHINE_WAY_NONE},
  };
  for (int index = 1; index < count; index++) {
    const char *name = arguments[index];
    if (strcmp(name, "--sev-es") == 0) {
      options->machine.has_encrypted_state = 1;
    } else if (strcmp(name, "--no-custody") == 0) {
      options->gives_custody = 0;
    } else if (strcmp(name, "--incoming") == 0) {
      options->is_incoming = 1;
    } else if (strcmp(name, "--trust-model-root") == 0) {
      options->trusts_model_root = 1;
    } else if (index + 1 == count || read_option(options, name, arguments[++index]) < 0) {
      fprintf(stderr, "guest-vmm: %s is no option, or its value makes no sense\n", name);
      return -1;
    }
  }
  if (options->guest != NULL) return 0;
  fprintf(stderr, "usage: guest-vmm --vm NAME [--registry SOCKET] [options as options.h lists them]\n");
  return -1;
}

int options_open_events(const struct options *options) {
  if (options->events == NULL) return -1;
  int events = open(options->events, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (events < 0) fprintf(stderr, "guest-vmm: opening %s: %s\n", options->events, strerror(errno));
  return events;
}

void options_occupy_standard_numbers(void) {
  int opened;
  while ((opened = open("/dev/null", O_RDWR | O_CLOEXEC)) >= 0 && opened <= 2) continue;
  if (opened >= 0) close(opened);
}
