/*
 * Lets a VMM that uses libbaton die at a named place, like BATON_CRASH_AT does to baton-vmm, and in the same words. Built
 * as a library for LD_PRELOAD, so that the examples need no code for it: it stands between the VMM and libbaton.
 *
 *   BATON_CRASH_AT=successorClaimed LD_PRELOAD=…/crash-points.so guest-vmm-c …
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
  const char *wanted = getenv("BATON_CRASH_AT");
  if (wanted != NULL && strcmp(wanted, point) == 0) kill(getpid(), SIGKILL);
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

int baton_vmm_process(baton_vmm *vmm, struct baton_event *event) {
  int result = REAL(baton_vmm_process)(vmm, event);
  if (result != 1) return result;
  switch (event->type) {
    case BATON_EVENT_OFFERED:
      is_successor = 1;
      reached("successorOffered");
      break;
    case BATON_EVENT_CLAIM: reached("successorClaimed"); break;
    case BATON_EVENT_RELEASED: reached("sourceReleased"); break;
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
  reached("successorContextReceived");
  int result = REAL(baton_vmm_received)(vmm);
  reached("successorReceived");
  return result;
}

int baton_vmm_running(baton_vmm *vmm, const struct baton_guest *guest, uint64_t first_instruction) {
  int result = REAL(baton_vmm_running)(vmm, guest, first_instruction);
  if (is_successor) reached("successorRunning");
  return result;
}
