#define _GNU_SOURCE
#include "model.h"
#include "records.h"

#include <err.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* The layouts are those of Docs/sev-model.md. */
enum {
  MAGIC = 0x4D564553,
  VERSION = 2,
  MAKE_MACHINE = 1,
  OPEN_FIRMWARE = 2,
  MEMORY_ENCRYPT_OP = 3,
  REGISTER_REGION = 4,
  ANSWER = 6,
  ENABLE_CAPABILITY = 8,
  FINISHED = 0x81,
  QUESTION = 0x82,
  MADE = 0x83,
};

/* Flags of a request: everything sent ahead was read and can be written; a second descriptor goes along. */
enum { ALL_ACCESSIBLE = 0xF, HAS_SECOND = 0x10 };

enum { VM_MOVE_ENC_CONTEXT_FROM = 206 };

enum { ASK_READ = 1, ASK_WRITE = 2, ASK_FIRMWARE = 5 };

enum {
  LARGEST_PARAMETERS = 72,
  LARGEST_ARGUMENT = 104,
  LARGEST_CHUNK = 0x8000,
};

enum {
  INIT = 0,
  LAUNCH_START = 2,
  LAUNCH_UPDATE_DATA = 3,
  LAUNCH_MEASURE = 6,
  LAUNCH_FINISH = 7,
  LOCAL_SEND = 22,
  LOCAL_RECEIVE = 23,
};

struct header {
  uint32_t magic, version, kind, length;
};

struct make_record {
  struct header header;
  uint64_t address_space;
  /* Of a VM its type, of the firmware device whether it is opened for writing. */
  uint64_t detail;
};

struct request_record {
  struct header header;
  uint64_t address_space, argument, lockable_pages;
  uint32_t flags, parameter_byte_count;
  uint64_t parameter_address;
  uint32_t second_descriptor, zero;
  uint8_t argument_bytes[LARGEST_ARGUMENT];
  uint8_t parameter_bytes[LARGEST_PARAMETERS];
};

struct finished_record {
  struct header header;
  uint32_t error, flags;
  uint8_t argument_bytes[LARGEST_ARGUMENT];
  uint8_t parameter_bytes[LARGEST_PARAMETERS];
};

struct question_record {
  struct header header;
  uint32_t question, descriptor;
  uint64_t address, count;
  uint8_t bytes[LARGEST_CHUNK];
};

struct answer_record {
  struct header header;
  uint64_t succeeded;
  uint8_t bytes[LARGEST_CHUNK];
};

union any_record {
  struct header header;
  struct finished_record finished;
  struct question_record question;
};

/* struct kvm_sev_cmd */
struct command_block {
  uint32_t id, padding;
  uint64_t data;
  uint32_t error, firmware;
};

static struct header header(uint32_t kind, size_t length) {
  return (struct header){.magic = MAGIC, .version = VERSION, .kind = kind, .length = (uint32_t)length};
}

static int make(struct model *model, uint32_t kind) {
  struct make_record record = {header(kind, sizeof record), model->address_space, kind == OPEN_FIRMWARE};
  record_send(model->connection, &record, sizeof record, NO_DESCRIPTORS);
  union any_record reply;
  struct descriptors made;
  record_receive(model->connection, &reply, sizeof reply, &made);
  if (reply.header.kind != MADE || made.first < 0) errx(1, "the model made no descriptor");
  return made.first;
}

static void answer(struct model *model, const struct question_record *question) {
  static struct answer_record record;
  size_t length = offsetof(struct answer_record, bytes);
  struct descriptors attached = NO_DESCRIPTORS;
  record.succeeded = 1;
  void *place = (void *)(uintptr_t)question->address;
  switch (question->question) {
  case ASK_READ:
    if (question->count > LARGEST_CHUNK) errx(1, "the model asks for too much");
    memcpy(record.bytes, place, question->count);
    length += question->count;
    break;
  case ASK_WRITE: memcpy(place, question->bytes, question->count); break;
  case ASK_FIRMWARE: attached.first = (int)question->descriptor; break;
  /* Memory to pin is there. */
  default: break;
  }
  record.header = header(ANSWER, length);
  record_send(model->connection, &record, length, attached);
}

/*
 * Sends a request, with a second descriptor unless that is -1, and answers questions until it is finished; what
 * came back replaces `parameters`.
 */
static void converse(
    struct model *model, uint32_t kind, const void *argument, size_t argument_byte_count, void *parameters,
    size_t parameter_byte_count, int second, const char *what) {
  struct request_record record = {
      .header = header(kind, sizeof record),
      .address_space = model->address_space,
      .argument = (uintptr_t)argument,
      .lockable_pages = UINT64_MAX,
      .flags = second >= 0 ? ALL_ACCESSIBLE | HAS_SECOND : ALL_ACCESSIBLE,
      .parameter_byte_count = (uint32_t)parameter_byte_count,
      .parameter_address = (uintptr_t)parameters,
      .second_descriptor = second >= 0 ? (uint32_t)second : 0,
  };
  memcpy(record.argument_bytes, argument, argument_byte_count);
  if (parameter_byte_count) memcpy(record.parameter_bytes, parameters, parameter_byte_count);
  record_send(model->connection, &record, sizeof record, (struct descriptors){model->machine, second});
  static union any_record reply;
  while (1) {
    struct descriptors brought;
    record_receive(model->connection, &reply, sizeof reply, &brought);
    descriptors_close(brought);
    if (reply.header.kind == FINISHED) break;
    if (reply.header.kind != QUESTION) errx(1, "%s: the model answers nonsense", what);
    answer(model, &reply.question);
  }
  if (reply.finished.error) errx(1, "%s: %s", what, strerror((int)reply.finished.error));
  if (reply.finished.flags & 2) memcpy(parameters, reply.finished.parameter_bytes, parameter_byte_count);
}

static void command(
    struct model *model, uint32_t id, void *parameters, size_t byte_count, int firmware, const char *what) {
  struct command_block block = {
      .id = id, .data = (uintptr_t)parameters, .error = UINT32_MAX, .firmware = (uint32_t)firmware};
  converse(model, MEMORY_ENCRYPT_OP, &block, sizeof block, parameters, byte_count, -1, what);
}

struct model model_open(const char *path, int is_initialised) {
  struct model model = {.connection = record_connect(path), .machine = -1};
  if (getrandom(&model.address_space, sizeof model.address_space, 0) != sizeof model.address_space)
    err(1, "getrandom");
  model.machine = make(&model, MAKE_MACHINE);
  if (is_initialised) command(&model, INIT, NULL, 0, 0, "INIT");
  return model;
}

void model_launch(struct model *model, void *memory, size_t byte_count, size_t image_byte_count) {
  struct {
    uint64_t address, size;
  } region = {(uintptr_t)memory, byte_count};
  converse(model, REGISTER_REGION, &region, sizeof region, NULL, 0, -1, "REG_REGION");
  /* The VM keeps its number: it stays open. */
  int firmware = make(model, OPEN_FIRMWARE);
  struct {
    uint32_t handle, policy;
    uint64_t certificate;
    uint32_t certificate_length, padding;
    uint64_t session;
    uint32_t session_length, more_padding;
  } start = {0};
  command(model, LAUNCH_START, &start, sizeof start, firmware, "LAUNCH_START");
  struct {
    uint64_t address;
    uint32_t length, padding;
  } update = {(uintptr_t)memory, (uint32_t)image_byte_count, 0};
  command(model, LAUNCH_UPDATE_DATA, &update, sizeof update, firmware, "LAUNCH_UPDATE_DATA");
  uint8_t measurement[48];
  update.address = (uintptr_t)measurement;
  update.length = sizeof measurement;
  command(model, LAUNCH_MEASURE, &update, sizeof update, firmware, "LAUNCH_MEASURE");
  command(model, LAUNCH_FINISH, NULL, 0, firmware, "LAUNCH_FINISH");
}

uint64_t model_local_send(struct model *model) {
  uint64_t token = 0;
  command(model, LOCAL_SEND, &token, sizeof token, 0, "LOCAL_SEND");
  if (!token) errx(1, "LOCAL_SEND gave no token");
  return token;
}

void model_local_receive(struct model *model, uint64_t token) {
  struct {
    uint64_t token;
    uint32_t handle, padding;
  } parameters = {.token = token};
  command(model, LOCAL_RECEIVE, &parameters, sizeof parameters, 0, "LOCAL_RECEIVE");
}

void model_move(struct model *model, int source) {
  /* struct kvm_enable_cap */
  struct {
    uint32_t capability, flags;
    uint64_t arguments[4];
    uint8_t padding[64];
  } enable = {.capability = VM_MOVE_ENC_CONTEXT_FROM, .arguments = {(uint64_t)source}};
  converse(model, ENABLE_CAPABILITY, &enable, sizeof enable, NULL, 0, source, "VM_MOVE_ENC_CONTEXT_FROM");
}
