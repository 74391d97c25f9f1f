/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/memory_rounds.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "machine/describe.h"
#include "machine/memory_internal.h"

#define PAGE REGION_PAGE

/* What is followed of a region of memory_to_save(), which has a door. */
struct followed {
	struct memory_region region;
	uint64_t *todo, *fresh; /* bits, a page each: to be written, and what is about to be that */
	uint64_t pages;
};

struct memory_rounds {
	struct memory *mem;
	unsigned changes; /* of mem, then */
	bool follows;     /* what is written is logged */
	bool all;         /* the round is the first one: what is zero there is so already */
	unsigned count;
	struct followed part[SAVED_REGIONS];
};

static size_t words(const struct followed *part)
{
	return (part->pages + 63) / 64;
}

static int follow(struct memory_rounds *rounds, const struct memory_region *region,
	struct error *err)
{
	struct followed *part = &rounds->part[rounds->count];

	part->region = *region;
	part->pages = region->size / PAGE;
	part->todo = calloc(words(part), sizeof *part->todo);
	part->fresh = calloc(words(part), sizeof *part->fresh);
	rounds->count++;
	if (!part->todo || !part->fresh)
		return error_nomem(err);
	if (!region->door)
		return error_set(err, ENOTSUP, "the guest has memory of which no writes are told");
	return 0;
}

int memory_rounds_make(struct memory *mem, struct memory_rounds **out, struct error *err)
{
	struct memory_rounds *rounds = calloc(1, sizeof *rounds);
	struct memory_region region[SAVED_REGIONS];
	unsigned count = memory_to_save(mem, region);
	int r = rounds ? 0 : error_nomem(err);

	*out = NULL;
	if (r)
		return r;
	rounds->mem = mem;
	rounds->changes = mem->changes;
	rounds->all = true;
	for (unsigned i = 0; !r && i < count; i++)
		r = follow(rounds, &region[i], err);
	if (r)
		memory_rounds_end(rounds);
	else
		*out = rounds;
	return r;
}

int memory_rounds_bring(struct memory_rounds *rounds, struct error *err)
{
	int r = 0;

	for (unsigned i = 0; i < rounds->count && !r; i++) {
		const struct memory_region *region = &rounds->part[i].region;

		if (page_door_is_lazy(region->door))
			r = page_door_bring(region->door, region->door_page, region->size / PAGE);
	}
	return r ? error_set(err, EIO, "a page of the guest's memory cannot be had") : 0;
}

int memory_rounds_begin(struct memory_rounds *rounds, struct error *err)
{
	int r = memory_log(rounds->mem, NULL, PAGE_LOG_MOVE, true, err);

	rounds->follows = true;
	return r;
}

void memory_rounds_end(struct memory_rounds *rounds)
{
	if (!rounds)
		return;
	if (rounds->follows)
		memory_log(rounds->mem, NULL, PAGE_LOG_MOVE, false, NULL);
	for (unsigned i = 0; i < rounds->count; i++) {
		free(rounds->part[i].todo);
		free(rounds->part[i].fresh);
	}
	free(rounds);
}

static bool todo(const struct followed *part, uint64_t page)
{
	return part->todo[page / 64] >> page % 64 & 1;
}

/* All that was ever touched: to look at the rest would be to make it. */
static void mark_touched(struct followed *part)
{
	uint64_t at = 0, end;

	for (; memory_next_touched(&part->region, &at, &end); at = end)
		for (uint64_t page = at / PAGE; page < end / PAGE; page++)
			part->todo[page / 64] |= 1ull << page % 64;
}

static int check_changes(const struct memory_rounds *rounds, struct error *err)
{
	if (__atomic_load_n(&rounds->mem->changes, __ATOMIC_ACQUIRE) == rounds->changes)
		return 0;
	return error_set(err, EAGAIN, "where the guest has memory has changed meanwhile");
}

/* What has been written since the last time is to be written, too. */
int memory_rounds_look(struct memory_rounds *rounds, struct error *err)
{
	int r = check_changes(rounds, err);

	for (unsigned i = 0; i < rounds->count && !r; i++) {
		struct followed *part = &rounds->part[i];

		memory_log_read(rounds->mem, part->region.gpa, part->region.size, PAGE_LOG_MOVE,
			part->fresh);
		for (size_t w = 0; w < words(part); w++)
			part->todo[w] |= part->fresh[w];
	}
	return r;
}

uint64_t memory_rounds_count(struct memory_rounds *rounds)
{
	uint64_t count = 0;

	for (unsigned i = 0; i < rounds->count; i++) {
		struct followed *part = &rounds->part[i];

		if (rounds->all)
			mark_touched(part);
		for (size_t w = 0; w < words(part); w++)
			count += (uint64_t)__builtin_popcountll(part->todo[w]);
	}
	return count;
}

/* A run of pages that are all zeros or all something else. */
static void write_run(struct memory_rounds *rounds, const struct followed *part, uint64_t first,
	uint64_t count, bool zero, struct state *s)
{
	const uint64_t gpa = part->region.gpa + first * PAGE;

	if (!zero)
		memory_write_run(s, gpa, part->region.host + first * PAGE, (unsigned)count);
	else if (!rounds->all)
		memory_write_zeros(s, gpa, count);
	state_seen(s, count * PAGE);
}

static void write_part(struct memory_rounds *rounds, struct followed *part, struct state *s)
{
	uint64_t page = 0;

	while (page < part->pages && state_ok(s)) {
		const uint8_t *host = part->region.host + page * PAGE;
		uint64_t first = page, most = MEMORY_RUN_PAGES;
		bool zero;

		if (!part->todo[page / 64]) {
			page = (page / 64 + 1) * 64;
			continue;
		}
		if (!todo(part, page)) {
			page++;
			continue;
		}
		zero = memory_page_is_zero(host);
		if (most > part->pages - first)
			most = part->pages - first;
		for (page++; page < first + most && todo(part, page); page++)
			if (memory_page_is_zero(part->region.host + page * PAGE) != zero)
				break;
		write_run(rounds, part, first, page - first, zero, s);
	}
	memset(part->todo, 0, words(part) * sizeof *part->todo);
}

void memory_rounds_write(struct memory_rounds *rounds, struct state *s)
{
	struct error err = {""};

	if (check_changes(rounds, &err))
		state_fail(s, EAGAIN, "%s", err.text);
	for (unsigned i = 0; i < rounds->count && state_ok(s); i++)
		write_part(rounds, &rounds->part[i], s);
	rounds->all = false;
}
