/*
 * Lets a VMM that uses libbaton die at a named place, like BATON_CRASH_AT does to baton-vmm, and in the same words. Built
 * as a library for LD_PRELOAD, so that the examples need no code for it: it stands between the VMM and libbaton.
 *
 *   BATON_CRASH_AT=successorClaimed LD_PRELOAD=…/crash-points.so guest-vmm-c …
 *
 * With BATON_STOP_AT it stops there instead, once, until SIGCONT comes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#define _GNU_SOURCE
#include <baton.h>

#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void reached(const char *point) {
  static int has_stopped;
  const char *crash = getenv("BATON_CRASH_AT"), *stop = getenv("BATON_STOP_AT");
  if (crash != NULL && strcmp(crash, point) == 0) kill(getpid(), SIGKILL);
  if (stop == NULL || strcmp(stop, point) != 0 || has_stopped) return;
  has_stopped = 1;
  kill(getpid(), SIGSTOP);
}

/* The function of that name in libbaton. */
static void *real(const char *name) {
  void *found = dlsym(RTLD_NEXT, name);
  if (found == NULL) abort();
  return found;
}
#define REAL(name) ((__typeof__(&name))real(#name))

/* START makes the first owner, which never was a successor. */
static int is_successor;
static int is_arriving;

/* Steps of a migration that the library takes by itself show in the state of the handle. */
static void state_changed(int before, int now) {
  if (before == now) return;
  if (now == BATON_STATE_DEPARTING) reached("source-migration-departing");
  if (now == BATON_STATE_DEPARTED) reached("source-migration-receipt");
}

int baton_vmm_process(baton_vmm *vmm, struct baton_event *event) {
  int before = baton_vmm_state(vmm), result = REAL(baton_vmm_process)(vmm, event);
  state_changed(before, baton_vmm_state(vmm));
  if (result != 1) return result;
  switch (event->type) {
    case BATON_EVENT_OFFERED:
      is_successor = 1;
      reached("successorOffered");
      break;
    case BATON_EVENT_CLAIM: reached("successorClaimed"); break;
    case BATON_EVENT_RELEASED:
      reached("sourceReleased");
      if (before == BATON_STATE_DEPARTED) reached("source-migration-confirmed");
      break;
    case BATON_EVENT_ARRIVING:
      is_arriving = 1;
      reached("target-migration-connected");
      break;
    case BATON_EVENT_ARRIVED: reached("target-migration-received"); break;
    case BATON_EVENT_STOP: reached("source-migration-stopped"); break;
    default: break;
  }
  return result;
}

int baton_vmm_offer(baton_vmm *vmm, const struct baton_guest *guest) {
  reached("sourcePrepare");
  int result = REAL(baton_vmm_offer)(vmm, guest);
  reached("sourceOffered");
  return result;
}

int baton_vmm_froze(baton_vmm *vmm) {
  int result = REAL(baton_vmm_froze)(vmm);
  reached("sourceFrozen");
  return result;
}

int baton_vmm_gave_up_context(baton_vmm *vmm) {
  int result = REAL(baton_vmm_gave_up_context)(vmm);
  reached("sourceContextSent");
  return result;
}

int baton_vmm_stage(
    baton_vmm *vmm, const void *state, size_t size, const uint64_t *token, uint64_t last_instruction) {
  int result = REAL(baton_vmm_stage)(vmm, state, size, token, last_instruction);
  reached("sourceStaged");
  return result;
}

int baton_vmm_took_back(baton_vmm *vmm, int outcome) {
  reached("sourceTookBack");
  return REAL(baton_vmm_took_back)(vmm, outcome);
}

int baton_vmm_ready(baton_vmm *vmm, int vm) {
  int result = REAL(baton_vmm_ready)(vmm, vm);
  reached("successorReady");
  return result;
}

int baton_vmm_received(baton_vmm *vmm) {
  reached(is_arriving ? "target-migration-restored" : "successorContextReceived");
  int result = REAL(baton_vmm_received)(vmm);
  reached(is_arriving ? "target-migration-ready" : "successorReceived");
  return result;
}

int baton_vmm_accept(baton_vmm *vmm, const struct baton_target *target) {
  int result = REAL(baton_vmm_accept)(vmm, target);
  reached("target-migration-checked");
  return result;
}

int baton_vmm_stopped(baton_vmm *vmm, const void *state, size_t size, uint64_t last_instruction) {
  int result = REAL(baton_vmm_stopped)(vmm, state, size, last_instruction);
  if (result == 0) reached("source-migration-sent");
  return result;
}

/* The first pages are out soon after. */
static int (*start_dirty_log)(void *);
static int start_and_reach(void *context) {
  int result = start_dirty_log(context);
  reached("source-migration-copying");
  return result;
}

int baton_vmm_migrate(baton_vmm *vmm, const struct baton_source *source) {
  struct baton_source watched = *source;
  start_dirty_log = source->start_dirty_log;
  watched.start_dirty_log = start_and_reach;
  return REAL(baton_vmm_migrate)(vmm, &watched);
}

int baton_vmm_running(baton_vmm *vmm, const struct baton_guest *guest, uint64_t first_instruction) {
  int result = REAL(baton_vmm_running)(vmm, guest, first_instruction);
  if (is_successor) reached("successorRunning");
  if (is_arriving) reached("target-migration-running");
  return result;
}
