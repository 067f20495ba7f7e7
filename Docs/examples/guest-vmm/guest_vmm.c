/*
 * A VMM in C that hands the reference guest over with libbaton: to another process of its own, to guest_vmm.cpp,
 * guest_vmm.rs, or to baton-vmm, and takes it from any of them. Way `none` for a plain guest, `token` and `move` for a
 * SEV guest. The guest runs on real vCPUs where /dev/kvm opens, else on threads.
 *
 *   guest-vmm-c --vm NAME --registry SOCKET [options]     the same command line starts a guest and takes one over
 *   guest-vmm-c --vm NAME --incoming [options]            waits for a guest from another host
 *
 * Signals: SIGTERM and SIGINT end the guest, SIGHUP asks to be replaced in place (the guest waits in the registry's
 * custody for the next process), SIGUSR1 writes the guest's report to --events.
 *
 * machine.h is what a VMM has anyway; this file is what it adds for handoffs, and guest_vmm_migration.c what it adds for
 * migrations to another host. Read carry_out() first.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#define _GNU_SOURCE
#include <baton.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "gate.h" /* now(), ask_for_slice() */
#include "guest_vmm.h"

enum { MOST_CONTEXT_VMS = 16 };

/* ---- telling ---- */

/* Numbers and names only; a baton never gets near it. */
void tell(struct guest_vmm *vmm, const char *event, const char *fields, ...) {
  char line[2048];
  va_list list;
  int size;
  if (vmm->events < 0) return;
  size = snprintf(line, sizeof line, "{\"event\":\"%s\",\"pid\":%d,\"at\":%" PRIu64, event, (int)getpid(), now());
  va_start(list, fields);
  size += vsnprintf(line + size, sizeof line - (size_t)size - 3, fields, list);
  va_end(list);
  size += snprintf(line + size, 3, "}\n");
  if (write(vmm->events, line, (size_t)size) != size) perror("guest-vmm: writing an event");
}

/* Why a call of the library failed; the guest is where the sentence says. Negative, the status to exit with set. */
static int failed(struct guest_vmm *vmm, const char *what, int result) {
  struct baton_failure failure = {.struct_size = sizeof failure};
  vmm->status = 1;
  if (vmm->baton != NULL && baton_vmm_failure(vmm->baton, &failure) == 0 && failure.error != 0) {
    fprintf(stderr, "guest-vmm: %s: %s\n", what, failure.text);
    if (failure.refusal != 0) vmm->status = baton_refusal_exit_status(failure.refusal);
  } else {
    fprintf(stderr, "guest-vmm: %s: %s\n", what, strerror(-result));
  }
  return result;
}

int check(struct guest_vmm *vmm, const char *what, int result) {
  return result < 0 ? failed(vmm, what, result) : result;
}

/* ---- what travels with the guest ---- */

static void add_name(struct description *description, const char *name, int fd) {
  if (fd < 0) return;
  description->names[description->guest.named_count] = name;
  description->named[description->guest.named_count++] = fd;
}

void describe(const struct guest_vmm *vmm, struct description *description) {
  struct machine_facts *facts = &description->facts;
  machine_describe(vmm->machine, facts);
  description->region = (struct baton_region){.byte_count = facts->ram_size};
  description->guest = (struct baton_guest){
      .struct_size = sizeof description->guest,
      .way = facts->way,
      .vcpu_count = facts->vcpu_count,
      .ram_count = 1,
      .region_count = 1,
      .ram = &facts->ram,
      .regions = &description->region,
      .names = description->names,
      .named = description->named,
      /* Way token: kept by the registry, so that an unused token outlives this process. Way move: it is the baton. */
      .vm = vmm->options.gives_custody || facts->way == BATON_WAY_MOVE ? facts->vm : -1,
      .take_back_vm = vmm->options.gives_custody && facts->way == BATON_WAY_MOVE ? facts->take_back_vm : -1,
      .format_name = MACHINE_FORMAT,
      .format_version = MACHINE_FORMAT_NEWEST,
      .format_features = facts->features,
      .details_size = facts->details_size,
      .details = facts->details,
  };
  add_name(description, "console", facts->console);
  add_name(description, "disk", facts->disk);
  for (uint32_t index = 0; index < vmm->other_count; index++)
    add_name(description, vmm->others[index].name, vmm->others[index].fd);
}

/* ---- the verdict: the only way to a running guest ---- */

static int run(struct guest_vmm *vmm, const struct baton_event *event) {
  struct description description;
  uint64_t first;
  int result;
  if (event->type == BATON_EVENT_START && machine_new_guest(&vmm->options.machine, &vmm->machine) < 0)
    return vmm->status = 1, -EINVAL;
  describe(vmm, &description);
  /* A handle that has no verdict, or that staged, says no here. */
  if ((result = check(vmm, "running the guest", baton_vmm_may_run(vmm->baton))) < 0) return result;
  if (machine_run(vmm->machine) < 0) return vmm->status = 1, -EINVAL;
  first = machine_first_instruction(vmm->machine, 1000000000);
  result = check(vmm, "saying that the guest runs", baton_vmm_running(vmm->baton, &description.guest, first));
  if (result < 0) return result;
  vmm->is_owner = vmm->is_running = 1;
  vmm->last_instruction = 0;
  explicit_bzero(&vmm->token, sizeof vmm->token);
  machine_drop_take_back(vmm->machine);
  tell(vmm, "running", ",\"epoch\":%" PRIu64 ",\"firstInstruction\":%" PRIu64, event->epoch, first);
  return 0;
}

/* ---- successor ---- */

/* The offered descriptors go to where they belong. Returns NULL, or why not. */
static const char *take_parts(struct guest_vmm *vmm, const struct baton_offer *offer, struct machine_parts *parts) {
  struct baton_region region;
  char name[129];
  for (uint32_t index = 0; index < offer->named_count; index++) {
    int fd = -1;
    if (baton_vmm_offer_name(vmm->baton, index, name, sizeof name) >= 0) fd = baton_vmm_take_named(vmm->baton, name);
    if (fd < 0) return "a named descriptor cannot be taken out of the offer";
    if (strcmp(name, "console") == 0) {
      parts->console = fd;
    } else if (strcmp(name, "disk") == 0) {
      parts->disk = fd;
    } else if (vmm->other_count < MOST_NAMED) {
      struct named *other = &vmm->others[vmm->other_count++];
      snprintf(other->name, sizeof other->name, "%s", name);
      other->fd = fd;
    } else {
      close(fd);
      return "this VMM passes on no more than 16 named descriptors";
    }
  }
  if (offer->ram_count != 1 || offer->region_count != 1 || baton_vmm_offer_region(vmm->baton, 0, &region) < 0)
    return "this VMM takes guests with one RAM region only";
  parts->ram_size = region.byte_count;
  parts->ram = baton_vmm_take_ram(vmm->baton, 0);
  return parts->ram < 0 ? "guest RAM cannot be taken out of the offer" : NULL;
}

void forget_guest(struct guest_vmm *vmm) {
  machine_free(vmm->machine);
  vmm->machine = NULL;
  while (vmm->other_count > 0) close(vmm->others[--vmm->other_count].fd);
}

/* OFFERED: what takes time happens while the guest still runs at its source. */
static int prepare_to_take(struct guest_vmm *vmm) {
  struct baton_offer offer = {.struct_size = sizeof offer};
  struct machine_parts parts = {.ram = -1, .console = -1, .disk = -1};
  struct machine_facts facts;
  uint8_t details[64];
  const char *problem;
  int result;
  forget_guest(vmm); /* the source may offer once more, after an attempt that came to nothing */
  if ((result = check(vmm, "reading the offer", baton_vmm_offer_get(vmm->baton, &offer))) < 0) return result;
  problem = take_parts(vmm, &offer, &parts);
  if (problem == NULL && offer.details_size > sizeof details) problem = "the offer's details are not known here";
  if (problem == NULL) {
    parts.vcpu_count = offer.vcpu_count;
    parts.way = vmm->offered_way = offer.way;
    parts.populates = !offer.is_stopped; /* a guest that stands still is not kept waiting for pages */
    parts.details = details;
    parts.details_size = offer.details_size;
    if (baton_vmm_offer_details(vmm->baton, details, sizeof details) < 0) problem = "the offer's details are not there";
    else if (machine_new_successor(&vmm->options.machine, &parts, &vmm->machine) < 0)
      problem = "this VMM cannot make a machine for the guest";
  } else {
    if (parts.console >= 0) close(parts.console);
    if (parts.disk >= 0) close(parts.disk);
  }
  if (problem != NULL) {
    fprintf(stderr, "guest-vmm: %s; the guest stays where it was\n", problem);
    vmm->status = 1;
    return check(vmm, "declining", baton_vmm_decline(vmm->baton, problem));
  }
  machine_describe(vmm->machine, &facts);
  result = offer.way == BATON_WAY_MOVE && vmm->options.gives_custody ? facts.vm : -1;
  return check(vmm, "saying ready", baton_vmm_ready(vmm->baton, result));
}

static uint32_t context_vms(struct guest_vmm *vmm, int *vms) {
  uint32_t count = 0;
  while (count < MOST_CONTEXT_VMS && (vms[count] = baton_vmm_context_vm(vmm->baton, count)) >= 0) count++;
  return count;
}

/* CLAIM: everything that can be refused is refused before the baton is used up. */
static int receive(struct guest_vmm *vmm) {
  int vms[MOST_CONTEXT_VMS], result;
  uint32_t vm_count = context_vms(vmm, vms);
  uint64_t token = 0;
  int64_t size = baton_vmm_claim_state(vmm->baton, vmm->state, MACHINE_MOST_STATE);
  if (size < 0 || machine_check_state(vmm->machine, vmm->state, (uint64_t)size) < 0)
    return check(vmm, "giving the baton back", baton_vmm_give_back(vmm->baton));
  if (vmm->offered_way == BATON_WAY_TOKEN
      && (result = check(vmm, "reading the baton", baton_vmm_claim_token(vmm->baton, &token))) < 0)
    return result;
  result = machine_receive(vmm->machine, token, vms, vm_count);
  explicit_bzero(&token, sizeof token);
  switch (result) {
    case MACHINE_TAKEN: break;
    case MACHINE_USED: return check(vmm, "saying that the baton is used", baton_vmm_found_used(vmm->baton));
    case MACHINE_UNTOUCHED: return check(vmm, "giving the baton back", baton_vmm_give_back(vmm->baton));
    default:
      /* Nobody can say whether the context is here: this process's end settles who may go on. */
      return vmm->status = 1, -EIO;
  }
  if (machine_restore(vmm->machine, vmm->state, (uint64_t)size) < 0) return vmm->status = 1, -EINVAL;
  return check(vmm, "saying received", baton_vmm_received(vmm->baton));
}

/* ---- owner ---- */

/* PREPARE: the VM to take back into is made now, not in the blackout. */
static int offer(struct guest_vmm *vmm) {
  struct description description;
  if (machine_prepare_take_back(vmm->machine) < 0)
    return check(vmm, "declining", baton_vmm_decline(vmm->baton, "no VM to take the guest back into"));
  describe(vmm, &description);
  return check(vmm, "offering the guest", baton_vmm_offer(vmm->baton, &description.guest));
}

/* Something went wrong before the stage: the guest goes on here. */
static int go_on(struct guest_vmm *vmm, const char *problem) {
  fprintf(stderr, "guest-vmm: %s; the guest goes on here\n", problem);
  int result = check(vmm, "going on", baton_vmm_resume(vmm->baton));
  if (result < 0) return result;
  vmm->is_running = 1;
  return machine_run(vmm->machine);
}

/* The own context again, into the VM made for that; the machine is restored then. */
static int take_context_back(struct guest_vmm *vmm) {
  struct machine_facts facts;
  int vms[MOST_CONTEXT_VMS];
  uint32_t count = context_vms(vmm, vms);
  int taking = machine_take_back(vmm->machine, vmm->token, vms, count);
  machine_describe(vmm->machine, &facts);
  /* A plain guest was only stopped. */
  if (taking == MACHINE_TAKEN && facts.way != BATON_WAY_NONE
      && machine_restore(vmm->machine, vmm->state, (uint64_t)vmm->state_size) < 0)
    return MACHINE_UNKNOWN;
  return taking;
}

/* FREEZE: from here on the guest stands still. Nothing that can wait is done here. */
static int hand_over(struct guest_vmm *vmm) {
  struct machine_facts facts;
  const uint64_t *token = NULL;
  uint64_t last = machine_stop(vmm->machine);
  int result;
  vmm->is_running = 0;
  if ((result = check(vmm, "freezing", baton_vmm_froze(vmm->baton))) < 0) return result;
  machine_describe(vmm->machine, &facts);
  vmm->state_size = machine_save(vmm->machine, vmm->state, MACHINE_MOST_STATE);
  if (vmm->state_size < 0) return go_on(vmm, "the guest's state cannot be saved");
  if (facts.way == BATON_WAY_TOKEN) {
    if (machine_send(vmm->machine, &vmm->token) < 0) return go_on(vmm, "LOCAL_SEND failed");
    if ((result = check(vmm, "giving the context up", baton_vmm_gave_up_context(vmm->baton))) < 0) return result;
    token = &vmm->token;
  }
  result = baton_vmm_stage(vmm->baton, vmm->state, (size_t)vmm->state_size, token, last);
  if (result < 0 && baton_vmm_state(vmm->baton) == BATON_STATE_FROZEN) {
    /* Nothing has left this process. */
    failed(vmm, "staging", result);
    if (take_context_back(vmm) != MACHINE_TAKEN) return result;
    return go_on(vmm, "the guest was not staged");
  }
  if (result < 0) return failed(vmm, "staging", result);
  tell(vmm, "staged", ",\"lastInstruction\":%" PRIu64, last);
  return 0;
}

/* TAKE_BACK: an order. The verdict RUN follows; until then the guest stands still. */
static int take_back(struct guest_vmm *vmm) {
  switch (take_context_back(vmm)) {
    case MACHINE_TAKEN:
      tell(vmm, "tookBack", "%s", "");
      return check(vmm, "taking back", baton_vmm_took_back(vmm->baton, 1));
    case MACHINE_USED: return check(vmm, "saying that the baton is used", baton_vmm_took_back(vmm->baton, 0));
    default: return 0; /* neither is known: nothing is said, and the registry calls an operator */
  }
}

static int report_checks(struct guest_vmm *vmm) {
  struct machine_facts facts;
  machine_describe(vmm->machine, &facts);
  const struct baton_check checks[] = {
      {.name = "way", .detail = facts.way == BATON_WAY_NONE ? "a plain guest" : "a SEV guest"},
      {.name = "sealedMemory", .detail = "SHRINK, GROW and SEAL are set"},
      {.name = "devices", .detail = "console and disk travel as descriptors"},
      {.name = "interruptDescriptors", .detail = "this VMM binds no irqfd or ioeventfd to its VM"},
  };
  return check(vmm, "reporting", baton_vmm_report(vmm->baton, checks, sizeof checks / sizeof *checks));
}

static int released(struct guest_vmm *vmm, const struct baton_event *event) {
  /* Unmapping RAM keeps a core busy, and the successor's vCPUs are just being woken. */
  if (!vmm->is_parking) usleep(10000);
  vmm->is_running = 0;
  if (event->refusal != 0) {
    fprintf(stderr, "guest-vmm: released: %s\n", baton_refusal_sentence(event->refusal));
    vmm->status = baton_refusal_exit_status(event->refusal);
  }
  if (vmm->last_instruction != 0) tell(vmm, "migrationDeparted", ",\"lastInstruction\":%" PRIu64, vmm->last_instruction);
  tell(vmm, "released", "%s", "");
  return 0;
}

/* Negative when this process cannot go on, 0 when it has nothing to do with the guest any more, else 1. */
static int carry_out(struct guest_vmm *vmm, const struct baton_event *event) {
  int result = 0;
  switch (event->type) {
    case BATON_EVENT_START:
    case BATON_EVENT_RUN: result = run(vmm, event); break;
    case BATON_EVENT_OFFERED: result = prepare_to_take(vmm); break;
    case BATON_EVENT_CLAIM: result = receive(vmm); break;
    case BATON_EVENT_PREPARE: result = offer(vmm); break;
    case BATON_EVENT_FREEZE: result = hand_over(vmm); break;
    case BATON_EVENT_ATTEMPT_OVER: machine_drop_take_back(vmm->machine); break;
    case BATON_EVENT_PREFLIGHT: result = report_checks(vmm); break;
    case BATON_EVENT_TAKE_BACK: result = take_back(vmm); break;
    case BATON_EVENT_ALARM:
      fprintf(stderr, "guest-vmm: the registry is gone or silent; the guest waits paused here, ask batonctl show\n");
      break;
    case BATON_EVENT_RELEASED: return released(vmm, event);
    case BATON_EVENT_MIGRATE: result = depart(vmm); break;
    case BATON_EVENT_STOP: result = stop_for_last_pages(vmm); break;
    case BATON_EVENT_MIGRATION_OVER: result = migration_over(vmm, event); break;
    case BATON_EVENT_ARRIVING: result = prepare_arrival(vmm); break;
    case BATON_EVENT_ARRIVED: result = restore_arrival(vmm); break;
    default: break; /* of a later version of the library */
  }
  return result < 0 ? result : 1;
}

/* ---- the event loop ---- */

/* 0 when the guest was ended. */
static int obey_signal(struct guest_vmm *vmm, uint32_t number) {
  char report[1536];
  if (number == SIGUSR1) {
    /* Of a guest that stands still too; before the offer there is none. */
    if (vmm->machine == NULL) return 1;
    machine_report(vmm->machine, report, sizeof report);
    tell(vmm, "report", ",\"report\":%s", report);
    return 1;
  }
  if (!vmm->is_running) {
    /* Not the owner yet, or not any more: it just goes, and the registry sees its end. While it may have the guest's
     * context it must wait for the verdict, and for a signal there may be a time again. */
    switch (baton_vmm_state(vmm->baton)) {
      case BATON_STATE_NEW:
      case BATON_STATE_ATTACHED:
      case BATON_STATE_OFFERED:
      case BATON_STATE_PREPARED:
      case BATON_STATE_AWAITING:
      case BATON_STATE_ARRIVING: return number == SIGHUP;
      case BATON_STATE_LEAVING: break; /* still this process's: the migration gives way */
      default: vmm->held_signal = number; return 1;
    }
  }
  if (number == SIGHUP) {
    vmm->is_parking = 1;
    return check(vmm, "asking for custody", baton_vmm_park(vmm->baton)) < 0 ? -1 : 1;
  }
  machine_retire(vmm->machine);
  machine_report(vmm->machine, report, sizeof report);
  tell(vmm, "report", ",\"report\":%s", report);
  if (check(vmm, "ending the guest", baton_vmm_end(vmm->baton)) < 0) return -1;
  tell(vmm, "ended", "%s", "");
  return 0;
}

static void live(struct guest_vmm *vmm, int signals) {
  struct baton_event event = {.struct_size = sizeof event};
  for (;;) {
    if (vmm->is_running && vmm->held_signal != 0) {
      const uint32_t held = vmm->held_signal;
      vmm->held_signal = 0;
      if (obey_signal(vmm, held) <= 0) return;
    }
    int found = check(vmm, "listening to the registry", baton_vmm_process(vmm->baton, &event));
    if (found < 0 && !vmm->is_running) return;
    if (found > 0) {
      int result = carry_out(vmm, &event);
      /* A call that failed has changed nothing: a guest that runs here runs on. */
      if (result == 0 || (result < 0 && !vmm->is_running)) return;
      vmm->status = 0;
      continue;
    }
    struct pollfd ready[1 + BATON_MOST_INTERESTS] = {{.fd = signals, .events = POLLIN}};
    int32_t timeout = 0;
    int count = baton_vmm_interests(vmm->baton, ready + 1, BATON_MOST_INTERESTS, &timeout);
    if (check(vmm, "asking what to poll", count) < 0) return;
    poll(ready, (nfds_t)count + 1, timeout);
    struct signalfd_siginfo signal;
    if ((ready[0].revents & POLLIN) != 0 && read(signals, &signal, sizeof signal) == (ssize_t)sizeof signal
        && obey_signal(vmm, signal.ssi_signo) <= 0)
      return;
  }
}

/* To the registry, as the first owner or a successor; or to the sidecar, to wait for a guest from another host. */
static int come(struct guest_vmm *vmm) {
  struct baton_remote remote = {
      .struct_size = sizeof remote, .socket = vmm->options.remote, .silence_ms = vmm->options.silence_ms};
  int result = check(vmm, "allowing migrations", baton_vmm_allow_migration(vmm->baton, &remote));
  if (result < 0) return result;
  if (!vmm->options.is_incoming) return check(vmm, "coming to the registry", baton_vmm_connect(vmm->baton, 60000));
  result = baton_vmm_await(vmm->baton, &remote, vmm->options.machine.ram_size);
  if (result == 0) tell(vmm, "waiting", "%s", "");
  return check(vmm, "waiting for a guest", result);
}

int main(int count, char **arguments) {
  struct guest_vmm vmm = {.events = -1};
  if (options_read(&vmm.options, count, arguments) < 0) return 64;
  /* Blocked before there are threads, which inherit it. */
  sigset_t wanted;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGTERM);
  sigaddset(&wanted, SIGINT);
  sigaddset(&wanted, SIGHUP);
  sigaddset(&wanted, SIGUSR1);
  sigprocmask(SIG_BLOCK, &wanted, NULL);
  signal(SIGPIPE, SIG_IGN);
  options_occupy_standard_numbers();
  int signals = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
  vmm.events = options_open_events(&vmm.options);
  vmm.state = malloc(MACHINE_MOST_STATE);
  if (vmm.state != NULL) memset(vmm.state, 1, MACHINE_MOST_STATE); /* its pages are there before they are needed */
  ask_for_slice(100000); /* this thread has little to do, but then a guest stands still */

  struct baton_identity identity = {
      .struct_size = sizeof identity,
      .registry = vmm.options.registry,
      .guest = vmm.options.guest,
      .build = "guest_vmm.c 1",
      .format_name = MACHINE_FORMAT,
      .format_oldest = MACHINE_FORMAT_OLDEST,
      .format_newest = MACHINE_FORMAT_NEWEST,
      .format_features = MACHINE_FEATURES,
  };
  if (signals >= 0 && vmm.state != NULL
      && check(&vmm, "making a handle", baton_vmm_new(&identity, &vmm.baton)) == 0 && come(&vmm) == 0)
    live(&vmm, signals);
  else if (vmm.status == 0)
    vmm.status = 1;

  /* The library may still ask the machine about its writes. */
  baton_vmm_free(vmm.baton);
  forget_guest(&vmm);
  explicit_bzero(&vmm.token, sizeof vmm.token);
  free(vmm.state);
  if (vmm.events >= 0) close(vmm.events);
  if (signals >= 0) close(signals);
  return vmm.status;
}
