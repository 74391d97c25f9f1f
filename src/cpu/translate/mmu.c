/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory as instructions see it: linear addresses, permissions, devices,
 * pages that hold translated code. The TLB's fast path is in generated code;
 * here is all that misses it.
 */
#include <sys/syscall.h>

#include "cpu/translate/insn/insn.h"
#include "cpu/translate/emulate/segment.h"
#include "cpu/translate/vm.h"
#include "cpu/translate/walk.h"

/* Where one page's part of an access goes. */
struct target {
	uint8_t *host; /* of the first byte; NULL: a device */
	uint64_t gpa;
	bool watched; /* a write must be followed by cache_invalidate() */
	bool debug;   /* a data breakpoint is in the page */
};

static inline void copy(void *to, const void *from, size_t size)
{
	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

struct region *vm_region(struct translate_vm *vm, uint64_t gpa)
{
	for (unsigned i = 0; i < vm->regions; i++)
		if (gpa - vm->region[i].gpa < vm->region[i].size)
			return &vm->region[i];
	return NULL;
}

const struct cpuid_policy *vcpu_cpuid(const struct vcpu *v)
{
	return v->vm->config.cpuid;
}

const struct xsave_layout *vcpu_layout(const struct vcpu *v)
{
	return &v->vm->layout;
}

const struct engine_callbacks *vcpu_callbacks(const struct vcpu *v, void **ctx)
{
	*ctx = v->vm->config.ctx;
	return v->vm->config.callbacks;
}

/* --- pages ---------------------------------------------------------------------------- */

static void note_writable(struct translate_vcpu *p, struct region *r, uint64_t gpa,
	const void *host, unsigned index)
{
	uint32_t *at = &p->write_hint[r - p->v->vm->region][(gpa - r->gpa) >> 12];
	uint32_t old = *at, where = tlb_where(p->context, old, host, index);

	if (where != old)
		__atomic_store_n(at, where, __ATOMIC_RELAXED);
}

static long advise(uint8_t *at, uint64_t size, long what)
{
	long result;

	asm volatile("syscall"
		     : "=a"(result)
		     : "a"((long)SYS_madvise), "D"(at), "S"(size), "d"(what)
		     : "rcx", "r11", "memory");
	return result;
}

/* What this kernel does not know, or has no memory for, is left to the fault itself. */
static void populate(struct region *r, uint64_t gpa)
{
	uint64_t piece_size = r->fd < 0 ? PIECE_PRIVATE : PIECE_SHARED;
	uint64_t piece = (gpa - r->gpa) / piece_size, start = piece * piece_size;
	uint64_t size = r->size - start < piece_size ? r->size - start : piece_size;

	if (r->populated[piece])
		return;
	r->populated[piece] = 1;
	/* to collapse, there must be a page */
	if (r->fd >= 0 && !advise(r->host + start, 4096, 23 /* MADV_POPULATE_WRITE */) &&
		!advise(r->host + start, size, 25 /* MADV_COLLAPSE */))
		return;
	advise(r->host + start, size, 23 /* MADV_POPULATE_WRITE */);
}

static void fill(struct vcpu *v, struct tlb *t, uint64_t linear, struct region *r,
	const struct walk *w, bool write, struct target *out)
{
	struct page *page = region_page(r, w->gpa);
	uint8_t *host = r->host + ((w->gpa - r->gpa) & ~4095ull);
	bool code = __atomic_load_n(&page->has_code, __ATOMIC_ACQUIRE);
	unsigned index = tlb_index(linear);

	v->count.tlb_fill++;
	populate(r, w->gpa);
	if (write && !code)
		note_writable(v->private_data, r, w->gpa, host, index);
	tlb_fill(t, linear, host, write && !code, w->global, w->page_bits);
	if (write && !code && v->vm->vcpus > 1) {
		/* the other order of this pair is in cache_watch() */
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (__atomic_load_n(&page->has_code, __ATOMIC_RELAXED)) {
			tlb_demote(t, host, index ? index : TLB_ANYWHERE);
			code = true;
		}
	}
	out->watched = code;
}

static enum outcome page_fault(struct vcpu *v, uint64_t linear, uint32_t error)
{
	v->fault =
		(struct fault){.vector = EXC_PF, .has_error = true, .error = error, .cr2 = linear};
	if (v->private_data->mode & MODE_WINDOW)
		window_expect(v, linear);
	return OUT_FAULT;
}

/* Translates one byte's address; the caller stays within its page. */
static enum outcome resolve(struct vcpu *v, uint64_t linear, unsigned access, struct target *out)
{
	struct translate_vcpu *p = v->private_data;
	bool system = access & ACC_SYSTEM, write = access & ACC_WRITE;
	bool user = v->cpu.cpl == 3 && !system;
	struct tlb *t = system && v->cpu.cpl == 3 ? &p->context[CTX_SUPER] : v->tlb;
	unsigned index = tlb_index(linear);
	struct walk_access a = {.write = write, .user = user};
	struct walk w;
	struct region *r;
	uint32_t error;

	out->debug = false;
	if ((write ? t->tag_write : t->tag_read)[index] == tlb_tag(linear) && linear >> 12) {
		out->host = (uint8_t *)(t->delta[index] + linear);
		out->watched = false;
		return OUT_OK;
	}
	a.no_user_pages = v->cpu.cr4 & CR4_SMAP && (system || !(v->cpu.rflags & FL_AC));
	v->count.walk++;
	if (walk(v->vm, &v->cpu, linear, a, &w, &error))
		return page_fault(v, linear, error);
	out->gpa = w.gpa;
	r = vm_region(v->vm, w.gpa);
	if (!r) {
		out->host = NULL;
		out->watched = false;
		return OUT_OK;
	}
	out->host = r->host + (w.gpa - r->gpa);
	out->debug = p->watches && debug_page(v, linear);
	/* what only an implicit access may see must not become visible to all */
	if (out->debug || (system && v->cpu.cpl != 3 && w.user && !(v->cpu.cr4 & CR4_SMAP))) {
		out->watched = __atomic_load_n(&region_page(r, w.gpa)->has_code, __ATOMIC_ACQUIRE);
		return OUT_OK;
	}
	/* what has been written before is likely to be again: its entry has been seen to allow it */
	fill(v, t, linear, r, &w, w.dirty && (write || w.writable), out);
	return OUT_OK;
}

static uint64_t gpa_of_host(struct translate_vm *vm, const uint8_t *host)
{
	for (unsigned i = 0; i < vm->regions; i++)
		if ((uint64_t)(host - vm->region[i].host) < vm->region[i].size)
			return vm->region[i].gpa + (uint64_t)(host - vm->region[i].host);
	return 0;
}

enum outcome mmu_fetch(struct vcpu *v, uint64_t linear, uint64_t *gpa)
{
	struct tlb *t = v->tlb;
	struct fetch_entry *f = &t->fetch[linear >> 12 & (FETCH_ENTRIES - 1)];
	struct walk w;
	uint32_t error;

	if ((f->page & ~2ull) == ((linear & ~4095ull) | 1)) {
		*gpa = f->gpa | (linear & 4095);
		return OUT_OK;
	}
	v->count.walk++;
	if (walk(v->vm, &v->cpu, linear,
		    (struct walk_access){.fetch = true, .user = v->cpu.cpl == 3}, &w, &error))
		return page_fault(v, linear, error);
	t->fetched = true;
	if (!w.global)
		t->fetched_nonglobal = true;
	if (w.page_bits == 21)
		t->large[linear >> 27 & 15] |= 1ull << (linear >> 21 & 63);
	else if (w.page_bits > 21)
		t->huge |= 1ull << (linear >> 30 & 63);
	f->page = (linear & ~4095ull) | (w.global ? 3 : 1);
	f->gpa = w.gpa & ~4095ull;
	*gpa = w.gpa;
	return OUT_OK;
}

bool mmu_fetch_global(const struct vcpu *v, uint64_t linear)
{
	return v->tlb->fetch[linear >> 12 & (FETCH_ENTRIES - 1)].page == ((linear & ~4095ull) | 3);
}

/* --- devices ----------------------------------------------------------------------------- */

static void device_read(struct vcpu *v, uint64_t gpa, void *data, unsigned size)
{
	void *ctx;
	const struct engine_callbacks *c = vcpu_callbacks(v, &ctx);
	uint8_t *to = data;

	vcpu_vectors_save(v);
	v->count.mmio++;
	while (size) {
		unsigned part = size >= 8 ? 8 : size >= 4 ? 4 : size >= 2 ? 2 : 1;
		uint64_t value = c->mmio_read(ctx, v->index, gpa, part);

		copy(to, &value, part);
		to += part;
		gpa += part;
		size -= part;
	}
}

static void device_write(struct vcpu *v, uint64_t gpa, const void *data, unsigned size)
{
	void *ctx;
	const struct engine_callbacks *c = vcpu_callbacks(v, &ctx);
	const uint8_t *from = data;

	vcpu_vectors_save(v);
	v->count.mmio++;
	while (size) {
		unsigned part = size >= 8 ? 8 : size >= 4 ? 4 : size >= 2 ? 2 : 1;
		uint64_t value = 0;

		copy(&value, from, part);
		c->mmio_write(ctx, v->index, gpa, part, value);
		from += part;
		gpa += part;
		size -= part;
	}
}

static void target_read(struct vcpu *v, const struct target *t, void *data, unsigned size)
{
	if (t->host)
		copy(data, t->host, size);
	else
		device_read(v, t->gpa, data, size);
}

/* True if translated code was overwritten. */
static bool target_write(struct vcpu *v, const struct target *t, const void *data, unsigned size)
{
	if (!t->host) {
		device_write(v, t->gpa, data, size);
		return false;
	}
	copy(t->host, data, size);
	if (!t->watched)
		return false;
	v->count.code_write++;
	return cache_invalidate(v->vm, gpa_of_host(v->vm, t->host), size);
}

/* --- accesses of the emulator --------------------------------------------------------------- */

static unsigned first_part(uint64_t linear, unsigned size)
{
	unsigned room = 4096 - (linear & 4095);

	return size < room ? size : room;
}

enum outcome mem_probe(struct vcpu *v, uint64_t linear, unsigned size, unsigned access)
{
	struct target t;
	unsigned part = first_part(linear, size);

	if (resolve(v, linear, access, &t))
		return OUT_FAULT;
	return part < size ? resolve(v, linear + part, access, &t) : OUT_OK;
}

enum outcome mem_read(struct vcpu *v, uint64_t linear, void *data, unsigned size, unsigned access)
{
	struct target a, b;
	unsigned part = first_part(linear, size);

	if (resolve(v, linear, access, &a))
		return OUT_FAULT;
	if (part < size && resolve(v, linear + part, access, &b))
		return OUT_FAULT;
	if (v->private_data->watches && !(access & ACC_SYSTEM))
		debug_access(v, linear, size, false);
	target_read(v, &a, data, part);
	if (part < size)
		target_read(v, &b, (uint8_t *)data + part, size - part);
	return OUT_OK;
}

enum outcome mem_write(struct vcpu *v, uint64_t linear, const void *data, unsigned size,
	unsigned access)
{
	struct target a, b;
	unsigned part = first_part(linear, size);

	access |= ACC_WRITE;
	if (resolve(v, linear, access, &a))
		return OUT_FAULT;
	if (part < size && resolve(v, linear + part, access, &b))
		return OUT_FAULT;
	if (v->private_data->watches && !(access & ACC_SYSTEM))
		debug_access(v, linear, size, true);
	target_write(v, &a, data, part);
	if (part < size)
		target_write(v, &b, (const uint8_t *)data + part, size - part);
	return OUT_OK;
}

enum outcome mem_host(struct vcpu *v, uint64_t linear, unsigned size, unsigned access, void **host)
{
	struct translate_vcpu *p = v->private_data;
	struct target t;

	*host = NULL;
	if (first_part(linear, size) < size)
		return mem_probe(v, linear, size, access);
	if (resolve(v, linear, access, &t))
		return OUT_FAULT;
	*host = t.host;
	if (t.host && p->watches && !(access & ACC_SYSTEM))
		debug_access(v, linear, size, access & ACC_WRITE);
	if (t.host && access & ACC_WRITE) {
		if (p->unsettled == VM_UNSETTLED)
			mem_settle(v);
		p->written[p->unsettled++] = (struct written){t.host, size};
	}
	return OUT_OK;
}

void mem_settle(struct vcpu *v)
{
	struct translate_vcpu *p = v->private_data;

	for (unsigned i = 0; i < p->unsettled; i++) {
		uint64_t gpa = gpa_of_host(v->vm, p->written[i].host);
		struct region *r = vm_region(v->vm, gpa);

		if (r && __atomic_load_n(&region_page(r, gpa)->has_code, __ATOMIC_ACQUIRE)) {
			v->count.code_write++;
			cache_invalidate(v->vm, gpa, p->written[i].size);
		}
	}
	p->unsettled = 0;
}

/* --- the slow path of generated code ---------------------------------------------------------- */

static enum slow_result slow_fault(struct vcpu *v, const struct slow_access *d)
{
	v->cpu.rip = v->code_base + d->guest;
	return SLOW_LEAVE;
}

static enum slow_result slow_not_canonical(struct vcpu *v, const struct slow_access *d)
{
	fault_raise_error(v, d->flags & SLOW_STACK ? EXC_SS : EXC_GP, 0);
	return slow_fault(v, d);
}

/* The page that linear is in, of which the bytes in mask count: the first of them names a fault. */
static enum outcome resolve_part(struct vcpu *v, uint64_t linear, uint64_t mask, unsigned access,
	struct target *t)
{
	unsigned first = (unsigned)__builtin_ctzll(mask);
	enum outcome out = resolve(v, linear + first, access, t);

	if (t->host)
		t->host -= first;
	t->gpa -= first;
	return out;
}

/* SDM 3A, table 6-7. Larger than eight bytes: 80-bit reals, and vectors, which may lie anywhere. */
static bool misaligned(const struct vcpu *v, const struct slow_access *d)
{
	unsigned align = d->size == 10 ? 8 : d->size > 8 || d->size & (d->size - 1) ? 1 : d->size;

	return v->private_data->mode & MODE_ALIGN && v->ea & (align - 1);
}

static uint32_t mxcsr(const struct vcpu *v)
{
	uint32_t value;

	if (v->vectors_saved)
		return *(const uint32_t *)(v->cpu.xsave + XSAVE_MXCSR);
	asm volatile("stmxcsr %0" : "=m"(value));
	return value;
}

/* True: the address is one that the instruction does not take. */
static bool alignment_fault(struct vcpu *v, const struct slow_access *d)
{
	bool odd = d->flags & SLOW_ALIGNED && v->ea & (d->size - 1);

	if (odd && !(d->flags & SLOW_RELAXED && mxcsr(v) & MXCSR_MM)) {
		fault_raise_error(v, EXC_GP, 0);
		return true;
	}
	if (misaligned(v, d) || (odd && v->private_data->mode & MODE_ALIGN)) {
		fault_raise_error(v, EXC_AC, 0);
		return true;
	}
	return false;
}

/* The bytes between the first and the last that the mask lets through. */
static void debug_masked(struct vcpu *v, const struct slow_access *d, uint64_t mask)
{
	unsigned first = 0, size = d->size;

	if (mask != ~0ull) {
		first = (unsigned)__builtin_ctzll(mask);
		size = 64 - (unsigned)__builtin_clzll(mask) - first;
	}
	debug_access(v, v->ea + first, size, d->flags & SLOW_WRITE);
}

/* Will the check that has failed pass now? Page 0 is never in the TLB, and see tlb_limit(). */
static bool may_pass(const struct vcpu *v, const struct slow_access *d)
{
	return v->ea >> 12 &&
		!(d->flags & SLOW_SUM && v->flags & FL_CF && (v->ea & 4095) + d->size == 4096);
}

/* Several accesses together, from the lowest byte to the highest: can they be had by one check? */
static bool group_reached(struct vcpu *v, const struct slow_access *d)
{
	bool window = v->private_data->mode & MODE_WINDOW;
	unsigned access = d->flags & SLOW_WRITE ? ACC_WRITE : ACC_READ;
	unsigned part = first_part(v->ea, d->size);
	struct target t[2] = {0};

	if (!canonical_ok(v->ea) || !canonical_ok(v->ea + d->size - 1))
		return false;
	if ((part < d->size && !window) || resolve(v, v->ea, access, &t[0]) || t[0].debug)
		return false;
	if (!window)
		return may_pass(v, d) && t[0].host && (!t[0].watched || access == ACC_READ);
	if (part < d->size && (resolve(v, v->ea + part, access, &t[1]) || t[1].debug))
		return false;
	return window_reach(v, v->ea, d->size, access, t[0].host, t[1].host);
}

static enum slow_result slow_group(struct vcpu *v, const struct slow_access *d)
{
	if (group_reached(v, d))
		return SLOW_RETRY;
	v->count.exit_singly++;
	v->fault.vector = 0;
	v->private_data->singly = 1 + ((const struct slow_group *)d)->exit;
	v->private_data->leave_ok = true;
	return slow_fault(v, d);
}

/* Do both pages lie side by side? An access that locks the host's bus is none to be made. */
static bool adjoin(struct translate_vm *vm, const struct target *t, unsigned part,
	const struct slow_access *d)
{
	return t[1].host == t[0].host + part && !(d->flags & SLOW_LOCK) &&
		gpa_of_host(vm, t[1].host) == gpa_of_host(vm, t[0].host) + part;
}

enum slow_result mmu_slow(struct vcpu *v, const struct slow_access *d)
{
	struct translate_vcpu *p = v->private_data;
	unsigned access = d->flags & SLOW_WRITE ? ACC_WRITE : ACC_READ;
	unsigned part;
	uint64_t mask = ~0ull;
	struct target t[2] = {0};

	v->count.exit_slow++;
	if (p->mode & MODE_WINDOW)
		v->code_base = cache_block_at(&v->vm->cache, d)->base;
	if (d->flags & SLOW_GROUP)
		return slow_group(v, d);
	if (d->flags & SLOW_OP && linear_address(v, d->seg, v->ea, d->size, access, &v->ea))
		return slow_fault(v, d);
	part = first_part(v->ea, d->size);
	if (d->flags & SLOW_MASKED && mmu_slow_mask(v, d, &mask))
		return slow_fault(v, d);
	if (mask == 0) {
		v->scratch = (uint64_t)p->bounce + (v->ea & 63);
		p->pending.active = false;
		return SLOW_GO;
	}
	if (alignment_fault(v, d))
		return slow_fault(v, d);
	if (v->cpu.efer & EFER_LMA && (!canonical_ok(v->ea) || !canonical_ok(v->ea + d->size - 1)))
		return slow_not_canonical(v, d);
	if (mask & ((part < 64 ? 1ull << part : 0) - 1) &&
		resolve_part(v, v->ea, mask, access, &t[0]))
		return slow_fault(v, d);
	if (part < d->size && (part >= 64 || mask >> part) &&
		resolve_part(v, v->ea + part, part < 64 ? mask >> part : ~0ull, access, &t[1]))
		return slow_fault(v, d);
	if (p->mode & MODE_WINDOW) {
		if (!t[0].debug && !t[1].debug &&
			window_reach(v, v->ea, d->size, access, t[0].host, t[1].host))
			return SLOW_RETRY;
	} else if (part == d->size && t[0].host && !(d->flags & SLOW_OP) && !t[0].debug &&
		may_pass(v, d)) {
		if (!t[0].watched || access == ACC_READ)
			return SLOW_RETRY;
	}
	if (d->flags & SLOW_LOCK && part < d->size && v->vm->vcpus > 1 && !p->alone) {
		p->split_lock = p->leave_ok = true;
		return slow_fault(v, d);
	}
	if (t[0].debug || t[1].debug)
		debug_masked(v, d, mask);
	p->pending.active = access == ACC_WRITE;
	p->pending.linear = v->ea;
	p->pending.mask = mask;
	p->pending.host[0] = t[0].host;
	p->pending.host[1] = t[1].host;
	p->pending.gpa[0] = t[0].gpa;
	p->pending.gpa[1] = t[1].gpa;
	p->pending.direct = t[0].host && (part == d->size || adjoin(v->vm, t, part, d));
	if (p->pending.direct) {
		v->scratch = (uint64_t)t[0].host;
		return SLOW_GO;
	}
	v->count.bounce++;
	v->scratch = (uint64_t)p->bounce + (v->ea & 63);
	if (d->flags & SLOW_READ || d->flags & SLOW_MASKED) {
		uint8_t *to = (uint8_t *)v->scratch;

		if (mask & ((part < 64 ? 1ull << part : 0) - 1))
			target_read(v, &t[0], to, part);
		if (part < d->size && (part >= 64 || mask >> part))
			target_read(v, &t[1], to + part, d->size - part);
	}
	return SLOW_GO;
}

/* Byte by byte where a mask is: what it leaves out may be another processor's. */
static bool write_masked(struct vcpu *v, const struct target *t, const uint8_t *from, unsigned size,
	uint64_t mask)
{
	bool changed = false;

	if (!(~mask & (size < 64 ? (1ull << size) - 1 : ~0ull)))
		return target_write(v, t, from, size);
	for (unsigned at = 0, run; at < size && at < 64; at += run) {
		struct target part = {t->host ? t->host + at : NULL, t->gpa + at, t->watched,
			false};
		bool set = mask >> at & 1;

		for (run = 1; at + run < size && (mask >> (at + run) & 1) == set; run++)
			;
		if (set)
			changed |= target_write(v, &part, from + at, run);
	}
	return changed;
}

enum slow_result mmu_commit(struct vcpu *v, const struct slow_access *d)
{
	struct translate_vcpu *p = v->private_data;
	unsigned part = first_part(p->pending.linear, d->size);
	const uint8_t *from = p->bounce + (p->pending.linear & 63);
	bool changed = false;

	if (!p->pending.active)
		return SLOW_GO;
	p->pending.active = false;
	if (p->pending.direct) {
		/* looked at after the store: another vCPU may have begun to watch the page meanwhile */
		v->count.code_write += part == d->size;
		changed = cache_invalidate(v->vm, gpa_of_host(v->vm, p->pending.host[0]), d->size);
	} else {
		uint64_t mask = p->pending.mask;

		for (unsigned i = 0; i < 2; i++) {
			unsigned at = i ? part : 0, size = i ? d->size - part : part;
			struct target t = {.host = p->pending.host[i], .gpa = p->pending.gpa[i]};

			if (!size || (at < 64 && !(mask >> at)) || (!t.host && !t.gpa))
				continue;
			if (t.host)
				t.watched =
					region_page(vm_region(v->vm, gpa_of_host(v->vm, t.host)),
						gpa_of_host(v->vm, t.host))
						->has_code;
			changed |=
				write_masked(v, &t, from + at, size, at < 64 ? mask >> at : ~0ull);
		}
	}
	if (!changed || d->flags & SLOW_JUMPS)
		return SLOW_GO;
	/* the code that runs may be among what changed: go on through the front door */
	v->cpu.rip = v->code_base + d->guest + d->length;
	v->fault.vector = 0;
	p->leave_ok = true;
	return SLOW_LEAVE;
}
