/*
 * The guest goes to another host, or comes from one: what the VMM does at each of the library's events. The library copies
 * RAM and asks both registries; the VMM makes and stops the machine, saves and restores it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#define _GNU_SOURCE
#include "guest_vmm.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIRMWARE = 0, MOST_REGIONS = 2 };

/* The guest as another host needs it: where RAM lies, and nothing that is bound to this host. A guest with a disk or with
 * named descriptors keeps them in its description, by which it is refused. */
static void describe_for_migration(
    const struct guest_vmm *vmm, struct description *description, struct baton_region regions[MOST_REGIONS]) {
  describe(vmm, description);
  description->guest.regions = regions;
  description->guest.region_count = machine_regions_of_ram(vmm->machine, regions);
  description->guest.take_back_vm = -1;
  /* The baton of way `move` belongs to the description of such a guest; it stays on this host. */
  if (description->guest.way != BATON_WAY_MOVE) description->guest.vm = -1;
  /* The console comes first; the target opens its own. */
  if (description->facts.console >= 0) {
    description->guest.names++;
    description->guest.named++;
    description->guest.named_count--;
  }
}

/* Why nothing came of a call, which has ended the migration, or came too late for it; MIGRATION_OVER follows. What makes no
 * sense to the library has changed nothing, and is no reason to end the guest: it stays where it is. */
static int refused(struct guest_vmm *vmm, const char *what, int result) {
  struct baton_failure failure = {.struct_size = sizeof failure};
  if (result >= 0) return result;
  if (baton_vmm_failure(vmm->baton, &failure) == 0) fprintf(stderr, "guest-vmm: %s: %s\n", what, failure.text);
  if (result == -EINVAL || result == -EBADF) return check(vmm, "declining", baton_vmm_decline(vmm->baton, failure.text));
  return 0;
}

/* ---- source ---- */

static int start_dirty_log(void *machine) { return machine_start_dirty_log(machine); }
static int take_dirty_pages(void *machine, uint64_t *pages, size_t words) {
  return machine_take_dirty_pages(machine, pages, words);
}
static void stop_dirty_log(void *machine) { machine_stop_dirty_log(machine); }

/* MIGRATE: the guest runs on. */
int depart(struct guest_vmm *vmm) {
  struct description description;
  struct baton_region regions[MOST_REGIONS];
  char host[256] = "";
  describe_for_migration(vmm, &description, regions);
  const struct machine_kind kind = machine_describe_kind(vmm->machine);
  struct baton_source source = {
      .struct_size = sizeof source,
      .guest = &description.guest,
      .ram = machine_ram(vmm->machine),
      .context = vmm->machine,
      .start_dirty_log = start_dirty_log,
      .take_dirty_pages = take_dirty_pages,
      .stop_dirty_log = stop_dirty_log,
      .facts = kind.bytes,
      .facts_size = sizeof kind.bytes,
      .regions = machine_shared_pages(vmm->machine),
      .vm = description.facts.vm,
      .trusts_model_root = (uint32_t)vmm->options.trusts_model_root,
  };
  baton_vmm_peer(vmm->baton, host, sizeof host);
  tell(vmm, "migrationStarted", ",\"host\":\"%s\"", host);
  return refused(vmm, "beginning the migration", baton_vmm_migrate(vmm->baton, &source));
}

/* STOP: from here on the guest stands still. */
int stop_for_last_pages(struct guest_vmm *vmm) {
  vmm->last_instruction = machine_stop(vmm->machine);
  vmm->is_running = 0;
  vmm->state_size = machine_save(vmm->machine, vmm->state, MACHINE_MOST_STATE);
  if (vmm->state_size < 0)
    return check(vmm, "declining", baton_vmm_decline(vmm->baton, "the guest's state cannot be saved"));
  int result = baton_vmm_stopped(vmm->baton, vmm->state, (size_t)vmm->state_size, vmm->last_instruction);
  if (result == 1) return migration_over(vmm, NULL);
  return refused(vmm, "giving the last pages", result);
}

/* MIGRATION_OVER, or the pause comes to nothing. */
int migration_over(struct guest_vmm *vmm, const struct baton_event *event) {
  struct baton_failure failure = {.struct_size = sizeof failure};
  if (event != NULL && event->refusal != 0) {
    const char *name = baton_refusal_name(event->refusal);
    baton_vmm_failure(vmm->baton, &failure);
    fprintf(stderr, "guest-vmm: the migration is over: %s: %s\n", name, failure.text);
    tell(vmm, vmm->options.is_incoming && !vmm->is_owner ? "arrivalFailed" : "migrationFailed",
         ",\"refusal\":\"%s\"", name);
  }
  if (vmm->options.is_incoming && !vmm->is_owner) {
    /* Another guest may come. */
    forget_guest(vmm);
    return 0;
  }
  if (vmm->last_instruction == 0) return 0;
  int result = check(vmm, "letting the guest run on", baton_vmm_may_run(vmm->baton));
  if (result < 0) return result;
  vmm->last_instruction = 0;
  vmm->is_running = 1;
  return machine_run(vmm->machine);
}

/* ---- target ---- */

/* Why this VMM does not take what is offered, or NULL. */
static const char *problem_with(struct guest_vmm *vmm, const struct baton_offer *offer, const struct baton_arrival *arrival) {
  const struct machine_setup *setup = &vmm->options.machine;
  uint64_t size = 0;
  uint8_t facts[sizeof(struct machine_kind)];
  for (uint32_t index = 0; index < offer->region_count; index++) {
    struct baton_region region;
    if (baton_vmm_offer_region(vmm->baton, index, &region) < 0) return "the offer's regions are not there";
    size += region.byte_count;
  }
  if (size != setup->ram_size || offer->vcpu_count != setup->vcpu_count)
    return "the guest has another size, or another number of vCPUs, than this VMM was started for";
  if ((arrival->kind == BATON_KIND_PLAIN) != (setup->way == MACHINE_WAY_NONE))
    return "the guest differs from what this VMM was started for in --sev";
  if (arrival->facts_size != sizeof facts || baton_vmm_arrival_facts(vmm->baton, facts, sizeof facts) < 0
      || !machine_kind_fits(setup, facts))
    return "the guest has other vCPUs than this VMM";
  return NULL;
}

/* ARRIVING: everything that takes time happens while the guest runs on at its source. */
int prepare_arrival(struct guest_vmm *vmm) {
  struct baton_offer offer = {.struct_size = sizeof offer};
  struct baton_arrival arrival = {.struct_size = sizeof arrival};
  struct description description;
  struct baton_region regions[MOST_REGIONS];
  char host[256] = "";
  int result;
  forget_guest(vmm);
  if ((result = check(vmm, "reading the offer", baton_vmm_offer_get(vmm->baton, &offer))) < 0
      || (result = check(vmm, "reading the arrival", baton_vmm_arrival(vmm->baton, &arrival))) < 0)
    return result;
  baton_vmm_peer(vmm->baton, host, sizeof host);
  tell(vmm, "arriving", ",\"peer\":\"%s\"", host);
  const char *problem = problem_with(vmm, &offer, &arrival);
  if (problem == NULL
      && machine_new_arrival(&vmm->options.machine, arrival.kind == BATON_KIND_SEV_ES, &vmm->machine) < 0)
    problem = "this VMM cannot make a machine for the guest";
  if (problem != NULL) {
    fprintf(stderr, "guest-vmm: %s; the guest stays where it was\n", problem);
    return check(vmm, "declining", baton_vmm_decline(vmm->baton, problem));
  }
  describe_for_migration(vmm, &description, regions);
  struct baton_target target = {
      .struct_size = sizeof target,
      .guest = &description.guest,
      .ram = machine_ram(vmm->machine),
      .signed_cek = vmm->options.signed_cek.bytes,
      .signed_cek_size = vmm->options.signed_cek.size,
      .amd_chain = vmm->options.amd_chain.bytes,
      .amd_chain_size = vmm->options.amd_chain.size,
      .regions = machine_shared_pages(vmm->machine),
      .vm = description.facts.vm,
      .firmware = FIRMWARE,
  };
  return refused(vmm, "taking the guest", baton_vmm_accept(vmm->baton, &target));
}

/* ARRIVED: all of RAM is here. The verdict RUN follows; until then the guest stands still. */
int restore_arrival(struct guest_vmm *vmm) {
  int64_t size = baton_vmm_claim_state(vmm->baton, vmm->state, MACHINE_MOST_STATE);
  if (size < 0 || machine_restore(vmm->machine, vmm->state, (uint64_t)size) < 0) {
    forget_guest(vmm);
    return check(vmm, "declining", baton_vmm_decline(vmm->baton, "the guest's state cannot be restored"));
  }
  int result = refused(vmm, "saying that it is here", baton_vmm_received(vmm->baton));
  if (baton_vmm_state(vmm->baton) == BATON_STATE_ARRIVED) tell(vmm, "arrived", "%s", "");
  return result;
}
