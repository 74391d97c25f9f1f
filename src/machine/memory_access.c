/* SPDX-License-Identifier: Apache-2.0 */
/* The checked way to guest memory, for all but vCPUs. */
#include <errno.h>
#include <string.h>

#include "machine/memory_internal.h"

/* What is known of gpa, up to `room` bytes on; false: no memory is there. */
struct memory_spot {
	uint8_t *host;
	uint64_t room;
	bool read_only;
	struct page_door *door;
	uint64_t page; /* of the door */
};

static bool find(const struct memory *mem, uint64_t gpa, struct memory_spot *spot)
{
	unsigned count = __atomic_load_n(&mem->regions, __ATOMIC_ACQUIRE);

	for (unsigned i = 0; i < count && i < REGIONS_MAX; i++) {
		const struct memory_region *region = &mem->region[i];
		uint64_t offset = gpa - __atomic_load_n(&region->gpa, __ATOMIC_ACQUIRE);
		uint64_t size = __atomic_load_n(&region->size, __ATOMIC_ACQUIRE);

		if (offset >= size)
			continue;
		spot->host = __atomic_load_n(&region->host, __ATOMIC_ACQUIRE) + offset;
		spot->room = size - offset;
		spot->read_only = __atomic_load_n(&region->read_only, __ATOMIC_ACQUIRE);
		spot->door = __atomic_load_n(&region->door, __ATOMIC_ACQUIRE);
		spot->page = __atomic_load_n(&region->door_page, __ATOMIC_ACQUIRE) +
			offset / REGION_PAGE;
		return true;
	}
	return false;
}

static bool find_stable(const struct memory *mem, uint64_t gpa, struct memory_spot *spot)
{
	unsigned before;
	bool found;

	do {
		before = __atomic_load_n(&mem->changes, __ATOMIC_ACQUIRE);
		found = find(mem, gpa, spot);
	} while (before % 2 || before != __atomic_load_n(&mem->changes, __ATOMIC_RELAXED));
	return found;
}

static void *pointer(const struct memory *mem, uint64_t gpa, uint64_t len, bool write)
{
	struct memory_spot spot;

	if (!len || !find_stable(mem, gpa, &spot) || len > spot.room || (write && spot.read_only))
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
	if (memory_asked(mem) && find_stable(mem, gpa, &spot))
		page_door_mark(spot.door, spot.page,
			memory_pages(gpa, len < spot.room ? len : spot.room));
	if (mem->engine)
		mem->engine->vm_written(mem->vm, gpa, len);
}
