/*
 * What baton.h promises about migrations to those who call it wrongly, and to those whose sidecar or other host talks
 * nonsense: this program is the sidecar here. It needs no registry. The last line is `N passed, N failed`.
 */
#define _GNU_SOURCE
#include <baton.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
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

enum { RAM_SIZE = 65536 };
static char socket_path[64];

static baton_vmm *handle(void) {
  struct baton_identity who = {.struct_size = sizeof who, .registry = "/nonexistent/handoff", .guest = "vm1",
                               .build = "misuse", .format_name = "example", .format_oldest = 1, .format_newest = 1};
  baton_vmm *vmm = NULL;
  if (baton_vmm_new(&who, &vmm) != 0) abort();
  return vmm;
}

static struct baton_remote remote(void) {
  struct baton_remote remote = {.struct_size = sizeof remote, .socket = socket_path, .silence_ms = 300};
  return remote;
}

static int memfd_with_seals(void) {
  int memfd = memfd_create("misuse", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (memfd < 0 || ftruncate(memfd, RAM_SIZE) != 0
      || fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    abort();
  return memfd;
}

/* ---- structs ---- */

static int no_log(void *context) {
  (void)context;
  return 0;
}
static int no_pages(void *context, uint64_t *pages, size_t words) {
  (void)context, (void)pages, (void)words;
  return 0;
}
static void no_end(void *context) { (void)context; }

static const struct baton_region whole[] = {{.byte_count = RAM_SIZE}};
static struct baton_guest guest_with(const int *ram) {
  struct baton_guest guest = {.struct_size = sizeof guest, .way = BATON_WAY_NONE, .vcpu_count = 1, .ram_count = 1,
                              .region_count = 1, .ram = ram, .regions = whole, .vm = -1, .take_back_vm = -1,
                              .format_name = "example", .format_version = 1};
  return guest;
}
static struct baton_source source_with(const struct baton_guest *guest, void *ram) {
  struct baton_source source = {.struct_size = sizeof source, .guest = guest, .ram = ram, .start_dirty_log = no_log,
                                .take_dirty_pages = no_pages, .stop_dirty_log = no_end, .vm = -1};
  return source;
}
static struct baton_target target_with(const struct baton_guest *guest, void *ram) {
  struct baton_target target = {.struct_size = sizeof target, .guest = guest, .ram = ram, .vm = -1, .firmware = -1};
  return target;
}

static void null_pointers(void) {
  struct baton_remote way = remote();
  struct baton_arrival arrival = {.struct_size = sizeof arrival};
  struct pollfd entries[BATON_MOST_INTERESTS];
  char name[64];
  int32_t timeout = 0;
  EXPECT("interests", baton_vmm_interests(NULL, entries, 4, &timeout) == -EINVAL);
  EXPECT("peer", baton_vmm_peer(NULL, name, sizeof name) == -EINVAL);
  EXPECT("allow_migration", baton_vmm_allow_migration(NULL, &way) == -EINVAL);
  EXPECT("migrate", baton_vmm_migrate(NULL, NULL) == -EINVAL);
  EXPECT("stopped", baton_vmm_stopped(NULL, name, 1, 0) == -EINVAL);
  EXPECT("await", baton_vmm_await(NULL, &way, RAM_SIZE) == -EINVAL);
  EXPECT("arrival", baton_vmm_arrival(NULL, &arrival) == -EINVAL);
  EXPECT("arrival_facts", baton_vmm_arrival_facts(NULL, name, sizeof name) == -EINVAL);
  EXPECT("accept", baton_vmm_accept(NULL, NULL) == -EINVAL);
  baton_vmm *vmm = handle();
  EXPECT("no way", baton_vmm_allow_migration(vmm, NULL) == -EINVAL && baton_vmm_await(vmm, NULL, 1) == -EINVAL);
  way.struct_size = 8;
  EXPECT("a way without its size", baton_vmm_allow_migration(vmm, &way) == -EINVAL);
  EXPECT("no place for a time", baton_vmm_interests(vmm, entries, 4, NULL) == -EINVAL);
  EXPECT("nothing to poll", baton_vmm_interests(vmm, NULL, 0, &timeout) == 0 && timeout > 0);
  EXPECT("it is still new", baton_vmm_state(vmm) == BATON_STATE_NEW);
  baton_vmm_free(vmm);
}

/* Calls that belong to a migration, without one: each is out of turn, and changes nothing. */
static void out_of_turn(baton_vmm *vmm, const char *when) {
  int ram = memfd_with_seals(), before = baton_vmm_state(vmm);
  void *memory = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, ram, 0);
  struct baton_guest guest = guest_with(&ram);
  struct baton_source source = source_with(&guest, memory);
  struct baton_target target = target_with(&guest, memory);
  struct baton_arrival arrival = {.struct_size = sizeof arrival};
  struct baton_offer offer = {.struct_size = sizeof offer};
  char name[8];
  EXPECT(when, baton_vmm_migrate(vmm, &source) == -EPERM);
  target.vm = ram;
  EXPECT(when, baton_vmm_accept(vmm, &target) == -EINVAL);
  target = target_with(&guest, memory);
  EXPECT(when, baton_vmm_stopped(vmm, name, sizeof name, 1) == -EPERM);
  EXPECT(when, baton_vmm_arrival(vmm, &arrival) == -EPERM);
  EXPECT(when, baton_vmm_arrival_facts(vmm, name, sizeof name) == -EPERM);
  EXPECT(when, baton_vmm_accept(vmm, &target) == -EPERM);
  EXPECT(when, baton_vmm_received(vmm) == -EPERM);
  EXPECT(when, baton_vmm_claim_state(vmm, name, sizeof name) == -EPERM);
  EXPECT(when, baton_vmm_offer_get(vmm, &offer) == -EPERM);
  EXPECT(when, baton_vmm_decline(vmm, "no") == -EPERM);
  EXPECT(when, baton_vmm_peer(vmm, name, sizeof name) == -ENOENT);
  EXPECT(when, baton_vmm_may_run(vmm) == -EPERM);
  EXPECT(when, baton_vmm_running(vmm, &guest, 1) == -EPERM);
  EXPECT(when, baton_vmm_state(vmm) == before);
  munmap(memory, RAM_SIZE);
  close(ram);
}

static void bad_sources(baton_vmm *vmm) {
  int ram = memfd_with_seals(), two[2] = {ram, ram};
  void *memory = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, ram, 0);
  struct baton_guest guest = guest_with(&ram);
  struct baton_source source = source_with(&guest, memory);
  struct baton_target target = target_with(&guest, memory);
  static const struct baton_region hole[] = {{.byte_count = 4096, .file_offset = 8192}};
  source.ram = NULL;
  EXPECT("no address", baton_vmm_migrate(vmm, &source) == -EINVAL);
  source.ram = (char *)memory + 1;
  EXPECT("no page's address", baton_vmm_migrate(vmm, &source) == -EINVAL);
  source = source_with(&guest, memory);
  source.take_dirty_pages = NULL;
  EXPECT("no log", baton_vmm_migrate(vmm, &source) == -EINVAL);
  source = source_with(&guest, memory);
  source.facts_size = 65537;
  source.facts = memory;
  EXPECT("too many facts", baton_vmm_migrate(vmm, &source) == -EINVAL);
  source = source_with(&guest, memory);
  source.vm = ram;
  EXPECT("a VM without its pages", baton_vmm_migrate(vmm, &source) == -EINVAL);
  source = source_with(&guest, memory);
  source.struct_size--;
  EXPECT("a struct that is too short", baton_vmm_migrate(vmm, &source) == -EINVAL);
  source = source_with(NULL, memory);
  EXPECT("no guest", baton_vmm_migrate(vmm, &source) == -EINVAL);
  guest.ram = two;
  guest.ram_count = 2;
  source = source_with(&guest, memory);
  EXPECT("two files", baton_vmm_migrate(vmm, &source) == -EINVAL);
  guest = guest_with(&ram);
  guest.regions = hole;
  EXPECT("regions that leave a gap", baton_vmm_migrate(vmm, &source) == -EINVAL);
  guest = guest_with(&ram);
  target.firmware = -1;
  target.vm = ram;
  EXPECT("a VM without firmware", baton_vmm_accept(vmm, &target) == -EINVAL);
  target = target_with(&guest, NULL);
  EXPECT("nowhere to receive", baton_vmm_accept(vmm, &target) == -EINVAL);
  munmap(memory, RAM_SIZE);
  close(ram);
}

/* ---- the sidecar ---- */

static const char *answer;
static size_t answer_size;
static int answers_left;

/* Says the answer to each who comes, reads what they say, and closes. */
static void *serve(void *listener) {
  while (answers_left-- > 0) {
    char line[512];
    int client = accept(*(int *)listener, NULL, NULL);
    if (client < 0) return NULL;
    if (read(client, line, sizeof line) > 0 && write(client, answer, answer_size) == (ssize_t)answer_size) {
      shutdown(client, SHUT_WR);
      struct pollfd entry = {.fd = client, .events = POLLIN};
      while (poll(&entry, 1, 200) > 0 && read(client, line, sizeof line) > 0) continue;
    }
    close(client);
  }
  return NULL;
}

/* A VMM waits while the sidecar, or the source behind it, says this: it goes on waiting, and no guest comes of it. */
static void hear(const char *what, const void *bytes, size_t size) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  struct baton_remote way = remote();
  struct baton_event event = {.struct_size = sizeof event};
  struct pollfd entries[BATON_MOST_INTERESTS];
  int32_t timeout = -1;
  pthread_t server;
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), found = 0;
  strcpy(address.sun_path, socket_path);
  unlink(socket_path);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 4) != 0) abort();
  answer = bytes;
  answer_size = size;
  answers_left = 1;
  pthread_create(&server, NULL, serve, &listener);
  baton_vmm *vmm = handle();
  EXPECT(what, baton_vmm_await(vmm, &way, RAM_SIZE) == 0 && baton_vmm_state(vmm) == BATON_STATE_AWAITING);
  EXPECT(what, baton_vmm_await(vmm, &way, RAM_SIZE) == -EPERM && baton_vmm_connect(vmm, 1) == -EPERM);
  for (int turns = 0; turns < 15 && found >= 0; turns++) {
    int count = baton_vmm_interests(vmm, entries, BATON_MOST_INTERESTS, &timeout);
    EXPECT(what, count >= 0 && timeout >= 0 && timeout <= 1000);
    poll(entries, (nfds_t)count, timeout < 20 ? timeout : 20);
    found = baton_vmm_process(vmm, &event);
    if (found == 1) break;
  }
  EXPECT(what, found == 0 && baton_vmm_state(vmm) == BATON_STATE_AWAITING);
  EXPECT(what, baton_vmm_wait(vmm, 10, &event) == 0);
  out_of_turn(vmm, what);
  baton_vmm_free(vmm);
  shutdown(listener, SHUT_RDWR);
  pthread_join(server, NULL);
  close(listener);
  unlink(socket_path);
}

static void nonsense(void) {
  static char long_line[4096];
  static const char zeros[4096];
  char noise[8192];
  memset(long_line, 'a', sizeof long_line);
  hear("a sidecar that says nothing", "", 0);
  hear("a sidecar that refuses", "error targetNotWaiting nobody\n", 30);
  hear("a line that is none", "yes\n", 4);
  hear("a line without an end", long_line, sizeof long_line);
  hear("a source that goes away", "waiting\nok north\n", 17);
  hear("a source of zeros", zeros, sizeof zeros);
  memcpy(noise, "ok north\n", 9);
  for (unsigned seed = 1; seed <= 8; seed++) {
    unsigned state = seed;
    for (size_t index = 9; index < sizeof noise; index++) noise[index] = (char)((state = state * 1103515245 + 12345) >> 16);
    hear("a source of noise", noise, sizeof noise);
  }
}

/* ---- two threads ---- */

static void *change_pages(void *set) {
  for (uint64_t turn = 0; turn < 20000; turn++) {
    baton_regions_set_shared(set, turn % 512, 1);
    baton_regions_set_private(set, turn % 512, 1);
  }
  return NULL;
}

/* A vCPU says what it shares while a migration reads it. */
static void two_threads(void) {
  baton_regions *set = NULL;
  pthread_t one, other;
  uint64_t end;
  int wrong = 0;
  if (baton_regions_new(1, 1, &set) != 0) abort();
  pthread_create(&one, NULL, change_pages, set);
  pthread_create(&other, NULL, change_pages, set);
  for (int turn = 0; turn < 20000; turn++) wrong += baton_regions_kind(set, 600, &end) != BATON_PAGE_ENCRYPTED;
  pthread_join(one, NULL);
  pthread_join(other, NULL);
  EXPECT("a set may be used by several threads", wrong == 0 && baton_regions_is_shared(set, 5) == 0);
  baton_regions_free(set);
}

static int open_descriptors(void) {
  int count = 0;
  DIR *directory = opendir("/proc/self/fd");
  while (readdir(directory) != NULL) count++;
  closedir(directory);
  return count;
}

int main(void) {
  char directory[] = "/tmp/baton-misuse-XXXXXX";
  if (mkdtemp(directory) == NULL) return 1;
  snprintf(socket_path, sizeof socket_path, "%s/remote.sock", directory);
  signal(SIGPIPE, SIG_IGN);
  int before = open_descriptors();
  null_pointers();
  baton_vmm *vmm = handle();
  out_of_turn(vmm, "a new handle");
  struct baton_remote way = remote();
  EXPECT("migrations are allowed once", baton_vmm_allow_migration(vmm, &way) == 0
             && baton_vmm_allow_migration(vmm, &way) == -EPERM);
  out_of_turn(vmm, "a handle that may migrate");
  bad_sources(vmm);
  baton_vmm_free(vmm);
  nonsense();
  two_threads();
  /* What a connection was closed with may be heard a moment longer. */
  for (int turn = 0; turn < 300 && open_descriptors() != before; turn++) usleep(20000);
  EXPECT("no descriptor is left open", open_descriptors() == before);
  rmdir(directory);
  printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
