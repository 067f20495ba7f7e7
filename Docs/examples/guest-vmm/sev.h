/*
 * The SEV context of a guest, and the two ways to hand it on: KVM's ioctls, nothing else. Without SEV hardware the
 * program runs under the preload library (Scripts/with-sev-model), which answers them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SEV_H
#define SEV_H

#include <stdint.h>

#include "guest.h"

/* What a successor has to know of a SEV guest; travels as the offer's details, as baton-vmm writes them. */
struct sev_facts {
  int has_encrypted_state; /* SEV-ES */
  /* The memory that the first owner registered, by its own address: unregistering it takes exactly these. */
  uint64_t region_address, region_size;
};
enum { SEV_FACTS_SIZE = 18 };
void sev_facts_encode(const struct sev_facts *facts, uint8_t *bytes);
int sev_facts_decode(struct sev_facts *facts, const void *bytes, uint32_t size); /* 0 or -EINVAL */

/* By which ways a context can go here; found out on a plain VM, which stays one. */
struct sev_ways {
  int token, move;
};
int sev_probe(int plain_vm, struct sev_ways *ways);

/* How taking a context went. */
enum sev_taking {
  SEV_TAKEN,     /* it is in this VM */
  SEV_USED,      /* the kernel says that somebody has taken it before */
  SEV_UNTOUCHED, /* nothing was done */
  SEV_UNKNOWN    /* nobody can say whether it was done */
};

/* All return 0 or -errno, with a sentence on stderr. */
int sev_open_firmware(void); /* /dev/sev at descriptor 0, for the rest of the process's life */
int sev_initialize(int vm, int has_encrypted_state);
int sev_launch(int vm, const struct sev_facts *facts, uint64_t image, uint32_t image_size);
int sev_register(int vm, const struct sev_facts *facts);
int sev_unregister(int vm, const struct sev_facts *facts);
int sev_guest_state(int vm); /* as the firmware has it: 3 is running */

/* LOCAL_SEND: 0 and the token, or -errno; from then on the VM takes no commands, though nothing stops its vCPUs. */
int sev_send(int vm, uint64_t *token);
/* LOCAL_RECEIVE into an initialised VM that is no guest. */
enum sev_taking sev_receive(int vm, uint64_t token);
/* MOVE into a plain VM, out of the first of these that has a context. */
enum sev_taking sev_move(int vm, const int *sources, uint32_t count);

#endif
