/*
 * Numbers of the KVM interface that older kernel headers lack, under names of their own so that they never
 * meet a newer header's.
 */
#ifndef SEVMODEL_KVM_NUMBERS_H
#define SEVMODEL_KVM_NUMBERS_H

#include <linux/kvm.h>
#include <linux/psp-sev.h>

/* Linux 6.8 to 6.11. */
#define NUMBER_SET_USER_MEMORY_REGION2 0x40A0AE49u
#define NUMBER_CAP_USER_MEMORY2 231
#define NUMBER_TYPE_DEFAULT 0
#define NUMBER_TYPE_SEV 2
#define NUMBER_TYPE_SNP 4
#define NUMBER_GROUP_SEV 1
#define NUMBER_SEV_VMSA_FEATURES 0

/* Patches of 2021: the shared page list, and LOCAL_SEND (at INIT2's number) and LOCAL_RECEIVE. */
#define NUMBER_GET_SHARED_PAGES 0x4018AEC8u
#define NUMBER_SET_SHARED_PAGES 0x4018AEC9u
#define NUMBER_SEV_LOCAL_SEND 22
#define NUMBER_SEV_LOCAL_RECEIVE 23

#define NUMBER_CPUID_ENCRYPTION 0x8000001Fu

#endif
