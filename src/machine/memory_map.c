/* SPDX-License-Identifier: Apache-2.0 */
/* What is where in guest memory, and what its doors are asked for. */
#include <errno.h>
#include <string.h>

#include "machine/memory_internal.h"

/*
 * Devices' threads look into the table while it changes: they look again if `changes` is not what it
 * was before, and even. Loads acquire and stores release, so none of them passes the counter.
 */
static void begin_change(struct memory *mem)
{
	__atomic_store_n(&mem->changes, mem->changes + 1, __ATOMIC_RELAXED);
}

static void end_change(struct memory *mem)
{
	__atomic_store_n(&mem->changes, mem->changes + 1, __ATOMIC_RELEASE);
}

static void store_region(struct memory *mem, unsigned at, const struct memory_region *from)
{
	struct memory_region *to = &mem->region[at];

	__atomic_store_n(&to->gpa, from->gpa, __ATOMIC_RELEASE);
	__atomic_store_n(&to->size, from->size, __ATOMIC_RELEASE);
	__atomic_store_n(&to->host, from->host, __ATOMIC_RELEASE);
	__atomic_store_n(&to->read_only, from->read_only, __ATOMIC_RELEASE);
	__atomic_store_n(&to->door, from->door, __ATOMIC_RELEASE);
	__atomic_store_n(&to->door_page, from->door_page, __ATOMIC_RELEASE);
	to->apart = from->apart;
	to->fd = from->fd;
	to->offset = from->offset;
}

/* After a change of doors or regions. */
static void look_who_asks(struct memory *mem)
{
	bool asked = false;

	for (unsigned i = 0; i < mem->regions; i++)
		asked |= page_door_logs(mem->region[i].door) ||
			page_door_is_lazy(mem->region[i].door);
	__atomic_store_n(&mem->asked, asked, __ATOMIC_SEQ_CST);
}

static void insert(struct memory *mem, const struct memory_region *region)
{
	unsigned at = mem->regions;

	begin_change(mem);
	for (; at && mem->region[at - 1].gpa > region->gpa; at--)
		store_region(mem, at, &mem->region[at - 1]);
	store_region(mem, at, region);
	__atomic_store_n(&mem->regions, mem->regions + 1, __ATOMIC_RELEASE);
	end_change(mem);
	look_who_asks(mem);
}

static void take_out(struct memory *mem, unsigned at)
{
	begin_change(mem);
	__atomic_store_n(&mem->regions, mem->regions - 1, __ATOMIC_RELEASE);
	for (; at < mem->regions; at++)
		store_region(mem, at, &mem->region[at + 1]);
	end_change(mem);
}

int memory_attach(struct memory *mem, const struct engine *engine, struct engine_vm *vm,
	struct error *err)
{
	int r = 0;

	for (unsigned i = 0; i < mem->regions && !r; i++)
		r = engine->vm_map(vm, &mem->region[i], err);
	if (r)
		return r;
	mem->engine = engine;
	mem->vm = vm;
	return 0;
}

int memory_add(struct memory *mem, const struct memory_region *region, struct error *err)
{
	int r = region_check(region, err);

	for (unsigned i = 0; i < mem->regions && !r; i++)
		r = region_conflict(region, &mem->region[i], err);
	if (!r && mem->regions == REGIONS_MAX)
		r = error_set(err, ENOSPC, "more than %u pieces of guest memory", REGIONS_MAX);
	if (!r && mem->engine)
		r = mem->engine->vm_map(mem->vm, region, err);
	if (!r)
		insert(mem, region);
	return r;
}

static int take_away(struct memory *mem, unsigned at, struct error *err)
{
	const struct memory_region *region = &mem->region[at];
	int r = mem->engine ? mem->engine->vm_unmap(mem->vm, region->gpa, region->size, err) : 0;

	if (!r)
		take_out(mem, at);
	return r;
}

/* What of a region lies from `from` to `to`, addresses. */
static struct memory_region part_of(const struct memory_region *region, uint64_t from, uint64_t to)
{
	struct memory_region part = *region;

	part.gpa = from;
	part.size = to - from;
	part.host += from - region->gpa;
	part.door_page += (from - region->gpa) / REGION_PAGE;
	if (part.fd >= 0)
		part.offset += from - region->gpa;
	return part;
}

/* Region `at` becomes two, the second of which begins at gpa. */
static int split(struct memory *mem, unsigned at, uint64_t gpa, struct error *err)
{
	const struct memory_region old = mem->region[at];
	struct memory_region low = part_of(&old, old.gpa, gpa);
	struct memory_region high = part_of(&old, gpa, old.gpa + old.size);
	int r;

	if (mem->regions == REGIONS_MAX)
		return error_set(err, ENOSPC, "more than %u pieces of guest memory", REGIONS_MAX);
	r = take_away(mem, at, err);
	if (!r)
		r = memory_add(mem, &low, err);
	if (!r)
		r = memory_add(mem, &high, err);
	return r;
}

/* The first region that begins at gpa or behind it; at gpa no region goes on. */
static int cut(struct memory *mem, uint64_t gpa, unsigned *at, struct error *err)
{
	if (gpa % REGION_PAGE)
		return error_set(err, EINVAL, "guest memory at %#llx: not whole pages",
			(unsigned long long)gpa);
	for (*at = 0; *at < mem->regions && mem->region[*at].gpa < gpa; ++*at)
		if (region_holds(&mem->region[*at], gpa)) {
			int r = split(mem, *at, gpa, err);

			if (r)
				return r;
		}
	return 0;
}

/* Regions [*first, *end) are what is in the range. */
static int cut_range(struct memory *mem, uint64_t gpa, uint64_t size, unsigned *first,
	unsigned *end, struct error *err)
{
	int r = cut(mem, gpa, first, err);

	return r ? r : cut(mem, gpa + size, end, err);
}

int memory_remove(struct memory *mem, uint64_t gpa, uint64_t size, struct error *err)
{
	unsigned first, end;
	int r = cut_range(mem, gpa, size, &first, &end, err);

	for (; !r && end > first; end--)
		r = take_away(mem, end - 1, err);
	return r;
}

int memory_protect(struct memory *mem, uint64_t gpa, uint64_t size, bool read_only,
	struct error *err)
{
	unsigned first, end;
	int r = cut_range(mem, gpa, size, &first, &end, err);

	for (unsigned i = first; !r && i < end; i++) {
		struct memory_region changed = mem->region[i];

		changed.read_only = read_only;
		for (unsigned k = 0; k < mem->regions && !r; k++)
			if (k != i)
				r = region_conflict(&changed, &mem->region[k], err);
		if (!r && mem->engine)
			r = mem->engine->vm_protect(mem->vm, changed.gpa, changed.size, read_only,
				err);
		if (r)
			break;
		begin_change(mem);
		store_region(mem, i, &changed);
		end_change(mem);
	}
	return r;
}

unsigned memory_to_save(struct memory *mem, struct memory_region region[SAVED_REGIONS])
{
	unsigned count = memory_ram(mem, 0, mem->low, &region[0]);

	count += memory_ram(mem, MEMORY_HIGH_START, mem->size + mem->room - mem->low,
		&region[count]);
	for (unsigned i = 0; i < mem->regions; i++)
		if (!mem->region[i].read_only && !mem->region[i].apart &&
			mem->region[i].door != &mem->door)
			region[count++] = mem->region[i];
	return count;
}

bool memory_is_one_file(struct memory *mem)
{
	struct memory_region region[SAVED_REGIONS];
	const unsigned count = memory_to_save(mem, region);

	for (unsigned i = 0; i < count; i++)
		if (region[i].fd != mem->fd)
			return false;
	return mem->fd >= 0 && !page_door_is_lazy(&mem->door) && !mem->base && !mem->lazy;
}

/* --- doors ------------------------------------------------------------------------------------ */

/* The door of region i, if it is the one asked for (NULL: any) and no region before has it. */
static struct page_door *door_of(const struct memory *mem, unsigned i,
	const struct page_door *wanted)
{
	struct page_door *door = mem->region[i].door;

	for (unsigned k = 0; k < i; k++)
		if (mem->region[k].door == door)
			return NULL;
	return !wanted || wanted == door ? door : NULL;
}

static int tell_engine(struct memory *mem, const struct page_door *door, struct error *err)
{
	int r = 0;

	look_who_asks(mem);
	for (unsigned i = 0; i < mem->regions && mem->engine && !r; i++)
		if (mem->region[i].door && (!door || mem->region[i].door == door))
			r = mem->engine->vm_door(mem->vm, mem->region[i].gpa, mem->region[i].size,
				err);
	return r;
}

int memory_log(struct memory *mem, struct page_door *door, enum page_log who, bool on,
	struct error *err)
{
	int r = 0;

	for (unsigned i = 0; i < mem->regions && !r; i++) {
		struct page_door *one = door_of(mem, i, door);

		if (one)
			r = page_door_log(one, who, on, err);
	}
	return r ? r : tell_engine(mem, door, err);
}

void memory_log_read(struct memory *mem, uint64_t gpa, uint64_t size, enum page_log who,
	uint64_t *bitmap)
{
	memset(bitmap, 0, (memory_pages(gpa, size) + 63) / 64 * sizeof *bitmap);
	for (unsigned i = 0; i < mem->regions; i++) {
		const struct memory_region *region = &mem->region[i];
		uint64_t end = region->gpa + region->size;
		uint64_t from = gpa > region->gpa ? gpa : region->gpa;
		uint64_t to = gpa + size < end ? gpa + size : end;
		struct memory_region part;

		if (from >= to)
			continue;
		part = part_of(region, from, to);
		engine_log_read(mem->engine, mem->vm, &part, who, bitmap,
			(from - gpa) / REGION_PAGE);
	}
}

int memory_begin_lazy(struct memory *mem, struct page_door *door, const uint64_t *here,
	unsigned cluster, page_bring *bring, void *ctx, struct error *err)
{
	int r = page_door_begin_lazy(door, here, cluster, bring, ctx, err);

	if (r)
		return r;
	r = tell_engine(mem, door, err);
	if (r)
		memory_end_lazy(mem, door);
	return r;
}

void memory_end_lazy(struct memory *mem, struct page_door *door)
{
	struct error ignored = {0};

	page_door_end_lazy(door);
	tell_engine(mem, door, &ignored);
}

int memory_bring(struct memory *mem, uint64_t gpa, uint64_t size)
{
	int r = 0;

	for (unsigned i = 0; i < mem->regions && memory_asked(mem) && !r; i++) {
		const struct memory_region *region = &mem->region[i];
		uint64_t end = region->gpa + region->size;
		uint64_t from = gpa > region->gpa ? gpa : region->gpa;
		uint64_t to = gpa + size < end ? gpa + size : end;

		if (from < to && page_door_is_lazy(region->door))
			r = page_door_bring(region->door,
				region->door_page + (from - region->gpa) / REGION_PAGE,
				memory_pages(from, to - from));
	}
	return r;
}
