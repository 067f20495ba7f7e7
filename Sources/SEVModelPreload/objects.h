/*
 * The VMs and vCPUs that this process made, by the inode of the descriptor that the program has.
 *
 * Not by number: so dup, F_DUPFD, fork and SCM_RIGHTS need no bookkeeping. Entries are never freed, only used
 * again, and are found without a lock: close(2) may be called from a signal handler.
 */
#ifndef SEVMODEL_OBJECTS_H
#define SEVMODEL_OBJECTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum object_kind { OBJECT_MACHINE, OBJECT_VCPU };

struct object {
  struct object *next;    /* in its bucket, for ever */
  _Atomic uint64_t inode; /* 0: not in use */
  enum object_kind kind;
  atomic_bool may_run; /* a vCPU: the model has said so; then only the death of its VM can change that */
  atomic_int host;     /* the real VM or vCPU, hidden; -1 with the stand-in */
  pthread_mutex_t lock;
  void *stand_in; /* struct machine or struct vcpu, under the lock; NULL with a real one */
  void (*free_stand_in)(void *);
};

/*
 * Enters a VM or vCPU under the inode of `fd`. `host` (or -1) is hidden and belongs to the entry from now on,
 * as does `stand_in`. Returns 0 or -errno; then both are let go.
 */
int objects_enter(int fd, enum object_kind kind, int host, void *stand_in, void (*free_stand_in)(void *));

enum object_class {
  CLASS_OTHER,  /* not ours in any way */
  CLASS_SYSTEM, /* the real /dev/kvm */
  CLASS_SYSTEM_STAND_IN,
  CLASS_OBJECT,  /* a VM or vCPU of this process */
  CLASS_UNKNOWN, /* a socket: perhaps the firmware device, or a VM of another process; the model knows */
};
enum object_class objects_classify(int fd, struct object **object);

/* The VM or vCPU behind a descriptor, or NULL. */
struct object *objects_find(int fd);
/* Lets go of every VM and vCPU that no descriptor of this process leads to any more. */
void objects_collect(void);
/* In a forked child: none of them is its own. The real ones are closed by hidden_close_all. */
void objects_forget_all(void);

/* The name of the memory file that stands for /dev/kvm, in a form that /proc/self/fd shows. */
#define STAND_IN_NAME "sevmodel-kvm"

#endif
