/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes into windows, and which address spaces have them. Runs with the guest's vector state live:
 * no libc.
 */
#include <sys/mman.h>

#include "cpu/translate/hot.h"
#include "cpu/translate/memory/hostmap_internal.h"
#include "cpu/translate/memory/walk.h"
#include "cpu/translate/native/native.h"
#include "cpu/translate/run/exclusive.h"

#define AROUND 8u /* pages that a miss brings in, if they are there */

/* --- filling ------------------------------------------------------------------------------------- */

static uint32_t entry_of(const struct region *r, uint64_t gpa, bool write)
{
	return (r->number + (uint32_t)((gpa - r->gpa) >> 12)) | (write ? ENTRY_WRITE : 0);
}

static bool has_code(struct region *r, uint64_t gpa)
{
	return __atomic_load_n(&region_page(r, gpa)->has_code, __ATOMIC_SEQ_CST);
}

/* Is whoever writes to the page known to say so, by now? */
static bool is_watched(struct region *r, uint64_t gpa)
{
	return __atomic_load_n(&region_page(r, gpa)->has_code, __ATOMIC_SEQ_CST) == PAGE_WATCHED;
}

static bool may_write(struct region *r, const struct walk *w)
{
	return w->writable && w->dirty && !r->read_only;
}

/* Can the page be in a window at all? */
static bool may_map(const struct region *r, uint64_t gpa)
{
	return r && r->fd >= 0 && region_here(r, gpa);
}

/* All of a large page. False: not now, or not as one. */
static bool map_whole(struct hostmap *w, struct chunk *c, struct region *r, uint64_t gpa,
	bool write)
{
	uint64_t start = gpa & ~((1ull << CHUNK_BITS) - 1);
	uint32_t entry = entry_of(r, start, write);

	if (start < r->gpa || start + (1ull << CHUNK_BITS) > r->gpa + r->size)
		return false;
	for (unsigned i = 0; write && i < CHUNK_PAGES; i++)
		if (has_code(r, start + ((uint64_t)i << 12)))
			return false;
	for (unsigned i = 0; page_door_is_lazy(r->door) && i < CHUNK_PAGES; i++)
		if (!region_here(r, start + ((uint64_t)i << 12)))
			return false;
	if (!hostmap_put(w, hostmap_window_at(w, c->number << CHUNK_BITS), 1ull << CHUNK_BITS,
		    entry))
		return false;
	hostmap_count(w, !c->whole - (int)c->used);
	for (unsigned i = 0; i < CHUNK_PAGES && c->used; i++)
		c->page[i] = 0;
	c->used = 0;
	c->whole = entry;
	return true;
}

static const uint8_t *host_page(const struct region *r, uint64_t gpa)
{
	return r->host + ((gpa - r->gpa) & ~4095ull);
}

/* The host's address of the page at linear, if it can be seen. */
static const uint8_t *page_at(struct vcpu *v, uint64_t linear)
{
	struct region *r;
	struct walk w;
	uint32_t error;

	if (walk(v->vm, &v->cpu, linear, (struct walk_access){.peek = true}, &w, &error))
		return NULL;
	r = vm_region(v->vm, w.gpa);
	return may_map(r, w.gpa) ? host_page(r, w.gpa) : NULL;
}

/* May the page's code run as it is, or in a copy? */
static uint32_t exec_of(struct vcpu *v, const struct hostmap *w, uint64_t linear, struct region *r,
	const struct walk *at)
{
	struct native_found found;
	enum native_code code;

	if (!w->mirror || at->no_execute)
		return 0;
	code = native_scan(page_at(v, linear - 4096), host_page(r, at->gpa),
		page_at(v, linear + 4096), w->mirror->cpuid_faults, &found);
	if (code != NATIVE_CODE_PATCHED)
		return code == NATIVE_CODE_AS_IS ? ENTRY_EXEC : 0;
	/* whoever writes to it afterwards waits for the lock, and takes it away again */
	if (!is_watched(r, at->gpa) ||
		native_patch(&v->vm->native.patches, entry_of(r, at->gpa, false),
			host_page(r, at->gpa), &found) < 0)
		return 0;
	v->count.native_patched++;
	return ENTRY_EXEC | ENTRY_PATCHED;
}

/* The entry that the page at linear may have, or 0: it is not there, or was never touched. */
static uint32_t look(struct vcpu *v, const struct hostmap *m, uint64_t linear)
{
	struct region *r;
	struct walk w;
	uint32_t error;

	if (walk(v->vm, &v->cpu, linear, (struct walk_access){.peek = true}, &w, &error) ||
		!w.user || !w.accessed)
		return 0;
	r = vm_region(v->vm, w.gpa);
	if (!may_map(r, w.gpa))
		return 0;
	return entry_of(r, w.gpa & ~4095ull,
		       may_write(r, &w) && !has_code(r, w.gpa) && region_marked(r, w.gpa)) |
		exec_of(v, m, linear, r, &w);
}

/*
 * The page, and those around it that the guest has touched before and that are not there yet: the
 * host's call costs more than the page.
 */
static bool map_pages(struct vcpu *v, struct hostmap *w, struct chunk *c, uint64_t linear,
	uint32_t entry)
{
	unsigned at = linear >> 12 & (CHUNK_PAGES - 1);
	unsigned first = at & ~(AROUND - 1), run;
	uint8_t *base = hostmap_window_at(w, c->number << CHUNK_BITS);
	uint32_t wanted[AROUND];

	for (unsigned i = 0; i < AROUND; i++) {
		uint64_t page = (c->number << CHUNK_BITS) + ((uint64_t)(first + i) << 12);

		wanted[i] = first + i == at ? entry : c->page[first + i] ? 0 : look(v, w, page);
	}
	for (unsigned i = 0; i < AROUND; i += run) {
		run = 1;
		if (!wanted[i])
			continue;
		while (i + run < AROUND && wanted[i + run] == wanted[i] + run)
			run++;
		if (!hostmap_put(w, base + ((first + i) << 12), (uint64_t)run << 12, wanted[i])) {
			if (at >= first + i && at < first + i + run)
				return false;
			continue;
		}
		v->count.window_map++;
		for (unsigned k = 0; k < run; k++) {
			c->used += !c->page[first + i + k];
			hostmap_count(w, !c->page[first + i + k]);
			c->page[first + i + k] = wanted[i + k];
		}
	}
	return true;
}

/* A large page in pieces, one of which is to be mapped otherwise. */
static void split(struct hostmap *w, struct chunk *c)
{
	for (unsigned i = 0; i < CHUNK_PAGES; i++)
		c->page[i] = c->whole + i;
	c->used = CHUNK_PAGES;
	c->whole = 0;
	hostmap_count(w, CHUNK_PAGES - 1);
}

static bool has_room(const struct hostmap *w)
{
	if (w->mirror)
		return w->pieces + AROUND + CHUNK_PAGES <= w->vm->pool.most_pieces;
	return w->vm->pool.pieces + AROUND + CHUNK_PAGES <= w->vm->pool.most_pieces;
}

/* access: ACC_* */
static bool reach_page(struct vcpu *v, struct hostmap *w, uint64_t linear, unsigned access)
{
	const bool write = access & ACC_WRITE;
	const struct walk_access how = {.user = true, .write = write, .fetch = access & ACC_FETCH};
	struct chunk *c;
	struct region *r;
	struct walk at;
	uint32_t error;
	bool writable, logs;
	uint32_t exec;

	if (walk(v->vm, &v->cpu, linear, how, &at, &error))
		return false;
	r = vm_region(v->vm, at.gpa);
	if (!may_map(r, at.gpa) || !hostmap_window_make(w, linear))
		return false;
	writable = may_write(r, &at) && !has_code(r, at.gpa);
	if (write && !writable)
		return false;
	/* those who follow writes take them away with this lock held */
	logs = page_door_logs(r->door);
	if (logs && write)
		region_mark(r, at.gpa);
	writable = writable && region_marked(r, at.gpa);
	c = chunk_make(w, linear);
	if (!c)
		return false;
	exec = exec_of(v, w, linear, r, &at);
	if (at.page_bits >= CHUNK_BITS && !(logs && write) && !exec &&
		map_whole(w, c, r, at.gpa, may_write(r, &at) && !logs)) {
		v->count.window_map++;
		v->count.window_whole++;
		return true;
	}
	if (c->whole)
		split(w, c);
	return map_pages(v, w, c, linear, entry_of(r, at.gpa & ~4095ull, writable) | exec) &&
		(exec || !(access & ACC_FETCH));
}

void hostmap_expect(struct vcpu *v, uint64_t linear)
{
	v->private_data->user->hostmap->expected = linear;
}

/* The access will be done again: it need not miss for that. */
void hostmap_expected(struct vcpu *v)
{
	struct hostmap *w = v->private_data->user->hostmap;
	uint64_t linear = w->expected;

	if (!linear)
		return;
	w->expected = 0;
	lock_take(&w->vm->pool.lock);
	if (has_room(w) && look(v, w, linear))
		reach_page(v, w, linear, ACC_READ);
	lock_drop(&w->vm->pool.lock);
}

void hostmap_turn_off(struct hostmap *w)
{
	w->on = false;
	w->vm->pool.spaces--;
	native_release(w);
	hostmap_empty(w);
}

bool hostmap_reach(struct vcpu *v, uint64_t linear, unsigned size, unsigned access,
	const uint8_t *first, const uint8_t *second)
{
	struct hostmap *w = v->private_data->user->hostmap;
	uint64_t end = linear + size - 1;
	bool done, full;

	/* what has just been mapped and faults again is not a matter of mapping */
	if (!w || !w->on || !first || linear == w->last || ((linear ^ end) >> 12 && !second)) {
		if (w)
			w->last = ~0ull;
		return false;
	}
	lock_take(&w->vm->pool.lock);
	full = !has_room(w);
	if (full) {
		w->hold_ticks = 64;
		hostmap_turn_off(w);
		v->count.window_down++;
	}
	done = !full && reach_page(v, w, linear, access) &&
		(!((linear ^ end) >> 12) || reach_page(v, w, end, access));
	w->last = done ? linear : ~0ull;
	lock_drop(&w->vm->pool.lock);
	if (full)
		vcpu_interrupt(v, KICK_CODE); /* to go on in code without windows */
	return done;
}

bool hostmap_reach_native(struct vcpu *v, uint64_t linear, unsigned access)
{
	struct hostmap *w = v->private_data->user->hostmap;
	uint64_t page = (linear & ~4095ull) | access;
	bool done, full;

	/* what has just been mapped and faults again is not a matter of mapping */
	if (page == w->last) {
		w->last = ~0ull;
		return false;
	}
	lock_take(&w->vm->pool.lock);
	full = !has_room(w);
	if (full)
		hostmap_empty(w);
	done = reach_page(v, w, linear, access);
	w->last = done ? page : ~0ull;
	lock_drop(&w->vm->pool.lock);
	return done;
}

/* --- code ------------------------------------------------------------------------------------------ */

static bool demote_in(struct hostmap *w, uint32_t entry)
{
	bool found = false;

	for (unsigned i = 0; i < w->chunks; i++) {
		struct chunk *c = &w->chunk[i];
		uint8_t *base = hostmap_window_at(w, c->number << CHUNK_BITS);

		if (c->whole & ENTRY_WRITE && entry - (c->whole & ENTRY_NUMBER) < CHUNK_PAGES)
			split(w, c);
		for (unsigned k = 0; k < CHUNK_PAGES && c->used; k++) {
			if ((c->page[k] & ~ENTRY_EXEC) != (entry | ENTRY_WRITE))
				continue;
			hostmap_write_protect(w, base + (k << 12), 4096, c->page[k]);
			c->page[k] &= ~ENTRY_WRITE;
			found = true;
		}
	}
	return found;
}

/* In all of a vCPU's address spaces. True: a mirror has been told, and does it before it runs again. */
static bool demote_of(struct translate_vcpu *p, uint32_t entry, uint64_t *count)
{
	bool native = false;

	lock_take(&p->v->vm->pool.lock);
	for (unsigned n = CTX_USER_FIRST; n < CTX_COUNT; n++) {
		struct hostmap *w = p->context[n].hostmap;

		if (w && w->on && demote_in(w, entry)) {
			(*count)++;
			native |= w->mirror != NULL;
		}
	}
	lock_drop(&p->v->vm->pool.lock);
	return native;
}

void hostmap_demote(struct vcpu *v, const uint8_t *host_page)
{
	struct translate_vm *vm = v->vm;
	struct region *r = NULL;

	if (!__atomic_load_n(&vm->pool.spaces, __ATOMIC_SEQ_CST))
		return;
	for (unsigned i = 0; i < vm->regions; i++)
		if (!vm->by_gpa[i]->read_only &&
			(uint64_t)(host_page - vm->by_gpa[i]->host) < vm->by_gpa[i]->size)
			r = vm->by_gpa[i];
	if (!r)
		return;
	for (unsigned k = 0; k < vm->vcpus; k++)
		if (demote_of(vm->vcpu[k],
			    entry_of(r, r->gpa + (uint64_t)(host_page - r->host), false),
			    &v->count.window_demote))
			vcpu_wait_for_store(v, vm->vcpu[k]);
}

/* Takes write permission from a chunk's pages that are among those taken from a region's log. */
static void demote_taken(struct hostmap *w, struct chunk *c, const struct region *r,
	const struct memory_region *part)
{
	uint64_t low = (part->gpa - r->gpa) >> 12, high = low + (part->size >> 12);
	uint8_t *base = hostmap_window_at(w, c->number << CHUNK_BITS);

	if (c->whole & ENTRY_WRITE && (c->whole & ENTRY_NUMBER) - r->number < r->size >> 12)
		split(w, c);
	for (unsigned k = 0, run; k < CHUNK_PAGES && c->used; k += run ? run : 1) {
		for (run = 0; k + run < CHUNK_PAGES; run++) {
			uint32_t entry = c->page[k + run];
			uint64_t n = (entry & ENTRY_NUMBER) - (uint64_t)r->number;

			if (!(entry & ENTRY_WRITE) || n < low || n >= high ||
				!page_bit(r->door->taken, r->door_page + n) ||
				(run && (entry ^ c->page[k]) & ENTRY_EXEC))
				break;
			c->page[k + run] = entry & ~ENTRY_WRITE;
		}
		if (run)
			hostmap_write_protect(w, base + (k << 12), (uint64_t)run << 12, c->page[k]);
	}
}

void hostmap_demote_taken(struct translate_vm *vm, const struct region *r,
	const struct memory_region *part)
{
	if (!__atomic_load_n(&vm->pool.spaces, __ATOMIC_SEQ_CST))
		return;
	for (unsigned k = 0; k < vm->vcpus; k++) {
		bool native = false;

		lock_take(&vm->pool.lock);
		for (unsigned n = CTX_USER_FIRST; n < CTX_COUNT; n++) {
			struct hostmap *w = vm->vcpu[k]->context[n].hostmap;

			for (unsigned i = 0; w && w->on && i < w->chunks; i++)
				demote_taken(w, &w->chunk[i], r, part);
			native |= w && w->mirror;
		}
		lock_drop(&vm->pool.lock);
		if (native)
			vcpu_wait_for_store(NULL, vm->vcpu[k]);
	}
}

/* --- up and down ---------------------------------------------------------------------------------- */

void hostmap_turn_on(struct hostmap *w)
{
	if (w->on)
		return;
	w->on = true;
	w->calm_ticks = w->storm_ticks = 0;
	w->last = ~0ull;
	__atomic_fetch_add(&w->vm->pool.spaces, 1, __ATOMIC_SEQ_CST);
}

bool hostmap_on(const struct hostmap *w)
{
	return w && w->on && !w->mirror;
}

void hostmap_leave(struct hostmap *w)
{
	if (!w)
		return;
	lock_take(&w->vm->pool.lock);
	if (w->on)
		hostmap_turn_off(w);
	hostmap_forget_slots(w);
	w->calm_ticks = w->storm_ticks = w->hold_ticks = w->backoff = 0;
	w->quiet_ticks = w->native_hold = w->native_backoff = 0;
	w->known = false;
	lock_drop(&w->vm->pool.lock);
}

void hostmap_space(struct hostmap *w, uint64_t cr3)
{
	if (!w || w->cr3 == cr3 >> 12)
		return;
	hostmap_leave(w);
	w->cr3 = cr3 >> 12;
	if (w->vm->pool.policy == HOSTMAP_ALWAYS)
		hostmap_turn_on(w);
}
