/* What the library asks of the model, each in the form of the system call that it stands for. */
#ifndef SEVMODEL_CONVERSATION_H
#define SEVMODEL_CONVERSATION_H

#include <stddef.h>
#include <stdint.h>

#include "wire.h"

/*
 * Has the model do an ioctl on a descriptor of its own, with an argument that is any address of this process.
 * Returns 0 or -errno.
 */
int model_request(enum wire_kind kind, int fd, uint64_t argument);

/* Has the model make a descriptor. Returns it, at the lowest free number and close-on-exec, or -errno. */
int model_make(enum wire_kind kind, int machine, uint64_t word);

struct model_result {
  uint32_t outcome;
  uint64_t values[4];
};
/*
 * Asks something that needs nothing of this process's memory. `fd` is -1 or a descriptor of the model's.
 * Returns 0 or -errno. `result` may be NULL.
 */
int model_call(enum wire_operation operation, int fd, uint64_t argument, struct model_result *result);

/* KVM_GET_… and KVM_SET_… of what the model keeps of a vCPU; `which` as the wire counts them. */
int model_get_vcpu_state(int vcpu, uint32_t which, void *state, size_t count);
int model_set_vcpu_state(int vcpu, uint32_t which, const void *state, size_t count);

/* The first check of every ioctl on a VM or vCPU that was made here: 0, or -EIO if its VM is dead. */
int model_check_use(int fd);

#endif
