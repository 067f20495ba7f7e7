/*
 * libsevmodel-preload.so: lets an unmodified, dynamically linked program use sevmodeld as if it were KVM-SEV.
 *
 *   SEVMODEL_SOCKET=/path LD_PRELOAD=/path/libsevmodel-preload.so program
 *
 * The library has no interface of its own: it stands in front of the C library's open, close, ioctl, mmap and
 * their kin. Docs/preload.md says which, and what cannot be caught.
 */
#ifndef SEVMODEL_PRELOAD_H
#define SEVMODEL_PRELOAD_H

/* The path of sevmodeld's socket. Without it the library does nothing at all. */
#define SEVMODEL_SOCKET_VARIABLE "SEVMODEL_SOCKET"
/* `auto` (default): the real /dev/kvm if it opens, else the stand-in. `stand-in`: never the real one. */
#define SEVMODEL_KVM_VARIABLE "SEVMODEL_KVM"

#endif
