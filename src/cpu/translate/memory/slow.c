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

/* --- the parts of an access ---------------------------------------------------------------------- */

static uint64_t bytes_mask(unsigned size)
{
	return size < 64 ? (1ull << size) - 1 : ~0ull;
}

/* Of size bytes at linear, those in mask: what lies in its page, and in the next one. */
static void spans(uint64_t linear, unsigned size, uint64_t mask, struct span part[2])
{
	unsigned first = mmu_first_part(linear, size);

	part[0] = (struct span){.size = first, .mask = mask & bytes_mask(first)};
	part[1] = (struct span){.at = first, .size = size - first};
	if (first < size)
		part[1].mask = mask >> first & bytes_mask(size - first);
}

/* The first of its bytes that are touched names a fault. */
static enum outcome resolve_span(struct vcpu *v, uint64_t linear, unsigned access, struct span *s)
{
	unsigned first;
	enum outcome out;

	if (!s->mask)
		return OUT_OK;
	first = (unsigned)__builtin_ctzll(s->mask);
	out = mmu_resolve(v, linear + s->at + first, access, &s->to);
	if (s->to.host)
		s->to.host -= first;
	if (s->to.rom)
		s->to.rom -= first;
	s->to.gpa -= first;
	return out;
}

/* --- faults ---------------------------------------------------------------------------------------- */

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
	v->count.exit_ungrouped++;
	v->fault.vector = 0;
	v->private_data->ungrouped = 1 + ((const struct slow_group *)d)->exit;
	v->private_data->left_for_lookup = true;
	return slow_fault(v, d);
}

/* --- one access ------------------------------------------------------------------------------------ */

/* Can the operation be done on the page itself? An access that locks the host's bus is none to be made. */
static bool is_direct(struct translate_vm *vm, const struct span part[2],
	const struct slow_access *d)
{
	const uint8_t *first = part[0].to.host, *second = part[1].to.host;
	unsigned size = part[0].size;

	if (!first || !part[1].size)
		return first;
	return second == first + size && !(d->flags & SLOW_LOCK) &&
		mmu_gpa_of_host(vm, second) == mmu_gpa_of_host(vm, first) + size;
}

/* Will the check pass when it is made again, or the window serve? */
static bool may_retry(struct vcpu *v, const struct slow_access *d, unsigned access,
	const struct span part[2])
{
	const struct target *first = &part[0].to, *second = &part[1].to;

	if (first->debug || second->debug)
		return false;
	if (v->private_data->mode & MODE_HOSTMAP)
		return hostmap_reach(v, v->ea, d->size, access, first->host, second->host);
	return !part[1].size && first->host && !(d->flags & SLOW_OP) && may_pass(v, d) &&
		(!first->watched || access == ACC_READ);
}

/* The operation goes on out of line, on the page itself or on the buffer. */
static enum slow_result begin(struct vcpu *v, const struct slow_access *d, unsigned access,
	const struct span part[2])
{
	struct translate_vcpu *p = v->private_data;

	p->pending.active = access == ACC_WRITE;
	p->pending.linear = v->ea;
	p->pending.part[0] = part[0];
	p->pending.part[1] = part[1];
	p->pending.direct = is_direct(v->vm, part, d);
	if (p->pending.direct) {
		v->scratch = (uint64_t)part[0].to.host;
		return SLOW_GO;
	}
	v->count.bounce++;
	v->scratch = (uint64_t)p->bounce + (v->ea & 63);
	for (unsigned k = 0; k < 2 && d->flags & (SLOW_READ | SLOW_MASKED); k++)
		if (part[k].mask)
			mmu_target_read(v, &part[k].to, (uint8_t *)v->scratch + part[k].at,
				part[k].size);
	return SLOW_GO;
}

static enum slow_result access_memory(struct vcpu *v, const struct slow_access *d)
{
	struct translate_vcpu *p = v->private_data;
	unsigned access = d->flags & SLOW_WRITE ? ACC_WRITE : ACC_READ;
	uint64_t mask = ~0ull;
	struct span part[2];

	v->count.exit_slow++;
	if (p->mode & MODE_HOSTMAP)
		v->code_base = cache_block_at(&v->vm->cache, d)->base;
	if (d->flags & SLOW_GROUP)
		return slow_group(v, d);
	if (d->flags & SLOW_OP && linear_address(v, d->seg, v->ea, d->size, access, &v->ea))
		return slow_fault(v, d);
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
	spans(v->ea, d->size, mask, part);
	for (unsigned k = 0; k < 2; k++)
		if (resolve_span(v, v->ea, access, &part[k]))
			return slow_fault(v, d);
	if (may_retry(v, d, access, part))
		return SLOW_RETRY;
	if (d->flags & SLOW_LOCK && part[1].size && v->vm->vcpus > 1 && !p->alone) {
		p->split_lock = p->left_for_lookup = true;
		return slow_fault(v, d);
	}
	if (part[0].to.debug || part[1].to.debug)
		debug_masked(v, d, mask);
	return begin(v, d, access, part);
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

/* --- and after it ---------------------------------------------------------------------------------- */

/* Byte by byte where a mask is: what it leaves out may be another processor's. */
static bool write_span(struct vcpu *v, const struct span *s, const uint8_t *from)
{
	bool changed = false;

	if (s->mask == bytes_mask(s->size))
		return mmu_target_write(v, &s->to, from, s->size);
	for (unsigned at = 0, run; at < s->size; at += run) {
		struct target part = {.host = s->to.host ? s->to.host + at : NULL,
			.gpa = s->to.gpa + at,
			.watched = s->to.watched};
		bool set = s->mask >> at & 1;

		for (run = 1; at + run < s->size && (s->mask >> (at + run) & 1) == set; run++)
			;
		if (set)
			changed |= mmu_target_write(v, &part, from + at, run);
	}
	return changed;
}

/* Is the page watched by now? */
static bool is_watched(struct translate_vm *vm, const uint8_t *host)
{
	uint64_t gpa = mmu_gpa_of_host(vm, host);

	return region_page(vm_region(vm, gpa), gpa)->has_code;
}

static enum slow_result commit(struct vcpu *v, const struct slow_access *d)
{
	struct translate_vcpu *p = v->private_data;
	struct span *part = p->pending.part;
	const uint8_t *from = p->bounce + (p->pending.linear & 63);
	bool changed = false, device = false;

	if (!p->pending.active)
		return SLOW_GO;
	p->pending.active = false;
	if (p->pending.direct) {
		mmu_note_written(v->vm, part[0].to.host, d->size);
		/* looked at after the store: another vCPU may have begun to watch the page meanwhile */
		v->count.code_write += !part[1].size;
		changed = cache_invalidate(v->vm, mmu_gpa_of_host(v->vm, part[0].to.host), d->size);
	} else {
		for (unsigned k = 0; k < 2; k++) {
			if (!part[k].mask)
				continue;
			if (part[k].to.host)
				part[k].to.watched = is_watched(v->vm, part[k].to.host);
			device |= !part[k].to.host;
			changed |= write_span(v, &part[k], from + part[k].at);
		}
	}
	/* a device may have asked for a change of what is where, which the next instruction is to find done */
	if (device && __atomic_load_n(&v->kicked, __ATOMIC_RELAXED) & KICK_LEAVE)
		changed = true;
	if (!changed || d->flags & SLOW_JUMPS)
		return SLOW_GO;
	/* the code that runs may be among what changed: go on through the front door */
	v->cpu.rip = v->code_base + d->guest + d->length;
	v->fault.vector = 0;
	p->left_for_lookup = true;
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
