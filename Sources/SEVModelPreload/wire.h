/* The records between this library and sevmodeld, version 2; Docs/sev-model.md explains them. */
#ifndef SEVMODEL_WIRE_H
#define SEVMODEL_WIRE_H

#include <stdint.h>

#define WIRE_MAGIC 0x4D564553u
#define WIRE_VERSION 2u
#define WIRE_CHUNK 0x8000u
#define WIRE_CAPACITY (40 + WIRE_CHUNK)

enum wire_kind {
  WIRE_MAKE_MACHINE = 1,
  WIRE_OPEN_FIRMWARE = 2,
  WIRE_MEMORY_ENCRYPT_OPERATION = 3,
  WIRE_REGISTER_REGION = 4,
  WIRE_UNREGISTER_REGION = 5,
  WIRE_ANSWER = 6,
  WIRE_UNDELIVERABLE = 7,
  WIRE_ENABLE_CAPABILITY = 8,
  WIRE_GET_SHARED_PAGES = 9,
  WIRE_SET_SHARED_PAGES = 10,
  WIRE_FIRMWARE_COMMAND = 11,
  WIRE_MAKE_VCPU = 12,
  WIRE_CALL = 13,
  WIRE_FINISHED = 0x81,
  WIRE_QUESTION = 0x82,
  WIRE_MADE = 0x83,
  WIRE_RESULT = 0x84,
};

enum wire_question {
  WIRE_READ = 1,
  WIRE_WRITE = 2,
  WIRE_PIN_FOR_READING = 3,
  WIRE_PIN_FOR_WRITING = 4,
  WIRE_FIND_FIRMWARE = 5,
  WIRE_FIND_MACHINE = 6,
  WIRE_IDENTIFY_PAGES = 7,
};

enum wire_operation {
  WIRE_DESCRIBE = 0,
  WIRE_CHECK_EXTENSION = 1,
  WIRE_CHECK_USE = 2,
  WIRE_CHECK_RUN = 3,
  WIRE_ENCRYPTION_CPUID = 4,
  WIRE_VMSA_FEATURES = 5,
  WIRE_GET_VCPU_STATE = 6,
  WIRE_SET_VCPU_STATE = 7,
};

/* Bits of what WIRE_DESCRIBE answers. */
#define WIRE_DEATH_IS_MARKED 256u

struct wire_header {
  uint32_t magic, version, kind, length;
};

struct wire_make {
  struct wire_header header;
  uint64_t address_space;
  uint64_t word; /* machine type, writable, or vCPU id */
};

struct wire_made {
  struct wire_header header;
  uint64_t device, inode;
};

#define WIRE_ARGUMENT_CAPACITY 104
#define WIRE_STRUCT_CAPACITY 72

struct wire_request {
  struct wire_header header;
  uint64_t address_space, argument, lockable_pages;
  uint32_t flags, struct_length;
  uint64_t struct_address;
  int32_t second_number;
  uint32_t zero;
  uint8_t argument_bytes[WIRE_ARGUMENT_CAPACITY];
  uint8_t struct_bytes[WIRE_STRUCT_CAPACITY];
};

#define WIRE_ARGUMENT_READABLE 1u
#define WIRE_ARGUMENT_WRITABLE 2u
#define WIRE_STRUCT_READABLE 4u
#define WIRE_STRUCT_WRITABLE 8u
#define WIRE_SECOND_ATTACHED 0x10u

struct wire_finished {
  struct wire_header header;
  uint32_t error, flags;
  uint8_t argument_bytes[WIRE_ARGUMENT_CAPACITY];
  uint8_t struct_bytes[WIRE_STRUCT_CAPACITY];
};

#define WIRE_HAS_ARGUMENT 1u
#define WIRE_HAS_STRUCT 2u

struct wire_ask {
  struct wire_header header;
  uint32_t question;
  int32_t descriptor;
  uint64_t address, count;
  uint8_t bytes[];
};

struct wire_answer {
  struct wire_header header;
  uint32_t succeeded, zero;
  uint8_t bytes[];
};

struct wire_call {
  struct wire_header header;
  uint64_t address_space;
  uint32_t operation, zero;
  uint64_t arguments[6];
  uint8_t payload[];
};

struct wire_result {
  struct wire_header header;
  uint32_t error, outcome;
  uint64_t values[4];
  uint8_t payload[];
};

_Static_assert(sizeof(struct wire_header) == 16 && sizeof(struct wire_make) == 32, "wire layout");
_Static_assert(sizeof(struct wire_request) == 240 && sizeof(struct wire_finished) == 200, "wire layout");
_Static_assert(sizeof(struct wire_ask) == 40 && sizeof(struct wire_answer) == 24, "wire layout");
_Static_assert(sizeof(struct wire_call) == 80 && sizeof(struct wire_result) == 56, "wire layout");

#endif
