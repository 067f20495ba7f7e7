#include "tap.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "machine.h"

static int count, failures;
static bool has_failed;
static char why[512];

void tap_case(const char *name, void (*body)(void)) {
  has_failed = false;
  body();
  firmware_close_all();
  count++;
  if (has_failed) {
    failures++;
    printf("not ok %s: %s\n", name, why);
  } else {
    printf("ok %s\n", name);
  }
  fflush(stdout);
}

void tap_skip(const char *name, const char *reason) {
  count++;
  printf("ok %s # SKIPPED: %s\n", name, reason);
}

void tap_fail(int line, const char *format, ...) {
  if (has_failed) return;
  has_failed = true;
  int length = snprintf(why, sizeof why, "line %d: ", line);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(why + length, sizeof why - (size_t)length, format, arguments);
  va_end(arguments);
}

void tap_want(int line, const char *call, int expected, long result, int error) {
  if (expected == 0 ? result >= 0 : result < 0 && error == expected) return;
  tap_fail(line, "%s gave %s, wanted %s", call, result >= 0 ? "success" : strerrorname_np(error),
           expected == 0 ? "success" : strerrorname_np(expected));
}

int tap_end(void) {
  printf("1..%d\n", count);
  return failures != 0;
}
