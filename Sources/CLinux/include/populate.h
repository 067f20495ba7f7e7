/* Mapping pages ahead, and unmapping them ahead, piece by piece. See system_calls.h for the convention. */
#ifndef BATON_CLINUX_POPULATE_H
#define BATON_CLINUX_POPULATE_H

#include <stddef.h>

/* Makes every page of the range present, so that no later access faults. Address and size are multiples of the
 * page size. */
int clinux_populate(void *address, size_t size);
/* Takes every page of the range out of this process's page tables; what is in a shared file stays there. */
int clinux_unpopulate(void *address, size_t size);
#endif
