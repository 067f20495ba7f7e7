#define _GNU_SOURCE
#include "records.h"

#include <err.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

union two_descriptors {
  struct cmsghdr header;
  char bytes[CMSG_SPACE(sizeof(struct descriptors))];
};

void record_send(int socket, const void *bytes, size_t count, struct descriptors descriptors) {
  union two_descriptors control;
  struct iovec vector = {.iov_base = (void *)bytes, .iov_len = count};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
  if (descriptors.first >= 0) {
    size_t length = descriptors.second >= 0 ? sizeof descriptors : sizeof descriptors.first;
    memset(&control, 0, sizeof control);
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(length);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(length);
    memcpy(CMSG_DATA(header), &descriptors, length);
  }
  ssize_t sent;
  do sent = sendmsg(socket, &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent < 0) err(1, "sending a record");
}

size_t record_receive(int socket, void *bytes, size_t capacity, struct descriptors *descriptors) {
  union two_descriptors control;
  struct iovec vector = {.iov_base = bytes, .iov_len = capacity};
  struct msghdr message = {.msg_iov = &vector,
                           .msg_iovlen = 1,
                           .msg_control = control.bytes,
                           .msg_controllen = sizeof control.bytes};
  ssize_t received;
  *descriptors = NO_DESCRIPTORS;
  do received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (received < 0 && errno == EINTR);
  if (received < 0) err(1, "receiving a record");
  if (received == 0) errx(1, "the peer is gone");
  if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) errx(1, "a record was truncated");
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
    memcpy(descriptors, CMSG_DATA(header), header->cmsg_len - CMSG_LEN(0));
  return (size_t)received;
}

void descriptors_close(struct descriptors descriptors) {
  if (descriptors.first >= 0) close(descriptors.first);
  if (descriptors.second >= 0) close(descriptors.second);
}

int record_connect(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) errx(1, "%s: the path is too long for a socket", path);
  strcpy(address.sun_path, path);
  int number = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (number < 0) err(1, "making a socket");
  if (connect(number, (struct sockaddr *)&address, sizeof address) < 0) err(1, "connecting to %s", path);
  return number;
}
