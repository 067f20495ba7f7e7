/* Stream sockets: plain bytes, no descriptors. See system_calls.h for the convention of results. */
#ifndef BATON_CLINUX_STREAM_H
#define BATON_CLINUX_STREAM_H

#include <stddef.h>
#include <sys/types.h>

/* Sends with MSG_NOSIGNAL and without waiting. */
ssize_t clinux_stream_send(int fd, const void *bytes, size_t count);
/* Receives without waiting. Descriptors that a peer attaches are closed by the kernel. */
ssize_t clinux_stream_receive(int fd, void *bytes, size_t count);
/* Ends one direction: no more bytes will be sent. */
int clinux_stream_end(int fd);

#endif
