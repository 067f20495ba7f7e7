/*
 * Software vCPUs: threads that do what the guest under KVM does, with registers of their own. They really write
 * and check guest RAM all the time.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SOFTWARE_VCPU_H
#define SOFTWARE_VCPU_H

#include "guest.h"
#include "state.h"

struct software_vcpus;

/* Threads are made and parked. NULL with errno when that failed. `ram` and `devices` are borrowed. */
struct software_vcpus *software_vcpus_new(
    const struct ram *ram, struct devices *devices, uint32_t count, uint32_t duty_percent);
void software_vcpus_free(struct software_vcpus *vcpus);
void software_vcpus_let_run(struct software_vcpus *vcpus);
/* CLOCK_MONOTONIC of the last instruction of all. */
uint64_t software_vcpus_stop(struct software_vcpus *vcpus);
/* Waits for the first instruction since they were let run; 0 when the time ran out. */
uint64_t software_vcpus_first_instruction(struct software_vcpus *vcpus, uint64_t timeout_ns);
/* Begins or ends to note which pages are written. 0 or -ENOMEM. */
int software_vcpus_log_writes(struct software_vcpus *vcpus, int is_on);
/* Sets the bits of pages that were written since, and forgets them. */
void software_vcpus_take_writes(struct software_vcpus *vcpus, uint64_t *pages);
void software_vcpus_save(struct software_vcpus *vcpus, struct state_writer *writer);
/* 0, or -EINVAL with nothing changed. */
int software_vcpus_restore(struct software_vcpus *vcpus, const void *state, size_t size);

#endif
