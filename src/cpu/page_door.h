/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one door to a piece of guest memory: is this page here, and who wants to know that it is
 * written? Engines ask it where a TLB, a window, the page walker or the translator of code first
 * touches or first writes a page, and machine/memory.h for devices and loaders.
 *
 * While nobody asks for either, each question is one look at a NULL pointer.
 *
 * Written: a bit a page. Who writes a page tells after the write, or takes the right to write it away from
 * itself with each read of the log (engine.h, engine_log_read()). Two may follow the writes at once.
 *
 * Here: pages may be absent at first. The first to touch one brings it, by the callback; others that
 * want it meanwhile wait. Each page is brought once.
 *
 * A region of guest memory (region.h) is a run of a door's pages; regions that are split share a door.
 */
#ifndef DACH_CPU_PAGE_DOOR_H
#define DACH_CPU_PAGE_DOOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/thread.h"

struct engine;
struct engine_vm;
struct memory_region;

/* Who follows writes. */
enum page_log { PAGE_LOG_MOVE, PAGE_LOG_DISPLAY, PAGE_LOGS };

/*
 * Writes `count` pages from number `first` on to `to`; 0, or a negative errno after which the guest
 * cannot go on. On any thread that touches memory; must not touch guest memory otherwise, nor call the
 * engine or the machine.
 */
typedef int page_bring(void *ctx, uint64_t first, uint64_t count, void *to);

struct page_door {
	uint64_t pages;
	uint8_t *host;     /* of page 0 */
	uint64_t *written; /* bits; NULL: nobody asks */
	uint64_t *here;    /* bits; NULL: all are */

	struct mutex lock;        /* of what follows, and of who reads the log */
	uint64_t *log[PAGE_LOGS]; /* each one's: written and not yet read; NULL: does not ask */
	uint64_t *taken;          /* what has just been taken out of `written` */
	uint64_t *kept;           /* memory of `written`, until the end */
	pthread_cond_t came;
	uint64_t *coming; /* pages that somebody brings */
	page_bring *bring;
	void *bring_ctx;
	unsigned cluster; /* as many pages at a time, at most */
	/*
	 * The engine's: puts pages where they belong, when they cannot be written there. Set while some are
	 * absent; NULL: they can.
	 */
	int (*place)(void *ctx, struct page_door *door, uint64_t first, uint64_t count,
		const void *from);
	void *place_ctx;
};

static inline bool page_bit(const uint64_t *bits, uint64_t page)
{
	return __atomic_load_n(&bits[page / 64], __ATOMIC_ACQUIRE) >> page % 64 & 1;
}

static inline void page_bit_set(uint64_t *bits, uint64_t page)
{
	__atomic_fetch_or(&bits[page / 64], 1ull << page % 64, __ATOMIC_SEQ_CST);
}

/* door may be NULL in all of these: nobody asks. Any thread. */

static inline bool page_door_logs(const struct page_door *door)
{
	return door && __atomic_load_n(&door->written, __ATOMIC_RELAXED);
}

/* So many pages have been written. */
static inline void page_door_mark(struct page_door *door, uint64_t first, uint64_t count)
{
	uint64_t *written = door ? __atomic_load_n(&door->written, __ATOMIC_ACQUIRE) : NULL;

	for (uint64_t i = first; written && i < first + count; i++)
		if (!page_bit(written, i))
			page_bit_set(written, i);
}

static inline bool page_door_is_marked(const struct page_door *door, uint64_t page)
{
	return page_bit(door->written, page);
}

/* May pages be absent? */
static inline bool page_door_is_lazy(const struct page_door *door)
{
	return door && __atomic_load_n(&door->here, __ATOMIC_RELAXED);
}

static inline bool page_door_is_here(const struct page_door *door, uint64_t page)
{
	const uint64_t *here = door ? __atomic_load_n(&door->here, __ATOMIC_ACQUIRE) : NULL;

	return !here || page_bit(here, page);
}

/*
 * For memory of so many bytes, whole pages, at host. An engine that has a region with it is told of
 * changes below by vm_door(), while no vCPU runs.
 */
void page_door_init(struct page_door *door, uint8_t *host, uint64_t size);
void page_door_destroy(struct page_door *door);

/* Begins or ends to follow writes, with none told. -ENOMEM. */
int page_door_log(struct page_door *door, enum page_log who, bool on, struct error *err);
/*
 * From now on pages are absent that are not among `here` (bits, copied; NULL: none is here); nobody touches
 * any meanwhile. They come `cluster` at a time, where as many are absent side by side (1: one by one). After a failure all is as it was.
 */
int page_door_begin_lazy(struct page_door *door, const uint64_t *here, unsigned cluster,
	page_bring *bring, void *ctx, struct error *err);
/* All pages are here, or those that are not are lost. No vCPU runs, nobody brings any. */
void page_door_end_lazy(struct page_door *door);
/* Makes sure that pages are here: 0, or what bring() has said. */
int page_door_bring(struct page_door *door, uint64_t first, uint64_t count);

/*
 * What has been written of a region (or of a part of one, with door, door_page and gpa accordingly)
 * since `who` began or last read it: a bit a page, from number `at` of bitmap on; bits of other pages
 * stay. What is written from now on is told next time: read, then copy the pages. Any thread, also while the
 * guest runs; not while what is where changes.
 */
void engine_log_read(const struct engine *engine, struct engine_vm *vm,
	const struct memory_region *region, enum page_log who, uint64_t *bitmap, uint64_t at);

#endif
