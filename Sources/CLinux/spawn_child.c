#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "spawn_child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAXIMUM_DESCRIPTORS 64

struct order {
  char *const *arguments;
  char *const *environment;
  const int *descriptors;
  int descriptor_count;
  uint32_t user;
  int32_t result;
};

/* Only async-signal-safe calls: other threads of the parent may have held any lock. */
static void become(const struct order *order, int report, pid_t parent) {
  int number = -1, parked[MAXIMUM_DESCRIPTORS];
  sigset_t none;
  for (int i = 1; i < NSIG; i++) signal(i, SIG_DFL);
  sigemptyset(&none);
  if (sigprocmask(SIG_SETMASK, &none, NULL) < 0) goto failed;
  /* All out of the way first, so that no copy below overwrites one that is still needed. */
  number = fcntl(report, F_DUPFD_CLOEXEC, order->descriptor_count);
  if (number < 0) goto failed;
  report = number;
  for (int i = 0; i < order->descriptor_count; i++) {
    number = order->descriptors[i] < 0 ? open("/dev/null", O_RDWR | O_CLOEXEC) : order->descriptors[i];
    if (number < 0) goto failed;
    parked[i] = fcntl(number, F_DUPFD_CLOEXEC, order->descriptor_count);
    if (parked[i] < 0) goto failed;
  }
  for (int i = 0; i < order->descriptor_count; i++)
    if (dup2(parked[i], i) < 0) goto failed;
  if (report > order->descriptor_count &&
      syscall(SYS_close_range, order->descriptor_count, report - 1, 0) < 0)
    goto failed;
  if (syscall(SYS_close_range, report + 1, ~0U, 0) < 0) goto failed;
  if (order->user != UINT32_MAX) {
    if (setgroups(0, NULL) < 0 || setgid(order->user) < 0 || setuid(order->user) < 0) goto failed;
  }
  /* After the change of user, which clears it. */
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) goto failed;
  if (getppid() != parent) _exit(127);
  execve(order->arguments[0], order->arguments, order->environment);
failed:
  number = errno;
  (void)!write(report, &number, sizeof number);
  _exit(127);
}

static int32_t start(const struct order *order) {
  int ends[2], failure = order->descriptor_count > MAXIMUM_DESCRIPTORS ? EINVAL : 0;
  sigset_t all, old;
  pid_t parent = getpid(), pid;
  if (pipe2(ends, O_CLOEXEC) < 0) return -errno;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  pid = failure == 0 ? fork() : -1;
  if (pid == 0) become(order, ends[1], parent);
  if (pid < 0 && failure == 0) failure = errno;
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  close(ends[1]);
  if (pid > 0 && read(ends[0], &failure, sizeof failure) <= 0) failure = 0;
  close(ends[0]);
  if (failure == 0) return pid;
  if (pid > 0) waitpid(pid, NULL, 0);
  return -failure;
}

/*
 * The parent's death that a child is told of is that of the thread that started it. So one thread, which ends
 * with the process only, starts all of them.
 */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct order *current;
static int has_starter;

static void *starter(void *unused) {
  (void)unused;
  pthread_mutex_lock(&lock);
  for (;;) {
    while (current == NULL) pthread_cond_wait(&changed, &lock);
    current->result = start(current);
    current = NULL;
    pthread_cond_broadcast(&changed);
  }
  return NULL;
}

int32_t clinux_spawn_child(char *const *arguments, char *const *environment, const int *descriptors,
                           int descriptor_count, uint32_t user) {
  struct order order = {arguments, environment, descriptors, descriptor_count, user, 0};
  pthread_mutex_lock(&turn);
  if (!has_starter) {
    pthread_t thread;
    int error = pthread_create(&thread, NULL, starter, NULL);
    if (error != 0) {
      pthread_mutex_unlock(&turn);
      return -error;
    }
    pthread_detach(thread);
    has_starter = 1;
  }
  pthread_mutex_lock(&lock);
  current = &order;
  pthread_cond_broadcast(&changed);
  while (current != NULL) pthread_cond_wait(&changed, &lock);
  pthread_mutex_unlock(&lock);
  pthread_mutex_unlock(&turn);
  return order.result;
}

int64_t clinux_program_path(char *path, uint64_t capacity) {
  ssize_t count = readlink("/proc/self/exe", path, capacity);
  return count < 0 ? -errno : count;
}

char *const *clinux_environment_list(void) { return environ; }

int clinux_make_private_directory(char *path) { return mkdtemp(path) == NULL ? -errno : 0; }

int clinux_remove_directory(const char *path) { return rmdir(path) < 0 ? -errno : 0; }
