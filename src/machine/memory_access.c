/* SPDX-License-Identifier: Apache-2.0 */
/* The checked way to guest memory, for all but vCPUs. */
#include <errno.h>
#include <string.h>

#include "machine/memory_internal.h"

/* What is known of gpa, up to `room` bytes on. */
struct memory_spot {
	uint8_t *host;
	uint64_t room;
	bool read_only;
	struct page_door *door;
	uint64_t page; /* of the door */
};

/* Copied piece by piece: it may be changing, see memory_map.c. */
static struct memory_region load(const struct memory_region *from)
{
	return (struct memory_region){.gpa = __atomic_load_n(&from->gpa, __ATOMIC_ACQUIRE),
		.size = __atomic_load_n(&from->size, __ATOMIC_ACQUIRE),
		.host = __atomic_load_n(&from->host, __ATOMIC_ACQUIRE),
		.read_only = __atomic_load_n(&from->read_only, __ATOMIC_ACQUIRE),
		.door = __atomic_load_n(&from->door, __ATOMIC_ACQUIRE),
		.door_page = __atomic_load_n(&from->door_page, __ATOMIC_ACQUIRE)};
}

/* Is b what follows a, for the guest and here? Regions that were split are one again for who looks. */
static bool adjoin(const struct memory_region *a, const struct memory_region *b)
{
	return b->gpa == a->gpa + a->size && b->host == a->host + a->size &&
		b->read_only == a->read_only && b->door == a->door &&
		b->door_page == a->door_page + a->size / REGION_PAGE;
}

/* False: no memory is there. `room` need not be more than len. */
static bool find(const struct memory *mem, uint64_t gpa, uint64_t len, struct memory_spot *spot)
{
	unsigned count = __atomic_load_n(&mem->regions, __ATOMIC_ACQUIRE);

	for (unsigned i = 0; i < count && i < REGIONS_MAX; i++) {
		struct memory_region region = load(&mem->region[i]), next;
		uint64_t offset = gpa - region.gpa;

		if (!region_holds(&region, gpa))
			continue;
		*spot = (struct memory_spot){region.host + offset, region.size - offset,
			region.read_only, region.door, region.door_page + offset / REGION_PAGE};
		while (spot->room < len && ++i < count && i < REGIONS_MAX) {
			next = load(&mem->region[i]);
			if (!adjoin(&region, &next))
				break;
			spot->room += next.size;
			region = next;
		}
		return true;
	}
	return false;
}

static bool find_stable(const struct memory *mem, uint64_t gpa, uint64_t len,
	struct memory_spot *spot)
{
	unsigned before;
	bool found;

	do {
		before = __atomic_load_n(&mem->changes, __ATOMIC_ACQUIRE);
		found = find(mem, gpa, len, spot);
	} while (before % 2 || before != __atomic_load_n(&mem->changes, __ATOMIC_RELAXED));
	return found;
}

static void *pointer(const struct memory *mem, uint64_t gpa, uint64_t len, bool write)
{
	struct memory_spot spot;

	if (!len || !find_stable(mem, gpa, len, &spot) || len > spot.room ||
		(write && spot.read_only))
		return NULL;
	if (memory_asked(mem) && page_door_is_lazy(spot.door) &&
		page_door_bring(spot.door, spot.page, memory_pages(gpa, len)))
		return NULL;
	return spot.host;
}

void *memory_ptr(const struct memory *mem, uint64_t gpa, uint64_t len)
{
	return pointer(mem, gpa, len, true);
}

const void *memory_ptr_read(const struct memory *mem, uint64_t gpa, uint64_t len)
{
	return pointer(mem, gpa, len, false);
}

int memory_read(const struct memory *mem, uint64_t gpa, void *buf, uint64_t len)
{
	const void *from = memory_ptr_read(mem, gpa, len);

	if (!len)
		return 0;
	if (!from)
		return -EFAULT;
	memcpy(buf, from, len);
	return 0;
}

int memory_write(struct memory *mem, uint64_t gpa, const void *buf, uint64_t len)
{
	void *to = memory_ptr(mem, gpa, len);

	if (!len)
		return 0;
	if (!to)
		return -EFAULT;
	memcpy(to, buf, len);
	memory_written(mem, gpa, len);
	return 0;
}

int memory_zero(struct memory *mem, uint64_t gpa, uint64_t len)
{
	void *to = memory_ptr(mem, gpa, len);

	if (!len)
		return 0;
	if (!to)
		return -EFAULT;
	memset(to, 0, len);
	memory_written(mem, gpa, len);
	return 0;
}

void memory_written(struct memory *mem, uint64_t gpa, uint64_t len)
{
	struct memory_spot spot;

	if (!len)
		return;
	if (memory_asked(mem) && find_stable(mem, gpa, len, &spot))
		page_door_mark(spot.door, spot.page,
			memory_pages(gpa, len < spot.room ? len : spot.room));
	if (mem->engine)
		mem->engine->vm_written(mem->vm, gpa, len);
}
