/* Starting a process that has nothing to do with its parent's session. */
#ifndef BATON_CLINUX_SPAWN_DETACHED_H
#define BATON_CLINUX_SPAWN_DETACHED_H

#include <stdint.h>

/*
 * Starts `arguments[0]` (looked up in PATH) in a session of its own: standard input from /dev/null,
 * standard output and error appended to `output` (made with mode 0600), no other descriptor, default signal
 * actions, empty signal mask, environment inherited. Returns the process id.
 */
int32_t clinux_spawn_detached(char *const *arguments, const char *output);
/*
 * Reaps a child without waiting. Returns 0 while it runs; else 1 and its exit status in *status, with
 * *signal 0, or the signal that ended it in *signal.
 */
int clinux_reap(int32_t pid, int *status, int *signal);

#endif
