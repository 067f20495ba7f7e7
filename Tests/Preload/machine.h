/* VMs and SEV commands as an ordinary program makes them: with open(2) and ioctl(2), nothing else. */
#ifndef MACHINE_H
#define MACHINE_H

#include <errno.h>
#include <linux/kvm.h>
#include <linux/psp-sev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#define TYPE_DEFAULT 0
#define TYPE_SEV 2
#define TYPE_SEV_ES 3
#define CAP_VM_TYPES 235
#define SEV_INIT2 22
#define SEV_LOCAL_SEND 22
#define SEV_LOCAL_RECEIVE 23
#define POLICY_ES 4u
#define FW_INVALID_LENGTH 4
#define FW_ASID_OWNED 0x0c
#define GUEST_LAUNCH_UPDATE 1
#define GUEST_LAUNCH_SECRET 2
#define GUEST_RUNNING 3
#define VCPUS 4

struct sev_init2 {
  uint64_t vmsa_features;
  uint32_t flags;
  uint16_t ghcb_version, pad1;
  uint32_t pad2[8];
};
struct sev_local_receive {
  uint64_t token;
  uint32_t handle, pad;
};

/* Opened once. */
int kvm_device(void);
int kvm_capability(long number);
/* Whether /dev/kvm is the real one. */
bool kvm_is_real(void);

/* Opens /dev/sev anew, as the kernel's own tests do for each command; closed at the end of the case. */
int firmware_open(void);
void firmware_close_all(void);

int vm_create(unsigned long type);
/* vCPUs 0 to count - 1; they are closed with vm_free. */
void vm_add_vcpus(int vm, int count);
/* The n-th vCPU that was made last on this VM. */
int vm_vcpu(int vm, int n);
void vm_free(int vm);
int vm_enable(int vm, uint32_t capability, uint64_t argument);
int vm_move(int target, int source);
int vm_copy(int target, int source);

/* A SEV command with a new /dev/sev; its firmware status is in sev_error. */
int sev(int vm, uint32_t id, void *data);
extern uint32_t sev_error;

int sev_launch_start(int vm, uint32_t policy);
int sev_status(int vm, struct kvm_sev_guest_status *status);
/* A VM with INIT or ES_INIT, 4 vCPUs and LAUNCH_START; ES: LAUNCH_UPDATE_VMSA too. */
int sev_vm(bool es);
/* A VM without SEV. */
int plain_vm(bool with_vcpus);

/* Memory that belongs to a memfd, page-aligned and filled with something. */
void *memory_map(uint64_t size);
int region(int vm, bool registers, void *address, uint64_t size);

#endif
