/*
 * A plain client of the software model, sevmodeld: just enough to launch a guest and to hand its context
 * on. One record goes and one comes for each of the timed commands.
 */
#ifndef FLOOR_MODEL_H
#define FLOOR_MODEL_H

#include <stddef.h>
#include <stdint.h>

struct model {
  int connection;
  int machine;
  uint64_t address_space;
};

/* Connects and makes a VM. One that a guest is to be moved into is not initialised. */
struct model model_open(const char *path, int is_initialised);

/* Launches the VM's guest: registers `memory`, starts, encrypts its first `image_byte_count` bytes, measures, finishes. */
void model_launch(struct model *model, void *memory, size_t byte_count, size_t image_byte_count);

/* LOCAL_SEND: the token. */
uint64_t model_local_send(struct model *model);

/* LOCAL_RECEIVE of a token. */
void model_local_receive(struct model *model, uint64_t token);

/* KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM: moves the guest's context out of another process's VM. */
void model_move(struct model *model, int source);

#endif
