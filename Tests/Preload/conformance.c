/*
 * conformance GROUP…: runs groups of cases under libsevmodel-preload.so and reports each. It is an ordinary
 * program: nothing in it knows of the library. Exit status: 0 if all cases passed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tables.h"
#include "tap.h"

static const struct {
  const char *name;
  void (*run)(void);
} groups[] = {
    {"move", table_move},
    {"mirror", table_mirror},
    {"init2", table_init2},
    {"launch", table_launch},
    {"ciphertext", table_ciphertext},
    {"processor", table_processor},
    {"old-mirror", table_old_mirror},
    {"local", table_local},
    {"local-two-patches", table_local_two_patches},
    {"devices", test_devices},
    {"processes", test_processes},
    {"descriptors", test_descriptors},
};

static int run(const char *name) {
  for (size_t n = 0; n < sizeof groups / sizeof *groups; n++) {
    if (strcmp(groups[n].name, name) != 0) continue;
    groups[n].run();
    return 0;
  }
  fprintf(stderr, "conformance: no group %s\n", name);
  return 64;
}

int main(int count, char **arguments) {
  if (count == 3 && strcmp(arguments[1], "--after-exec") == 0) return after_exec(atoi(arguments[2]));
  for (int n = 1; n < count; n++) {
    int status = run(arguments[n]);
    if (status != 0) return status;
  }
  return tap_end();
}
