/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/page_door.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/engine.h"

void page_door_init(struct page_door *door, uint8_t *host, uint64_t size)
{
	*door = (struct page_door){.pages = size / REGION_PAGE, .host = host};
	mutex_init(&door->lock);
	pthread_cond_init(&door->came, NULL);
}

void page_door_destroy(struct page_door *door)
{
	for (unsigned i = 0; i < PAGE_LOGS; i++)
		free(door->log[i]);
	free(door->taken);
	free(door->kept);
	page_door_end_lazy(door);
	pthread_cond_destroy(&door->came);
	mutex_destroy(&door->lock);
}

static size_t words(const struct page_door *door)
{
	return (door->pages + 63) / 64;
}

static uint64_t *new_bits(const struct page_door *door)
{
	return calloc(words(door), sizeof(uint64_t));
}

/* --- written --------------------------------------------------------------------------------- */

static bool anybody_asks(const struct page_door *door)
{
	for (unsigned i = 0; i < PAGE_LOGS; i++)
		if (door->log[i])
			return true;
	return false;
}

/* A device may be about to look at `written` while this ends: its memory stays. */
static int start_log(struct page_door *door, enum page_log who, struct error *err)
{
	if (!door->kept)
		door->kept = new_bits(door);
	if (!door->taken)
		door->taken = new_bits(door);
	door->log[who] = new_bits(door);
	if (!door->kept || !door->taken || !door->log[who])
		return error_set(err, ENOMEM, "no memory to follow what the guest writes");
	if (door->written)
		return 0;
	memset(door->kept, 0, words(door) * sizeof *door->kept);
	__atomic_store_n(&door->written, door->kept, __ATOMIC_SEQ_CST);
	return 0;
}

int page_door_log(struct page_door *door, enum page_log who, bool on, struct error *err)
{
	int r = 0;

	mutex_lock(&door->lock);
	free(door->log[who]);
	door->log[who] = NULL;
	if (on)
		r = start_log(door, who, err);
	if (!anybody_asks(door))
		__atomic_store_n(&door->written, NULL, __ATOMIC_SEQ_CST);
	mutex_unlock(&door->lock);
	return r;
}

/* The bits of a word that are among pages [first, end). */
static uint64_t word_mask(uint64_t word, uint64_t first, uint64_t end)
{
	uint64_t mask = ~0ull;

	if (word == first / 64)
		mask &= ~0ull << first % 64;
	if (word == end / 64)
		mask &= (1ull << end % 64) - 1;
	return mask;
}

/* From `written` to `taken`, and to all who ask; false: there is nothing. */
static bool take(struct page_door *door, uint64_t first, uint64_t end)
{
	bool any = false;

	for (uint64_t w = first / 64; w * 64 < end; w++) {
		uint64_t mask = word_mask(w, first, end);
		uint64_t bits =
			__atomic_fetch_and(&door->written[w], ~mask, __ATOMIC_SEQ_CST) & mask;

		door->taken[w] = (door->taken[w] & ~mask) | bits;
		any |= bits;
		for (unsigned i = 0; i < PAGE_LOGS && bits; i++)
			if (door->log[i])
				door->log[i][w] |= bits;
	}
	return any;
}

static void give(uint64_t *log, uint64_t first, uint64_t end, uint64_t *bitmap, uint64_t at)
{
	for (uint64_t w = first / 64; w * 64 < end; w++) {
		uint64_t bits = log[w] & word_mask(w, first, end);

		log[w] &= ~bits;
		for (; bits; bits &= bits - 1) {
			uint64_t to = w * 64 + (uint64_t)__builtin_ctzll(bits) - first + at;

			bitmap[to / 64] |= 1ull << to % 64;
		}
	}
}

void engine_log_read(const struct engine *engine, struct engine_vm *vm,
	const struct memory_region *region, enum page_log who, uint64_t *bitmap, uint64_t at)
{
	struct page_door *door = region->door;
	uint64_t first = region->door_page, end = first + region->size / REGION_PAGE;

	if (!door)
		return;
	mutex_lock(&door->lock);
	if (door->log[who]) {
		if (engine->vm_log_collect)
			engine->vm_log_collect(vm, region);
		if (take(door, first, end) && engine->vm_log_rearm)
			engine->vm_log_rearm(vm, region);
		give(door->log[who], first, end, bitmap, at);
	}
	mutex_unlock(&door->lock);
}

/* --- here ------------------------------------------------------------------------------------- */

int page_door_begin_lazy(struct page_door *door, const uint64_t *here, unsigned cluster,
	page_bring *bring, void *ctx, struct error *err)
{
	uint64_t *bits = new_bits(door), *coming = new_bits(door);

	if (!bits || !coming) {
		free(bits);
		free(coming);
		return error_set(err, ENOMEM, "no memory to know which pages are here");
	}
	if (here)
		memcpy(bits, here, words(door) * sizeof *bits);
	page_door_end_lazy(door);
	door->coming = coming;
	door->bring = bring;
	door->bring_ctx = ctx;
	door->cluster = cluster ? cluster : 1;
	__atomic_store_n(&door->here, bits, __ATOMIC_SEQ_CST);
	return 0;
}

void page_door_end_lazy(struct page_door *door)
{
	uint64_t *here = door->here;

	__atomic_store_n(&door->here, NULL, __ATOMIC_SEQ_CST);
	free(here);
	free(door->coming);
	door->coming = NULL;
	door->place = NULL;
}

static bool wanted(const struct page_door *door, uint64_t page)
{
	return !page_bit(door->here, page) && !page_bit(door->coming, page);
}

/* What is absent around a page, within its cluster, is to come: [*first, *end). */
static void claim(struct page_door *door, uint64_t page, uint64_t *first, uint64_t *end)
{
	uint64_t low = page / door->cluster * door->cluster, high = low + door->cluster;

	if (high > door->pages)
		high = door->pages;
	for (*first = page; *first > low && wanted(door, *first - 1); --*first)
		;
	for (*end = page + 1; *end < high && wanted(door, *end); ++*end)
		;
	for (uint64_t i = *first; i < *end; i++)
		page_bit_set(door->coming, i);
}

static int bring_run(struct page_door *door, uint64_t first, uint64_t count)
{
	uint8_t *buffer;
	int r;

	if (!door->place)
		return door->bring(door->bring_ctx, first, count, door->host + first * REGION_PAGE);
	buffer = aligned_alloc(REGION_PAGE, count * REGION_PAGE);
	if (!buffer)
		return -ENOMEM;
	r = door->bring(door->bring_ctx, first, count, buffer);
	if (!r)
		r = door->place(door->place_ctx, door, first, count, buffer);
	free(buffer);
	return r;
}

/* The lock is dropped meanwhile. */
static int bring_page(struct page_door *door, uint64_t page) REQUIRES(door->lock)
{
	uint64_t first, end;
	int r;

	claim(door, page, &first, &end);
	mutex_unlock(&door->lock);
	r = bring_run(door, first, end - first);
	mutex_lock(&door->lock);
	for (uint64_t i = first; i < end; i++) {
		if (!r)
			page_bit_set(door->here, i);
		__atomic_fetch_and(&door->coming[i / 64], ~(1ull << i % 64), __ATOMIC_SEQ_CST);
	}
	pthread_cond_broadcast(&door->came);
	return r;
}

int page_door_bring(struct page_door *door, uint64_t first, uint64_t count)
{
	int r = 0;

	for (uint64_t i = first; i < first + count && !r; i++) {
		if (page_door_is_here(door, i))
			continue;
		mutex_lock(&door->lock);
		while (!r && !page_bit(door->here, i))
			if (page_bit(door->coming, i))
				mutex_wait(&door->lock, &door->came);
			else
				r = bring_page(door, i);
		mutex_unlock(&door->lock);
	}
	return r;
}
