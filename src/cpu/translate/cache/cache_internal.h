/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the code cache have of each other. The cache's lock is held but where said. */
#ifndef DACH_CPU_TRANSLATE_CACHE_INTERNAL_H
#define DACH_CPU_TRANSLATE_CACHE_INTERNAL_H

#include "cpu/translate/cache/cache.h"
#include "cpu/translate/vm.h"

static inline void *cache_exec_at(struct cache *c, uint32_t offset)
{
	return c->exec + offset;
}

/* Others may run it: the emitter keeps the four bytes within a cache line, so it is seen whole. */
static inline void cache_patch(struct cache *c, uint32_t at, uint32_t to)
{
	__atomic_store_n((uint32_t *)(c->write + at), to - (at + 4), __ATOMIC_RELAXED);
}

/* Where a page stands in crossing_pages; both halves of the address space count. */
static inline unsigned cache_crossing_word(uint64_t linear)
{
	return (linear >> 18 ^ linear >> 40) & (CACHE_CROSSING_WORDS - 1);
}

/* --- cache.c -------------------------------------------------------------------------------- */

/* Puts a block into the table. */
void cache_insert(struct cache *c, uint32_t index);
/* The 64-byte lines of a page from byte to byte. */
uint64_t cache_lines(unsigned first, unsigned last);
/* What is left of a page's list of blocks covers other lines, or nothing. */
void cache_relist(struct translate_vm *vm, struct page *page, uint64_t gpa);
/* Directs a linked exit back to its stub. */
void cache_reset_exit(struct cache *c, struct block_exit *e);
/* Forgets all links to other pages. */
void cache_unlink_all_crossing(struct cache *c);

/* --- evict.c -------------------------------------------------------------------------------- */

/*
 * Begins to fill the next part, if the present one is still `part`. The lock is held, and dropped
 * meanwhile if other vCPUs must be held outside. No code address, exit or block number that was known
 * before may be used after it, if the generation has changed.
 */
void cache_next_part(struct vcpu *v, unsigned part) REQUIRES(v->vm->cache.lock);
/* Fill marks at the start of a part. */
void cache_begin_part(struct cache *c, unsigned part);

/* --- make.c: from guest bytes to a block; vectors are saved --------------------------------- */

/* What was decoded, between the two steps. */
struct decoded {
	struct insn insn[BLOCK_MAX_INSNS];
	unsigned count;
	bool crosses, next_crosses;
	bool unsure; /* needs the lock from the start */
	uint64_t gpa2;
};
/*
 * Without the lock, or with it if `locked`: watches the page and decodes. What it has read holds
 * while `changes`, read before, stays as it is.
 */
enum outcome cache_decode(struct vcpu *v, uint64_t linear, uint64_t gpa, uint32_t mode, bool locked,
	struct decoded *d);
/* With the lock: the block's number, 0 if there is no room. */
uint32_t cache_make(struct vcpu *v, uint64_t linear, uint64_t gpa, uint32_t mode, struct decoded *d)
	REQUIRES(v->vm->cache.lock);

#endif
