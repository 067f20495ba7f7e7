#include "stream.h"

#include <errno.h>
#include <sys/socket.h>

ssize_t clinux_stream_send(int fd, const void *bytes, size_t count) {
  ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
  return sent < 0 ? -errno : sent;
}

ssize_t clinux_stream_receive(int fd, void *bytes, size_t count) {
  ssize_t received = recv(fd, bytes, count, MSG_DONTWAIT);
  return received < 0 ? -errno : received;
}

int clinux_stream_end(int fd) { return shutdown(fd, SHUT_WR) < 0 ? -errno : 0; }
