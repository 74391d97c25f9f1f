/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/region.h"

#include <errno.h>

#define ADDRESS_BITS 52u /* of the architecture */

int region_check(const struct memory_region *region, struct error *err)
{
	uint64_t all = region->gpa | region->size | (uint64_t)region->host | region->offset;

	if (all % REGION_PAGE || !region->size || !region->host)
		return error_set(err, EINVAL, "guest memory at %#llx: not whole pages",
			(unsigned long long)region->gpa);
	if (region->gpa >> ADDRESS_BITS || region->size > (1ull << ADDRESS_BITS) - region->gpa)
		return error_set(err, EINVAL, "guest memory at %#llx: no such address",
			(unsigned long long)region->gpa);
	return 0;
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a - b < b_size || b - a < a_size;
}

int region_conflict(const struct memory_region *a, const struct memory_region *b, struct error *err)
{
	if (overlap(a->gpa, a->size, b->gpa, b->size))
		return error_set(err, EEXIST, "guest memory at %#llx overlaps that at %#llx",
			(unsigned long long)a->gpa, (unsigned long long)b->gpa);
	if (a->read_only && b->read_only)
		return 0;
	if (overlap((uint64_t)a->host, a->size, (uint64_t)b->host, b->size))
		return error_set(err, EINVAL, "guest memory at %#llx is that at %#llx",
			(unsigned long long)a->gpa, (unsigned long long)b->gpa);
	return 0;
}
