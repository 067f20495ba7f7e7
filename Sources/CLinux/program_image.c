#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "program_image.h"

#include <link.h>
#include <stdint.h>
#include <unistd.h>

#include "populate.h"

static int holds(const struct dl_phdr_info *object, uintptr_t address) {
  for (int index = 0; index < object->dlpi_phnum; index++) {
    const ElfW(Phdr) *part = &object->dlpi_phdr[index];
    if (part->p_type == PT_LOAD && address - (object->dlpi_addr + part->p_vaddr) < part->p_memsz) return 1;
  }
  return 0;
}

static int populate_own(struct dl_phdr_info *object, size_t size, void *unused) {
  (void)size, (void)unused;
  if (!holds(object, (uintptr_t)&clinux_populate_program_image)) return 0;
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  for (int index = 0; index < object->dlpi_phnum; index++) {
    const ElfW(Phdr) *part = &object->dlpi_phdr[index];
    /* What can be written was touched when it was relocated. */
    if (part->p_type != PT_LOAD || (part->p_flags & (PF_R | PF_W)) != PF_R) continue;
    const uintptr_t start = object->dlpi_addr + part->p_vaddr, begin = start & ~(page - 1);
    const uintptr_t end = (start + part->p_memsz + page - 1) & ~(page - 1);
    (void)clinux_populate((void *)begin, end - begin);
  }
  return 1;
}

void clinux_populate_program_image(void) { (void)dl_iterate_phdr(populate_own, NULL); }
