/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From an address to the block there: looked up, else made, with the oldest part of the cache evicted where
 * there is no room; and exits linked to it. Runs with the guest's vector state live: no libc.
 */
#include "cpu/translate/cache/cache_internal.h"
#include "cpu/translate/emulate/segment.h"
#include "cpu/translate/hot.h"

/* The cache's lock, for a vCPU: how long it waits is counted. */
static void take(struct vcpu *v) ACQUIRE(v->vm->cache.lock) UNCHECKED_LOCKS
{
	struct lock *l = &v->vm->cache.lock;
	uint64_t start;

	if (lock_try(l))
		return;
	start = __builtin_ia32_rdtsc();
	lock_take(l);
	v->count.lock_wait++;
	v->count.lock_cycles += __builtin_ia32_rdtsc() - start;
}

static uint32_t look(struct vcpu *v, uint64_t linear, uint64_t gpa, uint32_t mode)
{
	struct cache *c = &v->vm->cache;
	uint64_t base = mode & MODE_HOSTMAP ? linear & ~4095ull : 0;
	struct table_at at = table_start(&c->table, cache_hash(gpa, base, mode));
	uint64_t second;
	uint32_t i;

	while ((i = table_next(&c->table, &at))) {
		const struct tblock *b = &c->block[i];

		if (b->gpa != gpa || b->mode != mode || b->base != base)
			continue;
		/* its second page is another matter */
		if (b->crosses &&
			(mmu_fetch(v, (linear | 4095) + 1, &second) != OUT_OK ||
				second != block_gpa2(b)))
			continue;
		return i;
	}
	return 0;
}

#define UNLOCKED 3u /* times that bytes may change while they are decoded without the lock */

/* The block, with the lock held; it is dropped and retaken where one must be made. */
static enum outcome find(struct vcpu *v, uint64_t linear, uint64_t gpa, uint32_t *index)
	REQUIRES(v->vm->cache.lock)
{
	struct cache *c = &v->vm->cache;
	uint32_t mode = v->private_data->mode, changes;
	unsigned tries = 0;
	enum outcome r;

	while (!(*index = look(v, linear, gpa, mode))) {
		struct decoded d;

		vcpu_vectors_save(v);
		changes = c->changes;
		if (tries < UNLOCKED) {
			lock_drop(&v->vm->cache.lock);
			r = cache_decode(v, linear, gpa, mode, false, &d);
			take(v);
			tries = d.unsure ? UNLOCKED : tries + 1;
			if (!r && (d.unsure || c->changes != changes))
				continue;
			/* another vCPU may have been faster */
			if (!r && (*index = look(v, linear, gpa, mode)))
				return OUT_OK;
		} else {
			r = cache_decode(v, linear, gpa, mode, true, &d);
		}
		if (r)
			return r;
		*index = cache_make(v, linear, gpa, mode, &d);
		if (*index)
			return OUT_OK;
		cache_next_part(v, c->part);
	}
	return OUT_OK;
}

/* Where the next instruction is, in linear and physical memory. */
static enum outcome locate(struct vcpu *v, uint64_t *linear, uint64_t *gpa)
{
	const struct cpu_state *s = &v->cpu;

	if (s->efer & EFER_LMA && s->seg[SEG_CS].attr & SEG_ATTR_L) {
		*linear = s->rip;
		if (!canonical_ok(s->rip))
			return fault_raise_error(v, EXC_GP, 0);
	} else {
		*linear = (uint32_t)(s->rip + s->seg[SEG_CS].base);
		if (s->rip > s->seg[SEG_CS].limit)
			return fault_raise_error(v, EXC_GP, 0);
	}
	return mmu_fetch(v, *linear, gpa);
}

static void remember(struct vcpu *v, uint64_t linear, const struct tblock *b)
{
	if (!(b->mode & (MODE_STEP | MODE_UNGROUPED)))
		tlb_remember_jump(v->tlb, linear, cache_exec_at(&v->vm->cache, b->code));
}

/*
 * A page of code is known by its physical address, its links to other pages go by linear ones: when
 * it is seen at a second linear address, it gets none any more.
 */
static bool is_noted(const struct vcpu *v, const struct page *page, uint64_t linear)
{
	return !page || v->cpu.cpl != 0 || page->linear == linear >> 12 || page->aliased;
}

static void note_linear(struct vcpu *v, uint64_t linear, uint64_t gpa)
{
	struct region *r = vm_region(v->vm, gpa);
	struct page *page = r ? region_page(r, gpa) : NULL;

	if (is_noted(v, page, linear))
		return;
	if (page->linear) {
		page->aliased = 1;
		v->count.crossing_unlinked++;
		cache_unlink_all_crossing(&v->vm->cache);
	}
	page->linear = linear >> 12;
}

/*
 * Without the lock. What is found may be forgotten or evicted meanwhile: who does that first says so
 * (dead, generation) and then clears the jump caches, here it is put into ours and then looked at.
 */
static bool find_unlocked(struct vcpu *v, uint64_t linear, uint64_t gpa, void **code)
{
	struct cache *c = &v->vm->cache;
	uint32_t generation = cache_generation(c), mode = v->private_data->mode, i;
	struct region *r = vm_region(v->vm, gpa);
	const struct tblock *b;

	if (!r || !is_noted(v, region_page(r, gpa), linear))
		return false;
	i = look(v, linear, gpa, mode);
	if (!i)
		return false;
	b = &c->block[i];
	remember(v, linear, b);
	*code = cache_exec_at(c, b->code);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!b->dead && generation == cache_generation(c))
		return true;
	if (!(mode & MODE_STEP))
		tlb_forget_jump(v->tlb, linear);
	return false;
}

enum outcome cache_find(struct vcpu *v, void **code, uint64_t *linear)
{
	uint64_t gpa;
	enum outcome r = locate(v, linear, &gpa);

	if (r || find_unlocked(v, *linear, gpa, code))
		return r;
	return cache_follow(v, 0, 0, code, linear);
}

/* --- linking ------------------------------------------------------------------------------ */

static bool may_link_far(struct vcpu *v, const struct tblock *from, uint64_t linear)
{
	struct cache *c = &v->vm->cache;
	struct region *r = vm_region(v->vm, from->gpa);

	return c->crossings < CACHE_CROSSINGS && r && !region_page(r, from->gpa)->aliased &&
		region_page(r, from->gpa)->linear == v->code_base >> 12 &&
		mmu_fetch_global(v, linear);
}

static void note_far(struct cache *c, uint64_t linear)
{
	c->crossing_pages[cache_crossing_word(linear)] |= 1ull << (linear >> 12 & 63);
}

static void link_exit(struct vcpu *v, uint32_t exit_index, uint32_t to, uint64_t linear)
{
	struct cache *c = &v->vm->cache;
	struct block_exit *e = &c->exit[exit_index];
	struct tblock *from = &c->block[e->block], *b = &c->block[to];

	if (e->to || from->dead || b->dead || b->mode & MODE_STEP ||
		(b->mode ^ from->mode) & ~MODE_UNGROUPED || b->base != from->base)
		return;
	/* holds while the second page stays where it is */
	if (b->crosses && (!(b->mode & MODE_RING0) || !may_link_far(v, from, (linear | 4095) + 1)))
		return;
	if (exit_crosses(e)) {
		if (!may_link_far(v, from, linear)) {
			cache_patch(c, e->patch, e->stub + EXIT_STUB_SIZE);
			return;
		}
		note_far(c, linear);
	} else if ((b->gpa ^ from->gpa) >> 12) {
		return;
	}
	if (exit_crosses(e) || b->crosses)
		c->crossing[c->crossings++] = exit_index;
	if (b->crosses)
		note_far(c, (linear | 4095) + 1);
	e->to = to;
	e->next_incoming = b->incoming;
	b->incoming = exit_index;
	cache_patch(c, e->patch, exit_crosses(e) ? b->code : b->code + b->same_page_entry);
	v->count.block_linked++;
}

enum outcome cache_follow(struct vcpu *v, uint32_t index, uint32_t generation, void **code,
	uint64_t *linear)
{
	struct cache *c = &v->vm->cache;
	uint32_t to;
	uint64_t gpa;
	enum outcome r = locate(v, linear, &gpa);

	if (r)
		return r;
	take(v);
	note_linear(v, *linear, gpa);
	r = find(v, *linear, gpa, &to);
	if (!r) {
		if (index && c->generation == generation)
			link_exit(v, index, to, *linear);
		remember(v, *linear, &c->block[to]);
		*code = cache_exec_at(c, c->block[to].code);
	}
	lock_drop(&v->vm->cache.lock);
	return r;
}
