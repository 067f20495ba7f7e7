#include "conversation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

#include "connection.h"
#include "hidden_descriptors.h"
#include "kvm_numbers.h"
#include "questions.h"
#include "real_calls.h"
#include "sev_transport.h"

/* How many bytes the ioctl's own struct has. */
static uint32_t argument_length(enum wire_kind kind) {
  switch (kind) {
  case WIRE_MEMORY_ENCRYPT_OPERATION: return sizeof(struct kvm_sev_cmd);
  case WIRE_ENABLE_CAPABILITY: return sizeof(struct kvm_enable_cap);
  case WIRE_GET_SHARED_PAGES:
  case WIRE_SET_SHARED_PAGES: return 24;
  default: return 16;
  }
}

/* How many bytes a SEV command's own struct has. A wrong answer costs a question, nothing more. */
static uint32_t sev_struct_length(uint32_t id) {
  static const uint8_t lengths[] = {
      [KVM_SEV_LAUNCH_START] = 40,        [KVM_SEV_LAUNCH_UPDATE_DATA] = 16,
      [KVM_SEV_LAUNCH_SECRET] = 48,       [KVM_SEV_LAUNCH_MEASURE] = 16,
      [KVM_SEV_SEND_START] = 72,          [KVM_SEV_SEND_UPDATE_DATA] = 48,
      [KVM_SEV_SEND_UPDATE_VMSA] = 48,    [KVM_SEV_RECEIVE_START] = 40,
      [KVM_SEV_RECEIVE_UPDATE_DATA] = 48, [KVM_SEV_RECEIVE_UPDATE_VMSA] = 48,
      [KVM_SEV_GUEST_STATUS] = 12,        [KVM_SEV_DBG_DECRYPT] = 24,
      [KVM_SEV_DBG_ENCRYPT] = 24,         [KVM_SEV_GET_ATTESTATION_REPORT] = 32,
      [NUMBER_SEV_LOCAL_SEND] = 8,        [NUMBER_SEV_LOCAL_RECEIVE] = 16,
  };
  return id < sizeof lengths ? lengths[id] : 0;
}

static uint32_t firmware_struct_length(uint32_t command) {
  switch (command) {
  case SEV_PLATFORM_STATUS:
  case SEV_PEK_CSR:
  case SEV_GET_ID2: return 12;
  case SEV_PEK_CERT_IMPORT:
  case SEV_PDH_CERT_EXPORT: return 24;
  default: return 0;
  }
}

/* Sends the command's own struct ahead, and whether it can be written. */
static void read_struct(struct wire_request *request, uint64_t address, uint32_t length) {
  if (length == 0) return;
  request->struct_address = address;
  request->struct_length = length;
  if (sev_copy_in(address, request->struct_bytes, length) == 0) request->flags |= WIRE_STRUCT_READABLE;
  if (sev_fault_in(address, length, 1) == 0) request->flags |= WIRE_STRUCT_WRITABLE;
}

/* Fills in what is at the argument; returns the number of a second descriptor to be attached, or -1. */
static int read_argument(struct wire_request *request, enum wire_kind kind, uint64_t argument) {
  uint32_t length = argument_length(kind);
  if (argument == 0 || sev_copy_in(argument, request->argument_bytes, length) != 0) return -1;
  request->flags |= WIRE_ARGUMENT_READABLE;
  if (kind == WIRE_MEMORY_ENCRYPT_OPERATION || kind == WIRE_FIRMWARE_COMMAND) {
    if (sev_fault_in(argument, length, 1) == 0) request->flags |= WIRE_ARGUMENT_WRITABLE;
    uint32_t id;
    uint64_t address;
    memcpy(&id, request->argument_bytes, sizeof id);
    if (kind == WIRE_MEMORY_ENCRYPT_OPERATION) {
      memcpy(&address, request->argument_bytes + offsetof(struct kvm_sev_cmd, data), sizeof address);
      read_struct(request, address, sev_struct_length(id));
      if (id != NUMBER_SEV_LOCAL_SEND && id != NUMBER_SEV_LOCAL_RECEIVE)
        request->lockable_pages = sev_lockable_pages();
    } else {
      memcpy(&address, request->argument_bytes + offsetof(struct sev_issue_cmd, data), sizeof address);
      read_struct(request, address, firmware_struct_length(id));
    }
  } else if (kind == WIRE_REGISTER_REGION) {
    request->lockable_pages = sev_lockable_pages();
  } else if (kind == WIRE_ENABLE_CAPABILITY) {
    struct kvm_enable_cap capability;
    memcpy(&capability, request->argument_bytes, sizeof capability);
    int number = (int)(uint32_t)capability.args[0];
    if ((capability.cap == KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM ||
         capability.cap == KVM_CAP_VM_COPY_ENC_CONTEXT_FROM) &&
        fcntl(number, F_GETFD) >= 0 && !hidden_is(number)) {
      request->flags |= WIRE_SECOND_ATTACHED;
      request->second_number = number;
      return number;
    }
  }
  return -1;
}

/* Waits for the end of a request and answers questions until then. 0 when `finished` is in the record. */
static int wait_for_end(struct connection *connection) {
  for (;;) {
    int descriptor, kind = connection_receive(connection, &descriptor);
    if (descriptor >= 0) real()->close(descriptor);
    if (kind == WIRE_FINISHED && connection->record.header.length == sizeof(struct wire_finished)) return 0;
    int status = kind == WIRE_QUESTION ? questions_answer(connection) : kind < 0 ? kind : -EPROTO;
    if (status < 0) return status;
  }
}

/* Writes the results to where the program wants them, struct first. Returns 0, the errno, or -errno
   of the connection. */
static int deliver(struct connection *connection, enum wire_kind kind, uint64_t argument, uint64_t address,
                   uint32_t length) {
  struct wire_finished *finished = &connection->record.finished;
  int error = (int)finished->error;
  bool is_undeliverable = (finished->flags & WIRE_HAS_STRUCT) != 0 && length > 0 &&
                          sev_copy_out(address, finished->struct_bytes, length) != 0;
  /* The command block is written whether the command failed or not. */
  if ((finished->flags & WIRE_HAS_ARGUMENT) != 0 &&
      sev_copy_out(argument, finished->argument_bytes, argument_length(kind)) != 0)
    error = EFAULT;
  if (is_undeliverable) {
    /* Another thread unmapped it meanwhile: the model takes the command back. */
    connection_start(connection, WIRE_UNDELIVERABLE, sizeof(struct wire_header));
    int status = connection_send(connection, NULL, 0);
    if (status == 0) status = wait_for_end(connection);
    if (status < 0) return status;
    error = (int)connection->record.finished.error;
  }
  return error;
}

int model_request(enum wire_kind kind, int fd, uint64_t argument) {
  struct connection *connection = connection_acquire();
  if (!connection) return -ENODEV;
  struct wire_request *request = &connection->record.request;
  memset(request, 0, sizeof *request);
  connection_start(connection, kind, sizeof *request);
  request->address_space = connection->address_space;
  request->argument = argument;
  int descriptors[2] = {fd, read_argument(request, kind, argument)};
  uint64_t address = request->struct_address;
  uint32_t length = request->struct_length;
  int status = connection_send(connection, descriptors, descriptors[1] >= 0 ? 2 : 1);
  if (status == -EBADF) {
    /* Another thread closed the VM: as if it had done so before the ioctl. Nothing was sent. */
    connection_release(connection);
    return -EBADF;
  }
  if (status == 0) status = wait_for_end(connection);
  if (status == 0) status = deliver(connection, kind, argument, address, length);
  if (status < 0) {
    connection_break(connection);
    status = ENODEV;
  }
  /* A token may have been in the record. */
  explicit_bzero(&connection->record, sizeof(struct wire_request));
  connection_release(connection);
  return -status;
}

int model_make(enum wire_kind kind, int machine, uint64_t word) {
  struct connection *connection = connection_acquire();
  if (!connection) return -ENODEV;
  int descriptor = -1;
  connection_start(connection, kind, sizeof(struct wire_make));
  connection->record.make.address_space = connection->address_space;
  connection->record.make.word = word;
  int status = connection_send(connection, &machine, machine >= 0 ? 1 : 0), result = -ENODEV;
  if (status == 0) status = connection_receive(connection, &descriptor);
  if (status == WIRE_MADE && descriptor >= 0) {
    result = descriptor;
  } else {
    if (descriptor >= 0) real()->close(descriptor);
    if (status == WIRE_FINISHED) result = -(int)connection->record.finished.error;
    else if (status == -EBADF) result = -EBADF;
    else if (status == -EMSGSIZE)
      result = -EMFILE; /* lost on the way: this process has no number left for it */
    else connection_break(connection);
  }
  connection_release(connection);
  return result;
}

/* A call with a payload each way. Returns how many bytes came, or -errno. */
static int call(enum wire_operation operation, int fd, uint64_t argument, const void *payload, size_t count,
                struct model_result *result, void *answer, size_t capacity) {
  struct connection *connection = connection_acquire();
  if (!connection) return -ENODEV;
  struct wire_call *request = &connection->record.call;
  memset(request, 0, sizeof *request);
  connection_start(connection, WIRE_CALL, (uint32_t)(sizeof *request + count));
  request->address_space = connection->address_space;
  request->operation = operation;
  request->arguments[0] = argument;
  if (count > 0) memcpy(request->payload, payload, count);
  int descriptor = -1, status = connection_send(connection, &fd, fd >= 0 ? 1 : 0);
  if (status == -EBADF) {
    connection_release(connection);
    return -EBADF;
  }
  if (status == 0) status = connection_receive(connection, &descriptor);
  if (descriptor >= 0) real()->close(descriptor);
  const struct wire_result *reply = &connection->record.result;
  if (status == WIRE_RESULT && reply->header.length >= sizeof *reply &&
      reply->header.length - sizeof *reply <= capacity + (answer ? 0 : WIRE_CHUNK)) {
    size_t length = reply->header.length - sizeof *reply;
    if (result) {
      result->outcome = reply->outcome;
      memcpy(result->values, reply->values, sizeof result->values);
    }
    if (answer) memcpy(answer, reply->payload, length);
    status = reply->error != 0 ? -(int)reply->error : (int)length;
  } else {
    connection_break(connection);
    status = -ENODEV;
  }
  connection_release(connection);
  return status;
}

int model_call(enum wire_operation operation, int fd, uint64_t argument, struct model_result *result) {
  int status = call(operation, fd, argument, NULL, 0, result, NULL, 0);
  return status < 0 ? status : 0;
}

int model_get_vcpu_state(int vcpu, uint32_t which, void *state, size_t count) {
  int status = call(WIRE_GET_VCPU_STATE, vcpu, which, NULL, 0, NULL, state, count);
  return status < 0 ? status : (size_t)status == count ? 0 : -ENODEV;
}

int model_set_vcpu_state(int vcpu, uint32_t which, const void *state, size_t count) {
  int status = call(WIRE_SET_VCPU_STATE, vcpu, which, state, count, NULL, NULL, 0);
  return status < 0 ? status : 0;
}

int model_check_use(int fd) {
  /* Whether the model marks the sockets of dead VMs: -1 not known yet. */
  static atomic_int marks_death = -1;
  int marks = atomic_load(&marks_death);
  if (marks < 0) {
    struct model_result description;
    if (model_call(WIRE_DESCRIBE, -1, 0, &description) < 0) return -ENODEV;
    marks = (description.values[0] & WIRE_DEATH_IS_MARKED) != 0;
    atomic_store(&marks_death, marks);
  }
  if (!marks) return model_call(WIRE_CHECK_USE, fd, 0, NULL);
  /* On the socket of a dead VM a byte waits, and stays there; on others nothing is ever sent. That saves a
     round trip for each of a vCPU's runs. The VM is this address space's: only those are in the table. */
  char byte;
  int saved = errno;
  ssize_t count = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  int error = count > 0 ? EIO : count == 0 ? ENODEV : errno != EAGAIN && errno != EINTR ? errno : 0;
  errno = saved;
  return -error;
}
