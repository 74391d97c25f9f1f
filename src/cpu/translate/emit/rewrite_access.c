/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory operands: the guest's address, the TLB check, and the way through C where that fails.
 */
#include <Zydis/Mnemonic.h>

#include "cpu/translate/cold.h"
#include "cpu/translate/emit/rewrite_internal.h"

/* --- addresses -------------------------------------------------------------------------------- */

struct address rewrite_address_of(const struct insn *i)
{
	return (struct address){i->mem_base, i->mem_index, i->mem_scale, i->mem_seg,
		i->address_size, i->mem_disp};
}

/* The register to name for a guest register, loaded into itself if it is one of the scratch ones. */
static unsigned use_reg(struct emit *e, unsigned reg)
{
	if (reg != NO_REG && reg != INSN_RIP && is_scratch(reg))
		emit_load(e, 8, reg, gpr_slot(reg));
	return reg;
}

/* r10 = the offset before segmentation. Uses r11. Flags stay. */
void rewrite_effective(struct rewrite *w, struct emit *e, struct address a)
{
	unsigned size = a.size == 8 ? 8 : 4;
	struct operand o = {NO_REG, NO_REG, a.scale ? a.scale : 1, (int32_t)a.disp};

	if (a.base == ADDRESS_SPILLED) {
		emit_load(e, 8, R10, gs_slot(offsetof(struct vcpu, spill[3])));
		return;
	}
	if (a.base == INSN_RIP) {
		/* mem_disp counts from the end of the instruction */
		rewrite_code_address(w, e, R10,
			(int32_t)a.disp + (int32_t)(w->guest + w->insn->length), size);
		return;
	}
	if (a.disp != (int32_t)a.disp) {
		emit_mov_imm64(e, R10, (uint64_t)a.disp);
		return;
	}
	if (a.index != NO_REG)
		o.index = (uint8_t)use_reg(e, a.index);
	if (a.base != NO_REG)
		o.base = (uint8_t)use_reg(e, a.base);
	if (o.base == NO_REG && o.index == NO_REG) {
		if (size == 4)
			emit_mov_imm32(e, R10, (uint32_t)o.disp);
		else {
			emit_8(e, 0x49); /* mov r10, simm32 */
			emit_8(e, 0xc7);
			emit_8(e, 0xc2);
			emit_32(e, (uint32_t)o.disp);
		}
	} else {
		emit_lea(e, size, R10, o);
	}
	if (a.size == 2)
		emit_movzx16(e, R10, R10);
}

/* True if the segment, or alignment checking, needs checks that only C code makes. */
static bool needs_checks(const struct rewrite *w, unsigned seg)
{
	if (w->mode & MODE_ALIGN)
		return true;
	if (w->bits == 64)
		return false;
	if (seg == SEG_FS)
		return !(w->mode & MODE_FS_OPEN);
	if (seg == SEG_GS)
		return !(w->mode & MODE_GS_OPEN);
	return !(w->mode & MODE_FLAT);
}

static struct operand segment_base(unsigned seg)
{
	return gs_slot(offsetof(struct vcpu, cpu.seg) + seg * sizeof(struct segment) +
		offsetof(struct segment, base));
}

/* r10 = linear address. */
static void linear(struct rewrite *w, struct emit *e, struct address a)
{
	rewrite_effective(w, e, a);
	if (a.seg == SEG_FS || a.seg == SEG_GS) {
		emit_load(e, 8, R11, segment_base(a.seg));
		emit_lea(e, w->bits == 64 ? 8 : 4, R10, (struct operand){R10, R11, 1, 0});
	}
}

/* --- windows ------------------------------------------------------------------------------------ */

/* Displacements up to here need no look at the slot that they lead to: guards lie between windows. */
#define NEAR (1 << 20)
_Static_assert(2 * NEAR <= WINDOW_GUARD, "a displacement may lead over a guard");

static bool direct(struct address a)
{
	return a.base < 16 && a.index == NO_REG && a.size == 8 && a.seg != SEG_FS &&
		a.seg != SEG_GS && a.disp > -NEAR && a.disp < NEAR;
}

bool rewrite_direct(const struct insn *i)
{
	return direct(rewrite_address_of(i));
}

void rewrite_window_of(struct emit *e, unsigned way, unsigned reg)
{
	emit_rorx(e, way, reg, WINDOW_BITS);
	emit_movzx8(e, way, way);
	emit_load(e, 8, way, gs_table(CTX_HOSTMAP, way));
}

/*
 * w->mem = the access by way of its window; what is not mapped there faults. For a base register and
 * a small displacement the window is the register's, and r11 holds the way there until something else
 * comes into it.
 */
static void window(struct rewrite *w, struct address a)
{
	struct emit *e = &w->hot;

	if (!direct(a)) {
		linear(w, e, a);
		if (a.base == INSN_RIP && a.seg != SEG_FS && a.seg != SEG_GS && a.size == 8) {
			uint64_t at = w->base + w->guest + w->insn->length + (uint64_t)a.disp;

			emit_load(e, 8, R11,
				gs_slot(CTX_HOSTMAP +
					8 * (at >> WINDOW_BITS & (WINDOW_SLOTS - 1))));
		} else {
			rewrite_window_of(e, R11, R10);
		}
		w->held = NO_REG;
		w->mem = (struct operand){R10, R11, 1, 0};
		return;
	}
	if (is_scratch(a.base)) {
		emit_load(e, 8, R10, gpr_slot(a.base));
		a.base = R10;
	}
	if (a.base != w->held) {
		rewrite_window_of(e, R11, a.base);
		w->held = a.base == R10 ? NO_REG : a.base;
		w->drift = 0;
	}
	w->mem = (struct operand){a.base, R11, 1, (int32_t)a.disp};
}

/* How far the instruction moves the register, or NEAR if it does more than move it. */
static uint32_t movement(const struct insn *i, unsigned reg)
{
	int64_t by = NEAR;

	if (insn_is(i, CLASS_STACK)) {
		if (reg == RSP && i->op_reg != RSP)
			by = 8;
	} else if (i->class == INSN_LEA) {
		if (i->operand_size == 8 && i->address_size == 8 && i->mem_base == reg &&
			i->mem_index == NO_REG)
			by = i->mem_disp;
	} else if (i->class == INSN_COPY && !i->has_mem && i->operand_size == 8 && i->imm_size &&
		(i->mnemonic == ZYDIS_MNEMONIC_ADD || i->mnemonic == ZYDIS_MNEMONIC_SUB)) {
		by = i->imm;
	}
	return by > -NEAR && by < NEAR ? (uint32_t)(by < 0 ? -by : by) : NEAR;
}

void rewrite_hold(struct rewrite *w, const struct insn *i)
{
	unsigned scratch = 1u << R10 | 1u << R11;

	if (w->held == NO_REG)
		return;
	if (!insn_is(i, CLASS_KEEPS) || i->high8 || (i->gpr_read | i->gpr_write) & scratch) {
		w->held = NO_REG;
	} else if (i->gpr_write >> w->held & 1) {
		w->drift += movement(i, w->held);
		if (w->drift >= NEAR)
			w->held = NO_REG;
	}
}

void rewrite_hold_again(struct rewrite *w, struct emit *e)
{
	if (w->held != NO_REG)
		rewrite_window_of(e, R11, w->held);
}

void rewrite_reach(struct rewrite *w, struct emit *e)
{
	if (in_window(w))
		rewrite_site_slow(w, e->at, 0);
}

void rewrite_narrow(struct rewrite *w, struct emit *e)
{
	emit_lea(e, 8, R10, w->mem);
	w->mem = at_reg(R10, 0);
}

/* --- the check ----------------------------------------------------------------------------------- */

void rewrite_align_jump(struct rewrite *w, struct emit *e, unsigned opcode)
{
	while (((offset_of(w, e->at) + opcode) & 63) > 60)
		emit_8(e, 0x90);
}

/* r11 = the index of r10's page in the TLB. */
static void page_index(struct emit *e)
{
	emit_rorx(e, R11, R10, 12);
	emit_movzx16(e, R11, R11);
}

/* Without ADCX: no flag is touched. r10 is used; a jump to failed, or on with the index in r11. */
static void check_difference(struct rewrite *w, unsigned size, uint32_t tags, const uint8_t *failed)
{
	struct emit *e = &w->hot;
	uint8_t *hit;

	emit_store(e, 8, gs_slot(offsetof(struct vcpu, spill[0])), RCX);
	emit_load(e, 8, RCX, gs_table(tags, R11));
	emit_lea(e, 8, R10, (struct operand){RCX, R10, 1, 0});
	if (size > 1)
		emit_lea(e, 8, RCX, at_reg(R10, (int32_t)size - 1));
	emit_pext(e, RCX, size > 1 ? RCX : R10, gs_slot(offsetof(struct vcpu, page_mask)));
	hit = emit_jrcxz(e);
	emit_load(e, 8, RCX, gs_slot(offsetof(struct vcpu, spill[0])));
	rewrite_align_jump(w, e, 1);
	emit_jmp(e, failed);
	w->patch = e->at - 4;
	emit_close(e, hit);
	emit_load(e, 8, RCX, gs_slot(offsetof(struct vcpu, spill[0])));
}

/*
 * The same by two sums (tlb_limit()), which use up CF. Where CF counts afterwards it is kept in
 * vcpu.carry first; else a check that fails finds it in its sum. The stack is written from the upper
 * end of a page downwards, so there CF is taken out of the sum lest the first of its page always fail.
 */
static void check_sum(struct rewrite *w, unsigned size, uint32_t tags, bool push,
	const uint8_t *failed)
{
	struct emit *e = &w->hot;

	if (push)
		emit_8(e, 0xf8); /* clc */
	emit_adcx(e, R10, gs_table(tags, R11));
	emit_adcx(e, R10, gs_slot(offsetof(struct vcpu, limit) + 8 * size));
	rewrite_align_jump(w, e, 2);
	emit_jcc(e, 2, failed); /* carry */
	w->patch = e->at - 4;
}

/* r11 is the page's index: w->mem = where the host has what is at a. */
static void host_address(struct rewrite *w, struct address a)
{
	struct emit *e = &w->hot;

	w->mem = at_reg(R10, 0);
	if (w->bits != 64 || a.base == R11 || a.index == R11) {
		linear(w, e, a);
		page_index(e);
		emit_load(e, 8, R11, gs_table(CTX_DELTA, R11));
		emit_lea(e, 8, R10, (struct operand){R10, R11, 1, 0});
		return;
	}
	emit_load(e, 8, R11, gs_table(CTX_DELTA, R11));
	if (direct(a) && a.base != R10) {
		w->mem = (struct operand){a.base, R11, 1, (int32_t)a.disp};
		if (!w->sums)
			rewrite_narrow(w, e);
		return;
	}
	rewrite_effective(w, e, a);
	emit_lea(e, 8, R10, (struct operand){R10, R11, 1, 0});
	if (a.seg == SEG_FS || a.seg == SEG_GS) {
		emit_load(e, 8, R11, segment_base(a.seg));
		emit_lea(e, 8, R10, (struct operand){R10, R11, 1, 0});
	}
}

/* w->mem = [r10], the host address of what is at a; a jump to failed if the TLB does not have it. */
static void check(struct rewrite *w, struct address a, unsigned size, bool write,
	const uint8_t *failed)
{
	uint32_t tags = write ? CTX_TAG_WRITE : CTX_TAG_READ;
	bool push = write && a.base == RSP && a.disp < 0;

	if (w->cache->adx && w->carry != CARRY_SLOT && (w->carry_counts || push)) {
		emit_carry_store(&w->hot, gs_slot(offsetof(struct vcpu, carry)));
		w->carry = CARRY_SLOT;
	}
	w->again = w->hot.at;
	linear(w, &w->hot, a);
	page_index(&w->hot);
	if (w->cache->adx) {
		check_sum(w, size, tags, push, failed);
		w->checked = w->carry == CARRY_SLOT ? SLOW_CARRY : SLOW_SUM;
		if (w->checked == SLOW_SUM)
			w->carry = CARRY_NONE;
	} else {
		check_difference(w, size, tags, failed);
	}
	host_address(w, a);
}

/* Out of line, where a check has failed: r10 = the linear address again. */
static void check_failed(struct rewrite *w, struct address a)
{
	if (w->checked == SLOW_SUM)
		emit_store(&w->cold, 8, gs_slot(offsetof(struct vcpu, sum)), R10);
	linear(w, &w->cold, a);
}

struct slow_access *rewrite_slow_call(struct rewrite *w, unsigned size, unsigned flags,
	unsigned seg)
{
	struct emit *e = &w->cold;
	struct slow_access *d;
	uint8_t *lea = e->at;

	emit_lea_rip(e, R11, e->at);
	emit_jmp_slot(e, offsetof(struct vcpu, stub_slow));
	d = (struct slow_access *)e->at;
	*d = (struct slow_access){.guest = (uint16_t)w->guest,
		.length = w->insn->length,
		.flags = (uint16_t)flags,
		.size = (uint16_t)size,
		.seg = (uint8_t)seg};
	e->at += sizeof *d;
	struct emit patch = {lea, 0};

	emit_lea_rip(&patch, R11, (uint8_t *)d);
	return d;
}

struct slow_access *rewrite_slow_group(struct rewrite *w, struct address a, unsigned size,
	bool write, uint32_t exit)
{
	unsigned flags = SLOW_GROUP | w->checked | (write ? SLOW_WRITE : SLOW_READ);
	struct slow_access *d;

	check_failed(w, a);
	d = rewrite_slow_call(w, size, flags, a.seg);
	emit_32(&w->cold, exit);
	return d;
}

/*
 * The host address is good, so the operation faults only for its own reasons: alignment, division,
 * floating point. A site ends where the next begins: one that cannot fault needs none behind one
 * that cannot either.
 */
static void faulting_site(struct rewrite *w, struct emit *e)
{
	if (in_window(w))
		return; /* rewrite_reach() */
	if (w->insn->class == INSN_COPY && (w->insn->may_fault || w->insn->mem_aligned))
		rewrite_site(w, e->at, 0, false);
}

/*
 * A memory access: check, operation; and out of line the slow path with the operation again.
 * flags: SLOW_*, what the operation does with the bytes.
 */
void rewrite_access(struct rewrite *w, struct address a, unsigned size, unsigned flags,
	access_op *op)
{
	bool checks = needs_checks(w, a.seg), write = flags & SLOW_WRITE;
	uint8_t *done;
	unsigned held = w->held;
	struct slow_access *d;

	if (a.seg == SEG_SS)
		flags |= SLOW_STACK;
	if (checks) {
		/* offset, then always out of line */
		emit_jmp(&w->hot, w->cold.at);
		done = w->hot.at;
		rewrite_effective(w, &w->cold, a);
		flags |= SLOW_OP | (w->carry == CARRY_SLOT ? SLOW_CARRY : 0);
		d = rewrite_slow_call(w, size, flags, a.seg);
	} else {
		w->slow = offset_of(w, w->cold.at);
		rewrite_check(w, a, size, write, w->cold.at);
		rewrite_carry_for(w, &w->hot, w->insn, free_scratch(w));
		faulting_site(w, &w->hot);
		op(w, &w->hot);
		done = w->hot.at;
		check_failed(w, a);
		d = rewrite_slow_call(w, size, flags | w->checked, a.seg);
	}
	w->mem = at_reg(R10, 0);
	faulting_site(w, &w->cold);
	op(w, &w->cold);
	if (write) {
		uint8_t *lea;

		emit_lea_rip(&w->cold, R11, (uint8_t *)d);
		lea = w->cold.at;
		emit_lea_rip(&w->cold, R10, lea);
		emit_jmp_slot(&w->cold, offsetof(struct vcpu, stub_commit));
		emit_lea_rip(&(struct emit){lea, 0}, R10, w->held == NO_REG ? done : w->cold.at);
	}
	if (!write || w->held != NO_REG) {
		rewrite_hold_again(w, &w->cold);
		emit_jmp(&w->cold, done);
	}
	if (held != NO_REG && held == w->held) {
		/* nothing has been computed in line, where it begins anew */
		d->retry = (int32_t)(w->cold.at - (uint8_t *)d);
		rewrite_hold_again(w, &w->cold);
		emit_jmp(&w->cold, w->again);
	} else if (!checks) {
		d->retry = (int32_t)(w->again - (uint8_t *)d);
	}
}

void rewrite_stack_write(struct rewrite *w, unsigned size, access_op *op)
{
	struct address below = {RSP, NO_REG, 1, SEG_SS, 8, -(int32_t)size};

	rewrite_access(w, below, size, SLOW_WRITE, op);
}

void rewrite_check(struct rewrite *w, struct address a, unsigned size, bool write,
	const uint8_t *failed)
{
	w->checked = 0;
	w->again = w->hot.at;
	if (w->mode & MODE_HOSTMAP)
		window(w, a);
	else
		check(w, a, size, write, failed);
}
