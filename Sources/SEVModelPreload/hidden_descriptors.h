/*
 * Descriptors that the library keeps for itself: connections to the model, real KVM files, memory.
 *
 * The program must not notice them: they have high numbers, so that "the lowest free number" stays what the
 * program expects; they are close-on-exec; and the program can neither close nor overwrite them.
 */
#ifndef SEVMODEL_HIDDEN_DESCRIPTORS_H
#define SEVMODEL_HIDDEN_DESCRIPTORS_H

#include <stdatomic.h>
#include <stdbool.h>

/*
 * Moves `fd` to a high number and stores that in `*owner`, which must stay where it is until hidden_close:
 * the number may change. On failure `fd` is closed, `*owner` is -1, and the result is -errno.
 */
int hidden_adopt(int fd, atomic_int *owner);
/* Closes what `*owner` names, if anything, and stores -1 there. */
void hidden_close(atomic_int *owner);
/*
 * What `*owner` names, or -1. A raw system call can have closed it, and its number can be another file by
 * now, which must be neither used nor closed: then it is forgotten.
 */
int hidden_number(atomic_int *owner);
bool hidden_is(int fd);
/* Makes a hidden number free for the program: the descriptor moves elsewhere. Returns 0 or -errno. */
int hidden_give_way(int fd);
/* The lowest hidden number >= `from`, or -1. */
int hidden_next(int from);
/* In a forked child: closes all of them. */
void hidden_close_all(void);

#endif
