/* Named cases, reported as `ok NAME` or `not ok NAME: WHY` (Test Anything Protocol, without numbers). */
#ifndef TAP_H
#define TAP_H

/* Runs a case. What it opened of /dev/sev is closed afterwards. */
void tap_case(const char *name, void (*body)(void));
/* Reports a case that cannot run here. */
void tap_skip(const char *name, const char *why);
/* Notes that the running case failed; only the first note of a case is shown. */
void tap_fail(int line, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Prints the plan; the exit status of the program. */
int tap_end(void);

/* Wants a call to succeed (0) or to fail with the errno; goes on either way. */
#define WANT(expected, call)                                 \
  do {                                                       \
    errno = 0;                                               \
    long want_result = (long)(call);                         \
    tap_want(__LINE__, #call, expected, want_result, errno); \
  } while (0)
void tap_want(int line, const char *call, int expected, long result, int error);

#define WANT_TRUE(condition)                                              \
  do {                                                                    \
    if (!(condition)) tap_fail(__LINE__, "%s does not hold", #condition); \
  } while (0)

#endif
