#include "objects.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "connection.h"
#include "hidden_descriptors.h"
#include "process.h"
#include "stand_in.h"

#define BUCKETS 1024
/* /dev/kvm: the misc device 232. */
#define KVM_MAJOR 10
#define KVM_MINOR 232

static _Atomic(struct object *) buckets[BUCKETS];
/* Held to enter and to let go, never to find. */
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;

static struct object *find_inode(uint64_t inode) {
  struct object *object = atomic_load_explicit(&buckets[inode % BUCKETS], memory_order_acquire);
  while (object && atomic_load_explicit(&object->inode, memory_order_acquire) != inode) object = object->next;
  return object;
}

/* An unused entry of the bucket or a new one; under the table's lock. */
static struct object *make_room(uint64_t inode) {
  struct object *head = atomic_load(&buckets[inode % BUCKETS]), *object = head;
  while (object && atomic_load(&object->inode) != 0) object = object->next;
  if (object) return object;
  object = calloc(1, sizeof *object);
  if (!object) return NULL;
  atomic_init(&object->host, -1);
  pthread_mutex_init(&object->lock, NULL);
  object->next = head;
  atomic_store_explicit(&buckets[inode % BUCKETS], object, memory_order_release);
  return object;
}

int objects_enter(int fd, enum object_kind kind, int host, void *stand_in, void (*free_stand_in)(void *)) {
  struct stat status;
  struct object *object = NULL;
  int error = 0;
  if (fstat(fd, &status) < 0) error = -errno;
  pthread_mutex_lock(&table_lock);
  if (error == 0) {
    object = make_room(status.st_ino);
    if (!object) error = -ENOMEM;
  }
  if (error == 0 && host >= 0) {
    error = hidden_adopt(host, &object->host);
    host = -1;
  }
  if (error == 0) {
    object->kind = kind;
    atomic_store(&object->may_run, false);
    object->stand_in = stand_in;
    object->free_stand_in = free_stand_in;
    atomic_store_explicit(&object->inode, status.st_ino, memory_order_release);
  }
  pthread_mutex_unlock(&table_lock);
  if (error != 0) {
    if (host >= 0) close(host);
    if (stand_in) free_stand_in(stand_in);
  }
  return error;
}

/* Whether a regular file is a stand-in of /dev/kvm, made here, before an exec, or by another process. */
static bool is_stand_in(int fd) {
  char link[64], target[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  static const char expected[] = "/memfd:" STAND_IN_NAME;
  ssize_t length = readlink(link, target, sizeof target);
  return length >= (ssize_t)(sizeof expected - 1) && memcmp(target, expected, sizeof expected - 1) == 0;
}

enum object_class objects_classify(int fd, struct object **object) {
  struct stat status;
  *object = NULL;
  if (hidden_is(fd) || fstat(fd, &status) < 0) return CLASS_OTHER;
  if (S_ISSOCK(status.st_mode)) {
    process_address_space();
    *object = find_inode(status.st_ino);
    return *object ? CLASS_OBJECT : CLASS_UNKNOWN;
  }
  if (S_ISCHR(status.st_mode) && status.st_rdev == makedev(KVM_MAJOR, KVM_MINOR)) return CLASS_SYSTEM;
  if (S_ISREG(status.st_mode) && is_stand_in(fd)) return CLASS_SYSTEM_STAND_IN;
  return CLASS_OTHER;
}

struct object *objects_find(int fd) {
  struct stat status;
  if (fd < 0 || fstat(fd, &status) < 0 || !S_ISSOCK(status.st_mode)) return NULL;
  process_address_space();
  return find_inode(status.st_ino);
}

/* Takes an entry out; under the table's lock. */
static void let_go(struct object *object) {
  atomic_store(&object->inode, 0);
  hidden_close(&object->host);
  pthread_mutex_lock(&object->lock);
  if (object->stand_in) object->free_stand_in(object->stand_in);
  object->stand_in = NULL;
  pthread_mutex_unlock(&object->lock);
}

/* A set of inodes of open sockets; grows. */
struct inode_set {
  uint64_t *values;
  size_t count, capacity;
};

static bool append(struct inode_set *set, uint64_t value) {
  if (set->count == set->capacity) {
    size_t capacity = set->capacity ? 2 * set->capacity : 64;
    uint64_t *values = realloc(set->values, capacity * sizeof *values);
    if (!values) return false;
    set->values = values;
    set->capacity = capacity;
  }
  set->values[set->count++] = value;
  return true;
}

static int compare(const void *left, const void *right) {
  uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
  return a < b ? -1 : a > b;
}

/* The inodes of this process's sockets; false if they cannot be had, for instance without /proc. */
static bool list_sockets(struct inode_set *set) {
  DIR *directory = opendir("/proc/self/fd");
  if (!directory) return false;
  bool complete = true;
  struct dirent *entry;
  while ((entry = readdir(directory))) {
    struct stat status;
    int fd = atoi(entry->d_name);
    if (entry->d_name[0] == '.' || fstat(fd, &status) < 0 || !S_ISSOCK(status.st_mode)) continue;
    complete = append(set, status.st_ino) && complete;
  }
  closedir(directory);
  qsort(set->values, set->count, sizeof *set->values, compare);
  return complete;
}

void objects_collect(void) {
  int saved = errno;
  struct inode_set open = {0};
  pthread_mutex_lock(&table_lock);
  /* A descriptor that is only in a message under way does not count: the model's VM lives on by it, but this
     process cannot use it without receiving it, and then the real VM and the stand-in's state are gone. */
  if (list_sockets(&open)) {
    for (size_t bucket = 0; bucket < BUCKETS; bucket++) {
      for (struct object *object = atomic_load(&buckets[bucket]); object; object = object->next) {
        uint64_t inode = atomic_load(&object->inode);
        if (inode != 0 && !bsearch(&inode, open.values, open.count, sizeof inode, compare)) let_go(object);
      }
    }
  }
  pthread_mutex_unlock(&table_lock);
  free(open.values);
  errno = saved;
}

void objects_forget_all(void) {
  /* Whoever held the lock in the parent does not exist here. */
  pthread_mutex_init(&table_lock, NULL);
  stand_in_after_fork();
  for (size_t bucket = 0; bucket < BUCKETS; bucket++) {
    for (struct object *object = atomic_load(&buckets[bucket]); object; object = object->next) {
      pthread_mutex_init(&object->lock, NULL);
      /* Not freed: another thread of the parent may have been in the middle of changing it. */
      atomic_store(&object->inode, 0);
      object->stand_in = NULL;
    }
  }
}
