/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/memory_frozen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine/memory_base_internal.h"
#include "machine/memory_internal.h"
#include "machine/memory_lazy.h"

#define PAGE REGION_PAGE
/* What is written, brought and given back at a time: what a huge page is. */
#define EXTENT_PAGES 512u

/* Of RAM, as the guest sees it. */
struct frozen_region {
	uint64_t gpa, page, pages;
};

struct memory_frozen {
	struct memory *mem;
	struct memory_base base; /* layers of its own */
	uint64_t of;             /* mem->base_number of what was frozen */
	bool whole;
	uint64_t pages;
	unsigned regions;
	struct frozen_region region[SAVED_REGIONS];
};

static int take_regions(struct memory_frozen *frozen, struct memory *mem, struct error *err)
{
	struct memory_region saved[SAVED_REGIONS];
	unsigned count = memory_to_save(mem, saved);

	for (unsigned i = 0; i < count; i++) {
		const struct memory_region *region = &saved[i];

		if (region->door != &mem->door)
			return error_set(err, ENOTSUP, "the guest has memory beside its RAM");
		frozen->region[frozen->regions++] =
			(struct frozen_region){region->gpa, region->door_page, region->size / PAGE};
	}
	return 0;
}

/* The same files once more. */
static int take_layers(struct memory_frozen *frozen, const struct memory_base *base,
	struct error *err)
{
	int r = 0;

	for (unsigned i = 0; !r && i < base->count; i++) {
		int fd = fcntl(base->layer[i].fd, F_DUPFD_CLOEXEC, 0);

		frozen->base.count = i + 1;
		frozen->base.layer[i].fd = fd;
		r = fd < 0 ? error_set(err, errno, "the guest's frozen memory: %s", strerror(errno))
			   : layer_open(&frozen->base.layer[i], fd, err);
	}
	return r;
}

int memory_frozen_possible(struct memory *mem, struct error *err)
{
	struct memory_frozen frozen = {.mem = mem};
	int r = memory_freeze_check(mem, err);

	return r ? r : take_regions(&frozen, mem, err);
}

int memory_frozen_take(struct memory *mem, struct memory_frozen **out, struct error *err)
{
	struct memory_frozen *frozen = calloc(1, sizeof *frozen);
	bool whole = !mem->base || mem->base->whole;
	int r = frozen ? 0 : error_nomem(err);

	*out = NULL;
	if (!r) {
		*frozen = (struct memory_frozen){.mem = mem,
			.whole = whole,
			.pages = mem->door.pages};
		r = take_regions(frozen, mem, err);
	}
	if (!r)
		r = memory_freeze(mem, whole, err);
	if (!r) {
		frozen->of = mem->base_number;
		/* It has been frozen, which is no harm: the next one brings it together. */
		r = take_layers(frozen, mem->base, err);
	}
	if (r)
		memory_frozen_close(frozen);
	else
		*out = frozen;
	return r;
}

void memory_frozen_close(struct memory_frozen *frozen)
{
	if (!frozen)
		return;
	for (unsigned i = 0; i < frozen->base.count; i++)
		layer_close(&frozen->base.layer[i]);
	free(frozen);
}

/* Has any layer anything in these pages of its file? Looking at the others would make them. */
static bool is_touched(const struct memory_frozen *frozen, uint64_t page, uint64_t pages)
{
	for (unsigned i = 0; i < frozen->base.count; i++) {
		const struct layer *layer = &frozen->base.layer[i];
		off_t at = lseek(layer->fd, (off_t)(page * PAGE), SEEK_DATA);

		if (at < 0 ? errno != ENXIO : (uint64_t)at < (page + pages) * PAGE)
			return true;
	}
	return false;
}

/* Of an extent: what there is of it, together. */
static void gather(const struct memory_frozen *frozen, uint64_t page, uint64_t pages, uint8_t *to)
{
	for (uint64_t i = 0; i < pages; i++) {
		const uint8_t *from = layer_find(&frozen->base, page + i);

		if (from)
			memcpy(to + i * PAGE, from, PAGE);
		else
			memset(to + i * PAGE, 0, PAGE);
	}
}

/* 1: it is another's by now. */
static int bring(struct memory_frozen *frozen, uint64_t page, uint64_t pages)
{
	struct memory *mem = frozen->mem;
	int r = 1;

	/* Against who ends all of it meanwhile. */
	mutex_lock(&mem->base_lock);
	if (mem->base && mem->base_number == frozen->of)
		r = page_door_bring(&mem->door, page, pages);
	mutex_unlock(&mem->base_lock);
	return r;
}

/* Written and brought: nobody looks at it any more. */
static void give_back(const struct memory_frozen *frozen, uint64_t page, uint64_t pages)
{
	for (unsigned i = 0; i < frozen->base.count; i++)
		fallocate(frozen->base.layer[i].fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			(off_t)(page * PAGE), (off_t)(pages * PAGE));
}

void memory_frozen_save(struct memory_frozen *frozen, struct state *s)
{
	struct page_list *list = page_list_make(s);
	uint8_t *buffer = malloc(EXTENT_PAGES * PAGE);

	if (!buffer || !list)
		state_fail(s, ENOMEM, "out of memory");
	for (unsigned i = 0; i < frozen->regions && state_ok(s); i++) {
		const struct frozen_region *region = &frozen->region[i];
		uint64_t at = 0, n;

		for (; at < region->pages && state_ok(s); at += n) {
			n = EXTENT_PAGES - (region->page + at) % EXTENT_PAGES;
			if (n > region->pages - at)
				n = region->pages - at;
			state_seen(s, n * PAGE);
			if (!is_touched(frozen, region->page + at, n))
				continue;
			gather(frozen, region->page + at, n, buffer);
			page_list_add(list, region->gpa + at * PAGE, buffer, n);
			if (state_ok(s) && frozen->whole && !bring(frozen, region->page + at, n))
				give_back(frozen, region->page + at, n);
		}
	}
	page_list_end(list);
	free(buffer);
}

int memory_frozen_fill(struct memory_frozen *frozen, int (*check)(void *ctx), void *ctx)
{
	int r = frozen->whole ? 0 : 1;

	for (uint64_t at = 0, n; !r && at < frozen->pages; at += n) {
		n = frozen->pages - at < EXTENT_PAGES ? frozen->pages - at : EXTENT_PAGES;
		if (check(ctx))
			r = -ECANCELED;
		else if (is_touched(frozen, at, n))
			r = bring(frozen, at, n);
	}
	return r;
}

void memory_frozen_settle(struct memory_frozen *frozen)
{
	struct memory *mem = frozen->mem;

	if (frozen->whole && mem->base && mem->base_number == frozen->of)
		memory_base_end(mem);
}
