/*
 * What libbaton costs a program that links it: from the start of a process to its end with and without the library, and
 * the time of dlopen(). Prints one line for each round and kind: `execWithout|execWith|open NANOSECONDS`.
 *
 *   load-time ROUNDS LIBRARY LINKED     LINKED: this program, linked with the library
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#ifdef LINKED
#include <baton.h>
#endif

extern char **environ;

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Runs a program to its end; how long that took, or 0. */
static uint64_t run(char *program, char *mode, char *argument) {
  char *arguments[] = {program, mode, argument, NULL};
  pid_t child;
  int status;
  uint64_t begin = now();
  if (posix_spawn(&child, program, NULL, NULL, arguments, environ) != 0 || waitpid(child, &status, 0) != child) return 0;
  return status == 0 ? now() - begin : 0;
}

static int measure(char *self, int rounds, char *library, char *linked) {
  for (int round = 0; round < rounds; round++) {
    uint64_t without = run(self, "--nothing", NULL), with = run(linked, "--nothing", NULL);
    if (without == 0 || with == 0) return 1;
    printf("execWithout %lu\nexecWith %lu\n", (unsigned long)without, (unsigned long)with);
    fflush(stdout);
    if (run(self, "--open", library) == 0) return 1;
  }
  return 0;
}

int main(int count, char **arguments) {
#ifdef LINKED
  if (baton_version() == NULL) return 1;
#endif
  if (count == 2 && strcmp(arguments[1], "--nothing") == 0) return 0;
  if (count == 3 && strcmp(arguments[1], "--open") == 0) {
    uint64_t begin = now();
    void *library = dlopen(arguments[2], RTLD_NOW | RTLD_LOCAL);
    uint64_t end = now();
    printf("open %lu\n", (unsigned long)(end - begin));
    return library == NULL;
  }
  if (count == 4) return measure("/proc/self/exe", atoi(arguments[1]), arguments[2], arguments[3]);
  fprintf(stderr, "usage: load-time ROUNDS LIBRARY LINKED\n");
  return 64;
}
