/* SPDX-License-Identifier: Apache-2.0 */
/* Finding, linking and forgetting blocks. Runs with the guest's vector state live: no libc. */
#include "cpu/translate/cache/cache.h"

#include "cpu/translate/emulate/segment.h"
#include "cpu/translate/vm.h"

static struct tlb *context(struct translate_vm *vm, unsigned vcpu, unsigned i)
{
	return &vm->vcpu[vcpu]->context[i];
}

static void *exec_at(struct cache *c, uint32_t offset)
{
	return c->exec + offset;
}

/* The cache's lock, for a vCPU: how long it waits is counted. */
static void take(struct vcpu *v)
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

/* --- finding --------------------------------------------------------------------------- */

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

#define UNLOCKED 3u /* times that bytes may change while they are decoded without the lock */

/* The block, with the lock held; it is dropped and retaken where one must be made. */
static enum outcome find(struct vcpu *v, uint64_t linear, uint64_t gpa, uint32_t *index)
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
			lock_drop(&c->lock);
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
		cache_turn(v, c->part);
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
	if (!(b->mode & (MODE_STEP | MODE_SINGLY)))
		tlb_remember_jump(v->tlb, linear, exec_at(&v->vm->cache, b->code));
}

static void patch(struct cache *c, uint32_t at, uint32_t to)
{
	/* others may run it: the rewriter keeps the four bytes within a cache line, so it is seen whole */
	__atomic_store_n((uint32_t *)(c->write + at), to - (at + 4), __ATOMIC_RELAXED);
}

/* Where a page stands in far_pages; both halves of the address space count. */
static unsigned far_word(uint64_t linear)
{
	return (linear >> 18 ^ linear >> 40) & (CACHE_FAR_WORDS - 1);
}

void cache_reset_exit(struct cache *c, struct block_exit *e)
{
	patch(c, e->patch, e->stub);
	e->to = 0;
}

/* A list of incoming exits without those that are `going`. */
static void thin_out(struct cache *c, uint32_t *at)
{
	while (*at) {
		struct block_exit *e = &c->exit[*at];

		if (e->going) {
			*at = e->next_incoming;
			e->going = 0;
			e->to = 0;
		} else {
			at = &e->next_incoming;
		}
	}
}

/* Each list is gone through once: hundreds may lead to one block. */
static void unlink_far(struct cache *c)
{
	for (uint32_t i = 0; i < c->fars; i++) {
		struct block_exit *e = &c->exit[c->far[i]];

		if (!e->to)
			continue;
		patch(c, e->patch, e->stub);
		e->going = 1;
	}
	for (uint32_t i = 0; i < c->fars; i++) {
		struct block_exit *e = &c->exit[c->far[i]];

		if (e->going)
			thin_out(c, &c->block[e->to].incoming);
	}
	c->fars = 0;
	for (unsigned i = 0; i < CACHE_FAR_WORDS; i++)
		c->far_pages[i] = 0;
}

void cache_unlink_far(struct translate_vm *vm, uint64_t linear)
{
	struct cache *c = &vm->cache;

	if (!c->fars ||
		(linear != ~0ull && !(c->far_pages[far_word(linear)] >> (linear >> 12 & 63) & 1)))
		return;
	lock_take(&c->lock);
	vm->vcpu[0]->v->count.far_unlinked++;
	unlink_far(c);
	lock_drop(&c->lock);
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
		v->count.far_unlinked++;
		unlink_far(&v->vm->cache);
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
	*code = exec_at(c, b->code);
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

	return c->fars < CACHE_FAR && r && !region_page(r, from->gpa)->aliased &&
		region_page(r, from->gpa)->linear == v->code_base >> 12 &&
		mmu_fetch_global(v, linear);
}

static void note_far(struct cache *c, uint64_t linear)
{
	c->far_pages[far_word(linear)] |= 1ull << (linear >> 12 & 63);
}

static void link_exit(struct vcpu *v, uint32_t exit_index, uint32_t to, uint64_t linear)
{
	struct cache *c = &v->vm->cache;
	struct block_exit *e = &c->exit[exit_index];
	struct tblock *from = &c->block[e->block], *b = &c->block[to];

	if (e->to || from->dead || b->dead || b->mode & MODE_STEP ||
		(b->mode ^ from->mode) & ~MODE_SINGLY || b->base != from->base)
		return;
	/* holds while the second page stays where it is */
	if (b->crosses && (!(b->mode & MODE_RING0) || !may_link_far(v, from, (linear | 4095) + 1)))
		return;
	if (exit_is_far(e)) {
		if (!may_link_far(v, from, linear)) {
			patch(c, e->patch, e->stub + EXIT_STUB_SIZE);
			return;
		}
		note_far(c, linear);
	} else if ((b->gpa ^ from->gpa) >> 12) {
		return;
	}
	if (exit_is_far(e) || b->crosses)
		c->far[c->fars++] = exit_index;
	if (b->crosses)
		note_far(c, (linear | 4095) + 1);
	e->to = to;
	e->next_incoming = b->incoming;
	b->incoming = exit_index;
	patch(c, e->patch, exit_is_far(e) ? b->code : b->code + b->near);
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
		*code = exec_at(c, c->block[to].code);
	}
	lock_drop(&c->lock);
	return r;
}

/* --- forgetting ------------------------------------------------------------------------------ */

static void forget_jumps(struct translate_vm *vm, const struct tblock *b)
{
	const void *target = exec_at(&vm->cache, b->code);

	for (unsigned k = 0; k < vm->vcpus; k++)
		for (unsigned n = 0; n < CTX_COUNT; n++)
			tlb_drop_target(context(vm, k, n), b->gpa & 4095, target);
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

void cache_relist(struct cache *c, struct page *page, uint64_t gpa)
{
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
		if (!page->first_block || ++page->writes < 32u << page->patience)
			return false;
		page->writes = 0;
		if (page->patience < 10)
			page->patience++;
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
		cache_relist(c, page, gpa);
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
		}
		gpa += part;
		size -= part;
	}
	return any;
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

const struct site *cache_site_at(const struct cache *c, const struct tblock *b, const void *pc)
{
	uint32_t at = (uint32_t)((const uint8_t *)pc - c->exec);
	const struct site *found = NULL;

	for (uint32_t i = b->first_site; i < b->first_site + b->sites && c->site[i].code <= at; i++)
		found = &c->site[i];
	return found;
}
