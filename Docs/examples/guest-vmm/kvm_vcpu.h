/*
 * Real vCPUs of /dev/kvm, their threads and their state.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef KVM_VCPU_H
#define KVM_VCPU_H

#include "guest.h"
#include "state.h"

struct kvm_vcpus;

/* A VM of the default type, without vCPUs or memory: descriptor, or -errno. */
int kvm_vm_new(void);
/* Whether /dev/kvm opens and runs guests. */
int kvm_can_run(void);

/* Gives the VM interrupt controllers, memory and vCPUs; touches no guest RAM. A SEV guest's VM was initialised
 * before, because that is refused once there are vCPUs. NULL with errno when something failed. All is borrowed. */
struct kvm_vcpus *kvm_vcpus_new(int vm, const struct ram *ram, struct devices *devices, uint32_t count);
void kvm_vcpus_free(struct kvm_vcpus *vcpus);
/* What a fresh guest is told about its clocks. */
uint64_t kvm_vcpus_tick_kilohertz(const struct kvm_vcpus *vcpus);
int kvm_vcpus_have_kvmclock(const struct kvm_vcpus *vcpus);
/* Puts fresh vCPUs at the entry of the loaded guest; 0 or -errno. */
int kvm_vcpus_prepare_start(struct kvm_vcpus *vcpus);

/* `attaches`: after a restore, shows KVM the places in guest RAM that it writes. Only with the right to run. */
int kvm_vcpus_let_run(struct kvm_vcpus *vcpus, int attaches);
uint64_t kvm_vcpus_stop(struct kvm_vcpus *vcpus);
uint64_t kvm_vcpus_first_instruction(struct kvm_vcpus *vcpus, uint64_t timeout_ns);
/* Begins or ends to note which pages are written, and what was since, as bits of `pages`. 0 or -errno. */
int kvm_vcpus_log_writes(struct kvm_vcpus *vcpus, int is_on);
int kvm_vcpus_take_writes(struct kvm_vcpus *vcpus, uint64_t *pages);
/* 0 or -errno. */
int kvm_vcpus_save(struct kvm_vcpus *vcpus, struct state_writer *writer);
/* Into kernel objects only. 0, -EINVAL with nothing changed, or the errno of what KVM refused. */
int kvm_vcpus_restore(struct kvm_vcpus *vcpus, const void *state, size_t size);

#endif
