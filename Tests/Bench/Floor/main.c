/*
 * The floor of a handoff's blackout: what no handoff can do without, in plain C.
 *
 * A source, a broker and a successor. Stage, claim, received and verdict go through the broker, stage and
 * claim carry one sealed state memfd. Way token: LOCAL_SEND and LOCAL_RECEIVE are one round trip each to
 * sevmodeld. Way move: the broker has each VM's descriptor before the guest is stopped, claim carries the
 * source's too, and VM_MOVE_ENC_CONTEXT_FROM is one round trip.
 * No journal, no checks, no deadlines, no way back. The successor of one handoff is the source of the next.
 */
#define _GNU_SOURCE
#include "guest.h"
#include "model.h"
#include "records.h"

#include <err.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum kind { READY = 1, FREEZE, STAGE, CLAIM, RECEIVED, VERDICT, RUNNING, RELEASE };

/* One record between broker and VMM. The stamps are CLOCK_MONOTONIC, nanoseconds. */
struct record {
  uint32_t kind, padding;
  uint64_t token;
  uint64_t stamps[5];
};

/* Where the stamps of a handoff end up, in the order of time. */
enum stamp {
  LAST_INSTRUCTION,
  STOPPED,
  SENT,       /* LOCAL_SEND is done (way move: there is nothing to do), stage goes out */
  STAGED,     /* the broker has stage */
  CLAIMED,    /* the successor has claim */
  RESTORED,   /* LOCAL_RECEIVE or the move is done, received goes out */
  COMMITTED,  /* the broker has received */
  ORDERED,    /* the successor has the verdict */
  FIRST_INSTRUCTION,
  STAMP_COUNT
};

enum way { TOKEN, MOVE };

/* What ends with each stamp; NULL is nothing. */
static const char *const phase_names[][STAMP_COUNT] = {
    [TOKEN] = {NULL, "stop", "localSend", "stage", "claim", "localReceive", "received", "verdict", "run"},
    [MOVE] = {NULL, "stop", NULL, "stage", "claim", "move", "received", "verdict", "run"},
};

struct options {
  const char *model;
  enum way way;
  size_t ram_byte_count;
  size_t state_byte_count;
  int handoffs;
  int vcpus;
  int ram;
};

static void say(int socket, struct record record, struct descriptors descriptors) {
  record_send(socket, &record, sizeof record, descriptors);
}

static struct record hear(int socket, enum kind expected, struct descriptors *descriptors) {
  struct record record;
  struct descriptors brought;
  size_t count = record_receive(socket, &record, sizeof record, &brought);
  if (count != sizeof record || record.kind != expected) errx(1, "an unexpected record came");
  if (descriptors) *descriptors = brought;
  return record;
}

/* A memfd as large as the state, sealed for ever: the floor's own state is in the records. */
static int make_state(size_t byte_count) {
  int memfd = memfd_create("floor-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (memfd < 0 || ftruncate(memfd, (off_t)byte_count) < 0) err(1, "making the state memfd");
  if (fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
    err(1, "sealing the state memfd");
  return memfd;
}

/* The life of one VMM process: successor (unless it is the first), then source. */
static _Noreturn void vmm(const struct options *options, int broker, int is_first) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  void *memory = mmap(
      NULL, options->ram_byte_count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, options->ram, 0);
  if (memory == MAP_FAILED) err(1, "mapping guest RAM");
  struct guest *guest = guest_make(memory, options->ram_byte_count, options->vcpus);
  struct model model = model_open(options->model, is_first || options->way == TOKEN);
  int state = make_state(options->state_byte_count);

  if (is_first) model_launch(&model, memory, options->ram_byte_count, 4096);
  say(broker, (struct record){.kind = READY},
      options->way == MOVE ? (struct descriptors){model.machine, -1} : NO_DESCRIPTORS);
  if (is_first) {
    guest_run(guest);
    guest_first_stamp(guest);
  } else {
    struct descriptors claimed;
    struct record claim = hear(broker, CLAIM, &claimed);
    struct record running = {.kind = RUNNING};
    running.stamps[0] = monotonic_now();
    switch (options->way) {
    case TOKEN: model_local_receive(&model, claim.token); break;
    case MOVE: model_move(&model, claimed.second); break;
    }
    running.stamps[1] = monotonic_now();
    say(broker, (struct record){.kind = RECEIVED}, NO_DESCRIPTORS);
    hear(broker, VERDICT, NULL);
    running.stamps[2] = monotonic_now();
    guest_run(guest);
    running.stamps[3] = guest_first_stamp(guest);
    descriptors_close(claimed);
    say(broker, running, NO_DESCRIPTORS);
  }

  hear(broker, FREEZE, NULL);
  struct record stage = {.kind = STAGE};
  stage.stamps[0] = guest_stop(guest);
  stage.stamps[1] = monotonic_now();
  stage.stamps[2] = stage.stamps[1];
  if (options->way == TOKEN) {
    stage.token = model_local_send(&model);
    stage.stamps[2] = monotonic_now();
  }
  say(broker, stage, (struct descriptors){state, -1});
  hear(broker, RELEASE, NULL);
  _exit(0);
}

struct peer {
  pid_t pid;
  int socket;
  /* Way move: its VM. */
  struct descriptors machine;
};

static struct peer start(const struct options *options, int is_first) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) err(1, "socketpair");
  struct peer peer = {.socket = pair[0]};
  peer.pid = fork();
  if (peer.pid < 0) err(1, "fork");
  if (peer.pid == 0) {
    close(pair[0]);
    vmm(options, pair[1], is_first);
  }
  close(pair[1]);
  hear(peer.socket, READY, &peer.machine);
  return peer;
}

static void finish(struct peer peer) {
  close(peer.socket);
  descriptors_close(peer.machine);
  int status;
  if (waitpid(peer.pid, &status, 0) < 0 || status != 0) errx(1, "a VMM of the floor failed");
}

/* The broker's part of one handoff. */
static void hand_over(struct peer source, struct peer successor, uint64_t stamps[STAMP_COUNT]) {
  say(source.socket, (struct record){.kind = FREEZE}, NO_DESCRIPTORS);
  struct descriptors state;
  struct record stage = hear(source.socket, STAGE, &state);
  stamps[STAGED] = monotonic_now();
  say(successor.socket, (struct record){.kind = CLAIM, .token = stage.token},
      (struct descriptors){state.first, source.machine.first});
  hear(successor.socket, RECEIVED, NULL);
  stamps[COMMITTED] = monotonic_now();
  say(successor.socket, (struct record){.kind = VERDICT}, NO_DESCRIPTORS);
  struct record running = hear(successor.socket, RUNNING, NULL);
  say(source.socket, (struct record){.kind = RELEASE}, NO_DESCRIPTORS);
  descriptors_close(state);
  stamps[LAST_INSTRUCTION] = stage.stamps[0];
  stamps[STOPPED] = stage.stamps[1];
  stamps[SENT] = stage.stamps[2];
  stamps[CLAIMED] = running.stamps[0];
  stamps[RESTORED] = running.stamps[1];
  stamps[ORDERED] = running.stamps[2];
  stamps[FIRST_INSTRUCTION] = running.stamps[3];
}

static void print(enum way way, const uint64_t stamps[STAMP_COUNT]) {
  printf("{\"blackoutNanoseconds\":%" PRIu64 ",\"phases\":{", stamps[FIRST_INSTRUCTION] - stamps[LAST_INSTRUCTION]);
  for (int stamp = 1; stamp < STAMP_COUNT; stamp++)
    if (phase_names[way][stamp])
      printf(
          "%s\"%s\":%" PRIu64, stamp > 1 ? "," : "", phase_names[way][stamp], stamps[stamp] - stamps[stamp - 1]);
  printf("}}\n");
  fflush(stdout);
}

static int compare(const void *a, const void *b) {
  uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
  return left < right ? -1 : left > right;
}

static void print_summary(uint64_t *blackouts, int count) {
  qsort(blackouts, (size_t)count, sizeof *blackouts, compare);
  printf(
      "{\"handoffs\":%d,\"p50Nanoseconds\":%" PRIu64 ",\"p99Nanoseconds\":%" PRIu64 ",\"maxNanoseconds\":%" PRIu64 "}\n",
      count, blackouts[(count - 1) / 2], blackouts[(count * 99 + 99) / 100 - 1], blackouts[count - 1]);
}

static size_t number(const char *text, const char *name) {
  char *end;
  unsigned long long value = strtoull(text, &end, 10);
  if (*text == 0 || *end != 0 || value == 0) errx(64, "--%s wants a number above 0, not %s", name, text);
  return value;
}

static enum way way(const char *text) {
  if (strcmp(text, "token") == 0) return TOKEN;
  if (strcmp(text, "move") == 0) return MOVE;
  errx(64, "--way is token or move, not %s", text);
}

static struct options parse(int count, char **arguments) {
  struct options options = {
      .ram_byte_count = 256u << 20, .state_byte_count = 204, .handoffs = 10, .vcpus = 2};
  static const struct option known[] = {
      {"model", required_argument, NULL, 'm'},   {"memory", required_argument, NULL, 'r'},
      {"handoffs", required_argument, NULL, 'n'}, {"vcpus", required_argument, NULL, 'c'},
      {"state", required_argument, NULL, 's'},   {"way", required_argument, NULL, 'w'},
      {NULL, 0, NULL, 0}};
  int option;
  while ((option = getopt_long(count, arguments, "", known, NULL)) != -1) {
    switch (option) {
    case 'm': options.model = optarg; break;
    case 'r': options.ram_byte_count = number(optarg, "memory") & ~(size_t)4095; break;
    case 'n': options.handoffs = (int)number(optarg, "handoffs"); break;
    case 'c': options.vcpus = (int)number(optarg, "vcpus"); break;
    case 's': options.state_byte_count = number(optarg, "state"); break;
    case 'w': options.way = way(optarg); break;
    default: exit(64);
    }
  }
  if (!options.model)
    errx(64, "usage: bench-floor --model SOCKET [--way token|move] [--memory BYTES] [--handoffs N] [--vcpus N] [--state BYTES]");
  if (options.vcpus > MAXIMUM_WRITERS || options.ram_byte_count < 4096u * MAXIMUM_WRITERS)
    errx(64, "at most %d vCPUs, and %u bytes of RAM at least", MAXIMUM_WRITERS, 4096u * MAXIMUM_WRITERS);
  return options;
}

int main(int count, char **arguments) {
  struct options options = parse(count, arguments);
  options.ram = memfd_create("floor-ram", MFD_CLOEXEC);
  if (options.ram < 0 || ftruncate(options.ram, (off_t)options.ram_byte_count) < 0)
    err(1, "making guest RAM");
  uint64_t *blackouts = calloc((size_t)options.handoffs, sizeof *blackouts);
  if (!blackouts) err(1, "allocating");

  struct peer owner = start(&options, 1);
  for (int handoff = 0; handoff < options.handoffs; handoff++) {
    struct peer successor = start(&options, 0);
    /* The guest runs for a while, so that every handoff begins in the same way. */
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    uint64_t stamps[STAMP_COUNT];
    hand_over(owner, successor, stamps);
    finish(owner);
    owner = successor;
    blackouts[handoff] = stamps[FIRST_INSTRUCTION] - stamps[LAST_INSTRUCTION];
    print(options.way, stamps);
  }
  print_summary(blackouts, options.handoffs);
  kill(owner.pid, SIGKILL);
  waitpid(owner.pid, NULL, 0);
  return 0;
}
