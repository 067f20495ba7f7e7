/*
 * baton.h - hand a running guest from one VMM process to the next on the same host.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A VMM process has one handle for each guest that it runs or wants to run. The registry, batond, decides; the
 * handle tells the VMM what was decided, as events, and takes the VMM's answers. Nobody runs a guest without a
 * verdict: BATON_EVENT_START or BATON_EVENT_RUN.
 *
 *   owner      START or RUN .. baton_vmm_running .. PREPARE .. baton_vmm_offer .. FREEZE .. baton_vmm_froze
 *              .. [baton_vmm_gave_up_context] .. baton_vmm_stage .. RELEASED, or TAKE_BACK .. RUN
 *   successor  OFFERED .. baton_vmm_ready .. CLAIM .. baton_vmm_received .. RUN .. baton_vmm_running
 *
 * A guest goes to another host in a way of its own, see "migration" below.
 *
 * Results
 *   An int result is 0, or a count or descriptor where its comment says so, or a negative errno:
 *     -EINVAL   an argument is NULL, too long, or makes no sense
 *     -EPERM    what was asked is not this process's to do now: it has no verdict, or it staged the guest
 *     -EBUSY    another thread is in a call on the same handle
 *     -EPROTO   the registry sent something that is no valid record. Not with a guest in this process: then the connection is
 *               renewed, and nothing is said
 *     -EACCES   the registry refused; baton_vmm_failure() has the name and the sentence of the refusal
 *     -ENOTCONN, -ETIMEDOUT   nobody answers at the registry's socket
 *     any other -errno        a system call failed
 *   A call that fails changes nothing, unless its comment says otherwise. baton_vmm_failure() says more.
 *
 * Descriptors
 *   Those that go in stay the caller's: the library keeps duplicates. Those that come out belong to the caller,
 *   who closes them, unless a comment says "borrowed". All are close-on-exec.
 *
 * Threads
 *   A handle is used by one thread at a time; a second one gets -EBUSY, but for baton_vmm_may_run(). Different handles do not
 *   touch each other. The library makes no thread, installs no handler, calls nothing back, and keeps no global state; with
 *   exceptions for guests that migrate, which are asked for: see struct baton_source and baton_vmm_await(), and for at most
 *   2 s after a migration a thread lets its connection's last words go out. No signal is handled on these threads.
 *
 * Structs
 *   The caller sets struct_size to sizeof of the struct that it was compiled with. Later versions of the library
 *   add members at the end only. Those without struct_size are passed as arrays and stay as they are.
 */
#ifndef BATON_H
#define BATON_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One VMM's part in the handoffs of one guest. */
typedef struct baton_vmm baton_vmm;
/* Which pages a guest shares with its host. */
typedef struct baton_regions baton_regions;

/* How the guest's context moves. */
enum {
  BATON_WAY_TOKEN = 1, /* KVM_SEV_LOCAL_SEND and KVM_SEV_LOCAL_RECEIVE */
  BATON_WAY_MOVE = 2,  /* KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM */
  BATON_WAY_NONE = 3   /* a plain guest: nothing in the kernel arbitrates */
};

/* What baton_vmm_process() and baton_vmm_wait() tell. */
enum {
  BATON_EVENT_START = 1,        /* the guest is new and begins here, in `epoch`: start it, call baton_vmm_running() */
  BATON_EVENT_RUN = 2,          /* run what was received or taken back, in `epoch`: start it, call baton_vmm_running() */
  BATON_EVENT_OFFERED = 3,      /* a source offers the guest: map its RAM, make VM and vCPUs, call baton_vmm_ready() */
  BATON_EVENT_CLAIM = 4,        /* baton and state are here: receive, restore, call baton_vmm_received() */
  BATON_EVENT_PREPARE = 5,      /* a successor is there: call baton_vmm_offer(); the guest runs on */
  BATON_EVENT_FREEZE = 6,       /* stop the vCPUs, call baton_vmm_froze(), save, baton_vmm_stage() */
  BATON_EVENT_ATTEMPT_OVER = 7, /* the attempt ended before the guest was staged; it runs on here */
  BATON_EVENT_PREFLIGHT = 8,    /* an operator asks whether a handoff would go through: call baton_vmm_report() */
  BATON_EVENT_TAKE_BACK = 9,    /* get the context back and restore, do not run: call baton_vmm_took_back() */
  BATON_EVENT_RELEASED = 10,    /* give up everything and exit; `refusal` says why, 0 after a handoff */
  BATON_EVENT_ALARM = 11,       /* the registry has been gone or silent for its deadline; the guest waits paused */
  /* Only after baton_vmm_allow_migration(): */
  BATON_EVENT_MIGRATE = 12,     /* the guest is to go to another host: call baton_vmm_migrate() or baton_vmm_decline() */
  BATON_EVENT_STOP = 13,        /* stop the vCPUs, save, call baton_vmm_stopped() */
  BATON_EVENT_MIGRATION_OVER = 14, /* nothing comes of it, `refusal` says why, 0 after a plan. Source: let the vCPUs run
                                    * again, if they were stopped. Target: drop what was made, wait on */
  /* Only after baton_vmm_await(): */
  BATON_EVENT_ARRIVING = 15,    /* a guest comes from another host: make RAM and VM, call baton_vmm_accept(), or decline */
  BATON_EVENT_ARRIVED = 16      /* all of it is here: restore baton_vmm_claim_state(), call baton_vmm_received() */
};

/* Where a handle stands. */
enum {
  BATON_STATE_NEW = 0,       /* not connected yet */
  BATON_STATE_ATTACHED = 1,  /* waits for an offer or for the verdict to start */
  BATON_STATE_OFFERED = 2,   /* has an offer */
  BATON_STATE_PREPARED = 3,  /* said ready */
  BATON_STATE_CLAIMING = 4,  /* has baton and state */
  BATON_STATE_RECEIVED = 5,  /* has the context, waits for the verdict */
  BATON_STATE_PERMITTED = 6, /* has the verdict, baton_vmm_running() is due */
  BATON_STATE_RUNNING = 7,   /* owns and runs the guest */
  BATON_STATE_FROZEN = 8,    /* owns the guest, which stands still */
  BATON_STATE_STAGED = 9,    /* has given the baton away: only the registry's orders count */
  BATON_STATE_TAKING_BACK = 10, /* was ordered to take the guest back */
  BATON_STATE_TOOK_BACK = 11, /* has the context again, waits for the verdict */
  BATON_STATE_RETURNED = 12, /* does not go on with the claim, waits to be released */
  BATON_STATE_OVER = 13,     /* released, ended or refused */
  BATON_STATE_LEAVING = 14,  /* owns the guest, which stands still for its last pages */
  BATON_STATE_DEPARTING = 15, /* another host has all of it: only the registry's orders count */
  BATON_STATE_DEPARTED = 16, /* the guest was given up here; the other host is told */
  BATON_STATE_AWAITING = 17, /* waits for a guest from another host */
  BATON_STATE_ARRIVING = 18, /* its pages come */
  BATON_STATE_ARRIVED = 19   /* has all of it, waits for the verdict */
};

/* Who comes, and for which guest. */
struct baton_identity {
  size_t struct_size;
  const char *registry;     /* path of batond's handoff socket; NULL: /run/baton/handoff */
  const char *guest;        /* [A-Za-z0-9][A-Za-z0-9_.-]{0,62} */
  const char *build;        /* build id or version for people, at most 128 bytes */
  const char *format_name;  /* name of the VMM's device-state format, at most 64 bytes */
  uint16_t format_oldest;   /* which versions of it this binary reads, both included */
  uint16_t format_newest;
  uint32_t is_fresh;        /* not 0: insist on being the first owner */
  uint64_t format_features; /* bits of optional parts that this binary reads */
};

struct baton_event {
  size_t struct_size;
  uint32_t type;    /* BATON_EVENT_... */
  int32_t refusal;  /* RELEASED: why, as baton_refusal_name() names it; else 0 */
  uint64_t handoff; /* the attempt that it is about, 0 if none */
  uint64_t epoch;   /* START, RUN: in which epoch the guest is owned */
};

struct baton_failure {
  size_t struct_size;
  int32_t error;    /* the errno of the last call that failed on this handle, positive; 0 if none did */
  int32_t refusal;  /* the refusal behind it, 0 if none */
  char text[512];   /* what was tried on what, why it failed, what the guest is doing; ends with NUL */
};

/* A part of guest RAM. */
struct baton_region {
  uint64_t guest_physical_address; /* bytes; this and the next two are multiples of 4096 */
  uint64_t byte_count;
  uint64_t file_offset; /* bytes */
  uint32_t file;        /* index of the RAM file */
  uint32_t reserved;    /* 0 */
};

/* What travels with the guest. Everything in it is borrowed for the call. */
struct baton_guest {
  size_t struct_size;
  uint32_t way;
  uint32_t vcpu_count;
  uint32_t ram_count;    /* at most 64 */
  uint32_t region_count; /* at most 256 */
  uint32_t named_count;  /* at most 3900 */
  uint32_t reserved;     /* 0 */
  const int *ram;        /* memfds with F_SEAL_SHRINK, F_SEAL_GROW and F_SEAL_SEAL */
  const struct baton_region *regions;
  const char *const *names; /* 1 to 128 bytes of printable ASCII, each once */
  const int *named;         /* TAP, vhost, disks, eventfds: one for each name */
  int32_t vm;               /* the VM, so that a staged guest outlives this process; the baton of way `move`; or -1 */
  int32_t take_back_vm;     /* way `move`: the VM to take back into, so that it outlives this process too; or -1 */
  const char *format_name;  /* in which form baton_vmm_stage() will write the state */
  uint16_t format_version;
  uint16_t reserved2;
  uint32_t details_size;    /* at most 16 KiB */
  uint64_t format_features;
  const void *details;      /* facts of the VMM's own for its successor; the registry does not read them */
};

/* What a successor was offered. */
struct baton_offer {
  size_t struct_size;
  uint64_t handoff;
  uint32_t way;
  uint32_t vcpu_count;
  uint32_t ram_count;
  uint32_t region_count;
  uint32_t named_count;
  uint32_t has_vm;          /* not 0: baton_vmm_take_vm() has a descriptor */
  uint32_t is_stopped;      /* not 0: the guest stands still already, so what can wait (populating RAM) waits */
  uint32_t details_size;
  uint64_t format_features;
  uint16_t format_version;
  uint16_t reserved[3];
};

/* One line of a preflight. */
enum { BATON_CHECK_PASS = 0, BATON_CHECK_WARN = 1, BATON_CHECK_FAIL = 2, BATON_CHECK_UNKNOWN = 3 };
struct baton_check {
  const char *name;   /* camelCase, at most 64 bytes */
  const char *detail; /* what was found, at most 512 bytes */
  const char *remedy; /* what to do about it, at most 512 bytes; NULL if nothing */
  uint32_t verdict;   /* BATON_CHECK_... */
  uint32_t reserved;  /* 0 */
};

/* ---- the library ---- */

/* Its version as text, for example "0.1.0"; never freed. */
const char *baton_version(void);
/* A refusal's name, for example "batonUsed", or NULL for a number that is none; never freed. */
const char *baton_refusal_name(int32_t refusal);
/* What was refused, why, what the guest is doing and what to do; or NULL; never freed. */
const char *baton_refusal_sentence(int32_t refusal);
/* The status with which a VMM ends that was released with this refusal (0 for 0), or -EINVAL. */
int baton_refusal_exit_status(int32_t refusal);

/* ---- a handle ---- */

/* Makes a handle; nothing is sent. Free it with baton_vmm_free(). */
int baton_vmm_new(const struct baton_identity *identity, baton_vmm **vmm);
/* Frees a handle and closes its connection; NULL is allowed. What the registry knows stays: a guest that runs here
 * is still this process's, and the process should end it or exit. */
void baton_vmm_free(baton_vmm *vmm);
/* Comes to the registry, which may be away for at most timeout_ms. After it failed it may be called again. */
int baton_vmm_connect(baton_vmm *vmm, uint32_t timeout_ms);
/* The socket to poll for reading (level-triggered), borrowed; it changes when the connection is renewed. Call
 * baton_vmm_process() once a second too, for BATON_EVENT_ALARM. -ENOTCONN while there is none: every 50 ms then. */
int baton_vmm_descriptor(baton_vmm *vmm);
/* Takes up what came, without waiting (a broken connection is renewed, which waits for its welcome, at most 1 s).
 * Returns 1 with an event, 0 when there is none. Call it until it returns 0. */
int baton_vmm_process(baton_vmm *vmm, struct baton_event *event);
/* Like baton_vmm_process(), and waits for an event, at most timeout_ms; negative: for ever. */
int baton_vmm_wait(baton_vmm *vmm, int32_t timeout_ms, struct baton_event *event);
/* What to poll before the next baton_vmm_process(), and for how long at most, in milliseconds: the socket of
 * baton_vmm_descriptor(), if there is a connection, and what a migration adds. Fills in at most `count` entries, of
 * which it needs up to BATON_MOST_INTERESTS; returns how many, or -ENOBUFS. All are borrowed until then. */
enum { BATON_MOST_INTERESTS = 4 };
int baton_vmm_interests(baton_vmm *vmm, struct pollfd *entries, size_t count, int32_t *timeout_ms);
/* BATON_STATE_... */
int baton_vmm_state(baton_vmm *vmm);
/* Why the last call on this handle failed. */
int baton_vmm_failure(baton_vmm *vmm, struct baton_failure *failure);
/* Whether the guest's vCPUs may be in KVM_RUN now: 0, or -EPERM. Any thread may ask at any time, also while another one is in
 * a call; what that call brings counts once it has returned. */
int baton_vmm_may_run(baton_vmm *vmm);

/* ---- successor: after BATON_EVENT_OFFERED ----
 * The library has checked the offer: RAM files are memfds, sealed, of the size and identity that the source said. */

int baton_vmm_offer_get(baton_vmm *vmm, struct baton_offer *offer);
/* Copies region `index`. */
int baton_vmm_offer_region(baton_vmm *vmm, uint32_t index, struct baton_region *region);
/* Copies the name of named descriptor `index` with its NUL; returns its length, or -ENOBUFS. */
int baton_vmm_offer_name(baton_vmm *vmm, uint32_t index, char *name, size_t size);
/* Copies the source's details; returns their size, or -ENOBUFS. */
int baton_vmm_offer_details(baton_vmm *vmm, void *details, size_t size);
/* A descriptor of the offer; each call returns a new duplicate, or -ENOENT when there is none such. */
int baton_vmm_take_ram(baton_vmm *vmm, uint32_t index);
int baton_vmm_take_named(baton_vmm *vmm, const char *name);
int baton_vmm_take_vm(baton_vmm *vmm);
/* Everything that takes time is done. `vm`, way `move` only: the VM into which this process takes the context, so that
 * the guest outlives it; else -1. */
int baton_vmm_ready(baton_vmm *vmm, int vm);
/* This VMM cannot take the guest (successor; target after ARRIVING or ARRIVED), or not give it away now (owner after
 * PREPARE or MIGRATE, or after STOP, where MIGRATION_OVER follows); it stays where it is. Of `text` 512 bytes are used. */
int baton_vmm_decline(baton_vmm *vmm, const char *text);

/* ---- successor: after BATON_EVENT_CLAIM ----
 * Receive the context and restore the state into kernel objects only: no guest RAM is written before RUN. Then call
 * exactly one of baton_vmm_received(), baton_vmm_found_used(), baton_vmm_give_back(). */

/* Copies the device state; with state NULL only its size is returned. Returns the size, or -ENOBUFS. */
int64_t baton_vmm_claim_state(baton_vmm *vmm, void *state, size_t size);
/* Way `token`: the baton for KVM_SEV_LOCAL_RECEIVE. Overwrite it when it was used; never print or store it. */
int baton_vmm_claim_token(baton_vmm *vmm, uint64_t *token);
/* Way `move`, also after TAKE_BACK: a VM out of which the context may be moved, borrowed until the claim is answered; try
 * them from index 0 on. -ENOENT: there are no more. */
int baton_vmm_context_vm(baton_vmm *vmm, uint32_t index);
/* The context is in this process's VM and the state is restored. Wait for RUN. */
int baton_vmm_received(baton_vmm *vmm);
/* The kernel says that the baton is used or unknown. Wait for RELEASED. */
int baton_vmm_found_used(baton_vmm *vmm);
/* The baton was not used: the source takes the guest back, or another successor claims it. Wait for RELEASED. */
int baton_vmm_give_back(baton_vmm *vmm);

/* ---- owner ---- */

/* The guest runs, after START or RUN. `first_instruction`: CLOCK_MONOTONIC in nanoseconds, 0 if unknown. */
int baton_vmm_running(baton_vmm *vmm, const struct baton_guest *guest, uint64_t first_instruction);
/* Offers the guest, after PREPARE, while it runs. */
int baton_vmm_offer(baton_vmm *vmm, const struct baton_guest *guest);
/* Answers PREFLIGHT. */
int baton_vmm_report(baton_vmm *vmm, const struct baton_check *checks, size_t count);
/* This process is about to be replaced by one that starts after it (a restart in place): asks the registry to take the
 * guest into custody. PREPARE and FREEZE follow, RELEASED after the stage; or ATTEMPT_OVER: ask again or give up. A migration
 * that is under way ends, before or in its pause. */
int baton_vmm_park(baton_vmm *vmm);
/* The vCPUs stand still, after FREEZE. */
int baton_vmm_froze(baton_vmm *vmm);
/* Way `token`: KVM_SEV_LOCAL_SEND was done; going on needs a self-receive first. */
int baton_vmm_gave_up_context(baton_vmm *vmm);
/* Lets the frozen guest go on here: 0 says that its vCPUs may run. -EPERM once it was staged. */
int baton_vmm_resume(baton_vmm *vmm);
/* Gives baton and state away. From then on only the registry's orders count, whether or not they arrived.
 * `token`: way `token` only, else NULL. `last_instruction`: CLOCK_MONOTONIC in nanoseconds. */
int baton_vmm_stage(
    baton_vmm *vmm, const void *state, size_t size, const uint64_t *token, uint64_t last_instruction);
/* How TAKE_BACK went. `outcome` 1: the context is here again and the state restored (wait for RUN); 0: the kernel says
 * that the baton was used. When neither is known say nothing: the registry calls an operator. */
int baton_vmm_took_back(baton_vmm *vmm, int outcome);
/* The guest has ended for good. */
int baton_vmm_end(baton_vmm *vmm);

/* ---- migration to another host ----
 * The guest's memory is copied while it runs, by the sidecars (baton-remote) of both hosts and in the stream of baton-vmm:
 * the other side is any VMM that has the same machine. baton_vmm_process() goes on with it for some 10 ms at each call;
 * poll what baton_vmm_interests() says meanwhile, or use baton_vmm_wait(), which wakes up sooner in the pause. What the
 * owner has to say to its registry, and when, is done in there.
 *
 *   source   baton_vmm_allow_migration .. MIGRATE .. baton_vmm_migrate .. STOP .. baton_vmm_stopped .. RELEASED; or RUN, or
 *            MIGRATION_OVER
 *   target   baton_vmm_await .. ARRIVING .. baton_vmm_accept .. ARRIVED .. baton_vmm_received .. RUN .. baton_vmm_running;
 *            or MIGRATION_OVER, and the next ARRIVING
 *
 * A guest runs on one host: at the target it waits for the receipt of the source's registry, and the source gives the receipt
 * out when the guest cannot run there any more. What goes wrong on the way is told as MIGRATION_OVER, and
 * baton_vmm_failure() has the sentence; a call below that fails has ended the migration too, and MIGRATION_OVER follows, but
 * for -EINVAL, -EBADF, -EPERM, -EBUSY and what only reads, which change nothing. A handoff that the registry orders, baton_vmm_park() and
 * baton_vmm_end() end it as well. Answer an event before the next baton_vmm_process(): what that brings may
 * have ended the migration, and the answer is out of turn then. */

/* The way to other hosts. */
struct baton_remote {
  size_t struct_size;
  const char *socket;  /* path of the sidecar's socket; NULL: /run/baton/remote.sock */
  uint32_t silence_ms; /* after which a silent other host counts as gone; 0: 10 s */
  uint32_t reserved;   /* 0 */
};

/* What a migration asks of the VMM that has the guest. The functions are called in calls on the handle only, on the thread
 * that makes them; they use no handle. `ram`, `context` and the functions are used until RELEASED, RUN, MIGRATION_OVER or
 * baton_vmm_free(); all else is borrowed for the call, and the library keeps duplicates of descriptors. */
struct baton_source {
  size_t struct_size;
  const struct baton_guest *guest; /* with one RAM file, regions that cover it, no named descriptors, no take_back_vm; `vm`
                                    * with way `move` only */
  const void *ram;                 /* where the RAM file is mapped, all of it */
  void *context;
  /* Begins to note which pages the guest, and the VMM for it, write. 0 or -errno. */
  int (*start_dirty_log)(void *context);
  /* Sets the bits of pages written since it was called last, or since the begin, and forgets them. Page n is n * 4096 bytes
   * from the begin of RAM: bit n % 64 of pages[n / 64]; all are 0 when it is called. 0 or -errno. */
  int (*take_dirty_pages)(void *context, uint64_t *pages, size_t words);
  void (*stop_dirty_log)(void *context);
  const void *facts;        /* for the target's VMM to compare: CPU model, capabilities, devices */
  size_t facts_size;        /* at most 64 KiB */
  const void *variables;    /* a copy of the UEFI variable store; NULL: the guest boots without UEFI */
  size_t variables_size;    /* at most 16 MiB */
  baton_regions *regions;   /* SEV: what the guest says about its pages; NULL for a plain one */
  int32_t vm;               /* SEV: its VM, with /dev/sev open at the number that it keeps; -1 for a plain one */
  uint32_t trusts_model_root; /* not 0: a target may show the certificates of sevmodeld. For guests of the model only: their
                               * keys are in everybody's hands */
};

/* What a VMM has made for a guest that comes. `ram` and `regions` are used until RUN or MIGRATION_OVER. */
struct baton_target {
  size_t struct_size;
  const struct baton_guest *guest; /* as struct baton_source has it, with the regions and vCPUs of the offer */
  void *ram;                       /* where the RAM file is mapped, writable; all zeros, best with every page present */
  const void *signed_cek;   /* SEV: AMD's certificates of this host, which its firmware does not have; or NULL */
  size_t signed_cek_size;
  const void *amd_chain;    /* ASK, then ARK; or NULL */
  size_t amd_chain_size;
  baton_regions *regions;   /* SEV: gets the pages that the guest shares; NULL for a plain one */
  int32_t vm;               /* SEV: a VM after INIT, with its vCPUs, nothing launched in it; -1 for a plain one */
  int32_t firmware;         /* SEV: the number at which /dev/sev is open; it has to stay so */
};

/* A guest that is offered by another host; baton_vmm_offer_get() and baton_vmm_offer_region() have the rest. */
enum { BATON_KIND_PLAIN = 0, BATON_KIND_SEV = 1, BATON_KIND_SEV_ES = 2 };
struct baton_arrival {
  size_t struct_size;
  uint32_t kind;       /* BATON_KIND_... */
  uint32_t policy;     /* of a SEV guest */
  uint32_t is_plan;    /* not 0: the operator only wants to know how long it would take. Answer as if it came */
  uint32_t facts_size; /* at most 64 KiB */
  uint64_t epoch;      /* in which it is owned at its source */
};

/* From now on this VMM's guest may be sent to another host. Without it an operator who wants that is told no. */
int baton_vmm_allow_migration(baton_vmm *vmm, const struct baton_remote *remote);
/* Begins, after MIGRATE. The guest runs on. */
int baton_vmm_migrate(baton_vmm *vmm, const struct baton_source *source);
/* The vCPUs stand still, after STOP; `state` as for baton_vmm_stage(), `last_instruction`: CLOCK_MONOTONIC in nanoseconds. 0:
 * they stay so until an event says otherwise. 1: the guest wrote too much just before: let them run, STOP comes again. */
int baton_vmm_stopped(baton_vmm *vmm, const void *state, size_t size, uint64_t last_instruction);

/* Waits for a guest from another host, instead of baton_vmm_connect(); the sidecar may come later. `most_ram`: bytes; a bigger
 * guest is refused. While a guest comes the library has one thread: it tells the source that this side lives while the VMM
 * makes or restores the guest. */
int baton_vmm_await(baton_vmm *vmm, const struct baton_remote *remote, uint64_t most_ram);
int baton_vmm_arrival(baton_vmm *vmm, struct baton_arrival *arrival);
/* Copies what the source's VMM gives to compare; returns its size, or -ENOBUFS. */
int baton_vmm_arrival_facts(baton_vmm *vmm, void *facts, size_t size);
/* Takes the guest that is offered, or answers its plan. */
int baton_vmm_accept(baton_vmm *vmm, const struct baton_target *target);
/* Copies the name of the other host with its NUL; returns its length, -ENOENT when there is none, or -ENOBUFS. */
int baton_vmm_peer(baton_vmm *vmm, char *name, size_t size);

/* ---- shared pages ----
 * Which pages a SEV guest shares with its host, and whether the guest is ready to be migrated to another one: learnt from
 * the guest itself, for a migration, or for a VMM that has a loop of its own over RAM. No registry is asked. Pages are 4096
 * bytes and counted by guest frame number (guest-physical address / 4096). Any thread may use a set at any time. */

/* How a page is sent to another host. */
enum {
  BATON_PAGE_PLAIN = 1,    /* as it is: the guest shares it, or is not encrypted */
  BATON_PAGE_ENCRYPTED = 2 /* by SEND_UPDATE_DATA: only the firmware can read it */
};

/* What a fresh guest has: every page is private. `is_encrypted` 0: a plain guest, all of whose pages are PLAIN.
 * `is_offered` not 0: CPUID 0x40000001 EAX offers it KVM_HC_MAP_GPA_RANGE (bit 16) and MSR_KVM_MIGRATION_CONTROL (17). */
int baton_regions_new(int is_encrypted, int is_offered, baton_regions **regions);
void baton_regions_free(baton_regions *regions); /* NULL is allowed */
/* The guest was reset by the VMM: every page is private again, and it has to say anew that it is ready. */
int baton_regions_reset(baton_regions *regions);

/* A vCPU left the guest with a hypercall: its number and first three arguments. `result` is what the guest finds in RAX. */
int baton_regions_hypercall(baton_regions *regions, uint64_t number, const uint64_t *arguments, int64_t *result);
/* It reads or writes a register; -ENOENT: not one of these, or not offered: the guest gets a general-protection fault. */
int baton_regions_read_msr(baton_regions *regions, uint32_t index, uint64_t *value);
int baton_regions_write_msr(baton_regions *regions, uint32_t index, uint64_t value);
/* The same without a hypercall. -ENOSPC: the set holds at most 65535 ranges, and says nothing true of these pages now. */
int baton_regions_set_shared(baton_regions *regions, uint64_t first_frame, uint64_t count);
int baton_regions_set_private(baton_regions *regions, uint64_t first_frame, uint64_t count);

/* 1 if the page is shared, else 0. */
int baton_regions_is_shared(baton_regions *regions, uint64_t frame);
/* BATON_PAGE_...; all pages up to `end` (exclusive, may be NULL) are of the same kind. */
int baton_regions_kind(baton_regions *regions, uint64_t frame, uint64_t *end);
/* Whether the guest may be migrated, as far as it is concerned: 0, or -EAGAIN: it has not said that it is ready, or has
 * named more ranges than the set holds. A handoff on the same host does not ask. */
int baton_regions_may_migrate(baton_regions *regions);

/* Everything, as a part of the device state that baton_vmm_stage() takes: copies it, with bytes NULL only its size is
 * returned. Returns the size, or -ENOBUFS. */
int64_t baton_regions_save(baton_regions *regions, void *bytes, size_t size);
/* What baton_regions_save() wrote; -EBADMSG for anything else, and nothing has changed then. */
int baton_regions_load(baton_regions *regions, const void *bytes, size_t size);

#ifdef __cplusplus
}
#endif

#endif
