/*
 * The command line of the three example VMMs; where baton-vmm has the same option, it means the same.
 *
 *   --vm NAME              the guest
 *   --registry SOCKET      batond's (default /run/baton/handoff)
 *   --memory MIB           guest RAM (default 64), as 64 or 64M
 *   --vcpus N              (default 2)
 *   --vcpu KIND            kvm, software or auto (default)
 *   --sev WAY              token, move, auto; none (default): a plain guest
 *   --sev-es               encrypt the register state of a fresh guest too
 *   --duty PERCENT         how much of the time a software vCPU works (default 100)
 *   --console PLACE        a path or fd:N
 *   --disk PATH            an image, opened by the first owner only
 *   --events PATH          where events go as JSON lines
 *   --no-custody           keep VM descriptors out of the registry's custody
 *
 * Of guest_vmm.c alone, for guests that migrate to another host:
 *
 *   --incoming             wait for the guest to come from another host
 *   --remote-socket SOCKET the sidecar's (default /run/baton/remote.sock)
 *   --link-timeout MS      after which a silent other host counts as gone (default 10000)
 *   --signed-cek FILE      this host's CEK as AMD signed it
 *   --amd-chain FILE       AMD's own certificates: ASK, then ARK
 *   --trust-model-root     take the certificates of sevmodeld for AMD's; for guests of the model only
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stddef.h>

#include "machine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The contents of a file, for the rest of the process's life. */
struct file {
  void *bytes;
  size_t size;
};

struct options {
  struct machine_setup machine;
  const char *guest;
  const char *registry;
  const char *events;
  int gives_custody;
  int is_incoming, trusts_model_root;
  const char *remote;
  uint32_t silence_ms;
  struct file signed_cek, amd_chain;
};

/* 0, or -1 with a sentence on stderr. */
int options_read(struct options *options, int count, char **arguments);
/* The file, or -1. */
int options_open_events(const struct options *options);
/* Opens what is not open of 0, 1 and 2: a SEV guest's VMM gives the first one to the firmware device. */
void options_occupy_standard_numbers(void);

#ifdef __cplusplus
}
#endif

#endif
