/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slow path of generated code: an access whose check has failed, or that is always made here. The
 * check is tried again with the page in the TLB; or the access goes on out of line, on the page itself or on
 * a bounce buffer, and is committed afterwards; or it faults.
 */
#include "cpu/translate/emulate/segment.h"
#include "cpu/translate/hot.h"
#include "cpu/translate/memory/mmu.h"
#include "cpu/translate/run/exclusive.h"
#include "cpu/translate/run/stubs.h"

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
	enum outcome out = mmu_resolve(v, linear + first, access, t);

	if (t->host)
		t->host -= first;
	if (t->rom)
		t->rom -= first;
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
	bool window = v->private_data->mode & MODE_HOSTMAP;
	unsigned access = d->flags & SLOW_WRITE ? ACC_WRITE : ACC_READ;
	unsigned part = mmu_first_part(v->ea, d->size);
	struct target t[2] = {0};

	if (!canonical_ok(v->ea) || !canonical_ok(v->ea + d->size - 1))
		return false;
	if ((part < d->size && !window) || mmu_resolve(v, v->ea, access, &t[0]) || t[0].debug)
		return false;
	if (!window)
		return may_pass(v, d) && t[0].host && (!t[0].watched || access == ACC_READ);
	if (part < d->size && (mmu_resolve(v, v->ea + part, access, &t[1]) || t[1].debug))
		return false;
	return hostmap_reach(v, v->ea, d->size, access, t[0].host, t[1].host);
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
		mmu_gpa_of_host(vm, t[1].host) == mmu_gpa_of_host(vm, t[0].host) + part;
}

static enum slow_result access_memory(struct vcpu *v, const struct slow_access *d)
{
	struct translate_vcpu *p = v->private_data;
	unsigned access = d->flags & SLOW_WRITE ? ACC_WRITE : ACC_READ;
	unsigned part;
	uint64_t mask = ~0ull;
	struct target t[2] = {0};

	v->count.exit_slow++;
	if (p->mode & MODE_HOSTMAP)
		v->code_base = cache_block_at(&v->vm->cache, d)->base;
	if (d->flags & SLOW_GROUP)
		return slow_group(v, d);
	if (d->flags & SLOW_OP && linear_address(v, d->seg, v->ea, d->size, access, &v->ea))
		return slow_fault(v, d);
	part = mmu_first_part(v->ea, d->size);
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
	if (p->mode & MODE_HOSTMAP) {
		if (!t[0].debug && !t[1].debug &&
			hostmap_reach(v, v->ea, d->size, access, t[0].host, t[1].host))
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
			mmu_target_read(v, &t[0], to, part);
		if (part < d->size && (part >= 64 || mask >> part))
			mmu_target_read(v, &t[1], to + part, d->size - part);
	}
	return SLOW_GO;
}

/* The check has used up CF: v->flags are the guest's again. */
static void take_carry(struct vcpu *v, const struct slow_access *d)
{
	bool carry;

	if (d->flags & SLOW_CARRY)
		carry = v->carry & 1;
	else if (d->flags & SLOW_SUM)
		carry = tlb_carry(v->sum, v->ea, d->size);
	else
		return;
	v->flags = (v->flags & ~(uint64_t)FL_CF) | (carry ? FL_CF : 0);
}

static enum slow_result slow(struct vcpu *v, const struct slow_access *d)
{
	enum slow_result r;

	take_carry(v, d);
	r = access_memory(v, d);
	/* an access that ends with its page passes without CF only */
	if (r == SLOW_RETRY && d->flags & SLOW_CARRY)
		v->flags &= ~(uint64_t)FL_CF;
	return r;
}

/* Byte by byte where a mask is: what it leaves out may be another processor's. */
static bool write_masked(struct vcpu *v, const struct target *t, const uint8_t *from, unsigned size,
	uint64_t mask)
{
	bool changed = false;

	if (!(~mask & (size < 64 ? (1ull << size) - 1 : ~0ull)))
		return mmu_target_write(v, t, from, size);
	for (unsigned at = 0, run; at < size && at < 64; at += run) {
		struct target part = {.host = t->host ? t->host + at : NULL,
			.gpa = t->gpa + at,
			.watched = t->watched};
		bool set = mask >> at & 1;

		for (run = 1; at + run < size && (mask >> (at + run) & 1) == set; run++)
			;
		if (set)
			changed |= mmu_target_write(v, &part, from + at, run);
	}
	return changed;
}

static enum slow_result commit(struct vcpu *v, const struct slow_access *d)
{
	struct translate_vcpu *p = v->private_data;
	unsigned part = mmu_first_part(p->pending.linear, d->size);
	const uint8_t *from = p->bounce + (p->pending.linear & 63);
	bool changed = false;

	if (!p->pending.active)
		return SLOW_GO;
	p->pending.active = false;
	if (p->pending.direct) {
		mmu_note_written(v->vm, p->pending.host[0], d->size);
		/* looked at after the store: another vCPU may have begun to watch the page meanwhile */
		v->count.code_write += part == d->size;
		changed = cache_invalidate(v->vm, mmu_gpa_of_host(v->vm, p->pending.host[0]),
			d->size);
	} else {
		uint64_t mask = p->pending.mask;

		for (unsigned i = 0; i < 2; i++) {
			unsigned at = i ? part : 0, size = i ? d->size - part : part;
			struct target t = {.host = p->pending.host[i], .gpa = p->pending.gpa[i]};

			if (!size || (at < 64 && !(mask >> at)) || (!t.host && !t.gpa))
				continue;
			if (t.host)
				t.watched = region_page(vm_region(v->vm,
								mmu_gpa_of_host(v->vm, t.host)),
					mmu_gpa_of_host(v->vm, t.host))
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

/* --- from and to translated code --------------------------------------------------------------- */

static enum slow_result back(struct vcpu *v, enum slow_result r)
{
	if (r != SLOW_LEAVE) {
		vcpu_vectors_restore(v);
		vcpu_exec_state(v->private_data, EXEC_CODE);
	}
	return r;
}

enum slow_result translate_slow(struct vcpu *v, const struct slow_access *d)
{
	vcpu_exec_state(v->private_data, EXEC_HELPER);
	return back(v, slow(v, d));
}

enum slow_result translate_commit(struct vcpu *v, const struct slow_access *d)
{
	vcpu_exec_state(v->private_data, EXEC_HELPER);
	return back(v, commit(v, d));
}
