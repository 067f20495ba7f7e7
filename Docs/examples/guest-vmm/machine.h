/*
 * machine.h - a guest in this process: its RAM, devices, vCPUs and SEV context.
 *
 * What a VMM has anyway. Nothing in here knows of handoffs; the programs guest_vmm.c, guest_vmm.cpp and guest_vmm.rs
 * hand a machine over, and each shows the calls of baton.h in its own language. (What a SEV guest says about its pages
 * is kept by libbaton's baton_regions, in machine.c.)
 *
 * Creating, restoring, taking a context and stopping write no guest RAM. Only machine_run() lets vCPUs execute, and it
 * asks nobody for permission: the verdict is the caller's duty. All calls come from one thread.
 *
 * Results are 0 or -errno, with a sentence on stderr, unless a comment says otherwise.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MACHINE_H
#define MACHINE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* As baton.h numbers them. */
enum { MACHINE_WAY_AUTO = 0, MACHINE_WAY_TOKEN = 1, MACHINE_WAY_MOVE = 2, MACHINE_WAY_NONE = 3 };
enum { MACHINE_VCPU_AUTO = 0, MACHINE_VCPU_KVM = 1, MACHINE_VCPU_SOFTWARE = 2 };

/* What the command line says; the same for a fresh guest and for its successor. */
struct machine_setup {
  uint64_t ram_size;
  uint32_t vcpu_count;
  uint32_t vcpu_kind;    /* MACHINE_VCPU_... */
  uint32_t duty_percent; /* how much of the time a software vCPU works */
  uint32_t way;          /* how the guest is handed on; NONE: it is no SEV guest */
  uint32_t has_encrypted_state; /* SEV-ES; a successor learns it from its source */
  uint32_t reserved;
  const char *console;   /* where console lines go: a path, or fd:N; NULL: nowhere */
  const char *disk;      /* the image, opened by the first owner only; NULL: none */
};

/* What a successor gets of the guest. Its descriptors are the machine's from then on, whatever happens. */
struct machine_parts {
  uint64_t ram_size;
  uint32_t vcpu_count;
  uint32_t way;        /* in which the guest is offered */
  int32_t ram;         /* sealed memfd */
  int32_t console;     /* or -1 */
  int32_t disk;        /* or -1 */
  uint32_t populates;  /* not 0: make all RAM present now, because the guest runs elsewhere meanwhile */
  uint32_t details_size;
  const void *details;
};

/* What travels with the guest. Descriptors are borrowed. */
struct machine_facts {
  uint64_t ram_size;
  uint64_t features; /* of the saved state */
  uint32_t vcpu_count;
  uint32_t way;
  int32_t ram;
  int32_t console;      /* or -1 */
  int32_t disk;         /* or -1 */
  int32_t vm;           /* the SEV guest's VM, or -1 */
  int32_t take_back_vm; /* the one made by machine_prepare_take_back(), or -1 */
  uint32_t details_size;
  uint8_t details[32];
};

/* The saved state is in the form of baton-vmm. */
#define MACHINE_FORMAT "baton-vmm"
enum { MACHINE_FORMAT_OLDEST = 1, MACHINE_FORMAT_NEWEST = 2, MACHINE_FEATURES = 31, MACHINE_MOST_STATE = 4 << 20 };

struct machine;
struct baton_region;  /* of baton.h */
struct baton_regions;

/* Makes a fresh guest: RAM, devices, image, SEV launch. Nothing runs yet. */
int machine_new_guest(const struct machine_setup *setup, struct machine **machine);
/* Makes everything for a guest that is not here yet. */
int machine_new_successor(
    const struct machine_setup *setup, const struct machine_parts *parts, struct machine **machine);
void machine_free(struct machine *machine); /* NULL is allowed; stops the vCPUs */

void machine_describe(const struct machine *machine, struct machine_facts *facts);
/* What the guest says about itself, as JSON. */
void machine_report(const struct machine *machine, char *text, uint64_t size);
/* Waiting output and the SEV region are done with, because the guest ends here. */
void machine_retire(struct machine *machine);

/* Runs the guest: for the first time, restored, or on after machine_stop(). */
int machine_run(struct machine *machine);
/* Waits for the first instruction since then: CLOCK_MONOTONIC in nanoseconds, 0 when the time ran out. */
uint64_t machine_first_instruction(struct machine *machine, uint64_t timeout_ns);
/* Brings every vCPU out of the guest: when the last instruction was. */
uint64_t machine_stop(struct machine *machine);
/* Saves a stopped machine; the state's size or -errno. */
int64_t machine_save(struct machine *machine, void *state, uint64_t size);
/* 0 or -errno for a state that this machine cannot take; changes nothing. */
int machine_check_state(const struct machine *machine, const void *state, uint64_t size);
int machine_restore(struct machine *machine, const void *state, uint64_t size);

/* ---- a guest that migrates to another host ---- */

/* Makes everything for a guest that comes from one: RAM with every page present, and a VM without a guest. */
int machine_new_arrival(const struct machine_setup *setup, uint32_t has_encrypted_state, struct machine **machine);
void *machine_ram(const struct machine *machine);
/* Where RAM lies: one region, or two around the hole for devices; returns how many. */
uint32_t machine_regions_of_ram(const struct machine *machine, struct baton_region *regions);
/* What the guest says about its pages; NULL if there is nothing to say. */
struct baton_regions *machine_shared_pages(const struct machine *machine);
/* Which pages are written from now on, as struct baton_source wants it. */
int machine_start_dirty_log(struct machine *machine);
int machine_take_dirty_pages(struct machine *machine, uint64_t *pages, uint64_t words);
void machine_stop_dirty_log(struct machine *machine);
/* What the other host's VMM compares before it makes a machine, as baton-vmm has it. */
struct machine_kind {
  uint8_t bytes[2];
};
struct machine_kind machine_describe_kind(const struct machine *machine);
int machine_kind_fits(const struct machine_setup *setup, const void *facts);

/* ---- the SEV context ---- */

/* How taking a context went. */
enum { MACHINE_TAKEN = 0, MACHINE_USED = 1, MACHINE_UNTOUCHED = 2, MACHINE_UNKNOWN = 3 };

/* LOCAL_SEND: the baton of way `token`. */
int machine_send(struct machine *machine, uint64_t *token);
/* Into this machine, in the way in which the guest was offered: by the token, or out of one of these VMs. */
int machine_receive(struct machine *machine, uint64_t token, const int32_t *vms, uint32_t vm_count);

/* Makes a second VM into which the context can be taken back, while the guest runs; and gives it up again. */
int machine_prepare_take_back(struct machine *machine);
void machine_drop_take_back(struct machine *machine);
/* Takes the context back into that VM, which takes the place of the first one: restore the state then. Way `move`: out
 * of the own old VM, else out of these. */
int machine_take_back(struct machine *machine, uint64_t token, const int32_t *vms, uint32_t vm_count);

#ifdef __cplusplus
}
#endif

#endif
