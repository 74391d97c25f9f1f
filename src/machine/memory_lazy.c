/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/memory_lazy.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"
#include "machine/memory_pack.h"

#define PAGE REGION_PAGE

struct memory_lazy {
	struct memory *mem;
	const struct state_pages *pages;
	struct chunk_entry *entry;
	size_t count;
	pthread_t thread;
	bool started;
	bool stop, is_over; /* atomic */
	void (*over)(void *ctx);
	void *ctx;
	struct mutex lock;
	int r GUARDED_BY(lock); /* the first failure */
	struct error err GUARDED_BY(lock);
};

/* Where a page of RAM was when the state was made, and where a page of the state is in RAM. */
static uint64_t gpa_of(const struct memory *mem, uint64_t page)
{
	uint64_t offset = page * PAGE;

	return offset < mem->low ? offset : offset - mem->low + MEMORY_HIGH_START;
}

static uint64_t page_of(const struct memory *mem, uint64_t gpa)
{
	return (gpa < MEMORY_HIGH_START ? gpa : gpa - MEMORY_HIGH_START + mem->low) / PAGE;
}

static int fail(struct memory_lazy *lazy, int code, uint64_t gpa, const char *what)
{
	mutex_lock(&lazy->lock);
	if (!lazy->r)
		lazy->r = error_set(&lazy->err, code, "the saved guest's memory at 0x%llx %s",
			(unsigned long long)gpa, what);
	mutex_unlock(&lazy->lock);
	return -code;
}

static int read_places(const struct chunk_entry *entry, const struct state_pages *pages,
	uint8_t *chunk)
{
	const uint64_t base = (uint64_t)entry->chunk * CHUNK;
	int r = 0;

	for (unsigned at = 0, run; !r && at < CHUNK_PAGES; at += run + 1) {
		for (run = 0; at + run < CHUNK_PAGES && entry->pages >> (at + run) & 1; run++)
			;
		if (run)
			r = pages->read(pages->ctx, base + at * PAGE, chunk + at * PAGE,
				run * PAGE);
	}
	return r;
}

static int read_packed(const struct chunk_entry *entry, const struct state_pages *pages,
	uint8_t *chunk)
{
	uint8_t *packed = malloc(entry->size);
	int r = packed ? pages->read(pages->ctx, chunk_entry_gpa(entry), packed, entry->size)
		       : -ENOMEM;

	if (!r)
		r = chunk_unpack(packed, entry->size, entry->pages, chunk);
	free(packed);
	return r == -EINVAL ? -EBADMSG : r;
}

int chunk_entry_read(const struct chunk_entry *entry, const struct state_pages *pages,
	uint8_t *chunk)
{
	uint32_t crc = 0;
	int r = entry->size ? read_packed(entry, pages, chunk) : read_places(entry, pages, chunk);

	for (unsigned at = 0; !r && at < CHUNK_PAGES; at++)
		if (entry->pages >> at & 1)
			crc = state_checksum(crc, chunk + at * PAGE, PAGE);
	return r || crc == entry->crc ? r : -EBADMSG;
}

static int read_entry(struct memory_lazy *lazy, const struct chunk_entry *entry, uint8_t *chunk)
{
	const uint64_t base = (uint64_t)entry->chunk * CHUNK;
	int r = chunk_entry_read(entry, lazy->pages, chunk);

	if (r == -EBADMSG)
		return fail(lazy, EINVAL, base, "is damaged: a wrong checksum");
	return r ? fail(lazy, -r, base, "cannot be read") : 0;
}

/* The first entry of a chunk, or of one behind it. */
static const struct chunk_entry *find(const struct memory_lazy *lazy, uint64_t chunk)
{
	size_t low = 0, high = lazy->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (lazy->entry[middle].chunk < chunk)
			low = middle + 1;
		else
			high = middle;
	}
	return lazy->entry + low;
}

/* page_door.h: within a chunk, since that is what comes at a time. */
static int bring(void *ctx, uint64_t first, uint64_t count, void *to)
{
	struct memory_lazy *lazy = ctx;
	uint64_t gpa = gpa_of(lazy->mem, first), chunk = gpa / CHUNK;
	unsigned at = gpa / PAGE % CHUNK_PAGES;
	const struct chunk_entry *entry = find(lazy, chunk), *end = lazy->entry + lazy->count;
	uint8_t *buffer = malloc(CHUNK);
	int r = buffer ? 0 : -ENOMEM;

	for (; !r && entry < end && entry->chunk == chunk; entry++) {
		r = read_entry(lazy, entry, buffer);
		for (unsigned i = 0; !r && i < count; i++)
			if (entry->pages >> (at + i) & 1)
				memcpy((uint8_t *)to + i * PAGE, buffer + (at + i) * PAGE, PAGE);
	}
	free(buffer);
	return r;
}

static void *read_ahead(void *ctx)
{
	struct memory_lazy *lazy = ctx;
	struct memory *mem = lazy->mem;
	int r = 0;

	pthread_setname_np(pthread_self(), "read-ahead");
	for (size_t i = 0; !r && i < lazy->count; i++)
		for (unsigned n = 0; !r && n < CHUNK_PAGES; n++) {
			uint64_t gpa = (uint64_t)lazy->entry[i].chunk * CHUNK + n * PAGE;

			if (__atomic_load_n(&lazy->stop, __ATOMIC_ACQUIRE))
				return NULL;
			if (lazy->entry[i].pages >> n & 1)
				r = page_door_bring(&mem->door, page_of(mem, gpa), 1);
		}
	if (r)
		fail(lazy, -r, 0, "cannot be had");
	__atomic_store_n(&lazy->is_over, true, __ATOMIC_RELEASE);
	lazy->over(lazy->ctx);
	return NULL;
}

static void lazy_free(struct memory_lazy *lazy)
{
	free(lazy->entry);
	mutex_destroy(&lazy->lock);
	free(lazy);
}

int memory_lazy_begin(struct memory *mem, const struct state_pages *pages,
	struct chunk_entry *entry, size_t count, struct error *err)
{
	struct memory_lazy *lazy = calloc(1, sizeof *lazy);
	size_t size = (mem->door.pages + 63) / 64 * sizeof(uint64_t);
	uint64_t *here = malloc(size);
	int r = lazy && here ? 0 : error_nomem(err);

	if (!r) {
		*lazy = (struct memory_lazy){.mem = mem,
			.pages = pages,
			.entry = entry,
			.count = count};
		mutex_init(&lazy->lock);
		memset(here, 0xff, size);
		for (size_t i = 0; i < count; i++)
			for (unsigned n = 0; n < CHUNK_PAGES; n++) {
				uint64_t gpa = (uint64_t)entry[i].chunk * CHUNK + n * PAGE;
				uint64_t page = page_of(mem, gpa);

				if (entry[i].pages >> n & 1)
					here[page / 64] &= ~(1ull << page % 64);
			}
		r = memory_begin_lazy(mem, &mem->door, here, CHUNK_PAGES, bring, lazy, err);
	}
	free(here);
	if (!r) {
		mem->lazy = lazy;
		return 0;
	}
	free(entry);
	free(lazy);
	return r;
}

int memory_lazy_start(struct memory *mem, void (*over)(void *ctx), void *ctx, struct error *err)
{
	struct memory_lazy *lazy = mem->lazy;
	int r;

	if (!lazy)
		return 0;
	lazy->over = over;
	lazy->ctx = ctx;
	r = thread_start(&lazy->thread, 0, read_ahead, lazy);
	lazy->started = !r;
	return r ? error_set(err, -r, "cannot start a thread: %s", thread_error(-r)) : 0;
}

int memory_lazy_result(struct memory *mem, struct error *err)
{
	struct memory_lazy *lazy = mem->lazy;
	int r = 0;

	if (!lazy)
		return 0;
	mutex_lock(&lazy->lock);
	if (lazy->r)
		r = error_set(err, -lazy->r, "%s", lazy->err.text);
	mutex_unlock(&lazy->lock);
	return r;
}

bool memory_lazy_is_over(const struct memory *mem)
{
	return mem->lazy && __atomic_load_n(&mem->lazy->is_over, __ATOMIC_ACQUIRE);
}

void memory_lazy_end(struct memory *mem)
{
	struct memory_lazy *lazy = mem->lazy;

	if (!lazy)
		return;
	__atomic_store_n(&lazy->stop, true, __ATOMIC_RELEASE);
	if (lazy->started)
		pthread_join(lazy->thread, NULL);
	memory_end_lazy(mem, &mem->door);
	mem->lazy = NULL;
	lazy_free(lazy);
}
