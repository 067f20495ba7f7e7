#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "kvm_calls.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int clinux_kvm_ioctl_value(int fd, unsigned long request, unsigned long argument) {
  int value = ioctl(fd, request, argument);
  return value < 0 ? -errno : value;
}

int clinux_kvm_ioctl_pointer(int fd, unsigned long request, void *argument) {
  int value = ioctl(fd, request, argument);
  return value < 0 ? -errno : value;
}

void *clinux_kvm_map_run_page(int vcpu, size_t size, int *error) {
  void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  if (page == MAP_FAILED) {
    *error = errno;
    return NULL;
  }
  *error = 0;
  return page;
}

void clinux_kvm_unmap_run_page(void *page, size_t size) { munmap(page, size); }

void clinux_kvm_set_immediate_exit(void *page, int enabled) {
  /* struct kvm_run: request_interrupt_window at 0, immediate_exit at 1. */
  __atomic_store_n((uint8_t *)page + 1, enabled ? 1 : 0, __ATOMIC_SEQ_CST);
}

static int kick_signal(void) { return SIGRTMIN + 7; }
static void ignore(int signal) { (void)signal; }

int clinux_kvm_prepare_kick(void) {
  struct sigaction action = {.sa_handler = ignore};
  sigemptyset(&action.sa_mask);
  return sigaction(kick_signal(), &action, NULL) < 0 ? -errno : 0;
}

int clinux_kvm_accept_kick(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, kick_signal());
  return -pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

int clinux_kvm_kick(int32_t thread_id) {
  return syscall(SYS_tgkill, getpid(), thread_id, kick_signal()) < 0 ? -errno : 0;
}
