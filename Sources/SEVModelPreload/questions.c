#include "questions.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include "connection.h"
#include "hidden_descriptors.h"
#include "sev_transport.h"

/* What is known of a page: the inode of its file and its place there. */
#define IDENTITY_BYTES 16
#define MOST_PAGES (WIRE_CHUNK / IDENTITY_BYTES)

int questions_answer(struct connection *connection) {
  const struct wire_ask *ask = &connection->record.ask;
  struct wire_answer *answer = &connection->record.answer;
  if (ask->header.length < sizeof *ask) return -EPROTO;
  /* The answer overwrites the question. */
  enum wire_question question = (enum wire_question)ask->question;
  uint64_t address = ask->address, count = ask->count;
  uint32_t written = ask->header.length - (uint32_t)sizeof *ask, length = 0;
  int number = ask->descriptor, attached = -1, status;
  bool succeeded = false;
  switch (question) {
  case WIRE_READ:
    if (count > WIRE_CHUNK) return -EPROTO;
    succeeded = sev_copy_in(address, answer->bytes, count) == 0;
    if (succeeded) length = (uint32_t)count;
    break;
  case WIRE_WRITE:
    if (count != written) return -EPROTO;
    succeeded = sev_copy_out(address, ask->bytes, count) == 0;
    break;
  case WIRE_PIN_FOR_READING:
  case WIRE_PIN_FOR_WRITING:
    succeeded = count > 0 && sev_fault_in(address, count, question == WIRE_PIN_FOR_WRITING) == 0;
    break;
  case WIRE_FIND_FIRMWARE:
  case WIRE_FIND_MACHINE:
    /* Not one of the library's own: for the program those numbers are not open. */
    succeeded = !hidden_is(number) && fcntl(number, F_GETFD) >= 0;
    if (succeeded) attached = number;
    break;
  case WIRE_IDENTIFY_PAGES:
    status = sev_page_identity(address, count, connection->address_space, (uint64_t *)(void *)answer->bytes,
                               MOST_PAGES);
    if (status == -E2BIG) return -EPROTO;
    succeeded = status > 0;
    if (succeeded) length = (uint32_t)status * IDENTITY_BYTES;
    break;
  default: return -EPROTO;
  }
  connection_start(connection, WIRE_ANSWER, (uint32_t)sizeof *answer + length);
  answer->succeeded = succeeded;
  answer->zero = 0;
  return connection_send(connection, &attached, attached >= 0 ? 1 : 0);
}
