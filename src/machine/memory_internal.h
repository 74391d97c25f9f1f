/* SPDX-License-Identifier: Apache-2.0 */
/* For the files that make up memory.h. */
#ifndef DACH_MACHINE_MEMORY_INTERNAL_H
#define DACH_MACHINE_MEMORY_INTERNAL_H

#include "machine/memory.h"

/* Does anybody ask for anything? */
static inline bool memory_asked(const struct memory *mem)
{
	return __atomic_load_n(&mem->asked, __ATOMIC_ACQUIRE);
}

/* How many pages len bytes at gpa touch. */
static inline uint64_t memory_pages(uint64_t gpa, uint64_t len)
{
	return (gpa % REGION_PAGE + len + REGION_PAGE - 1) / REGION_PAGE;
}

#endif
