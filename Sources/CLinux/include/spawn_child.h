/* Starting a process that ends with its parent. See system_calls.h for the convention of results. */
#ifndef BATON_CLINUX_SPAWN_CHILD_H
#define BATON_CLINUX_SPAWN_CHILD_H

#include <stdint.h>

/*
 * Starts `arguments[0]` (a path) with exactly `descriptors[0]`, `descriptors[1]` … as its descriptors 0, 1 …
 * (-1: /dev/null; at most 64), the given environment, default signal actions, an empty signal mask and, unless `user` is
 * UINT32_MAX, that user and group and no other groups. SIGKILL ends it when the calling process ends.
 *
 * Returns the process id, or -errno of what failed, exec included.
 */
int32_t clinux_spawn_child(char *const *arguments, char *const *environment, const int *descriptors,
                           int descriptor_count, uint32_t user);
/* The path of the running program. Returns its length, at most `capacity`. */
int64_t clinux_program_path(char *path, uint64_t capacity);
/* The environment of this process, ended by NULL. */
char *const *clinux_environment_list(void);
/* Makes an empty directory for this user alone; replaces the six X at the end of `path`. */
int clinux_make_private_directory(char *path);
/* Removes an empty directory. */
int clinux_remove_directory(const char *path);

#endif
