#include "hidden_descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "real_calls.h"

/* Numbers from here on are not used: the kernel's table of a process is as long as its highest number. */
#define LIMIT 65536
/* High enough for most programs, low enough for a small table. */
#define PREFERRED_MINIMUM 4096

/* Who has a number. Read without a lock: close(2) may be called from a signal handler. */
static _Atomic(atomic_int *) owners[LIMIT];
static atomic_int highest = -1;
/* What each number is. */
static struct identity {
  _Atomic uint64_t device, inode;
} identities[LIMIT];

/* A number at or above a minimum that leaves the program's low numbers alone; -errno if there is none. */
static int duplicate_high(int fd) {
  struct rlimit limit = {.rlim_cur = 1024};
  getrlimit(RLIMIT_NOFILE, &limit);
  int minimum = limit.rlim_cur < 2 * PREFERRED_MINIMUM ? (int)(limit.rlim_cur / 4 * 3) : PREFERRED_MINIMUM;
  for (;;) {
    int number = fcntl(fd, F_DUPFD_CLOEXEC, minimum);
    if (number >= LIMIT) {
      real()->close(number);
      return -EMFILE;
    }
    if (number >= 0) return number;
    /* EINVAL or EMFILE: the program has lowered its limit or uses all numbers above. */
    if ((errno != EINVAL && errno != EMFILE) || minimum < 16) return -errno;
    minimum /= 2;
  }
}

static void enter(int number, atomic_int *owner) {
  struct stat status;
  if (fstat(number, &status) == 0) {
    atomic_store(&identities[number].device, status.st_dev);
    atomic_store(&identities[number].inode, status.st_ino);
  }
  atomic_store(owner, number);
  atomic_store(&owners[number], owner);
  int seen = atomic_load(&highest);
  while (seen < number && !atomic_compare_exchange_weak(&highest, &seen, number)) continue;
}

int hidden_adopt(int fd, atomic_int *owner) {
  int number = duplicate_high(fd);
  real()->close(fd);
  if (number < 0) {
    atomic_store(owner, -1);
    return number;
  }
  enter(number, owner);
  return 0;
}

void hidden_close(atomic_int *owner) {
  int number = atomic_exchange(owner, -1);
  if (number < 0) return;
  atomic_store(&owners[number], NULL);
  real()->close(number);
}

int hidden_number(atomic_int *owner) {
  struct stat status;
  int number = atomic_load(owner);
  if (number < 0) return -1;
  if (fstat(number, &status) == 0 && status.st_dev == atomic_load(&identities[number].device) &&
      status.st_ino == atomic_load(&identities[number].inode))
    return number;
  atomic_store(owner, -1);
  atomic_store(&owners[number], NULL);
  return -1;
}

bool hidden_is(int fd) { return fd >= 0 && fd < LIMIT && atomic_load(&owners[fd]) != NULL; }

int hidden_give_way(int fd) {
  atomic_int *owner = atomic_load(&owners[fd]);
  if (!owner) return 0;
  int number = duplicate_high(fd);
  if (number < 0) return number;
  enter(number, owner);
  atomic_store(&owners[fd], NULL);
  return 0;
}

int hidden_next(int from) {
  int last = atomic_load(&highest);
  for (int number = from < 0 ? 0 : from; number <= last; number++)
    if (hidden_is(number)) return number;
  return -1;
}

void hidden_close_all(void) {
  for (int number = hidden_next(0); number >= 0; number = hidden_next(number + 1)) {
    atomic_int *owner = atomic_load(&owners[number]);
    if (owner) hidden_close(owner);
  }
}
