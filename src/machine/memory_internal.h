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

/* A state's list of pages (memory_pages.c), whose bytes go beside it. NULL: out of memory. */
struct page_list;
struct state;
struct page_list *page_list_make(struct state *s);
/* So many pages at gpa, by address; pages of zeros are left out. */
void page_list_add(struct page_list *list, uint64_t gpa, const uint8_t *host, uint64_t pages);
/* Writes what is left of it, and frees it. NULL is allowed. */
void page_list_end(struct page_list *list);

/* Sections of a stream (memory_describe.c): pages at gpa, and pages of zeros; as many as these at most. */
#define MEMORY_RUN_PAGES 256u
void memory_write_run(struct state *s, uint64_t gpa, const uint8_t *pages, unsigned count);
void memory_write_zeros(struct state *s, uint64_t gpa, uint64_t count);
/* memory_pages.c: what of a region from byte *at on was ever touched: [*at, *end); looking at the rest would make it. */
bool memory_next_touched(const struct memory_region *region, uint64_t *at, uint64_t *end);
/*
 * What a saved state has of memory: the guest's RAM, also where it cannot write to it or something else hides it
 * now, then what else it can write to. Returns how many.
 */
#define SAVED_REGIONS (REGIONS_MAX + 2)
unsigned memory_to_save(struct memory *mem, struct memory_region region[SAVED_REGIONS]);

/* How many pages len bytes at gpa touch. */
static inline uint64_t memory_pages(uint64_t gpa, uint64_t len)
{
	return (gpa % REGION_PAGE + len + REGION_PAGE - 1) / REGION_PAGE;
}

#endif
