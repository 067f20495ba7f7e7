/*
 * What baton.h promises to those who call it wrongly: every function with NULL, out of turn, with descriptors that are
 * closed or foreign, with structs of the wrong size, and from two threads at once. It needs no registry.
 * The last line is `N passed, N failed`.
 */
#define _GNU_SOURCE
#include <baton.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int passed, failed;
#define EXPECT(what, expression)                                              \
  do {                                                                        \
    if (expression) {                                                         \
      passed++;                                                               \
    } else {                                                                  \
      failed++;                                                               \
      printf("failed: %s (line %d): %s\n", what, __LINE__, #expression);      \
    }                                                                         \
  } while (0)

static struct baton_identity identity(void) {
  struct baton_identity identity = {
      .struct_size = sizeof identity,
      .registry = "/nonexistent/handoff",
      .guest = "vm1",
      .build = "misuse",
      .format_name = "example",
      .format_oldest = 1,
      .format_newest = 1,
  };
  return identity;
}

static baton_vmm *handle(void) {
  struct baton_identity who = identity();
  baton_vmm *vmm = NULL;
  if (baton_vmm_new(&who, &vmm) != 0 || vmm == NULL) {
    printf("failed: a handle cannot be made\n0 passed, 1 failed\n");
    exit(1);
  }
  return vmm;
}

static int sealed_memfd(void) {
  int memfd = memfd_create("misuse", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (memfd < 0 || ftruncate(memfd, 65536) != 0
      || fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    abort();
  return memfd;
}

static const struct baton_region one_region[] = {{.byte_count = 65536}};

static struct baton_guest guest_with(const int *ram) {
  struct baton_guest guest = {
      .struct_size = sizeof guest,
      .way = BATON_WAY_NONE,
      .vcpu_count = 1,
      .ram_count = 1,
      .region_count = 1,
      .ram = ram,
      .regions = one_region,
      .vm = -1,
      .take_back_vm = -1,
      .format_name = "example",
      .format_version = 1,
  };
  return guest;
}

static void null_pointers(void) {
  struct baton_identity who = identity();
  baton_vmm *vmm = NULL;
  EXPECT("new without identity", baton_vmm_new(NULL, &vmm) == -EINVAL && vmm == NULL);
  EXPECT("new without a place", baton_vmm_new(&who, NULL) == -EINVAL);
  baton_vmm_free(NULL);
  struct baton_event event = {.struct_size = sizeof event};
  struct baton_failure failure = {.struct_size = sizeof failure};
  struct baton_offer offer = {.struct_size = sizeof offer};
  struct baton_region region;
  struct baton_check check = {.name = "a", .detail = "b"};
  char name[8];
  uint64_t token = 0;
  int ram = -1;
  struct baton_guest guest = guest_with(&ram);
  EXPECT("connect", baton_vmm_connect(NULL, 1) == -EINVAL);
  EXPECT("descriptor", baton_vmm_descriptor(NULL) == -EINVAL);
  EXPECT("process", baton_vmm_process(NULL, &event) == -EINVAL);
  EXPECT("wait", baton_vmm_wait(NULL, 0, &event) == -EINVAL);
  EXPECT("state", baton_vmm_state(NULL) == -EINVAL);
  EXPECT("failure", baton_vmm_failure(NULL, &failure) == -EINVAL);
  EXPECT("may_run", baton_vmm_may_run(NULL) == -EINVAL);
  EXPECT("offer_get", baton_vmm_offer_get(NULL, &offer) == -EINVAL);
  EXPECT("offer_region", baton_vmm_offer_region(NULL, 0, &region) == -EINVAL);
  EXPECT("offer_name", baton_vmm_offer_name(NULL, 0, name, sizeof name) == -EINVAL);
  EXPECT("offer_details", baton_vmm_offer_details(NULL, name, sizeof name) == -EINVAL);
  EXPECT("take_ram", baton_vmm_take_ram(NULL, 0) == -EINVAL);
  EXPECT("take_named", baton_vmm_take_named(NULL, "a") == -EINVAL);
  EXPECT("take_vm", baton_vmm_take_vm(NULL) == -EINVAL);
  EXPECT("ready", baton_vmm_ready(NULL, -1) == -EINVAL);
  EXPECT("decline", baton_vmm_decline(NULL, "no") == -EINVAL);
  EXPECT("claim_state", baton_vmm_claim_state(NULL, name, sizeof name) == -EINVAL);
  EXPECT("claim_token", baton_vmm_claim_token(NULL, &token) == -EINVAL);
  EXPECT("context_vm", baton_vmm_context_vm(NULL, 0) == -EINVAL);
  EXPECT("received", baton_vmm_received(NULL) == -EINVAL);
  EXPECT("found_used", baton_vmm_found_used(NULL) == -EINVAL);
  EXPECT("give_back", baton_vmm_give_back(NULL) == -EINVAL);
  EXPECT("running", baton_vmm_running(NULL, &guest, 0) == -EINVAL);
  EXPECT("offer", baton_vmm_offer(NULL, &guest) == -EINVAL);
  EXPECT("report", baton_vmm_report(NULL, &check, 1) == -EINVAL);
  EXPECT("park", baton_vmm_park(NULL) == -EINVAL);
  EXPECT("froze", baton_vmm_froze(NULL) == -EINVAL);
  EXPECT("gave_up_context", baton_vmm_gave_up_context(NULL) == -EINVAL);
  EXPECT("resume", baton_vmm_resume(NULL) == -EINVAL);
  EXPECT("stage", baton_vmm_stage(NULL, name, 1, NULL, 0) == -EINVAL);
  EXPECT("took_back", baton_vmm_took_back(NULL, 1) == -EINVAL);
  EXPECT("end", baton_vmm_end(NULL) == -EINVAL);
  vmm = handle();
  EXPECT("process without a place", baton_vmm_process(vmm, NULL) == -EINVAL);
  EXPECT("failure without a place", baton_vmm_failure(vmm, NULL) == -EINVAL);
  EXPECT("running without a guest", baton_vmm_running(vmm, NULL, 0) == -EINVAL);
  EXPECT("offer without a guest", baton_vmm_offer(vmm, NULL) == -EINVAL);
  baton_vmm_free(vmm);
}

static void identities(void) {
  static const char *const bad_names[] = {"", "-x", "a/b", "a b", "vm\xc3", NULL};
  baton_vmm *vmm = NULL;
  for (int index = 0; bad_names[index] != NULL; index++) {
    struct baton_identity who = identity();
    who.guest = bad_names[index];
    EXPECT("a name that is none", baton_vmm_new(&who, &vmm) == -EINVAL && vmm == NULL);
  }
  char long_name[200];
  memset(long_name, 'a', sizeof long_name);
  long_name[sizeof long_name - 1] = 0;
  struct baton_identity who = identity();
  who.guest = long_name;
  EXPECT("a name that is too long", baton_vmm_new(&who, &vmm) == -EINVAL);
  who = identity();
  who.registry = long_name;
  EXPECT("a path that is too long", baton_vmm_new(&who, &vmm) == -EINVAL);
  who = identity();
  who.build = long_name;
  EXPECT("a build that is too long", baton_vmm_new(&who, &vmm) == -EINVAL);
  who = identity();
  who.format_oldest = 2;
  EXPECT("versions the wrong way round", baton_vmm_new(&who, &vmm) == -EINVAL);
  who = identity();
  who.struct_size = 8;
  EXPECT("struct_size too small", baton_vmm_new(&who, &vmm) == -EINVAL);
  who = identity();
  who.registry = NULL;
  EXPECT("the registry's own path", baton_vmm_new(&who, &vmm) == 0);
  baton_vmm_free(vmm);
}

/* Nothing of this runs a guest, stages one, or says anything to anybody: the handle has no verdict. */
static void out_of_turn(baton_vmm *vmm, const char *when) {
  int ram = sealed_memfd();
  struct baton_guest guest = guest_with(&ram);
  struct baton_offer offer = {.struct_size = sizeof offer};
  struct baton_failure failure = {.struct_size = sizeof failure};
  struct baton_check check = {.name = "a", .detail = "b"};
  char state[8] = {0};
  uint64_t token = 1;
  int before = baton_vmm_state(vmm);
  EXPECT(when, baton_vmm_may_run(vmm) == -EPERM);
  EXPECT(when, baton_vmm_failure(vmm, &failure) == 0 && failure.error == EPERM && failure.text[0] != 0);
  EXPECT(when, failure.refusal != 0 && baton_refusal_name(failure.refusal) != NULL);
  EXPECT(when, baton_vmm_running(vmm, &guest, 1) == -EPERM);
  EXPECT(when, baton_vmm_resume(vmm) == -EPERM);
  EXPECT(when, baton_vmm_offer(vmm, &guest) == -EPERM);
  EXPECT(when, baton_vmm_offer_get(vmm, &offer) == -EPERM);
  EXPECT(when, baton_vmm_take_ram(vmm, 0) == -EPERM);
  EXPECT(when, baton_vmm_ready(vmm, -1) == -EPERM);
  EXPECT(when, baton_vmm_decline(vmm, "no") == -EPERM);
  EXPECT(when, baton_vmm_claim_state(vmm, state, sizeof state) == -EPERM);
  EXPECT(when, baton_vmm_claim_token(vmm, &token) == -EPERM && token == 1);
  EXPECT(when, baton_vmm_context_vm(vmm, 0) == -ENOENT);
  EXPECT(when, baton_vmm_received(vmm) == -EPERM);
  EXPECT(when, baton_vmm_found_used(vmm) == -EPERM);
  EXPECT(when, baton_vmm_give_back(vmm) == -EPERM);
  EXPECT(when, baton_vmm_report(vmm, &check, 1) == -EPERM);
  EXPECT(when, baton_vmm_park(vmm) == -EPERM);
  EXPECT(when, baton_vmm_froze(vmm) == -EPERM);
  EXPECT(when, baton_vmm_gave_up_context(vmm) == -EPERM);
  EXPECT(when, baton_vmm_stage(vmm, state, sizeof state, NULL, 0) == -EPERM);
  /* What an unlooked-at -1 becomes: never a state of no bytes. */
  EXPECT(when, baton_vmm_stage(vmm, state, (size_t)-1, NULL, 0) == -EINVAL);
  EXPECT(when, baton_vmm_report(vmm, NULL, (size_t)-1) == -EINVAL);
  EXPECT(when, baton_vmm_took_back(vmm, 1) == -EPERM);
  EXPECT(when, baton_vmm_end(vmm) == -EPERM);
  EXPECT(when, baton_vmm_state(vmm) == before);
  close(ram);
}

static void new_handle(void) {
  baton_vmm *vmm = handle();
  struct baton_event event = {.struct_size = sizeof event};
  EXPECT("state of a new handle", baton_vmm_state(vmm) == BATON_STATE_NEW);
  EXPECT("descriptor of a new handle", baton_vmm_descriptor(vmm) == -ENOTCONN);
  EXPECT("process before connect", baton_vmm_process(vmm, &event) == -EPERM);
  out_of_turn(vmm, "a new handle");
  EXPECT("nobody listens", baton_vmm_connect(vmm, 30) == -ETIMEDOUT);
  EXPECT("still new", baton_vmm_state(vmm) == BATON_STATE_NEW);
  baton_vmm_free(vmm);
}

static void bad_guests(void) {
  baton_vmm *vmm = handle();
  int good = sealed_memfd(), closed = sealed_memfd(), unsealed = open("/dev/null", O_RDWR | O_CLOEXEC);
  close(closed);
  struct baton_guest guest = guest_with(&closed);
  EXPECT("RAM that is not open", baton_vmm_running(vmm, &guest, 0) == -EBADF);
  guest = guest_with(&unsealed);
  EXPECT("RAM that is no memfd has no room for its region", baton_vmm_running(vmm, &guest, 0) == -EINVAL);
  guest = guest_with(&good);
  guest.ram = NULL;
  EXPECT("RAM that is not there", baton_vmm_running(vmm, &guest, 0) == -EINVAL);
  guest = guest_with(&good);
  guest.ram_count = 65;
  EXPECT("too many files", baton_vmm_running(vmm, &guest, 0) == -EINVAL);
  guest = guest_with(&good);
  guest.region_count = 100000;
  EXPECT("too many regions", baton_vmm_running(vmm, &guest, 0) == -EINVAL);
  guest = guest_with(&good);
  guest.region_count = 0;
  EXPECT("no RAM", baton_vmm_running(vmm, &guest, 0) == -EINVAL);
  guest = guest_with(&good);
  guest.way = 9;
  EXPECT("no such way", baton_vmm_running(vmm, &guest, 0) == -EINVAL);
  guest = guest_with(&good);
  guest.way = BATON_WAY_MOVE;
  EXPECT("way move without its VM", baton_vmm_running(vmm, &guest, 0) == -EINVAL);
  guest = guest_with(&good);
  guest.take_back_vm = good;
  EXPECT("a VM to take back into without way move", baton_vmm_running(vmm, &guest, 0) == -EINVAL);
  guest = guest_with(&good);
  guest.format_name = NULL;
  EXPECT("no format", baton_vmm_running(vmm, &guest, 0) == -EINVAL);
  guest = guest_with(&good);
  guest.details_size = 1 << 20;
  EXPECT("details too long", baton_vmm_running(vmm, &guest, 0) == -EINVAL);
  guest = guest_with(&good);
  guest.struct_size = 16;
  EXPECT("struct_size too small", baton_vmm_running(vmm, &guest, 0) == -EINVAL);
  guest = guest_with(&good);
  static const char *const names[] = {"tap0", "tap0"};
  int named[] = {good, good};
  guest.names = names;
  guest.named = named;
  guest.named_count = 2;
  EXPECT("one name twice", baton_vmm_running(vmm, &guest, 0) == -EINVAL);
  struct baton_region outside[] = {{.byte_count = 1 << 30}};
  guest = guest_with(&good);
  guest.regions = outside;
  EXPECT("a region beyond its file", baton_vmm_running(vmm, &guest, 0) == -EINVAL);
  EXPECT("none of it changed anything", baton_vmm_state(vmm) == BATON_STATE_NEW);
  close(good);
  close(unsealed);
  baton_vmm_free(vmm);
}

/* A registry that takes the connection and says nothing, and one that sends nonsense. */
struct listener {
  int socket;
  char path[100];
  int sends_nonsense;
};

static void *serve(void *argument) {
  struct listener *listener = argument;
  for (;;) {
    int peer = accept4(listener->socket, NULL, NULL, SOCK_CLOEXEC);
    if (peer < 0) return NULL;
    char record[65600];
    if (recv(peer, record, sizeof record, 0) > 0 && listener->sends_nonsense)
      send(peer, "this is no record of any protocol", 33, MSG_NOSIGNAL);
    if (!listener->sends_nonsense) recv(peer, record, sizeof record, 0);
    close(peer);
  }
}

static void listen_at(struct listener *listener, const char *name, pthread_t *thread) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(listener->path, sizeof listener->path, "%s", name);
  snprintf(address.sun_path, sizeof address.sun_path, "%s", name);
  unlink(name);
  listener->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (bind(listener->socket, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener->socket, 8) != 0)
    abort();
  pthread_create(thread, NULL, serve, listener);
}

static void stop_listening(struct listener *listener, pthread_t thread) {
  shutdown(listener->socket, SHUT_RDWR);
  pthread_join(thread, NULL);
  close(listener->socket);
  unlink(listener->path);
}

struct connecting {
  baton_vmm *vmm;
  int result;
};

static void *connect_thread(void *argument) {
  struct connecting *connecting = argument;
  connecting->result = baton_vmm_connect(connecting->vmm, 600);
  return NULL;
}

static void two_threads(const char *directory) {
  char path[100];
  snprintf(path, sizeof path, "%s/silent", directory);
  struct listener listener = {.sends_nonsense = 0};
  pthread_t server, first;
  listen_at(&listener, path, &server);
  struct baton_identity who = identity();
  who.registry = path;
  struct connecting connecting = {0};
  EXPECT("a handle", baton_vmm_new(&who, &connecting.vmm) == 0);
  pthread_create(&first, NULL, connect_thread, &connecting);
  int busy = 0, answered = 1;
  for (int tries = 0; tries < 5000 && !busy; tries++) {
    busy = baton_vmm_state(connecting.vmm) == -EBUSY;
    answered = answered && baton_vmm_may_run(connecting.vmm) == -EPERM;
    usleep(100);
  }
  EXPECT("a second thread is told so", busy);
  EXPECT("but a vCPU thread is answered", answered && baton_vmm_may_run(connecting.vmm) == -EPERM);
  pthread_join(first, NULL);
  EXPECT("a silent registry is given up", connecting.result == -ETIMEDOUT);
  EXPECT("and the handle is free again", baton_vmm_state(connecting.vmm) == BATON_STATE_NEW);
  baton_vmm_free(connecting.vmm);
  stop_listening(&listener, server);
}

static void nonsense(const char *directory) {
  char path[100];
  snprintf(path, sizeof path, "%s/nonsense", directory);
  struct listener listener = {.sends_nonsense = 1};
  pthread_t server;
  listen_at(&listener, path, &server);
  struct baton_identity who = identity();
  who.registry = path;
  baton_vmm *vmm = NULL;
  EXPECT("a handle", baton_vmm_new(&who, &vmm) == 0);
  EXPECT("what is no record is said", baton_vmm_connect(vmm, 200) == -EPROTO);
  EXPECT("and nothing is kept of it", baton_vmm_descriptor(vmm) == -ENOTCONN);
  baton_vmm_free(vmm);
  stop_listening(&listener, server);
}

static void refusals(void) {
  int named = 0;
  for (int32_t number = -2; number < 70000; number++) {
    const char *name = baton_refusal_name(number), *sentence = baton_refusal_sentence(number);
    if ((name == NULL) != (sentence == NULL)) named = -100000;
    if (name != NULL) named++;
    int status = baton_refusal_exit_status(number);
    if (number == 0 ? status != 0 : (name == NULL ? status != -EINVAL : status <= 0)) named = -100000;
  }
  EXPECT("refusals have a name, a sentence and a status", named > 20);
  EXPECT("a name", strcmp(baton_refusal_name(1), "batonUsed") == 0);
  EXPECT("a version", strchr(baton_version(), '.') != NULL);
}

static int open_descriptors(void) {
  int count = 0;
  for (int number = 0; number < 1024; number++) count += fcntl(number, F_GETFD) >= 0;
  return count;
}

/* Which pages a guest shares: as the guest says it, as the VMM says it, and what nobody can mean. */
static void regions(void) {
  enum { MAP_GPA_RANGE = 12, MIGRATION_CONTROL = 0x4B564D08, ENCRYPTED = 1 << 4 };
  baton_regions *set = NULL, *copy = NULL;
  uint64_t arguments[3] = {0x10000, 16, 0}, end = 0, value = 7;
  int64_t result = 1;
  uint8_t saved[256];
  EXPECT("new without a place", baton_regions_new(1, 1, NULL) == -EINVAL);
  baton_regions_free(NULL);
  EXPECT("reset", baton_regions_reset(NULL) == -EINVAL);
  EXPECT("hypercall", baton_regions_hypercall(NULL, MAP_GPA_RANGE, arguments, &result) == -EINVAL);
  EXPECT("read_msr", baton_regions_read_msr(NULL, MIGRATION_CONTROL, &value) == -EINVAL);
  EXPECT("write_msr", baton_regions_write_msr(NULL, MIGRATION_CONTROL, 1) == -EINVAL);
  EXPECT("set_shared", baton_regions_set_shared(NULL, 0, 1) == -EINVAL);
  EXPECT("set_private", baton_regions_set_private(NULL, 0, 1) == -EINVAL);
  EXPECT("is_shared", baton_regions_is_shared(NULL, 0) == -EINVAL);
  EXPECT("kind", baton_regions_kind(NULL, 0, &end) == -EINVAL);
  EXPECT("may_migrate", baton_regions_may_migrate(NULL) == -EINVAL);
  EXPECT("save", baton_regions_save(NULL, saved, sizeof saved) == -EINVAL);
  EXPECT("load", baton_regions_load(NULL, saved, sizeof saved) == -EINVAL);

  EXPECT("a set", baton_regions_new(1, 1, &set) == 0 && set != NULL);
  EXPECT("a fresh guest's pages are private", baton_regions_is_shared(set, 16) == 0
             && baton_regions_kind(set, 0, &end) == BATON_PAGE_ENCRYPTED && end == UINT64_MAX);
  EXPECT("it is not ready", baton_regions_may_migrate(set) == -EAGAIN);
  EXPECT("no arguments", baton_regions_hypercall(set, MAP_GPA_RANGE, NULL, &result) == -EINVAL);
  EXPECT("no place for the result", baton_regions_hypercall(set, MAP_GPA_RANGE, arguments, NULL) == -EINVAL);
  EXPECT("the guest shares pages", baton_regions_hypercall(set, MAP_GPA_RANGE, arguments, &result) == 0 && result == 0);
  EXPECT("they are shared", baton_regions_is_shared(set, 16) == 1 && baton_regions_is_shared(set, 32) == 0
             && baton_regions_kind(set, 16, &end) == BATON_PAGE_PLAIN && end == 32);
  EXPECT("up to there all are private", baton_regions_kind(set, 0, &end) == BATON_PAGE_ENCRYPTED && end == 16);
  arguments[0] = 0x14000;
  arguments[1] = 4;
  arguments[2] = ENCRYPTED;
  EXPECT("it takes some back", baton_regions_hypercall(set, MAP_GPA_RANGE, arguments, &result) == 0 && result == 0
             && baton_regions_is_shared(set, 20) == 0 && baton_regions_is_shared(set, 24) == 1);
  arguments[0] = 0x14001;
  EXPECT("an address in a page", baton_regions_hypercall(set, MAP_GPA_RANGE, arguments, &result) == 0 && result == -22);
  EXPECT("another hypercall", baton_regions_hypercall(set, 5, arguments, &result) == 0 && result == -1000);
  EXPECT("another register", baton_regions_read_msr(set, 0x10, &value) == -ENOENT && value == 7);
  EXPECT("a value that it cannot have", baton_regions_write_msr(set, MIGRATION_CONTROL, 2) == -ENOENT);
  EXPECT("it says that it is ready", baton_regions_write_msr(set, MIGRATION_CONTROL, 1) == 0
             && baton_regions_read_msr(set, MIGRATION_CONTROL, &value) == 0 && value == 1);
  EXPECT("it may be migrated", baton_regions_may_migrate(set) == 0);
  EXPECT("beyond all addresses", baton_regions_set_shared(set, UINT64_MAX, 2) == -EINVAL
             && baton_regions_set_private(set, 0, UINT64_MAX) == -EINVAL);
  EXPECT("no pages", baton_regions_set_shared(set, 1000, 0) == 0 && baton_regions_is_shared(set, 1000) == 0);
  EXPECT("the VMM shares and takes back", baton_regions_set_shared(set, 1000, 2) == 0
             && baton_regions_is_shared(set, 1001) == 1 && baton_regions_set_private(set, 1000, 2) == 0
             && baton_regions_is_shared(set, 1001) == 0);

  int64_t size = baton_regions_save(set, NULL, 0);
  EXPECT("its size", size > 0 && size <= (int64_t)sizeof saved);
  EXPECT("too small a buffer", baton_regions_save(set, saved, (size_t)size - 1) == -ENOBUFS);
  EXPECT("it is saved", baton_regions_save(set, saved, sizeof saved) == size);
  EXPECT("another set", baton_regions_new(0, 0, &copy) == 0);
  EXPECT("a plain guest's pages go as they are", baton_regions_kind(copy, 5, &end) == BATON_PAGE_PLAIN
             && end == UINT64_MAX && baton_regions_may_migrate(copy) == 0);
  EXPECT("bytes that are cut", baton_regions_load(copy, saved, (size_t)size - 1) == -EBADMSG);
  EXPECT("no bytes", baton_regions_load(copy, NULL, 8) == -EINVAL);
  saved[0] ^= 1;
  EXPECT("another version", baton_regions_load(copy, saved, (size_t)size) == -EBADMSG);
  saved[0] ^= 1;
  EXPECT("it is loaded", baton_regions_load(copy, saved, (size_t)size) == 0 && baton_regions_is_shared(copy, 24) == 1
             && baton_regions_is_shared(copy, 20) == 0 && baton_regions_may_migrate(copy) == 0);
  EXPECT("a reset", baton_regions_reset(set) == 0 && baton_regions_is_shared(set, 24) == 0
             && baton_regions_may_migrate(set) == -EAGAIN);
  baton_regions_free(copy);
  baton_regions_free(set);
}

int main(void) {
  char directory[] = "/tmp/baton-misuse-XXXXXX";
  if (mkdtemp(directory) == NULL) return 1;
  int before = open_descriptors();
  null_pointers();
  identities();
  new_handle();
  bad_guests();
  refusals();
  regions();
  two_threads(directory);
  nonsense(directory);
  EXPECT("no descriptor is left open", open_descriptors() == before);
  rmdir(directory);
  printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
