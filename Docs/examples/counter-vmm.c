/*
 * A VMM in C whose guest is a counter at the start of a memfd: the smallest program that does everything that
 * Docs/vmm-authors.md describes. It has no vCPUs and no SEV context, so that only the handoff is left to read; one
 * call of tick() is one guest instruction. It and its twin in Swift (Tests/Example) hand the same guest to each other.
 *
 *   cc -std=c11 counter-vmm.c -lbaton -o counter-vmm
 *   counter-vmm SOCKET GUEST TICKS     runs or takes over the guest, ends it when its counter is TICKS
 *
 * SIGTERM asks to be replaced in place: the guest waits in the registry's custody for the next process.
 */
#define _GNU_SOURCE
#include <baton.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { RAM_SIZE = 65536, MOST_EPOCHS = 64 };

/* The whole VMM. */
struct counter_vmm {
  baton_vmm *baton;
  int ram;
  volatile uint64_t *memory;
  uint64_t last; /* CLOCK_MONOTONIC of the last instruction */
  uint64_t epochs[MOST_EPOCHS];
  int epoch_count;
  int is_running;
  int is_released;
};

static volatile sig_atomic_t park_wanted;
static void want_park(int signal) {
  (void)signal;
  park_wanted = 1;
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Says why a call of the library failed, and ends. The guest is where the sentence says. */
static void die(struct counter_vmm *vmm, const char *what, int result) {
  struct baton_failure failure = {.struct_size = sizeof failure};
  if (vmm->baton != NULL && baton_vmm_failure(vmm->baton, &failure) == 0 && failure.error != 0) {
    fprintf(stderr, "counter-vmm: %s: %s\n", what, failure.text);
    exit(failure.refusal != 0 ? baton_refusal_exit_status(failure.refusal) : 1);
  }
  fprintf(stderr, "counter-vmm: %s: %s\n", what, strerror(-result));
  exit(1);
}

static void check(struct counter_vmm *vmm, const char *what, int result) {
  if (result < 0) die(vmm, what, result);
}

static void tick(struct counter_vmm *vmm) {
  /* A handle that has no verdict, or that staged, says no here. */
  check(vmm, "running the guest", baton_vmm_may_run(vmm->baton));
  vmm->memory[0]++;
  vmm->last = now();
}

static void map(struct counter_vmm *vmm, int ram) {
  void *memory = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, ram, 0);
  if (memory == MAP_FAILED) {
    perror("counter-vmm: mapping guest RAM");
    exit(1);
  }
  vmm->ram = ram;
  vmm->memory = memory;
}

/* Sealed, because a successor maps it: nobody may shrink it under the other's feet. */
static void make_ram(struct counter_vmm *vmm) {
  int ram = memfd_create("counter-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (ram < 0 || ftruncate(ram, RAM_SIZE) != 0
      || fcntl(ram, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    perror("counter-vmm: making guest RAM");
    exit(1);
  }
  map(vmm, ram);
}

static const struct baton_region regions[] = {{.byte_count = RAM_SIZE}};

static struct baton_guest guest_of(const struct counter_vmm *vmm) {
  struct baton_guest guest = {
      .struct_size = sizeof guest,
      .way = BATON_WAY_NONE,
      .vcpu_count = 1,
      .ram_count = 1,
      .region_count = 1,
      .ram = &vmm->ram,
      .regions = regions,
      .vm = -1,
      .take_back_vm = -1,
      .format_name = "example",
      .format_version = 1,
  };
  return guest;
}

/* START or RUN: the only way to a running guest. */
static void begin(struct counter_vmm *vmm, const struct baton_event *event) {
  if (event->type == BATON_EVENT_START) make_ram(vmm);
  if (vmm->epoch_count < MOST_EPOCHS) vmm->epochs[vmm->epoch_count++] = event->epoch;
  struct baton_guest guest = guest_of(vmm);
  tick(vmm);
  vmm->is_running = 1;
  check(vmm, "saying that the guest runs", baton_vmm_running(vmm->baton, &guest, vmm->last));
}

/* OFFERED: what takes time happens while the guest still runs at its source. */
static void prepare_to_take(struct counter_vmm *vmm) {
  int ram = baton_vmm_take_ram(vmm->baton, 0);
  check(vmm, "taking guest RAM", ram);
  if (vmm->memory != NULL) {
    /* The source offers once more, after an attempt that came to nothing. */
    munmap((void *)vmm->memory, RAM_SIZE);
    close(vmm->ram);
  }
  map(vmm, ram);
  check(vmm, "saying ready", baton_vmm_ready(vmm->baton, -1));
}

/* CLAIM: the state of this guest is the counter it had; restoring it means to check it. */
static void receive(struct counter_vmm *vmm) {
  unsigned char state[8];
  int64_t size = baton_vmm_claim_state(vmm->baton, state, sizeof state);
  uint64_t counter = 0;
  for (int index = 0; index < 8; index++) counter |= (uint64_t)state[index] << (8 * index);
  if (size != sizeof state || counter != vmm->memory[0]) {
    check(vmm, "giving the baton back", baton_vmm_give_back(vmm->baton));
    return;
  }
  check(vmm, "saying received", baton_vmm_received(vmm->baton));
}

/* FREEZE: nothing ticks from here on, because this thread is the guest's only vCPU. */
static void hand_over(struct counter_vmm *vmm) {
  vmm->is_running = 0;
  check(vmm, "freezing", baton_vmm_froze(vmm->baton));
  unsigned char state[8];
  for (int index = 0; index < 8; index++) state[index] = (unsigned char)(vmm->memory[0] >> (8 * index));
  int result = baton_vmm_stage(vmm->baton, state, sizeof state, NULL, vmm->last);
  if (result < 0 && baton_vmm_state(vmm->baton) == BATON_STATE_FROZEN) {
    /* Nothing has left this process: the guest goes on here. */
    check(vmm, "going on", baton_vmm_resume(vmm->baton));
    vmm->is_running = 1;
    return;
  }
  check(vmm, "staging", result);
}

/* Returns 0 when this process has nothing to do with the guest any more. */
static int carry_out(struct counter_vmm *vmm, const struct baton_event *event) {
  struct baton_guest guest;
  struct baton_check fine = {.name = "example", .detail = "a counter", .verdict = BATON_CHECK_PASS};
  switch (event->type) {
    case BATON_EVENT_START:
    case BATON_EVENT_RUN: begin(vmm, event); break;
    case BATON_EVENT_OFFERED: prepare_to_take(vmm); break;
    case BATON_EVENT_CLAIM: receive(vmm); break;
    case BATON_EVENT_PREPARE:
      guest = guest_of(vmm);
      check(vmm, "offering the guest", baton_vmm_offer(vmm->baton, &guest));
      break;
    case BATON_EVENT_FREEZE: hand_over(vmm); break;
    case BATON_EVENT_ATTEMPT_OVER: break;
    case BATON_EVENT_PREFLIGHT: check(vmm, "reporting", baton_vmm_report(vmm->baton, &fine, 1)); break;
    /* A plain guest has no context to take back; the verdict RUN follows. */
    case BATON_EVENT_TAKE_BACK: check(vmm, "taking back", baton_vmm_took_back(vmm->baton, 1)); break;
    case BATON_EVENT_ALARM:
      fprintf(stderr, "counter-vmm: the registry is gone or silent; the guest waits paused here\n");
      break;
    case BATON_EVENT_RELEASED:
      vmm->is_released = 1;
      vmm->is_running = 0;
      return 0;
    default: break;
  }
  return 1;
}

static void live(struct counter_vmm *vmm, uint64_t ticks) {
  struct baton_event event = {.struct_size = sizeof event};
  for (;;) {
    int found = baton_vmm_process(vmm->baton, &event);
    check(vmm, "listening to the registry", found);
    if (found > 0) {
      if (!carry_out(vmm, &event)) return;
      continue;
    }
    if (vmm->is_running) {
      if (vmm->memory[0] >= ticks) {
        check(vmm, "ending the guest", baton_vmm_end(vmm->baton));
        return;
      }
      if (park_wanted) {
        park_wanted = 0;
        check(vmm, "asking for custody", baton_vmm_park(vmm->baton));
      }
      tick(vmm);
    }
    struct pollfd ready = {.fd = baton_vmm_descriptor(vmm->baton), .events = POLLIN};
    poll(&ready, 1, vmm->is_running ? 1 : 50);
  }
}

int main(int count, char **arguments) {
  if (count != 4) {
    fprintf(stderr, "usage: counter-vmm SOCKET GUEST TICKS\n");
    return 64;
  }
  struct sigaction action = {.sa_handler = want_park};
  sigaction(SIGTERM, &action, NULL);

  struct counter_vmm vmm = {.ram = -1};
  struct baton_identity identity = {
      .struct_size = sizeof identity,
      .registry = arguments[1],
      .guest = arguments[2],
      .build = "counter-vmm 1",
      .format_name = "example",
      .format_oldest = 1,
      .format_newest = 1,
  };
  check(&vmm, "making a handle", baton_vmm_new(&identity, &vmm.baton));
  check(&vmm, "coming to the registry", baton_vmm_connect(vmm.baton, 10000));
  live(&vmm, strtoull(arguments[3], NULL, 10));

  printf("{\"counter\":%" PRIu64 ",\"epochs\":[", vmm.memory == NULL ? 0 : vmm.memory[0]);
  for (int index = 0; index < vmm.epoch_count; index++) printf("%s%" PRIu64, index ? "," : "", vmm.epochs[index]);
  printf("],\"released\":%s}\n", vmm.is_released ? "true" : "false");
  if (vmm.memory != NULL) munmap((void *)vmm.memory, RAM_SIZE);
  if (vmm.ram >= 0) close(vmm.ram);
  baton_vmm_free(vmm.baton);
  return 0;
}
