/* What a long-lived service asks of the kernel about itself and its files. See system_calls.h for the convention. */
#ifndef BATON_CLINUX_DAEMON_H
#define BATON_CLINUX_DAEMON_H

#include <stdint.h>

/* Raises the soft limit of open descriptors to the hard one. Returns the limit that holds now. */
int64_t clinux_raise_descriptor_limit(void);
/* Allocates every byte of the file up to `size`, so that no later write into a mapping can fail. */
int clinux_allocate(int fd, int64_t size);
/* Gives a file to a group. */
int clinux_change_group(const char *path, uint32_t group);
/* A variable of the environment, or NULL. Valid as long as nobody changes the environment. */
const char *clinux_environment(const char *name);
#endif
