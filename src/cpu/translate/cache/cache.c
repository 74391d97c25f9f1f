/* SPDX-License-Identifier: Apache-2.0 */
/* The blocks that there are: their table, the links between them, and forgetting them. No libc: the guest's vector state is live. */
#include "cpu/translate/cache/cache_internal.h"
#include "cpu/translate/hot.h"

/* --- the table ----------------------------------------------------------------------------- */

uint32_t cache_next(const struct cache *c, uint32_t i)
{
	unsigned part = i / (CACHE_BLOCKS / CACHE_PARTS);

	if (++i < c->part_blocks[part])
		return i;
	while (++part < c->parts)
		if (cache_first_block(part) < c->part_blocks[part])
			return cache_first_block(part);
	return 0;
}

/* The table larger, or without the traces of what was removed. */
static void rebuild(struct cache *c)
{
	uint32_t live = 0;

	for (uint32_t i = cache_next(c, 0); i; i = cache_next(c, i))
		live += !c->block[i].dead;
	table_clear(&c->table, live);
	for (uint32_t i = cache_next(c, 0); i; i = cache_next(c, i))
		if (!c->block[i].dead)
			table_put(&c->table, block_hash(&c->block[i]), i);
}

void cache_insert(struct cache *c, uint32_t index)
{
	uint64_t hash = block_hash(&c->block[index]);

	if (table_put(&c->table, hash, index))
		return;
	rebuild(c); /* `index` does not count yet */
	table_put(&c->table, hash, index);
}

/* --- links ------------------------------------------------------------------------------------ */

void cache_reset_exit(struct cache *c, struct block_exit *e)
{
	cache_patch(c, e->patch, e->stub);
	e->to = 0;
}

/* A list of incoming exits without those that are being unlinked. */
static void prune_incoming(struct cache *c, uint32_t *at)
{
	while (*at) {
		struct block_exit *e = &c->exit[*at];

		if (e->unlinking) {
			*at = e->next_incoming;
			e->unlinking = 0;
			e->to = 0;
		} else {
			at = &e->next_incoming;
		}
	}
}

/* Each list is gone through once: hundreds may lead to one block. */
void cache_unlink_all_crossing(struct cache *c)
{
	for (uint32_t i = 0; i < c->crossings; i++) {
		struct block_exit *e = &c->exit[c->crossing[i]];

		if (!e->to)
			continue;
		cache_patch(c, e->patch, e->stub);
		e->unlinking = 1;
	}
	for (uint32_t i = 0; i < c->crossings; i++) {
		struct block_exit *e = &c->exit[c->crossing[i]];

		if (e->unlinking)
			prune_incoming(c, &c->block[e->to].incoming);
	}
	c->crossings = 0;
	for (unsigned i = 0; i < CACHE_CROSSING_WORDS; i++)
		c->crossing_pages[i] = 0;
}

void cache_unlink_crossing(struct translate_vm *vm, uint64_t linear)
{
	struct cache *c = &vm->cache;

	if (!c->crossings ||
		(linear != ~0ull &&
			!(c->crossing_pages[cache_crossing_word(linear)] >> (linear >> 12 & 63) &
				1)))
		return;
	lock_take(&c->lock);
	vm->vcpu[0]->v->count.crossing_unlinked++;
	cache_unlink_all_crossing(c);
	lock_drop(&c->lock);
}

/* --- forgetting ------------------------------------------------------------------------------ */

static void forget_jumps(struct translate_vm *vm, const struct tblock *b)
{
	const void *target = cache_exec_at(&vm->cache, b->code);

	for (unsigned k = 0; k < vm->vcpus; k++)
		for (unsigned n = 0; n < CTX_COUNT; n++)
			tlb_drop_target(&vm->vcpu[k]->context[n], b->gpa & 4095, target);
}

static void remove_from_page(struct translate_vm *vm, uint32_t index, uint64_t gpa)
{
	struct cache *c = &vm->cache;
	struct region *r = vm_region(vm, gpa);
	uint32_t *at = r ? &region_page(r, gpa)->first_block : NULL;

	while (at && *at && *at != index)
		at = &c->block[*at].next_in_page[block_page_slot(&c->block[*at], gpa)];
	if (at && *at)
		*at = c->block[index].next_in_page[block_page_slot(&c->block[index], gpa)];
}

static void forget(struct translate_vm *vm, uint32_t index)
{
	struct cache *c = &vm->cache;
	struct tblock *b = &c->block[index];

	b->dead = true;
	table_remove(&c->table, block_hash(b), index);
	for (uint32_t i = b->incoming; i; i = c->exit[i].next_incoming)
		cache_reset_exit(c, &c->exit[i]);
	b->incoming = 0;
	remove_from_page(vm, index, b->gpa);
	if (b->crosses)
		remove_from_page(vm, index, block_gpa2(b));
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* see find_unlocked() */
	forget_jumps(vm, b);
}

/* The part of the page that a block covers: first and last byte. */
static void extent(const struct tblock *b, uint64_t page, unsigned *first, unsigned *last)
{
	unsigned start = b->gpa & 4095;

	if (!block_page_slot(b, page)) {
		*first = start;
		*last = start + b->size > 4096 ? 4095 : start + b->size - 1;
	} else {
		*first = 0;
		*last = start + b->size - 4097;
	}
}

uint64_t cache_lines(unsigned first, unsigned last)
{
	uint64_t below = last >= 4032 ? ~0ull : (1ull << (last / 64 + 1)) - 1;

	return below & ~((1ull << first / 64) - 1);
}

void cache_relist(struct translate_vm *vm, struct page *page, uint64_t gpa)
{
	const struct cache *c = &vm->cache;
	unsigned first, last;

	page->lines = 0;
	for (uint32_t i = page->first_block; i;
		i = c->block[i].next_in_page[block_page_slot(&c->block[i], gpa)]) {
		extent(&c->block[i], gpa, &first, &last);
		page->lines |= cache_lines(first, last);
	}
	if (page->first_block)
		return;
	page->writes = 0;
	page->linear = page->aliased = 0;
	__atomic_store_n(&page->has_code, 0, __ATOMIC_RELEASE);
	native_unpatch(vm, gpa);
}

/* Blocks of one page that overlap [from, to]; all if from is 0 and to 4095. */
static bool invalidate_page(struct translate_vm *vm, struct page *page, uint64_t gpa, unsigned from,
	unsigned to)
{
	struct cache *c = &vm->cache;
	uint32_t next;
	bool any = false;

	if (!(page->lines & cache_lines(from, to))) {
		/* data beside code: when that goes on, the code is forgotten and the page unwatched */
		if (!page->first_block || ++page->writes < 32u << page->write_tolerance)
			return false;
		page->writes = 0;
		if (page->write_tolerance < 10)
			page->write_tolerance++;
		from = 0;
		to = 4095;
	}
	for (uint32_t i = page->first_block; i; i = next) {
		struct tblock *b = &c->block[i];
		unsigned first, last;

		next = b->next_in_page[block_page_slot(b, gpa)];
		extent(b, gpa, &first, &last);
		if (first > to || last < from)
			continue;
		forget(vm, i);
		any = true;
	}
	if (any)
		cache_relist(vm, page, gpa);
	return any;
}

bool cache_invalidate(struct translate_vm *vm, uint64_t gpa, uint64_t size)
{
	bool any = false;

	while (size) {
		struct region *r = vm_region(vm, gpa);
		unsigned offset = gpa & 4095;
		uint64_t part = size < 4096 - offset ? size : 4096 - offset;
		struct page *page = r ? region_page(r, gpa) : NULL;

		if (page && __atomic_load_n(&page->has_code, __ATOMIC_ACQUIRE)) {
			lock_take(&vm->cache.lock);
			vm->cache.changes++;
			any |= invalidate_page(vm, page, gpa, offset,
				(unsigned)(offset + part - 1));
			lock_drop(&vm->cache.lock);
			native_unpatch(vm, gpa);
		}
		gpa += part;
		size -= part;
	}
	return any;
}

void cache_invalidate_torn(struct translate_vm *vm)
{
	struct cache *c = &vm->cache;

	lock_take(&c->lock);
	for (uint32_t i = cache_next(c, 0); i; i = cache_next(c, i)) {
		const struct tblock *b = &c->block[i];
		struct region *r = vm_region(vm, b->gpa);

		if (b->dead || b->crosses || (b->gpa & 4095) + b->size <= 4096)
			continue;
		c->changes++;
		forget(vm, i);
		if (r)
			cache_relist(vm, region_page(r, b->gpa), b->gpa);
	}
	lock_drop(&c->lock);
}

/* --- places in the code --------------------------------------------------------------------- */

const struct tblock *cache_block_at(const struct cache *c, const void *pc)
{
	uint32_t at = (uint32_t)((const uint8_t *)pc - c->exec);
	bool cold = at >= c->cold_start;
	unsigned part =
		cold ? (at - c->cold_start) / c->part_cold : (at - CODE_START) / c->part_hot;
	uint32_t low, high;

	if (at < CODE_START || part >= c->parts)
		return NULL;
	low = cache_first_block(part);
	high = __atomic_load_n(&c->part_blocks[part], __ATOMIC_ACQUIRE);
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct tblock *b = &c->block[middle];

		if (at < (cold ? b->cold : b->code))
			high = middle;
		else if (at >= (cold ? b->cold + b->cold_size : b->code + b->code_size))
			low = middle + 1;
		else
			return b;
	}
	return NULL;
}

const struct fixup *cache_fixup_at(const struct cache *c, const struct tblock *b, const void *pc)
{
	uint32_t at = (uint32_t)((const uint8_t *)pc - c->exec);
	const struct fixup *found = NULL;

	for (uint32_t i = b->first_fixup; i < b->first_fixup + b->fixups && c->fixup[i].code <= at;
		i++)
		found = &c->fixup[i];
	return found;
}
