/*
 * Calls of libbaton in random order, on a real registry: an owner and its successors, one process each, that mostly do
 * what is asked of them and often something else. Nothing may crash, and no process may be in KVM_RUN's place without
 * a verdict: the guest is a lock on a file, which whoever may run takes and must never find taken.
 *
 *   walk SOCKET SEED PROCESSES CALLS
 *
 * The last line is `N passed, N failed`; each process is one.
 */
#define _GNU_SOURCE
#include <baton.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t random_state;
static uint32_t below(uint32_t limit) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (uint32_t)(random_state >> 33) % limit;
}

static int ram = -1;
/* The first is right; the others are there for a count that is not. */
static const struct baton_region regions[4] = {{.byte_count = 65536}};

static struct baton_guest some_guest(void) {
  static const char *const names[] = {"a", "b"};
  static int named[2];
  named[0] = named[1] = ram;
  struct baton_guest guest = {
      .struct_size = sizeof guest,
      .way = BATON_WAY_NONE,
      .vcpu_count = 1,
      .ram_count = 1,
      .region_count = 1,
      .ram = &ram,
      .regions = regions,
      .vm = -1,
      .take_back_vm = -1,
      .format_name = "walk",
      .format_version = 1,
  };
  /* Sometimes nonsense. */
  if (below(12) == 0) guest.way = below(5);
  if (below(16) == 0) guest.vm = (int)below(64) - 8;
  if (below(16) == 0) guest.region_count = below(4);
  if (below(16) == 0) guest.ram_count = below(4) == 0 ? 0 : 1;
  if (below(16) == 0) {
    guest.names = names;
    guest.named = named;
    guest.named_count = 1 + below(2);
  }
  return guest;
}

/* The guest: who runs it holds this lock. Other processes only. */
static int lock = -1;
static int is_inside;
static int enter(void) {
  struct flock region = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  if (is_inside) return 1;
  if (fcntl(lock, F_OFD_SETLK, &region) != 0) return 0;
  is_inside = 1;
  return 1;
}
static void leave(void) {
  struct flock region = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
  fcntl(lock, F_OFD_SETLK, &region);
  is_inside = 0;
}

/* RAM as a migration would want it, and a log of its writes. */
static _Alignas(4096) char memory[65536];
static int no_log(void *context) {
  (void)context;
  return 0;
}
static int no_pages(void *context, uint64_t *pages, size_t words) {
  (void)context, (void)pages, (void)words;
  return 0;
}
static void no_end(void *context) { (void)context; }

/* One random call; results are what they are, the library only has to survive. */
static void something(baton_vmm *vmm) {
  char bytes[64];
  uint64_t token;
  struct baton_guest guest = some_guest();
  struct baton_offer offer = {.struct_size = below(8) ? sizeof offer : below(200)};
  struct baton_region found;
  struct baton_failure failure = {.struct_size = sizeof failure};
  struct baton_check checks[] = {{.name = "a", .detail = "b", .verdict = below(6)}};
  struct baton_remote way = {.struct_size = sizeof way, .socket = "/nonexistent/remote.sock"};
  struct baton_source source = {.struct_size = below(8) ? sizeof source : below(200), .guest = &guest, .ram = memory,
                                .start_dirty_log = no_log, .take_dirty_pages = no_pages, .stop_dirty_log = no_end,
                                .vm = below(6) ? -1 : (int)below(64)};
  struct baton_target target = {.struct_size = sizeof target, .guest = &guest, .ram = memory, .vm = -1, .firmware = -1};
  struct baton_arrival arrival = {.struct_size = sizeof arrival};
  struct pollfd entries[BATON_MOST_INTERESTS];
  int32_t timeout;
  int fd = -1;
  switch (below(33)) {
    case 0: baton_vmm_offer_get(vmm, &offer); break;
    case 1: baton_vmm_offer_region(vmm, below(3), &found); break;
    case 2: baton_vmm_offer_name(vmm, below(3), bytes, below(sizeof bytes)); break;
    case 3: baton_vmm_offer_details(vmm, bytes, below(sizeof bytes)); break;
    case 4: fd = baton_vmm_take_ram(vmm, below(3)); break;
    case 5: fd = baton_vmm_take_named(vmm, below(2) ? "a" : ""); break;
    case 6: fd = baton_vmm_take_vm(vmm); break;
    case 7: baton_vmm_ready(vmm, below(3) ? -1 : (int)below(100)); break;
    case 8: baton_vmm_claim_state(vmm, bytes, below(sizeof bytes)); break;
    case 9: baton_vmm_claim_token(vmm, &token); break;
    case 10: baton_vmm_context_vm(vmm, below(3)); break;
    case 11: baton_vmm_failure(vmm, &failure); break;
    case 12: baton_vmm_report(vmm, checks, below(2)); break;
    case 13: baton_vmm_gave_up_context(vmm); break;
    case 14: baton_vmm_took_back(vmm, (int)below(3)); break;
    case 15: baton_vmm_offer(vmm, &guest); break;
    case 16: baton_vmm_connect(vmm, 0); break;
    case 17: baton_vmm_descriptor(vmm); break;
    case 18: baton_vmm_state(vmm); break;
    /* Only where it is certain to be refused: these would be lies. */
    case 19: if (baton_vmm_state(vmm) != BATON_STATE_CLAIMING) baton_vmm_received(vmm); break;
    case 20: if (!is_inside && baton_vmm_state(vmm) != BATON_STATE_FROZEN) baton_vmm_resume(vmm); break;
    case 21: if (baton_vmm_state(vmm) == BATON_STATE_RUNNING && below(8) == 0) baton_vmm_park(vmm); break;
    case 22: if (baton_vmm_state(vmm) != BATON_STATE_FROZEN) baton_vmm_stage(vmm, bytes, 8, NULL, 1); break;
    case 23: baton_vmm_allow_migration(vmm, &way); break;
    case 24: baton_vmm_migrate(vmm, &source); break;
    case 25: baton_vmm_stopped(vmm, bytes, below(sizeof bytes), 1); break;
    case 26: baton_vmm_await(vmm, &way, below(2) ? 65536 : 0); break;
    case 27: baton_vmm_arrival(vmm, &arrival); break;
    case 28: baton_vmm_arrival_facts(vmm, bytes, below(sizeof bytes)); break;
    case 29: baton_vmm_accept(vmm, &target); break;
    case 30: baton_vmm_interests(vmm, entries, below(BATON_MOST_INTERESTS + 1), &timeout); break;
    case 31: baton_vmm_peer(vmm, bytes, below(sizeof bytes)); break;
    default: baton_vmm_may_run(vmm); break;
  }
  if (fd >= 0) close(fd);
}

static int fail(const char *what, baton_vmm *vmm) {
  struct baton_failure failure = {.struct_size = sizeof failure};
  baton_vmm_failure(vmm, &failure);
  printf("failed: process %d: %s (%s)\n", getpid(), what, failure.text);
  return 1;
}

/* What it ought to do; sometimes it does not. Returns 1 when something is wrong, 2 when the handle is over. */
static int answer(baton_vmm *vmm, const struct baton_event *event) {
  struct baton_guest guest;
  switch (event->type) {
    case BATON_EVENT_START:
      ram = memfd_create("walk", MFD_CLOEXEC | MFD_ALLOW_SEALING);
      if (ftruncate(ram, 65536) != 0 || fcntl(ram, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        return fail("making RAM", vmm);
      /* fall through */
    case BATON_EVENT_RUN:
      if (baton_vmm_may_run(vmm) != 0) return fail("a verdict that does not let run", vmm);
      if (!enter()) return fail("two processes run the guest", vmm);
      do {
        guest = some_guest();
      } while (baton_vmm_running(vmm, &guest, 1) != 0 && baton_vmm_state(vmm) == BATON_STATE_PERMITTED);
      return 0;
    case BATON_EVENT_OFFERED: {
      int taken = baton_vmm_take_ram(vmm, 0);
      if (taken < 0) return fail("an offer without RAM", vmm);
      if (ram >= 0) close(ram);
      ram = taken;
      if (below(8) == 0) baton_vmm_decline(vmm, "not today");
      else baton_vmm_ready(vmm, -1);
      return 0;
    }
    case BATON_EVENT_CLAIM:
      if (below(6) == 0) baton_vmm_give_back(vmm);
      else baton_vmm_received(vmm);
      return 0;
    case BATON_EVENT_PREPARE:
      if (below(8) == 0) baton_vmm_decline(vmm, "not now");
      else {
        guest = some_guest();
        if (baton_vmm_offer(vmm, &guest) != 0) baton_vmm_decline(vmm, "a guest of nonsense");
      }
      return 0;
    case BATON_EVENT_FREEZE:
      leave();
      if (baton_vmm_froze(vmm) != 0) return fail("a freeze that cannot be", vmm);
      if (below(6) == 0) {
        if (baton_vmm_resume(vmm) != 0) return fail("a frozen guest that cannot go on", vmm);
        return enter() ? 0 : fail("two processes run the guest after a resume", vmm);
      }
      baton_vmm_stage(vmm, "01234567", 8, NULL, 1);
      if (baton_vmm_state(vmm) == BATON_STATE_STAGED) {
        if (baton_vmm_may_run(vmm) != -EPERM || baton_vmm_resume(vmm) != -EPERM
            || baton_vmm_running(vmm, &guest, 1) == 0)
          return fail("a staged handle that would run the guest", vmm);
      } else if (baton_vmm_resume(vmm) == 0 && !enter()) {
        return fail("two processes run the guest after a stage that failed", vmm);
      }
      return 0;
    case BATON_EVENT_TAKE_BACK: baton_vmm_took_back(vmm, 1); return 0;
    case BATON_EVENT_RELEASED:
      leave();
      return 2;
    default: return 0;
  }
}

static int walk(const char *registry, uint64_t seed, int calls) {
  random_state = seed * 0x9E3779B97F4A7C15u + 1;
  while (calls > 0) {
    struct baton_identity who = {
        .struct_size = sizeof who, .registry = registry, .guest = "walk", .build = "walk", .format_name = "walk",
        .format_oldest = 1, .format_newest = 1};
    baton_vmm *vmm = NULL;
    if (baton_vmm_new(&who, &vmm) != 0) return fail("a handle", NULL);
    int result = baton_vmm_connect(vmm, 2000) == 0 ? 0 : 2;
    struct baton_event event = {.struct_size = sizeof event};
    while (result == 0 && calls-- > 0) {
      int found = below(3) ? baton_vmm_process(vmm, &event) : (something(vmm), 0);
      if (found > 0) result = answer(vmm, &event);
      else if (below(8) == 0) usleep(below(2000));
      if (is_inside && below(2000) == 0) {
        leave();
        baton_vmm_end(vmm);
        result = 2;
      }
    }
    /* A process that had a guest may not come again as another one: it would be its own successor. */
    int was_owner = baton_vmm_state(vmm) == BATON_STATE_OVER || is_inside;
    leave();
    baton_vmm_free(vmm);
    if (ram >= 0) close(ram);
    ram = -1;
    if (result == 1) return 1;
    if (was_owner) return 0;
    usleep(below(20000));
  }
  return 0;
}

int main(int count, char **arguments) {
  if (count != 5) {
    fprintf(stderr, "usage: walk SOCKET SEED PROCESSES CALLS\n");
    return 64;
  }
  uint64_t seed = strtoull(arguments[2], NULL, 10);
  int processes = atoi(arguments[3]), calls = atoi(arguments[4]), passed = 0, failed = 0, alive = 0;
  char path[] = "/tmp/baton-walk-XXXXXX";
  int made = mkstemp(path);
  if (made < 0) return 1;
  close(made);
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int started = 0; started < processes || alive > 0;) {
    /* Two at a time: one may own the guest, one may want it. */
    if (started < processes && alive < 2) {
      pid_t child = fork();
      if (child == 0) {
        alarm(60);
        lock = open(path, O_RDWR | O_CLOEXEC);
        exit(walk(arguments[1], seed * 1000 + (uint64_t)started, calls));
      }
      started++;
      alive++;
      continue;
    }
    int status;
    if (wait(&status) < 0) break;
    alive--;
    /* The fence may end a process that answered nonsense for too long. */
    if ((WIFEXITED(status) && WEXITSTATUS(status) == 0) || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)) passed++;
    else {
      failed++;
      printf("failed: a process ended with status %x\n", status);
    }
  }
  unlink(path);
  printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
