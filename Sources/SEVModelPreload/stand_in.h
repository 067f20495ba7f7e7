/*
 * A small stand-in for the KVM calls that programs make around SEV, for machines without /dev/kvm. It keeps
 * state and checks arguments as KVM does; it has no processor, so KVM_RUN does not run anything.
 *
 * All results are those of an ioctl: >= 0, or -errno. What is not here is what KVM says of
 * numbers that it does not know: -ENOTTY for a VM, -EINVAL for /dev/kvm and a vCPU.
 */
#ifndef SEVMODEL_STAND_IN_H
#define SEVMODEL_STAND_IN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kvm_cpuid2;
struct object;

/* What both the VM and its capabilities, or the VM and its vCPUs, say. */
#define STAND_IN_MOST_SLOTS 32764u
#define STAND_IN_TSC_KHZ 2000000

/* Opens something that stands for /dev/kvm. A descriptor or -errno. */
int stand_in_open(int flags);

/* Opens a parameter of KVM's modules that the host lacks or the model knows better; else -ENOENT. */
int stand_in_parameter(const char *path, int flags);

/* CHECK_EXTENSION, for capabilities that are not the model's affair. */
int stand_in_check_extension(uint64_t capability);
/* What GET_SUPPORTED_CPUID says, without the leaf of memory encryption; at most `capacity` entries. */
uint32_t stand_in_cpuid(struct kvm_cpuid2 *cpuid, uint32_t capacity);
/* The other ioctls of /dev/kvm. */
int stand_in_system(uint32_t request, uint64_t argument);

/* State of a VM; NULL without memory. */
void *stand_in_machine_create(void);
void stand_in_machine_free(void *machine);
int stand_in_machine_ioctl(struct object *machine, uint32_t request, uint64_t argument);

/* State of a vCPU and its page for struct kvm_run; NULL without memory. */
void *stand_in_vcpu_create(void);
void stand_in_vcpu_free(void *vcpu);
int stand_in_vcpu_ioctl(struct object *vcpu, uint32_t request, uint64_t argument);
/* KVM_RUN, after the model said that the vCPU may run. */
int stand_in_run(struct object *vcpu);
/* Where the vCPU's shared pages are: a file and an offset. Returns the file's descriptor or -errno. */
int stand_in_run_pages(struct object *vcpu, uint64_t *offset);
#define STAND_IN_RUN_BYTES 12288u
/* In a forked child: no vCPU is its own. */
void stand_in_after_fork(void);

#endif
