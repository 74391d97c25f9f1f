/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory in a saved state: what is not read-only or zero, a run of pages a section, in any order. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "machine/describe.h"
#include "machine/memory_internal.h"

#define PAGE 4096u
#define RUN_PAGES MEMORY_RUN_PAGES

/* Where from offset on a shared memory's next page is that was ever touched. */
static uint64_t next_touched(const struct memory_region *region, uint64_t offset)
{
	off_t at;

	/* Looking at the others would make them. Private ones are then the system's zero page. */
	if (region->fd < 0)
		return offset;
	at = lseek(region->fd, offset, SEEK_DATA);
	if (at < 0)
		return errno == ENXIO ? region->offset + region->size : offset;
	return (uint64_t)at & ~(uint64_t)(PAGE - 1);
}

void memory_write_run(struct state *s, uint64_t gpa, const uint8_t *pages, unsigned count)
{
	const void *data = pages;
	size_t size = (size_t)count * PAGE;

	state_begin(s, "memory", 0, 1);
	state_u64(s, "address", &gpa);
	state_blob(s, "pages", &data, &size);
	state_end(s);
}

void memory_write_zeros(struct state *s, uint64_t gpa, uint64_t count)
{
	state_begin(s, "memory-zero", 0, 1);
	state_u64(s, "address", &gpa);
	state_u64(s, "pages", &count);
	state_end(s);
}

static void save_region(const struct memory_region *region, struct state *s)
{
	uint64_t at = 0;

	while (at < region->size && state_ok(s)) {
		uint64_t touched = next_touched(region, region->offset + at);
		unsigned count = 0;

		if (touched > region->offset + at) {
			state_seen(s, touched - region->offset - at);
			at = touched - region->offset;
			continue;
		}
		while (count < RUN_PAGES && at + count * PAGE < region->size &&
			!memory_page_is_zero(region->host + at + count * PAGE))
			count++;
		if (count)
			memory_write_run(s, region->gpa + at, region->host + at, count);
		state_seen(s, (uint64_t)(count ? count : 1) * PAGE);
		at += (uint64_t)(count ? count : 1) * PAGE;
	}
}

static void load_run(struct memory *mem, struct state *s)
{
	uint64_t gpa = 0;
	const void *data;
	size_t size;
	void *to;

	state_begin(s, "memory", 0, 1);
	state_u64(s, "address", &gpa);
	state_blob(s, "pages", &data, &size);
	to = memory_ptr(mem, gpa, size);
	state_require(s, gpa % PAGE == 0 && size && size % PAGE == 0 && size <= RUN_PAGES * PAGE,
		"no whole pages");
	state_require(s, to, "more memory than the guest has");
	if (state_ok(s)) {
		memcpy(to, data, size);
		memory_written(mem, gpa, size);
	}
	state_end(s);
}

/* What the guest has emptied since it was written before. */
static void load_zeros(struct memory *mem, struct state *s)
{
	uint64_t gpa = 0, count = 0;

	state_begin(s, "memory-zero", 0, 1);
	state_u64(s, "address", &gpa);
	state_u64(s, "pages", &count);
	state_require(s, gpa % PAGE == 0 && count && count <= RUN_PAGES, "no whole pages");
	if (state_ok(s) && memory_zero(mem, gpa, count * PAGE))
		state_require(s, false, "more memory than the guest has");
	state_end(s);
}

static void save_memory(struct memory *mem, struct state *s)
{
	struct memory_region region[SAVED_REGIONS];
	unsigned count = memory_to_save(mem, region);

	for (unsigned i = 0; i < count; i++)
		if (page_door_is_lazy(region[i].door) &&
			page_door_bring(region[i].door, region[i].door_page,
				region[i].size / REGION_PAGE))
			state_fail(s, EIO, "a page of memory cannot be had");
	if (state_pages(s)) {
		memory_save_pages(mem, s);
		return;
	}
	for (unsigned i = 0; i < count; i++)
		save_region(&region[i], s);
}

void memory_describe(struct memory *mem, struct state *s)
{
	if (!state_loading(s))
		save_memory(mem, s);
	else if (state_pages(s))
		memory_load_pages(mem, s);
	else
		for (;;) {
			if (state_next_is(s, "memory"))
				load_run(mem, s);
			else if (state_next_is(s, "memory-zero"))
				load_zeros(mem, s);
			else
				break;
		}
}
