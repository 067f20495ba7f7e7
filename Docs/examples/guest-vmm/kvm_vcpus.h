/* What kvm_vcpu.c and kvm_state.c share. SPDX-License-Identifier: Apache-2.0 */
#ifndef KVM_VCPUS_H
#define KVM_VCPUS_H

#include <linux/kvm.h>
#include <pthread.h>

#include "gate.h"
#include "guest.h"
#include "state.h"

enum { MOST_MSRS = 1024, MOST_CPUID_ENTRIES = 256 };

struct cpuid_table {
  struct kvm_cpuid2 head;
  struct kvm_cpuid_entry2 entries[MOST_CPUID_ENTRIES];
};

struct kvm_vcpu {
  struct kvm_vcpus *all;
  int fd;
  uint32_t index;
  struct kvm_run *run;
  size_t run_size;
  int has_tsc_offset, has_thread;
  struct gate gate;
  _Atomic uint64_t first_stamp, last_stamp;
  pthread_t thread;
  /* What kvm_attach_memory() is still to write, after a restore. */
  struct kvm_msr_entry unattached[8];
  uint32_t unattached_count;
};

struct kvm_vcpus {
  int vm;
  const struct ram *ram;
  struct devices *devices;
  uint32_t count;
  int xsave_size;
  uint64_t stamp_before; /* the boot vCPU's stamp in RAM when the latest run began */
  struct cpuid_table cpuid;
  uint32_t msr_count;
  uint32_t msrs[MOST_MSRS];
  struct kvm_vcpu vcpus[GUEST_MOST_VCPUS];
};

/* Sets the MSRs that make KVM write guest RAM, and notes that the guest was paused; 0 or -errno. */
int kvm_attach_memory(struct kvm_vcpus *vcpus);

#endif
