/* What holds for the whole process: is the library at work, whose memory is this, was there a fork. */
#ifndef SEVMODEL_PROCESS_H
#define SEVMODEL_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

/* Whether a model is named in the environment. If not, every call goes straight to the C library. */
bool process_is_enabled(void);
const char *process_socket_path(void);
/* Whether the real /dev/kvm must not be used. */
bool process_wants_stand_in(void);

/*
 * The name of this address space for the model. In a forked child it is a new one, and the first call there
 * lets go of what belongs to the parent. 0 without memory.
 */
uint64_t process_address_space(void);
/*
 * Whether the library's records are about this process's descriptors. Not in a vfork child: that one has the
 * parent's memory, but descriptors of its own, and must leave the records alone.
 */
bool process_owns_records(void);

/* Says something on standard error, once for each place that calls it. */
#define SAY_ONCE(...)                                               \
  do {                                                              \
    static atomic_flag said = ATOMIC_FLAG_INIT;                     \
    if (!atomic_flag_test_and_set(&said)) process_say(__VA_ARGS__); \
  } while (0)
void process_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
