/* SPDX-License-Identifier: Apache-2.0 */
/* A piece of guest memory: what the machine gives its engine, and both keep in tables. */
#ifndef DACH_CPU_REGION_H
#define DACH_CPU_REGION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "cpu/page_door.h"

#define REGIONS_MAX 64u /* of one guest */
#define REGION_PAGE 4096u

/* Addresses, sizes and offsets are in bytes and whole pages. */
struct memory_region {
	uint64_t gpa, size;
	uint8_t *host; /* where it is in this process ... */
	int fd; /* ... which maps this file there, shared; its owner keeps it open. -1: private memory */
	uint64_t offset; /* in the file */
	bool read_only;  /* what the guest writes there goes to mmio_write */
	bool apart; /* a device's, which saves it: not in what is saved or frozen of guest memory */
	struct page_door
		*door; /* asked of its pages, of which this is the first; NULL: nobody asks */
	uint64_t door_page;
};

/* Can it be guest memory at all? 0, or -EINVAL. */
int region_check(const struct memory_region *region, struct error *err);
/*
 * Can both be at once? -EEXIST: their addresses overlap. -EINVAL: the same bytes of this process
 * could be written at two addresses; only what is read-only may be seen twice. (Where a file is mapped
 * twice, nothing tells one address of what is written at the other: not of code that changes either.)
 */
int region_conflict(const struct memory_region *a, const struct memory_region *b,
	struct error *err);

/* Is gpa in it? */
static inline bool region_holds(const struct memory_region *region, uint64_t gpa)
{
	return gpa - region->gpa < region->size;
}

#endif
