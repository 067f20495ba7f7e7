/* Console and disk of the reference guest. */
#define _GNU_SOURCE
#include "devices.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gate.h"

enum { SECTOR = 512, DEFAULT_SECTORS = 2048 };
#define DISK_MAGIC UINT64_C(0x4B5349444E544142) /* "BATNDISK" */

static int lock_image(int disk) {
  /* An open-file-description lock travels with the descriptor; taking it again on the same open file changes
   * nothing, and proves that it is ours. */
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  return fcntl(disk, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

int disk_open(const char *path) {
  struct stat status;
  int disk = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), result;
  if (disk < 0) return -errno;
  result = lock_image(disk);
  if (result == 0 && fstat(disk, &status) == 0 && status.st_size < SECTOR
      && ftruncate(disk, (off_t)SECTOR * DEFAULT_SECTORS) < 0)
    result = -errno;
  if (result == 0) return disk;
  close(disk);
  return result;
}

int devices_init(struct devices *devices, int console, int disk) {
  struct stat status;
  memset(devices, 0, sizeof *devices);
  pthread_mutex_init(&devices->lock, NULL);
  devices->console = console;
  devices->disk = disk;
  devices->disk_sequence = 1;
  if (disk < 0) return 0;
  if (fstat(disk, &status) < 0) return -errno;
  devices->sector_count = (uint64_t)status.st_size / SECTOR;
  if (devices->sector_count == 0) devices->sector_count = 1;
  return lock_image(disk);
}

void devices_close(struct devices *devices) {
  if (devices->console >= 0) close(devices->console);
  if (devices->disk >= 0) close(devices->disk);
  pthread_mutex_destroy(&devices->lock);
}

/* Under the lock. Only whole lines are passed on. */
static bool flush(struct devices *devices) {
  uint32_t ready = devices->pending_size;
  while (ready > 0 && devices->pending[ready - 1] != '\n') ready--;
  while (ready > 0) {
    ssize_t count = ready;
    if (devices->console >= 0) {
      /* A pipe that is writable has room for PIPE_BUF bytes, so that the write cannot block; O_NONBLOCK would
       * change the reader's end of a shared terminal too. */
      struct pollfd writable = {.fd = devices->console, .events = POLLOUT};
      if (devices->console_is_broken || poll(&writable, 1, 0) <= 0) return false;
      count = write(devices->console, devices->pending, ready);
      if (count < 0) {
        if (errno != EAGAIN && errno != EINTR) devices->console_is_broken = true;
        return false;
      }
    }
    devices->pending_size -= (uint32_t)count;
    memmove(devices->pending, devices->pending + count, devices->pending_size);
    ready -= (uint32_t)count;
  }
  return true;
}

bool console_put(struct devices *devices, const void *bytes, uint32_t size) {
  pthread_mutex_lock(&devices->lock);
  for (uint32_t index = 0; index < size && devices->pending_size < MOST_PENDING; index++) {
    uint8_t byte = ((const uint8_t *)bytes)[index];
    devices->pending[devices->pending_size++] = byte;
    if (byte == '\n') devices->line_count++;
  }
  bool is_done = flush(devices);
  pthread_mutex_unlock(&devices->lock);
  return is_done;
}

bool console_flush(struct devices *devices) {
  pthread_mutex_lock(&devices->lock);
  bool is_done = flush(devices);
  pthread_mutex_unlock(&devices->lock);
  return is_done;
}

void disk_write(struct devices *devices, uint64_t sequence) {
  uint64_t sector[SECTOR / 8] = {DISK_MAGIC, sequence, now(), sequence ^ DISK_MAGIC};
  if (devices->disk < 0) return;
  off_t place = (off_t)(sequence % devices->sector_count * SECTOR);
  /* A full or failing disk is the image's problem, and the missing number shows it. */
  if (pwrite(devices->disk, sector, sizeof sector, place) != (ssize_t)sizeof sector)
    fprintf(stderr, "guest-vmm: a disk write failed: %s\n", strerror(errno));
}
