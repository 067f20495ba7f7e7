#include "process.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "SEVModelPreload.h"
#include "hidden_descriptors.h"
#include "objects.h"
#include "sev_transport.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char *socket_path;
static bool stand_in;
static atomic_int owner;
static _Atomic uint64_t known_address_space;

/* At once in a forked child, so that it does not keep the parent's real VMs and connections open. */
static void after_fork(void) { process_address_space(); }

static void read_environment(void) {
  const char *path = getenv(SEVMODEL_SOCKET_VARIABLE), *kvm = getenv(SEVMODEL_KVM_VARIABLE);
  if (!path || !*path) return;
  socket_path = strdup(path);
  if (!socket_path) return;
  stand_in = kvm && strcmp(kvm, "stand-in") == 0;
  if (kvm && *kvm && !stand_in && strcmp(kvm, "auto") != 0)
    process_say("%s=%s is neither auto nor stand-in; taken as auto", SEVMODEL_KVM_VARIABLE, kvm);
  atomic_store(&owner, getpid());
  atomic_store(&known_address_space, sev_address_space());
  pthread_atfork(NULL, NULL, after_fork);
}

bool process_is_enabled(void) {
  pthread_once(&once, read_environment);
  return socket_path != NULL;
}

const char *process_socket_path(void) { return socket_path; }
bool process_wants_stand_in(void) { return stand_in; }

uint64_t process_address_space(void) {
  uint64_t now = sev_address_space(), known = atomic_load(&known_address_space);
  if (now != known && atomic_compare_exchange_strong(&known_address_space, &known, now)) {
    /* A forked child has one thread, so that nobody uses these meanwhile. */
    atomic_store(&owner, getpid());
    hidden_close_all();
    objects_forget_all();
  }
  return now;
}

bool process_owns_records(void) {
  process_address_space();
  return getpid() == atomic_load(&owner);
}

void process_say(const char *format, ...) {
  char text[512];
  int saved = errno;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  dprintf(STDERR_FILENO, "libsevmodel-preload: %s\n", text);
  errno = saved;
}
