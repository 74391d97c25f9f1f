/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory operands: the guest's address, the TLB check, and the way through C where that fails.
 */
#include <Zydis/Mnemonic.h>

#include "cpu/translate/cold.h"
#include "cpu/translate/emit/gen_internal.h"

/* --- addresses -------------------------------------------------------------------------------- */

struct address gen_address_of(const struct insn *i)
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
void gen_effective(struct codegen *g, struct emit *e, struct address a)
{
	unsigned size = a.size == 8 ? 8 : 4;
	struct operand o = {NO_REG, NO_REG, a.scale ? a.scale : 1, (int32_t)a.disp};

	if (a.base == ADDRESS_SPILLED) {
		emit_load(e, 8, R10, gs_slot(offsetof(struct vcpu, spill[3])));
		return;
	}
	if (a.base == INSN_RIP) {
		/* mem_disp counts from the end of the instruction */
		gen_code_address(g, e, R10, (int32_t)a.disp + (int32_t)(g->guest + g->insn->length),
			size);
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
static bool needs_checks(const struct codegen *g, unsigned seg)
{
	if (g->mode & MODE_ALIGN)
		return true;
	if (g->bits == 64)
		return false;
	if (seg == SEG_FS)
		return !(g->mode & MODE_FS_OPEN);
	if (seg == SEG_GS)
		return !(g->mode & MODE_GS_OPEN);
	return !(g->mode & MODE_FLAT);
}

static struct operand segment_base(unsigned seg)
{
	return gs_slot(offsetof(struct vcpu, cpu.seg) + seg * sizeof(struct segment) +
		offsetof(struct segment, base));
}

/* r10 = linear address. */
static void linear(struct codegen *g, struct emit *e, struct address a)
{
	gen_effective(g, e, a);
	if (a.seg == SEG_FS || a.seg == SEG_GS) {
		emit_load(e, 8, R11, segment_base(a.seg));
		emit_lea(e, g->bits == 64 ? 8 : 4, R10, (struct operand){R10, R11, 1, 0});
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

bool gen_direct(const struct insn *i)
{
	return direct(gen_address_of(i));
}

void gen_way(struct emit *e, unsigned way, unsigned reg)
{
	emit_rorx(e, way, reg, WINDOW_BITS);
	emit_movzx8(e, way, way);
	emit_load(e, 8, way, gs_table(CTX_HOSTMAP, way));
}

/*
 * g->mem = the access by way of its window; what is not mapped there faults. For a base register and
 * a small displacement the window is the register's, and r11 holds the way there until something else
 * comes into it.
 */
static void window(struct codegen *g, struct address a)
{
	struct emit *e = &g->hot;

	if (!direct(a)) {
		linear(g, e, a);
		if (a.base == INSN_RIP && a.seg != SEG_FS && a.seg != SEG_GS && a.size == 8) {
			uint64_t at = g->base + g->guest + g->insn->length + (uint64_t)a.disp;

			emit_load(e, 8, R11,
				gs_slot(CTX_HOSTMAP +
					8 * (at >> WINDOW_BITS & (WINDOW_SLOTS - 1))));
		} else {
			gen_way(e, R11, R10);
		}
		g->way_reg = NO_REG;
		g->mem = (struct operand){R10, R11, 1, 0};
		return;
	}
	if (is_scratch(a.base)) {
		emit_load(e, 8, R10, gpr_slot(a.base));
		a.base = R10;
	}
	if (a.base != g->way_reg) {
		gen_way(e, R11, a.base);
		g->way_reg = a.base == R10 ? NO_REG : a.base;
		g->way_drift = 0;
	}
	g->mem = (struct operand){a.base, R11, 1, (int32_t)a.disp};
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

void gen_way_after(struct codegen *g, const struct insn *i)
{
	unsigned scratch = 1u << R10 | 1u << R11;

	if (g->way_reg == NO_REG)
		return;
	if (!insn_is(i, CLASS_KEEPS) || i->high8 || (i->gpr_read | i->gpr_write) & scratch) {
		g->way_reg = NO_REG;
	} else if (i->gpr_write >> g->way_reg & 1) {
		g->way_drift += movement(i, g->way_reg);
		if (g->way_drift >= NEAR)
			g->way_reg = NO_REG;
	}
}

void gen_way_again(struct codegen *g, struct emit *e)
{
	if (g->way_reg != NO_REG)
		gen_way(e, R11, g->way_reg);
}

void gen_reach(struct codegen *g, struct emit *e)
{
	if (in_window(g))
		gen_fixup_slow(g, e->at, 0);
}

void gen_narrow(struct codegen *g, struct emit *e)
{
	emit_lea(e, 8, R10, g->mem);
	g->mem = at_reg(R10, 0);
}

/* --- the check ----------------------------------------------------------------------------------- */

void gen_align_jump(struct codegen *g, struct emit *e, unsigned opcode)
{
	while (((offset_of(g, e->at) + opcode) & 63) > 60)
		emit_8(e, 0x90);
}

/* r11 = the index of r10's page in the TLB. */
static void page_index(struct emit *e)
{
	emit_rorx(e, R11, R10, 12);
	emit_movzx16(e, R11, R11);
}

/* Without ADCX: no flag is touched. r10 is used; a jump to failed, or on with the index in r11. */
static void check_difference(struct codegen *g, unsigned size, uint32_t tags, const uint8_t *failed)
{
	struct emit *e = &g->hot;
	uint8_t *hit;

	emit_store(e, 8, gs_slot(offsetof(struct vcpu, spill[0])), RCX);
	emit_load(e, 8, RCX, gs_table(tags, R11));
	emit_lea(e, 8, R10, (struct operand){RCX, R10, 1, 0});
	if (size > 1)
		emit_lea(e, 8, RCX, at_reg(R10, (int32_t)size - 1));
	emit_pext(e, RCX, size > 1 ? RCX : R10, gs_slot(offsetof(struct vcpu, page_mask)));
	hit = emit_jrcxz(e);
	emit_load(e, 8, RCX, gs_slot(offsetof(struct vcpu, spill[0])));
	gen_align_jump(g, e, 1);
	emit_jmp(e, failed);
	g->patch = e->at - 4;
	emit_close(e, hit);
	emit_load(e, 8, RCX, gs_slot(offsetof(struct vcpu, spill[0])));
}

/*
 * The same by two sums (tlb_limit()), which use up CF. Where CF counts afterwards it is kept in
 * vcpu.carry first; else a check that fails finds it in its sum. The stack is written from the upper
 * end of a page downwards, so there CF is taken out of the sum lest the first of its page always fail.
 */
static void check_sum(struct codegen *g, unsigned size, uint32_t tags, bool push,
	const uint8_t *failed)
{
	struct emit *e = &g->hot;

	if (push)
		emit_8(e, 0xf8); /* clc */
	emit_adcx(e, R10, gs_table(tags, R11));
	emit_adcx(e, R10, gs_slot(offsetof(struct vcpu, limit) + 8 * size));
	gen_align_jump(g, e, 2);
	emit_jcc(e, 2, failed); /* carry */
	g->patch = e->at - 4;
}

/* r11 is the page's index: g->mem = where the host has what is at a. */
static void host_address(struct codegen *g, struct address a)
{
	struct emit *e = &g->hot;

	g->mem = at_reg(R10, 0);
	if (g->bits != 64 || a.base == R11 || a.index == R11) {
		linear(g, e, a);
		page_index(e);
		emit_load(e, 8, R11, gs_table(CTX_DELTA, R11));
		emit_lea(e, 8, R10, (struct operand){R10, R11, 1, 0});
		return;
	}
	emit_load(e, 8, R11, gs_table(CTX_DELTA, R11));
	if (direct(a) && a.base != R10) {
		g->mem = (struct operand){a.base, R11, 1, (int32_t)a.disp};
		if (!g->sums)
			gen_narrow(g, e);
		return;
	}
	gen_effective(g, e, a);
	emit_lea(e, 8, R10, (struct operand){R10, R11, 1, 0});
	if (a.seg == SEG_FS || a.seg == SEG_GS) {
		emit_load(e, 8, R11, segment_base(a.seg));
		emit_lea(e, 8, R10, (struct operand){R10, R11, 1, 0});
	}
}

/* g->mem = [r10], the host address of what is at a; a jump to failed if the TLB does not have it. */
static void check(struct codegen *g, struct address a, unsigned size, bool write,
	const uint8_t *failed)
{
	uint32_t tags = write ? CTX_TAG_WRITE : CTX_TAG_READ;
	bool push = write && a.base == RSP && a.disp < 0;

	if (g->cache->adx && g->carry != CARRY_SLOT && (g->carry_counts || push)) {
		emit_carry_store(&g->hot, gs_slot(offsetof(struct vcpu, carry)));
		g->carry = CARRY_SLOT;
	}
	g->again = g->hot.at;
	linear(g, &g->hot, a);
	page_index(&g->hot);
	if (g->cache->adx) {
		check_sum(g, size, tags, push, failed);
		g->checked = g->carry == CARRY_SLOT ? SLOW_CARRY : SLOW_SUM;
		if (g->checked == SLOW_SUM)
			g->carry = CARRY_NONE;
	} else {
		check_difference(g, size, tags, failed);
	}
	host_address(g, a);
}

/* Out of line, where a check has failed: r10 = the linear address again. */
static void check_failed(struct codegen *g, struct address a)
{
	if (g->checked == SLOW_SUM)
		emit_store(&g->cold, 8, gs_slot(offsetof(struct vcpu, sum)), R10);
	linear(g, &g->cold, a);
}

struct slow_access *gen_slow_call(struct codegen *g, unsigned size, unsigned flags, unsigned seg)
{
	struct emit *e = &g->cold;
	struct slow_access *d;
	uint8_t *lea = e->at;

	emit_lea_rip(e, R11, e->at);
	emit_jmp_slot(e, offsetof(struct vcpu, stub_slow));
	d = (struct slow_access *)e->at;
	*d = (struct slow_access){.guest = (uint16_t)g->guest,
		.length = g->insn->length,
		.flags = (uint16_t)flags,
		.size = (uint16_t)size,
		.seg = (uint8_t)seg};
	e->at += sizeof *d;
	struct emit patch = {lea, 0};

	emit_lea_rip(&patch, R11, (uint8_t *)d);
	return d;
}

struct slow_access *gen_slow_group(struct codegen *g, struct address a, unsigned size, bool write,
	uint32_t exit)
{
	unsigned flags = SLOW_GROUP | g->checked | (write ? SLOW_WRITE : SLOW_READ);
	struct slow_access *d;

	check_failed(g, a);
	d = gen_slow_call(g, size, flags, a.seg);
	emit_32(&g->cold, exit);
	return d;
}

/*
 * The host address is good, so the operation faults only for its own reasons: alignment, division,
 * floating point. A fixup ends where the next begins: one that cannot fault needs none behind one
 * that cannot either.
 */
static void faulting_fixup(struct codegen *g, struct emit *e)
{
	if (in_window(g))
		return; /* gen_reach() */
	if (g->insn->class == INSN_COPY && (g->insn->may_fault || g->insn->mem_aligned))
		gen_fixup(g, e->at, 0, false);
}

/*
 * A memory access: check, operation; and out of line the slow path with the operation again.
 * flags: SLOW_*, what the operation does with the bytes.
 */
void gen_access(struct codegen *g, struct address a, unsigned size, unsigned flags, access_op *op)
{
	bool checks = needs_checks(g, a.seg), write = flags & SLOW_WRITE;
	uint8_t *done;
	unsigned way_reg = g->way_reg;
	struct slow_access *d;

	if (a.seg == SEG_SS)
		flags |= SLOW_STACK;
	if (checks) {
		/* offset, then always out of line */
		emit_jmp(&g->hot, g->cold.at);
		done = g->hot.at;
		gen_effective(g, &g->cold, a);
		flags |= SLOW_OP | (g->carry == CARRY_SLOT ? SLOW_CARRY : 0);
		d = gen_slow_call(g, size, flags, a.seg);
	} else {
		g->slow = offset_of(g, g->cold.at);
		gen_check(g, a, size, write, g->cold.at);
		gen_carry_for(g, &g->hot, g->insn, free_scratch(g));
		faulting_fixup(g, &g->hot);
		op(g, &g->hot);
		done = g->hot.at;
		check_failed(g, a);
		d = gen_slow_call(g, size, flags | g->checked, a.seg);
	}
	g->mem = at_reg(R10, 0);
	faulting_fixup(g, &g->cold);
	op(g, &g->cold);
	if (write) {
		uint8_t *lea;

		emit_lea_rip(&g->cold, R11, (uint8_t *)d);
		lea = g->cold.at;
		emit_lea_rip(&g->cold, R10, lea);
		emit_jmp_slot(&g->cold, offsetof(struct vcpu, stub_commit));
		emit_lea_rip(&(struct emit){lea, 0}, R10, g->way_reg == NO_REG ? done : g->cold.at);
	}
	if (!write || g->way_reg != NO_REG) {
		gen_way_again(g, &g->cold);
		emit_jmp(&g->cold, done);
	}
	if (way_reg != NO_REG && way_reg == g->way_reg) {
		/* nothing has been computed in line, where it begins anew */
		d->retry = (int32_t)(g->cold.at - (uint8_t *)d);
		gen_way_again(g, &g->cold);
		emit_jmp(&g->cold, g->again);
	} else if (!checks) {
		d->retry = (int32_t)(g->again - (uint8_t *)d);
	}
}

void gen_stack_write(struct codegen *g, unsigned size, access_op *op)
{
	struct address below = {RSP, NO_REG, 1, SEG_SS, 8, -(int32_t)size};

	gen_access(g, below, size, SLOW_WRITE, op);
}

void gen_check(struct codegen *g, struct address a, unsigned size, bool write,
	const uint8_t *failed)
{
	g->checked = 0;
	g->again = g->hot.at;
	if (g->mode & MODE_HOSTMAP)
		window(g, a);
	else
		check(g, a, size, write, failed);
}
