/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory as instructions see it: linear addresses, permissions, devices,
 * pages that hold translated code. The TLB's fast path is in generated code;
 * here is all that misses it.
 */
#include <sys/syscall.h>

#include "cpu/translate/hot.h"
#include "cpu/translate/memory/mmu.h"

static inline void copy(void *to, const void *from, size_t size)
{
	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
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

	if (r->populated[piece] || page_door_is_lazy(r->door))
		return;
	r->populated[piece] = 1;
	/* to collapse, there must be a page */
	if (r->fd >= 0 && !advise(r->host + start, 4096, 23 /* MADV_POPULATE_WRITE */) &&
		!advise(r->host + start, size, 25 /* MADV_COLLAPSE */))
		return;
	advise(r->host + start, size, 23 /* MADV_POPULATE_WRITE */);
}

bool mmu_bring_absent(struct vcpu *v, struct region *r, uint64_t gpa)
{
	vcpu_vectors_save(v);
	v->count.page_brought++;
	if (page_door_bring(r->door, region_door_page(r, gpa), 1))
		__atomic_store_n(&v->vm->lost, true, __ATOMIC_RELAXED);
	return !v->vm->lost;
}

void mmu_note_written(struct translate_vm *vm, const uint8_t *host, unsigned size)
{
	uint64_t gpa, last;
	struct region *r;

	if (__builtin_expect(!vm->logs, 1))
		return;
	gpa = mmu_gpa_of_host(vm, host);
	last = gpa + size - 1;
	r = vm_region(vm, gpa);
	if (!r)
		return;
	region_mark(r, gpa);
	if ((gpa ^ last) >> 12)
		region_mark(r, last);
}

/*
 * Those who follow writes take the right to write away in another thread: first the mark goes, then what
 * the hint says. So here the mark is set before the page can be written and the hint given again
 * after, and whoever took both between has taken the right, or finds it, with the mark, the next time.
 */
static void note_logged(struct translate_vcpu *p, struct region *r, uint64_t gpa, const void *host,
	unsigned index)
{
	note_writable(p, r, gpa, host, index);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	region_mark(r, gpa);
}

static void fill(struct vcpu *v, struct tlb *t, uint64_t linear, struct region *r,
	const struct walk *w, bool wanted, struct target *out)
{
	bool logs = v->vm->logs && page_door_logs(r->door);
	bool write = w->dirty && (wanted || (w->writable && (!logs || region_marked(r, w->gpa)))) &&
		!r->read_only;
	struct page *page = region_page(r, w->gpa);
	uint8_t *host = r->host + ((w->gpa - r->gpa) & ~4095ull);
	bool code = __atomic_load_n(&page->has_code, __ATOMIC_ACQUIRE);
	unsigned index = tlb_index(linear);

	v->count.tlb_fill++;
	populate(r, w->gpa);
	if (write && !code && logs)
		region_mark(r, w->gpa);
	if (write && !code)
		note_writable(v->private_data, r, w->gpa, host, index);
	tlb_fill(t, linear, host, write && !code, w->global, w->page_bits);
	if (write && !code && logs)
		note_logged(v->private_data, r, w->gpa, host, index);
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

enum outcome mmu_page_fault(struct vcpu *v, uint64_t linear, uint32_t error)
{
	v->fault =
		(struct fault){.vector = EXC_PF, .has_error = true, .error = error, .cr2 = linear};
	if (v->private_data->mode & MODE_HOSTMAP)
		hostmap_expect(v, linear);
	return OUT_FAULT;
}

enum outcome mmu_resolve(struct vcpu *v, uint64_t linear, unsigned access, struct target *out)
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
	out->rom = NULL;
	if ((write ? t->tag_write : t->tag_read)[index] == tlb_tag(linear) && linear >> 12) {
		out->host = (uint8_t *)(t->delta[index] + linear);
		out->watched = false;
		return OUT_OK;
	}
	a.no_user_pages = v->cpu.cr4 & CR4_SMAP && (system || !(v->cpu.rflags & FL_AC));
	v->count.walk++;
	if (mmu_walk(v, linear, a, &w, &error))
		return mmu_page_fault(v, linear, error);
	out->gpa = w.gpa;
	r = vm_region(v->vm, w.gpa);
	if (!r) {
		out->host = NULL;
		out->watched = false;
		return OUT_OK;
	}
	if (!mmu_bring(v, r, w.gpa))
		return mmu_page_fault(v, linear, 0);
	out->host = r->host + (w.gpa - r->gpa);
	if (write && r->read_only) {
		out->rom = out->host;
		out->host = NULL;
		out->watched = false;
		return OUT_OK;
	}
	out->debug = p->breakpoints.enabled && debug_page(v, linear);
	/* what only an implicit access may see must not become visible to all */
	if (out->debug || (system && v->cpu.cpl != 3 && w.user && !(v->cpu.cr4 & CR4_SMAP))) {
		out->watched = __atomic_load_n(&region_page(r, w.gpa)->has_code, __ATOMIC_ACQUIRE);
		return OUT_OK;
	}
	/* what has been written before is likely to be again: its entry has been seen to allow it */
	fill(v, t, linear, r, &w, write, out);
	return OUT_OK;
}

uint64_t mmu_gpa_of_host(struct translate_vm *vm, const uint8_t *host)
{
	for (unsigned i = 0; i < vm->regions; i++) {
		const struct region *r = vm->by_gpa[i];

		/* what can be written is there once */
		if (!r->read_only && (uint64_t)(host - r->host) < r->size)
			return r->gpa + (uint64_t)(host - r->host);
	}
	return 0;
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

void mmu_target_read(struct vcpu *v, const struct target *t, void *data, unsigned size)
{
	if (t->host || t->rom)
		copy(data, t->host ? t->host : t->rom, size);
	else
		device_read(v, t->gpa, data, size);
}

bool mmu_target_write(struct vcpu *v, const struct target *t, const void *data, unsigned size)
{
	if (!t->host) {
		device_write(v, t->gpa, data, size);
		return false;
	}
	copy(t->host, data, size);
	mmu_note_written(v->vm, t->host, size);
	if (!t->watched)
		return false;
	v->count.code_write++;
	return cache_invalidate(v->vm, mmu_gpa_of_host(v->vm, t->host), size);
}

/* --- accesses of the emulator --------------------------------------------------------------- */

enum outcome mem_probe(struct vcpu *v, uint64_t linear, unsigned size, unsigned access)
{
	struct target t;
	unsigned part = mmu_first_part(linear, size);

	if (mmu_resolve(v, linear, access, &t))
		return OUT_FAULT;
	return part < size ? mmu_resolve(v, linear + part, access, &t) : OUT_OK;
}

enum outcome mem_read(struct vcpu *v, uint64_t linear, void *data, unsigned size, unsigned access)
{
	struct target a, b;
	unsigned part = mmu_first_part(linear, size);

	if (mmu_resolve(v, linear, access, &a))
		return OUT_FAULT;
	if (part < size && mmu_resolve(v, linear + part, access, &b))
		return OUT_FAULT;
	if (v->private_data->breakpoints.enabled && !(access & ACC_SYSTEM))
		debug_access(v, linear, size, false);
	mmu_target_read(v, &a, data, part);
	if (part < size)
		mmu_target_read(v, &b, (uint8_t *)data + part, size - part);
	return OUT_OK;
}

enum outcome mem_write(struct vcpu *v, uint64_t linear, const void *data, unsigned size,
	unsigned access)
{
	struct target a, b;
	unsigned part = mmu_first_part(linear, size);

	access |= ACC_WRITE;
	if (mmu_resolve(v, linear, access, &a))
		return OUT_FAULT;
	if (part < size && mmu_resolve(v, linear + part, access, &b))
		return OUT_FAULT;
	if (v->private_data->breakpoints.enabled && !(access & ACC_SYSTEM))
		debug_access(v, linear, size, true);
	mmu_target_write(v, &a, data, part);
	if (part < size)
		mmu_target_write(v, &b, (const uint8_t *)data + part, size - part);
	return OUT_OK;
}

enum outcome mem_host(struct vcpu *v, uint64_t linear, unsigned size, unsigned access, void **host)
{
	struct translate_vcpu *p = v->private_data;
	struct target t;

	*host = NULL;
	if (mmu_first_part(linear, size) < size)
		return mem_probe(v, linear, size, access);
	if (mmu_resolve(v, linear, access, &t))
		return OUT_FAULT;
	*host = t.host;
	if (t.host && p->breakpoints.enabled && !(access & ACC_SYSTEM))
		debug_access(v, linear, size, access & ACC_WRITE);
	if (t.host && access & ACC_WRITE) {
		if (p->smc_pending.count == VM_SMC_PENDING)
			mem_check_smc(v);
		p->smc_pending.written[p->smc_pending.count++] = (struct smc_write){t.host, size};
	}
	return OUT_OK;
}

void mem_check_smc(struct vcpu *v)
{
	struct translate_vcpu *p = v->private_data;

	for (unsigned i = 0; i < p->smc_pending.count; i++) {
		const struct smc_write *w = &p->smc_pending.written[i];
		uint64_t gpa = mmu_gpa_of_host(v->vm, w->host);
		struct region *r = vm_region(v->vm, gpa);

		mmu_note_written(v->vm, w->host, w->size);
		if (r && __atomic_load_n(&region_page(r, gpa)->has_code, __ATOMIC_ACQUIRE)) {
			v->count.code_write++;
			cache_invalidate(v->vm, gpa, w->size);
		}
	}
	p->smc_pending.count = 0;
}
