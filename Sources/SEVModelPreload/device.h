/*
 * Which calls go to the model, which to the real /dev/kvm or to the stand-in, and in which order.
 *
 * All results are those of an ioctl: >= 0, or -errno.
 */
#ifndef SEVMODEL_DEVICE_H
#define SEVMODEL_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "objects.h"

/* Whether an ioctl can be of interest: KVM's and the firmware driver's numbers. All others are passed on. */
bool device_knows(uint32_t request);

/* An ioctl on /dev/kvm, real or not. */
int device_system_ioctl(int fd, bool is_stand_in, uint32_t request, uint64_t argument);
/* An ioctl on a VM or vCPU of this process. */
int device_machine_ioctl(int fd, struct object *machine, uint32_t request, uint64_t argument);
int device_vcpu_ioctl(int fd, struct object *vcpu, uint32_t request, uint64_t argument);
/* An ioctl on a socket that is the firmware device, a VM of another process, or anything else. */
int device_unknown_ioctl(int fd, uint32_t request, uint64_t argument);

/* Does an ioctl on a real descriptor. */
int device_pass(int host, uint32_t request, uint64_t argument);

#endif
