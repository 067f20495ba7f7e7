/*
 * What Swift cannot import from Linux: variadic calls, macros, and structures of newer kernels.
 *
 * Every function that can fail returns a value >= 0 on success and -errno on failure, so that no
 * caller has to read errno after Swift's runtime may have changed it. There is no policy in here.
 */
#ifndef BATON_CLINUX_H
#define BATON_CLINUX_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Descriptors */
int clinux_close(int fd);
int clinux_duplicate(int fd, int lowest);
int clinux_duplicate_onto(int fd, int target);
int clinux_set_close_on_exec(int fd, int enabled);
int clinux_set_nonblocking(int fd, int enabled);
int clinux_open(const char *path, int flags, unsigned mode);
int clinux_unlink(const char *path);
int clinux_rename(const char *from, const char *to);
int clinux_mkdir(const char *path, unsigned mode);
int clinux_chmod(const char *path, unsigned mode);
ssize_t clinux_read(int fd, void *buffer, size_t count);
ssize_t clinux_write(int fd, const void *buffer, size_t count);
ssize_t clinux_pread(int fd, void *buffer, size_t count, int64_t offset);
ssize_t clinux_pwrite(int fd, const void *buffer, size_t count, int64_t offset);
int clinux_pipe(int fds[2]);
int clinux_ftruncate(int fd, int64_t size);
int clinux_ofd_write_lock(int fd);

struct clinux_file_identity {
  uint64_t device;
  uint64_t inode;
  uint64_t size;
  uint32_t mode;
  uint32_t links;
};
int clinux_file_identity(int fd, struct clinux_file_identity *out);

/* Sockets of the local family */
int clinux_local_socket(int type);
int clinux_local_pair(int type, int fds[2]);
int clinux_local_bind(int fd, const char *path);
int clinux_local_connect(int fd, const char *path);
/* Sends, and connecting, give up with EAGAIN when they had to wait for so long. */
int clinux_set_send_timeout(int fd, int milliseconds);
int clinux_listen(int fd, int backlog);
int clinux_accept(int fd);
int clinux_shutdown(int fd);

/* At most this many descriptors travel with one record (SCM_MAX_FD). */
#define CLINUX_MAXIMUM_DESCRIPTORS 253

struct clinux_received {
  int descriptor_count; /* descriptors written to the caller's array, all close-on-exec */
  int flags;            /* MSG_TRUNC, MSG_CTRUNC as the kernel set them */
};
/* Sends with MSG_NOSIGNAL. */
ssize_t clinux_send_record(int fd, const void *bytes, size_t count, const int *descriptors,
                           int descriptor_count, int dont_wait);
/* Receives with MSG_CMSG_CLOEXEC. `descriptors` must have room for CLINUX_MAXIMUM_DESCRIPTORS. */
ssize_t clinux_receive_record(int fd, void *bytes, size_t count, int *descriptors, int dont_wait,
                              struct clinux_received *out);
int clinux_message_truncated(int flags);
int clinux_control_truncated(int flags);

/* Peers and processes */
struct clinux_peer {
  int32_t pid;
  uint32_t uid;
  uint32_t gid;
};
int clinux_peer_credentials(int fd, struct clinux_peer *out);
int clinux_peer_pidfd(int fd);
int clinux_pidfd_open(int32_t pid);
int clinux_pidfd_signal(int pidfd, int signal);
int clinux_set_not_dumpable(void);
int clinux_peer_groups(int fd, uint32_t *groups, int capacity);

/* Memory */
int clinux_memfd(const char *name, int sealable, int huge_page_shift);
int clinux_add_seals(int fd, int seals);
int clinux_get_seals(int fd);
void *clinux_map_shared(int fd, size_t size, int writable, int populate, int *error);
int clinux_unmap(void *address, size_t size);
int clinux_advise_dont_dump(void *address, size_t size);
int clinux_advise_dont_fork(void *address, size_t size);
void clinux_wipe(void *address, size_t size);

/* Waiting */
struct clinux_poll_entry {
  int fd;
  int16_t events;
  int16_t revents;
};
#define CLINUX_POLL_IN 1
#define CLINUX_POLL_OUT 4
#define CLINUX_POLL_ERROR 8
#define CLINUX_POLL_HANGUP 16
int clinux_poll(struct clinux_poll_entry *entries, unsigned count, int64_t timeout_nanoseconds);
int clinux_eventfd(void);
int clinux_block_signals(const int *signals, int count);
int clinux_signalfd(const int *signals, int count);
int clinux_signalfd_read(int fd);
uint64_t clinux_monotonic_nanoseconds(void);
uint64_t clinux_realtime_nanoseconds(void);
int clinux_futex_wait(const uint32_t *word, uint32_t expected, int64_t timeout_nanoseconds);
int clinux_futex_wake(const uint32_t *word, int count);
uint32_t clinux_load32(const uint32_t *word);
void clinux_store32(uint32_t *word, uint32_t value);
uint32_t clinux_exchange32(uint32_t *word, uint32_t value);
int32_t clinux_thread_id(void);
int clinux_name_thread(const char *name);
/* How long the calling thread wants to run in one piece; 0 for the kernel's usual time. */
int clinux_set_slice(uint64_t nanoseconds);

/* Users */
int clinux_group_id(const char *name);

#endif
