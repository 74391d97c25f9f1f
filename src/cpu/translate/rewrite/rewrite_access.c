/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory operands: the guest's address, the TLB check, and the way through C where that fails.
 */
#include "cpu/translate/rewrite/rewrite_internal.h"

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

	if (a.base == INSN_RIP) {
		/* mem_disp counts from the end of the instruction */
		rewrite_code_address(e, R10,
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

/* r10 = linear address. */
static void linear(struct rewrite *w, struct emit *e, struct address a)
{
	rewrite_effective(w, e, a);
	if (a.seg == SEG_FS || a.seg == SEG_GS) {
		emit_load(e, 8, R11,
			gs_slot(offsetof(struct vcpu, cpu.seg) + a.seg * sizeof(struct segment) +
				offsetof(struct segment, base)));
		emit_lea(e, w->bits == 64 ? 8 : 4, R10, (struct operand){R10, R11, 1, 0});
	}
}

/* --- the check ----------------------------------------------------------------------------------- */

/*
 * r10 = host address of what r10's linear address names; a jump to cold_at if the TLB does not
 * have it.
 */
static void check(struct rewrite *w, unsigned size, bool write, uint8_t *cold_at)
{
	struct emit *e = &w->hot;
	uint32_t tags = write ? CTX_TAG_WRITE : CTX_TAG_READ;

	emit_rorx(e, R11, R10, 12);
	emit_movzx16(e, R11, R11);
	if (!w->flags_live) {
		emit_op_mem(e, 8, 0x33, R10, gs_table(tags, R11)); /* xor r10, tag */
		emit_8(e, 0x49);                                   /* cmp r10, 4096 - size */
		emit_8(e, 0x81);
		emit_8(e, 0xfa);
		emit_32(e, 4096 - size);
		emit_jcc(e, 7, cold_at);                               /* above */
		emit_op_mem(e, 8, 0x03, R10, gs_table(CTX_HOST, R11)); /* add r10, host */
		return;
	}
	emit_store(e, 8, gs_slot(offsetof(struct vcpu, spill[0])), RCX);
	emit_load(e, 8, RCX, gs_table(tags, R11));
	emit_not(e, RCX);
	emit_lea(e, 8, R10, (struct operand){RCX, R10, 1, 1});
	if (size > 1)
		emit_lea(e, 8, RCX, at_reg(R10, (int32_t)size - 1));
	emit_pext(e, RCX, size > 1 ? RCX : R10, gs_slot(offsetof(struct vcpu, page_mask)));
	uint8_t *hit = emit_jrcxz(e);

	emit_load(e, 8, RCX, gs_slot(offsetof(struct vcpu, spill[0])));
	emit_jmp(e, cold_at);
	emit_close(e, hit);
	emit_load(e, 8, R11, gs_table(CTX_HOST, R11));
	emit_load(e, 8, RCX, gs_slot(offsetof(struct vcpu, spill[0])));
	emit_lea(e, 8, R10, (struct operand){R10, R11, 1, 0});
}

static struct slow_access *slow_call(struct rewrite *w, unsigned size, unsigned flags, unsigned seg)
{
	struct emit *e = &w->cold;
	struct slow_access *d;
	uint8_t *lea = e->at;

	emit_lea_rip(e, R11, e->at);
	emit_jmp_slot(e, offsetof(struct vcpu, stub_slow));
	d = (struct slow_access *)e->at;
	*d = (struct slow_access){.guest = (uint16_t)w->guest,
		.length = w->insn->length,
		.flags = (uint8_t)flags,
		.size = (uint16_t)size,
		.seg = (uint8_t)seg};
	e->at += sizeof *d;
	struct emit patch = {lea, 0};

	emit_lea_rip(&patch, R11, (uint8_t *)d);
	return d;
}

/*
 * The host address is good, so the operation faults only for its own reasons: alignment, division,
 * floating point. A site ends where the next begins: one that cannot fault needs none behind one
 * that cannot either.
 */
static void faulting_site(struct rewrite *w, struct emit *e)
{
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
	uint8_t *start = w->hot.at, *done;
	struct slow_access *d;

	if (a.seg == SEG_SS)
		flags |= SLOW_STACK;
	if (checks) {
		/* offset, then always out of line */
		emit_jmp(&w->hot, w->cold.at);
		done = w->hot.at;
		rewrite_effective(w, &w->cold, a);
		d = slow_call(w, size, flags | SLOW_OP, a.seg);
	} else {
		linear(w, &w->hot, a);
		check(w, size, write, w->cold.at);
		faulting_site(w, &w->hot);
		op(w, &w->hot);
		done = w->hot.at;
		linear(w, &w->cold, a);
		d = slow_call(w, size, flags, a.seg);
	}
	d->retry = (int32_t)(start - (uint8_t *)d);
	faulting_site(w, &w->cold);
	op(w, &w->cold);
	if (write) {
		emit_lea_rip(&w->cold, R11, (uint8_t *)d);
		emit_lea_rip(&w->cold, R10, done);
		emit_jmp_slot(&w->cold, offsetof(struct vcpu, stub_commit));
	} else {
		emit_jmp(&w->cold, done);
	}
}

void rewrite_stack_write(struct rewrite *w, unsigned size, access_op *op)
{
	struct address below = {RSP, NO_REG, 1, SEG_SS, 8, -(int32_t)size};

	rewrite_access(w, below, size, SLOW_WRITE, op);
}

void rewrite_check(struct rewrite *w, struct address a, unsigned size, bool write, uint8_t *failed)
{
	linear(w, &w->hot, a);
	check(w, size, write, failed);
}
