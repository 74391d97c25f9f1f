/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the code cache, and how the oldest makes way. Runs with the guest's vector state live. */
#include "cpu/translate/cache/cache_internal.h"
#include "cpu/translate/hot.h"
#include "cpu/translate/run/exclusive.h"

#include <sys/mman.h>

/* Exits and blocks of the part that is evicted. */
struct range {
	uint32_t block, blocks, exit, exits; /* first ones, and ends */
};

static bool holds_block(const struct range *g, uint32_t block)
{
	return block >= g->block && block < g->blocks;
}

static bool holds_exit(const struct range *g, uint32_t exit)
{
	return exit >= g->exit && exit < g->exits;
}

void cache_begin_part(struct cache *c, unsigned part)
{
	c->part = part;
	c->part_blocks[part] = cache_first_block(part);
	c->hot = CODE_START + part * c->part_hot;
	c->hot_end = c->hot + c->part_hot;
	c->cold = c->cold_start + part * c->part_cold;
	c->cold_end = c->cold + c->part_cold;
	c->exits = cache_first_exit(part);
	c->exits_end = (part + 1) * (CACHE_EXITS / CACHE_PARTS);
	c->fixups = part * (CACHE_FIXUPS / CACHE_PARTS);
	c->fixups_end = c->fixups + CACHE_FIXUPS / CACHE_PARTS;
	c->insns = part * (CACHE_INSNS / CACHE_PARTS);
	c->insns_end = c->insns + CACHE_INSNS / CACHE_PARTS;
	c->insn_hash = c->insn_hashes + part * CACHE_INSN_HASH;
	for (uint32_t i = 0; i < CACHE_INSN_HASH; i++)
		c->insn_hash[i] = 0;
}

/* Takes the range's blocks out of a page's list: all at once, since each search walks the list. */
static void leave_page(struct translate_vm *vm, const struct range *g, uint64_t gpa)
{
	struct cache *c = &vm->cache;
	struct region *r = vm_region(vm, gpa);
	struct page *page = r ? region_page(r, gpa) : NULL;
	bool any = false;

	for (uint32_t *at = page ? &page->first_block : NULL; at && *at;) {
		struct tblock *b = &c->block[*at];
		uint32_t *next = &b->next_in_page[block_page_slot(b, gpa)];

		if (holds_block(g, *at)) {
			*at = *next;
			any = true;
		} else {
			at = next;
		}
	}
	if (any)
		cache_relist(vm, page, gpa);
}

/* Takes the range's exits out of the list of those linked to a block that stays. */
static void leave_incoming(struct cache *c, const struct range *g, uint32_t block)
{
	for (uint32_t *at = &c->block[block].incoming; *at;) {
		struct block_exit *e = &c->exit[*at];

		if (holds_exit(g, *at)) {
			*at = e->next_incoming;
			e->to = 0;
		} else {
			at = &e->next_incoming;
		}
	}
}

static void forget_block(struct translate_vm *vm, const struct range *g, struct tblock *b,
	uint32_t index)
{
	struct cache *c = &vm->cache;

	table_remove(&c->table, block_hash(b), index);
	leave_page(vm, g, b->gpa);
	if (b->crosses)
		leave_page(vm, g, block_gpa2(b));
	for (uint32_t i = b->incoming; i; i = c->exit[i].next_incoming) {
		if (!holds_exit(g, i))
			cache_reset_exit(c, &c->exit[i]);
		else
			c->exit[i].to = 0;
	}
	b->incoming = 0;
}

/* No vCPU is in translated code or holds an address of it. */
static void evict(struct vcpu *v, unsigned part)
{
	struct translate_vm *vm = v->vm;
	struct cache *c = &vm->cache;
	const struct range g = {cache_first_block(part), c->part_blocks[part],
		cache_first_exit(part), c->part_exits[part]};
	const uint8_t *code = c->exec + CODE_START + part * c->part_hot;
	uint32_t crossings = 0;

	for (uint32_t i = g.block; i < g.blocks; i++) {
		if (c->block[i].dead)
			continue;
		forget_block(vm, &g, &c->block[i], i);
		v->count.block_evicted++;
	}
	for (uint32_t i = g.exit; i < g.exits; i++)
		if (c->exit[i].to)
			leave_incoming(c, &g, c->exit[i].to);
	for (uint32_t i = 0; i < c->crossings; i++)
		if (!holds_exit(&g, c->crossing[i]))
			c->crossing[crossings++] = c->crossing[i];
	c->crossings = crossings;
	c->changes++;
	/* who looks up without the lock puts an address into its jump cache, then looks at this */
	__atomic_fetch_add(&c->generation, 1, __ATOMIC_SEQ_CST);
	for (unsigned k = 0; k < vm->vcpus; k++)
		for (unsigned n = 0; n < CTX_COUNT; n++)
			tlb_forget_code(&vm->vcpu[k]->context[n], code, c->part_hot);
	v->count.part_evicted++;
}

void cache_next_part(struct vcpu *v, unsigned part)
{
	struct cache *c = &v->vm->cache;
	unsigned next = (part + 1) % c->parts;
	uint64_t since;

	if (c->part != part)
		return;
	c->part_exits[part] = c->exits;
	if (c->part_blocks[next] == cache_first_block(next)) {
		cache_begin_part(c, next);
		return;
	}
	lock_drop(&v->vm->cache.lock);
	vm_exclusive_begin(v);
	lock_take(&v->vm->cache.lock);
	if (c->part == part) {
		since = __builtin_ia32_rdtsc();
		c->part_exits[part] = c->exits;
		evict(v, next);
		cache_begin_part(c, next);
		v->count.evict_cycles += __builtin_ia32_rdtsc() - since;
	}
	lock_drop(&v->vm->cache.lock);
	vm_exclusive_end(v);
	lock_take(&v->vm->cache.lock);
}

/* Anonymous memory reads as zeros from then on, which is what all tables begin with. */
static void give_back(void *at, size_t size)
{
	madvise(at, size, MADV_DONTNEED);
}

bool cache_trim(struct translate_vm *vm, uint32_t blocks)
{
	struct cache *c = &vm->cache;
	uint32_t used = 0;

	lock_take(&c->lock);
	for (unsigned i = 0; i < c->parts; i++)
		used += c->part_blocks[i] - cache_first_block(i);
	if (used <= blocks) {
		lock_drop(&c->lock);
		return false;
	}
	c->part_exits[c->part] = c->exits;
	for (unsigned i = 0; i < c->parts; i++)
		if (c->part_blocks[i] != cache_first_block(i))
			evict(vm->vcpu[0]->v, i);
	for (unsigned i = c->parts; i-- > 0;)
		cache_begin_part(c, i);
	c->table.slots = TABLE_SLOTS_MIN;
	c->table.used = 0;
	give_back(c->table.slot, c->table.max * sizeof *c->table.slot);
	give_back(c->block, CACHE_BLOCKS * sizeof *c->block);
	give_back(c->exit, CACHE_EXITS * sizeof *c->exit);
	give_back(c->fixup, CACHE_FIXUPS * sizeof *c->fixup);
	give_back(c->insn, CACHE_INSNS);
	if (c->rip)
		give_back(c->rip, CACHE_BLOCKS * sizeof *c->rip);
	/* The code's memory is shared by two mappings: only the file's pages can go. */
	madvise(c->write + 4096, c->size - 4096, MADV_REMOVE);
	c->collapsed = 0;
	c->ready_cold = c->ready_blocks = c->ready_exits = 0;
	lock_drop(&c->lock);
	return true;
}

void cache_usage(const struct cache *c, struct cache_use *use)
{
	*use = (struct cache_use){0};
	for (uint32_t i = cache_next(c, 0); i; i = cache_next(c, i)) {
		const struct tblock *b = &c->block[i];

		use->blocks++;
		use->dead += b->dead;
		use->hot += b->code_size;
		use->cold += b->cold_size;
		use->exits += b->exits;
		use->fixups += b->fixups;
	}
}
