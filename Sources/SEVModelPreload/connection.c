#include "connection.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "hidden_descriptors.h"
#include "process.h"
#include "real_calls.h"
#include "sev_transport.h"

static __thread struct connection *of_this_thread;
static pthread_key_t key;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

static void destroy(void *value) {
  struct connection *connection = value;
  hidden_close(&connection->socket);
  munmap(connection, sizeof *connection);
}

/* A thread that ends takes its connection with it. */
static void end_of_thread(void *value) {
  of_this_thread = NULL;
  destroy(value);
}

static void make_key(void) { pthread_key_create(&key, end_of_thread); }

static struct connection *create(void) {
  /* Not malloc: this may be inside of a signal handler. */
  struct connection *connection =
      mmap(NULL, sizeof *connection, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (connection == MAP_FAILED) return NULL;
  atomic_init(&connection->socket, -1);
  return connection;
}

static int open_socket(struct connection *connection) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const char *path = process_socket_path();
  if (strlen(path) >= sizeof address.sun_path) return -ENAMETOOLONG;
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  int connected;
  do connected = connect(fd, (const struct sockaddr *)&address, sizeof address);
  while (connected < 0 && errno == EINTR);
  if (connected < 0) {
    int error = errno;
    real()->close(fd);
    return -error;
  }
  return hidden_adopt(fd, &connection->socket);
}

struct connection *connection_acquire(void) {
  int saved = errno;
  uint64_t address_space = process_address_space();
  pthread_once(&key_once, make_key);
  struct connection *connection = of_this_thread;
  if (!connection) {
    connection = create();
    if (!connection) return NULL;
    of_this_thread = connection;
    pthread_setspecific(key, connection);
  }
  if (connection->is_busy) {
    connection = create();
    if (!connection) return NULL;
  }
  /* A thread that is cancelled in the middle of a record would leave its VM locked. */
  int cancel_state;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
  connection->is_busy = true;
  connection->cancel_state = cancel_state;
  if (connection->address_space != address_space) hidden_close(&connection->socket);
  if (hidden_number(&connection->socket) < 0) {
    int status = open_socket(connection);
    connection->address_space = address_space;
    if (status < 0) {
      SAY_ONCE("cannot reach the model at %s: %s; SEV calls fail with ENODEV until it can be",
               process_socket_path(), strerror(-status));
      connection_release(connection);
      errno = saved;
      return NULL;
    }
  }
  errno = saved;
  return connection;
}

void connection_release(struct connection *connection) {
  int saved = errno, cancel_state = connection->cancel_state;
  connection->is_busy = false;
  if (connection != of_this_thread) destroy(connection);
  pthread_setcancelstate(cancel_state, NULL);
  errno = saved;
}

void connection_break(struct connection *connection) {
  SAY_ONCE("the model at %s went away in the middle of a request; what became of that one is not known",
           process_socket_path());
  hidden_close(&connection->socket);
}

void connection_start(struct connection *connection, enum wire_kind kind, uint32_t length) {
  connection->record.header =
      (struct wire_header){.magic = WIRE_MAGIC, .version = WIRE_VERSION, .kind = kind, .length = length};
}

int connection_send(struct connection *connection, const int *descriptors, int count) {
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(2 * sizeof(int))];
  } control;
  struct iovec vector = {.iov_base = &connection->record, .iov_len = connection->record.header.length};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
  if (count > 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
    memcpy(CMSG_DATA(header), descriptors, (size_t)count * sizeof(int));
  }
  ssize_t sent;
  do sent = sendmsg(atomic_load(&connection->socket), &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent < 0 ? -errno : 0;
}

int connection_receive(struct connection *connection, int *descriptor) {
  ssize_t count =
      sev_receive(atomic_load(&connection->socket), &connection->record, WIRE_CAPACITY, descriptor);
  if (count < 0) return (int)count;
  const struct wire_header *header = &connection->record.header;
  if ((size_t)count >= sizeof *header && header->magic == WIRE_MAGIC && header->version == WIRE_VERSION &&
      header->length == (uint32_t)count && header->kind <= WIRE_RESULT)
    return (int)header->kind;
  if (*descriptor >= 0) real()->close(*descriptor);
  *descriptor = -1;
  return count == 0 ? -ECONNRESET : -EPROTO;
}
