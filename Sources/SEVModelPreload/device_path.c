#include "device_path.h"

#include <stddef.h>
#include <string.h>

#include "process.h"

enum device_path device_of_path(const char *path) {
  /* Nearly all paths are settled by their first bytes. */
  enum device_path device = PATH_OTHER;
  if (path == NULL) return PATH_OTHER;
  if (strcmp(path, "/dev/kvm") == 0) device = PATH_KVM;
  else if (strcmp(path, "/dev/sev") == 0) device = PATH_FIRMWARE;
  else if (strncmp(path, PATH_PARAMETER_PREFIX, sizeof PATH_PARAMETER_PREFIX - 1) == 0)
    device = PATH_PARAMETER;
  return device != PATH_OTHER && process_is_enabled() ? device : PATH_OTHER;
}
