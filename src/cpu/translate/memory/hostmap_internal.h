/* SPDX-License-Identifier: Apache-2.0 */
/* What is in windows, for hostmap.c, which knows what they hold, hostmap_fill.c, which decides, and hostmap_tick.c, which decides whether. */
#ifndef DACH_CPU_TRANSLATE_HOSTMAP_INTERNAL_H
#define DACH_CPU_TRANSLATE_HOSTMAP_INTERNAL_H

#include "cpu/translate/vm.h"
#include "cpu/translate/memory/hostmap.h"
#include "cpu/translate/native/mirror.h"

#define WINDOW_SIZE (1ull << WINDOW_BITS)
#define OWN_WINDOWS 4u /* of one address space */
#define MOST_WINDOWS 128u
#define CHUNK_BITS 21u
#define CHUNK_PAGES 512u
#define CHUNKS 1024u /* 2 GiB at most */
#define CHUNK_HASH 2048u

/* struct chunk.page and .whole: number of a page of guest memory (struct region), never 0; or 0 */
#define ENTRY_WRITE (1u << 31)
#define ENTRY_EXEC (1u << 30)    /* in a mirror only */
#define ENTRY_PATCHED (1u << 29) /* it is a copy that is seen there (native_patch.c) */
#define ENTRY_NUMBER (ENTRY_PATCHED - 1)

/* 2 MiB of guest addresses: one large page, or up to 512 pages. */
struct chunk {
	uint64_t number; /* address >> 21 */
	uint32_t whole;
	uint32_t used; /* pages */
	uint32_t page[CHUNK_PAGES];
};

/* What a mirror is to do before it runs again: map (fd >= 0), protect, or unmap (no rights, no file). */
#define ORDERS 64u
struct mirror_order {
	uint64_t at, size, offset;
	int fd, prot;
};

struct hostmap {
	struct translate_vm *vm;
	int64_t *table;
	bool on;
	uint64_t cr3;                                          /* the address space */
	unsigned calm_ticks, storm_ticks, hold_ticks, backoff; /* ticks, see hostmap_tick() */
	uint64_t fills, misses;                                /* seen at the last tick */
	uint64_t last;     /* address of the last miss that was mapped */
	uint64_t expected; /* address of a page fault that the guest handles, or 0 */
	unsigned slots;    /* windows in use: */
	unsigned slot[OWN_WINDOWS];
	uint8_t *base[OWN_WINDOWS]; /* reserved ones, in use or not */
	/* --- of an address space that runs natively --- */
	struct mirror *mirror; /* NULL: windows */
	unsigned orders;
	bool wipe; /* all of it first; with too many orders, instead of them */
	struct mirror_order order[ORDERS];
	uint32_t pieces;                                               /* mapped there */
	unsigned quiet_ticks, away_ticks, native_hold, native_backoff; /* native_policy.c */
	unsigned weight,
		debt; /* of trips: since the last round; us that have not been gained yet */
	unsigned pause_ticks, pauses, steady_ticks;
	bool known;               /* there has been a tick in this address space: */
	uint64_t first_fills;     /* of the TLB before it */
	uint64_t entries, looked; /* user_entry, and the vCPU's time, at the last tick; us */
	uint64_t ran;             /* the mirror's time at the last round; us */

	unsigned chunks;
	uint16_t hash[CHUNK_HASH]; /* 1 + index of a chunk */
	struct chunk chunk[CHUNKS];
};

/* The host's calls, for code that may not call libc. */
long hostmap_sys_mmap(void *at, uint64_t size, int prot, int flags, int fd, uint64_t offset);
long hostmap_sys_mprotect(void *at, uint64_t size, int prot);
static inline bool hostmap_sys_failed(long result)
{
	return (unsigned long)result > -4096ul;
}

/* All with the pool's lock held. Where linear is in its window, or NULL ... */
uint8_t *hostmap_window_at(const struct hostmap *w, uint64_t linear);
/* ... with a window for its slot, if there may be another. */
uint8_t *hostmap_window_make(struct hostmap *w, uint64_t linear);
/* The slots have none any more. */
void hostmap_forget_slots(struct hostmap *w);
/* What is known of linear's 2 MiB, or NULL; chunk_make() begins to know if there is room. */
struct chunk *chunk_find(struct hostmap *w, uint64_t linear);
struct chunk *chunk_make(struct hostmap *w, uint64_t linear);
/* The address space has windows, or a mirror, from now on. */
void hostmap_turn_on(struct hostmap *w);
/* And no longer. */
void hostmap_turn_off(struct hostmap *w);
/* Empties all windows, or the mirror. */
void hostmap_empty(struct hostmap *w);
/* Pages at the place that hostmap_window_at() gives: to be seen there, without the right to write, gone. */
bool hostmap_put(struct hostmap *w, uint8_t *at, uint64_t size, uint32_t entry);
void hostmap_write_protect(struct hostmap *w, uint8_t *at, uint64_t size, uint32_t entry);
void hostmap_drop(struct hostmap *w, uint8_t *at, uint64_t size);
/* Page i of a chunk that has it is not seen there any more. */
void hostmap_forget_page(struct hostmap *w, struct chunk *c, unsigned i);
/* `more` pieces are mapped than were. */
void hostmap_count(struct hostmap *w, int more);

#endif
