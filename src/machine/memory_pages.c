/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory beside a saved state's stream (state_pages): pages that are not zeros, each at its place, and
 * in the stream a list of them. An entry of the list is about 64 KiB of guest memory at most: which pages
 * of them there are, and a checksum of those.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/team.h"
#include "machine/describe.h"
#include "machine/memory_internal.h"
#include "machine/memory_lazy.h"
#include "machine/memory_pack.h"

#define PAGE REGION_PAGE
#define ENTRIES_MAX 65536u /* in a section */
#define PIECES 32u         /* at once */
#define EXTENT (PIECES * CHUNK)
#define MAP_VERSION 2 /* since 2 pages may be packed */

bool memory_page_is_zero(const uint8_t *page)
{
	static const uint8_t zeros[PAGE];

	return !memcmp(page, zeros, PAGE);
}

/* Saving */

/* Pages of one chunk: count of them, the first at gpa. */
struct page_piece {
	uint64_t gpa;
	const uint8_t *host;
	unsigned count;
	uint16_t pages; /* those that are not zeros: a bit each, from host on */
	uint32_t crc;
	size_t size; /* packed; 0: they are not */
	uint8_t packed[CHUNK];
};

struct page_list {
	struct state *s;
	struct team *team;
	struct chunk_packer *packer[TEAM_MAX];
	struct page_piece *piece;
	unsigned pieces;
	struct chunk_entry *entry;
	unsigned count;
};

static void put_list(struct page_list *list)
{
	const void *data = list->entry;
	size_t size = list->count * sizeof *list->entry;

	if (!list->count)
		return;
	state_begin(list->s, "memory-map", 0, MAP_VERSION);
	state_blob(list->s, "chunks", &data, &size);
	state_end(list->s);
	list->count = 0;
}

static void write_places(struct state *s, uint64_t gpa, const uint8_t *host, uint16_t pages)
{
	for (unsigned at = 0, run; at < CHUNK_PAGES; at += run + 1) {
		for (run = 0; at + run < CHUNK_PAGES && pages >> (at + run) & 1; run++)
			;
		if (run)
			state_write_pages(s, gpa + at * PAGE, host + at * PAGE, run * PAGE);
	}
}

/* For the team: what there is of a piece, summed and packed. */
static void prepare(void *ctx, unsigned member, unsigned number)
{
	struct page_list *list = ctx;
	struct page_piece *piece = &list->piece[number];

	for (unsigned at = 0; at < piece->count; at++)
		if (!memory_page_is_zero(piece->host + at * PAGE)) {
			piece->pages |= 1u << at;
			piece->crc = state_checksum(piece->crc, piece->host + at * PAGE, PAGE);
		}
	piece->size = chunk_pack(list->packer[member], piece->host, piece->pages, piece->packed);
}

static void write_piece(struct page_list *list, const struct page_piece *piece)
{
	const struct chunk_entry entry = {.chunk = (uint32_t)(piece->gpa / CHUNK),
		.pages = (uint16_t)(piece->pages << piece->gpa / PAGE % CHUNK_PAGES),
		.size = (uint16_t)piece->size,
		.crc = piece->crc};

	if (!entry.pages)
		return;
	if (entry.size)
		state_write_pages(list->s, chunk_entry_gpa(&entry), piece->packed, entry.size);
	else
		write_places(list->s, piece->gpa, piece->host, piece->pages);
	list->entry[list->count++] = entry;
	if (list->count == ENTRIES_MAX)
		put_list(list);
}

static void write_pieces(struct page_list *list)
{
	team_run(list->team, list->pieces);
	for (unsigned i = 0; i < list->pieces && state_ok(list->s); i++)
		write_piece(list, &list->piece[i]);
	list->pieces = 0;
}

bool memory_next_touched(const struct memory_region *region, uint64_t *at, uint64_t *end)
{
	off_t data, hole;

	*end = region->size;
	if (region->fd < 0)
		return *at < *end;
	data = lseek(region->fd, region->offset + *at, SEEK_DATA);
	if (data < 0 && errno == ENXIO)
		return false;
	hole = data < 0 ? -1 : lseek(region->fd, data, SEEK_HOLE);
	if (hole < 0)
		return *at < *end;
	*at = (uint64_t)data / PAGE * PAGE - region->offset;
	if (((uint64_t)hole + PAGE - 1) / PAGE * PAGE - region->offset < *end)
		*end = ((uint64_t)hole + PAGE - 1) / PAGE * PAGE - region->offset;
	return *at < region->size;
}

void page_list_add(struct page_list *list, uint64_t gpa, const uint8_t *host, uint64_t pages)
{
	uint64_t at = 0, size = pages * PAGE;

	while (at < size && state_ok(list->s)) {
		uint64_t left = CHUNK - (gpa + at) % CHUNK;

		if (left > size - at)
			left = size - at;
		list->piece[list->pieces].gpa = gpa + at;
		list->piece[list->pieces].host = host + at;
		list->piece[list->pieces].count = left / PAGE;
		list->piece[list->pieces].pages = 0;
		list->piece[list->pieces].crc = 0;
		at += left;
		if (++list->pieces == PIECES || at == size)
			write_pieces(list);
	}
}

static void list_free(struct page_list *list)
{
	team_end(list->team);
	for (unsigned i = 0; i < TEAM_MAX; i++)
		chunk_packer_free(list->packer[i]);
	free(list->piece);
	free(list->entry);
	free(list);
}

struct page_list *page_list_make(struct state *s)
{
	struct page_list *list = calloc(1, sizeof *list);
	bool good = list;

	if (!list)
		return NULL;
	list->s = s;
	list->piece = malloc(PIECES * sizeof *list->piece);
	list->entry = malloc(ENTRIES_MAX * sizeof *list->entry);
	for (unsigned i = 0; i < TEAM_MAX; i++)
		good &= (list->packer[i] = chunk_packer_make()) != NULL;
	if (good)
		list->team = team_make(prepare, list);
	if (list->team && list->piece && list->entry)
		return list;
	list_free(list);
	return NULL;
}

void page_list_end(struct page_list *list)
{
	if (!list)
		return;
	if (state_ok(list->s))
		put_list(list);
	list_free(list);
}

static void save_region(struct page_list *list, const struct memory_region *region)
{
	uint64_t at = 0, end, done = 0;

	while (state_ok(list->s) && memory_next_touched(region, &at, &end)) {
		while (at < end && state_ok(list->s)) {
			uint64_t left = EXTENT - (region->gpa + at) % EXTENT;

			if (left > end - at)
				left = end - at;
			page_list_add(list, region->gpa + at, region->host + at, left / PAGE);
			at += left;
			state_seen(list->s, at - done);
			done = at;
		}
	}
	if (state_ok(list->s))
		state_seen(list->s, region->size - done);
}

void memory_save_pages(struct memory *mem, struct state *s)
{
	struct page_list *list = page_list_make(s);
	struct memory_region region[SAVED_REGIONS];
	unsigned count = memory_to_save(mem, region);

	if (!list)
		state_fail(s, ENOMEM, "out of memory");
	for (unsigned i = 0; i < count && state_ok(s); i++)
		save_region(list, &region[i]);
	page_list_end(list);
}

/* Loading */

/* Each page's place in memory; NULL for those that the entry has not. */
static void find_places(struct memory *mem, struct state *s, const struct chunk_entry *entry,
	uint8_t *place[CHUNK_PAGES])
{
	const uint64_t base = (uint64_t)entry->chunk * CHUNK;

	for (unsigned at = 0; at < CHUNK_PAGES; at++) {
		const bool has = entry->pages >> at & 1;

		place[at] = has ? memory_ptr(mem, base + at * PAGE, PAGE) : NULL;
		state_require(s, !has || place[at], "more memory than the guest has");
	}
}

static void load_entry(struct memory *mem, struct state *s, const struct chunk_entry *entry)
{
	const uint64_t base = (uint64_t)entry->chunk * CHUNK;
	uint8_t chunk[CHUNK], *place[CHUNK_PAGES];
	int r;

	find_places(mem, s, entry, place);
	if (!state_ok(s))
		return;
	r = chunk_entry_read(entry, state_pages(s), chunk);
	if (r == -EBADMSG)
		state_fail(s, EINVAL, "damaged: memory at 0x%llx has a wrong checksum",
			(unsigned long long)base);
	else if (r == -ENODATA)
		state_fail(s, EINVAL, "not whole: it ends too early");
	else if (r)
		state_fail(s, -r, "cannot be read: %s", strerror(-r));
	for (unsigned at = 0; !r && at < CHUNK_PAGES; at++)
		if (place[at]) {
			memcpy(place[at], chunk + at * PAGE, PAGE);
			memory_written(mem, base + at * PAGE, PAGE);
		}
}

/* Is it one that may follow the page before `next`, which it moves on? */
static bool take_entry(const struct state *s, const struct chunk_entry *entry, uint64_t *next)
{
	uint64_t base = (uint64_t)entry->chunk * CHUNK_PAGES;

	if ((entry->size && state_version(s) < 2) || !entry->pages ||
		base + __builtin_ctz(entry->pages) < *next)
		return false;
	*next = base + 32 - __builtin_clz(entry->pages);
	return true;
}

/* What is read later. */
struct later {
	struct chunk_entry *entry;
	size_t count, room;
};

/* Is it all RAM, which can be absent? */
static bool can_wait(const struct memory *mem, const struct chunk_entry *entry)
{
	uint64_t base = (uint64_t)entry->chunk * CHUNK;

	for (unsigned i = 0; i < mem->regions; i++)
		if (region_holds(&mem->region[i], base))
			return mem->region[i].door == &mem->door && !mem->region[i].read_only &&
				region_holds(&mem->region[i], base + CHUNK - 1);
	return false;
}

static void keep_entry(struct later *later, struct state *s, const struct chunk_entry *entry)
{
	if (later->count == later->room) {
		size_t room = later->room ? 2 * later->room : 1024;
		struct chunk_entry *more = realloc(later->entry, room * sizeof *more);

		if (!more) {
			state_fail(s, ENOMEM, "out of memory");
			return;
		}
		later->entry = more;
		later->room = room;
	}
	later->entry[later->count++] = *entry;
}

static void load_section(struct memory *mem, struct state *s, uint64_t *next, struct later *later)
{
	struct chunk_entry entry;
	const void *data;
	size_t size;

	state_begin(s, "memory-map", 0, MAP_VERSION);
	state_blob(s, "chunks", &data, &size);
	state_require(s, size % sizeof entry == 0, "a part of an entry");
	for (size_t at = 0; at < size && state_ok(s); at += sizeof entry) {
		memcpy(&entry, (const uint8_t *)data + at, sizeof entry);
		state_require(s, take_entry(s, &entry, next), "pages in a wrong order");
		if (!state_ok(s))
			break;
		if (state_pages(s)->later && can_wait(mem, &entry))
			keep_entry(later, s, &entry);
		else
			load_entry(mem, s, &entry);
	}
	state_end(s);
}

void memory_load_pages(struct memory *mem, struct state *s)
{
	struct later later = {NULL, 0, 0};
	struct error err = {0};
	uint64_t next = 0; /* page */

	while (state_next_is(s, "memory-map"))
		load_section(mem, s, &next, &later);
	if (!state_ok(s) || !later.count)
		free(later.entry);
	else if (memory_lazy_begin(mem, state_pages(s), later.entry, later.count, &err))
		state_fail(s, ENOTSUP, "%s", err.text);
}
