/*
 * What guest_vmm.c and guest_vmm_migration.c share: the VMM process, and how it tells what happens.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef GUEST_VMM_H
#define GUEST_VMM_H

#include <baton.h>

#include "machine.h"
#include "options.h"

enum { MOST_NAMED = 16 };

/* A descriptor that travels with the guest although this VMM does nothing with it. */
struct named {
  char name[129];
  int fd;
};

struct guest_vmm {
  baton_vmm *baton;
  struct options options;
  struct machine *machine;
  struct named others[MOST_NAMED];
  uint32_t other_count;
  /* Of a guest that was staged here, until it is known whose it is. */
  uint8_t *state;
  int64_t state_size;
  uint64_t token;
  uint32_t offered_way;
  /* Of a guest that stands still to go to another host, else 0. */
  uint64_t last_instruction;
  int events; /* file, or -1 */
  int is_owner, is_running, is_parking;
  uint32_t held_signal; /* that came while the guest was nobody's to end; 0: none */
  int status;           /* to exit with */
};

/* What describes the guest, valid as long as this is. */
struct description {
  struct baton_guest guest;
  struct baton_region region;
  struct machine_facts facts;
  const char *names[MOST_NAMED + 2];
  int named[MOST_NAMED + 2];
};
void describe(const struct guest_vmm *vmm, struct description *description);

/* One JSON line for programs. */
__attribute__((format(printf, 3, 4))) void tell(struct guest_vmm *vmm, const char *event, const char *fields, ...);
/* Says why a call of the library failed, and with which status to exit; returns the result. */
int check(struct guest_vmm *vmm, const char *what, int result);
void forget_guest(struct guest_vmm *vmm);

/* ---- guest_vmm_migration.c: one function for each event. Negative when this process cannot go on. ---- */

int depart(struct guest_vmm *vmm);
int stop_for_last_pages(struct guest_vmm *vmm);
int migration_over(struct guest_vmm *vmm, const struct baton_event *event);
int prepare_arrival(struct guest_vmm *vmm);
int restore_arrival(struct guest_vmm *vmm);

#endif
