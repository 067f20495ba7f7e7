/*
 * What the device library of the SEV interface needs of Linux: requests to the software model, argument
 * memory of this process, and waiting for many descriptors.
 *
 * As in system_calls.h, a function that can fail returns a value >= 0 on success and -errno on failure.
 */
#ifndef BATON_SEV_TRANSPORT_H
#define BATON_SEV_TRANSPORT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Sends one record with at most one descriptor (-1: none), repeating on EINTR. */
ssize_t sev_send(int socket, const void *record, size_t count, int descriptor);
/* The same with `descriptor_count` descriptors, at most 2. */
ssize_t sev_send2(int socket, const void *record, size_t count, const int *descriptors, int descriptor_count);
/* Waits for one record; returns its length, 0 at the end. A descriptor that came with it is stored (else -1). */
ssize_t sev_receive(int socket, void *record, size_t capacity, int *descriptor);

/* Copies between a buffer of the caller and an arbitrary address of this process; -EFAULT unless all of it. */
int sev_copy_in(uint64_t address, void *to, size_t count);
int sev_copy_out(uint64_t address, const void *from, size_t count);
/* Faults the pages of a range in without changing them (MADV_POPULATE_READ or _WRITE, Linux 5.14). */
int sev_fault_in(uint64_t address, uint64_t count, int for_writing);

/*
 * What is behind each page that holds a range of this process: for a page of a file that is mapped shared, the
 * file's inode and the page's offset in it; else `anonymous` and the page's address. Two numbers a page go to
 * `pairs`, which has room for `capacity` pages. Returns how many pages there are; -EFAULT if one of them is not
 * mapped, -E2BIG without room.
 */
int sev_page_identity(
    uint64_t address, uint64_t count, uint64_t anonymous, uint64_t *pairs, int capacity);

/*
 * A random number that names this address space: the same in all its threads, another one after fork and
 * exec. Never 0; 0 when memory for it cannot be had.
 */
uint64_t sev_address_space(void);
/* The soft memlock limit in pages of 4 KiB; UINT64_MAX with CAP_IPC_LOCK or without a limit. */
uint64_t sev_lockable_pages(void);

int sev_ioctl(int fd, unsigned long request, uint64_t argument);
int sev_raise_descriptor_limit(void);
int sev_shutdown_reading(int socket);

/* epoll(7). Events are reported as they stand, not as they change. */
struct sev_event {
  uint64_t key;
  int readable;
  int hung_up;
};
int sev_queue_create(void);
/* Always watches for hang-ups; also for data if `readable` is set. */
int sev_queue_add(int queue, int fd, int readable, uint64_t key);
int sev_queue_remove(int queue, int fd);
int sev_queue_wait(int queue, struct sev_event *events, int capacity, int timeout_milliseconds);

#endif
