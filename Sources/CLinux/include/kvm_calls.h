/*
 * What the KVM module needs besides system_calls.h: ioctl (variadic), the run page, and the signal that
 * brings a thread out of KVM_RUN. Results as in system_calls.h: >= 0, or -errno.
 */
#ifndef BATON_KVM_CALLS_H
#define BATON_KVM_CALLS_H

#include <stddef.h>
#include <stdint.h>

int clinux_kvm_ioctl_value(int fd, unsigned long request, unsigned long argument);
int clinux_kvm_ioctl_pointer(int fd, unsigned long request, void *argument);
void *clinux_kvm_map_run_page(int vcpu, size_t size, int *error);
void clinux_kvm_unmap_run_page(void *page, size_t size);

/* Sets or clears immediate_exit of a run page, visible to KVM_RUN of every thread. */
void clinux_kvm_set_immediate_exit(void *page, int enabled);

/* The kick: a real-time signal whose handler does nothing, installed without SA_RESTART. */
int clinux_kvm_prepare_kick(void);
/* Lets the calling thread be kicked; its mask may have been inherited. */
int clinux_kvm_accept_kick(void);
int clinux_kvm_kick(int32_t thread_id);

#endif
