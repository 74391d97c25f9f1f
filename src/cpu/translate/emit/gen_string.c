/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MOVS and STOS: the host's own string instruction, with RDI and RSI moved for as long as it takes.
 * Through windows elements follow each other, so that what would leave a window meets its guard. Without
 * them a REP whose bytes go upwards and lie in pages that the TLB has, one for each register, finds them
 * checked first. The rest is emulated: other string instructions, and counts that would keep a kick
 * waiting.
 */
#include "cpu/translate/cold.h"
#include "cpu/translate/emit/gen_internal.h"

static bool moves(const struct insn *i)
{
	return (i->opcode & 0xfe) == 0xa4;
}

/* --- through windows ---------------------------------------------------------------------------- */

/* reg, with the way to its window in `way`, and back; flags stay. */
static void into_window(struct emit *e, unsigned reg, unsigned way)
{
	gen_way(e, way, reg);
	emit_lea(e, 8, reg, (struct operand){(uint8_t)reg, (uint8_t)way, 1, 0});
}

static void out_of_window(struct emit *e, unsigned reg, unsigned way)
{
	emit_not(e, way);
	emit_lea(e, 8, reg, (struct operand){(uint8_t)reg, (uint8_t)way, 1, 1});
}

static void string(struct emit *e, const struct insn *i)
{
	if (i->operand_size == 2 && i->opcode & 1)
		emit_8(e, 0x66);
	if (i->prefix_f2 || i->prefix_f3)
		emit_8(e, 0xf3);
	if (i->operand_size == 8 && i->opcode & 1)
		emit_8(e, 0x48);
	emit_8(e, i->opcode);
}

static void emulate_cold(struct codegen *g)
{
	struct emit hot = g->hot;

	g->hot = g->cold;
	gen_emulate(g);
	g->cold = g->hot;
	g->hot = hot;
}

/* Out of line, r10 = the address of an element that is not in its window: in line again if it can be brought there. */
static void bring(struct codegen *g, unsigned reg, unsigned flags, const uint8_t *start)
{
	struct slow_access *d;

	emit_mov(&g->cold, 8, R10, reg);
	d = gen_slow_call(g, g->insn->mem_size, flags, SEG_DS);
	d->retry = (int32_t)(start - (uint8_t *)d);
	emulate_cold(g);
}

/* What has faulted is the element that the registers point to; a part may be done. */
static void out_of_line(struct codegen *g, const uint8_t *start)
{
	struct emit *e = &g->cold;
	const struct insn *i = g->insn;

	g->slow = offset_of(g, e->at);
	out_of_window(e, RDI, R11);
	if (!moves(i)) {
		bring(g, RDI, SLOW_WRITE, start);
		return;
	}
	/* the source, or the destination? It is read first, and may lie in two pages. */
	const uint8_t *probe[2];
	uint32_t slow = g->slow;

	probe[0] = e->at;
	emit_op_mem(e, 4, 0xfb6, R11, at_reg(RSI, 0)); /* movzx */
	emit_lea(e, 8, R11, at_reg(RSI, i->mem_size - 1));
	probe[1] = e->at;
	emit_op_mem(e, 4, 0xfb6, R11, at_reg(R11, 0));
	out_of_window(e, RSI, R10);
	bring(g, RDI, SLOW_WRITE, start);
	g->slow = offset_of(g, e->at);
	gen_fixup_slow(g, probe[0], 0);
	gen_fixup_slow(g, probe[1], 0);
	out_of_window(e, RSI, R10);
	bring(g, RSI, SLOW_READ, start);
	g->slow = slow;
}

static void through_windows(struct codegen *g)
{
	struct emit *e = &g->hot;
	const struct insn *i = g->insn;
	const uint8_t *start = e->at;
	uint8_t *few;

	if (i->prefix_f2 || i->prefix_f3) {
		/* 4,096 elements, without touching flags */
		emit_mov(e, 8, R10, RCX);
		emit_pext(e, RCX, RCX, gs_slot(offsetof(struct vcpu, page_mask)));
		few = emit_jrcxz(e);
		emit_mov(e, 8, RCX, R10);
		emit_jmp(e, g->cold.at);
		emulate_cold(g);
		emit_close(e, few);
		emit_mov(e, 8, RCX, R10);
	}
	into_window(e, RDI, R11);
	if (moves(i))
		into_window(e, RSI, R10);
	out_of_line(g, start);
	gen_fixup_slow(g, e->at, 0);
	string(e, i);
	gen_fixup(g, e->at, 0, false);
	out_of_window(e, RDI, R11);
	if (moves(i))
		out_of_window(e, RSI, R10);
}

/* --- in pages that the TLB has ------------------------------------------------------------------- */

#define COUNT gs_slot(offsetof(struct vcpu, spill[0]))
#define TARGET gs_slot(offsetof(struct vcpu, spill[1])) /* host addresses */
#define SOURCE gs_slot(offsetof(struct vcpu, spill[2]))
#define PAGE_MASK gs_slot(offsetof(struct vcpu, page_mask))

/* On with rcx zero; else out of line. */
static void only_zero(struct emit *e, const uint8_t *failed)
{
	uint8_t *zero = emit_jrcxz(e);

	emit_jmp(e, failed);
	emit_close(e, zero);
}

/* 1 to 4,096 elements, and DF clear? */
static void check_count(struct emit *e, const uint8_t *failed)
{
	gen_host_flags(e);
	emit_pext(e, R10, R10, gs_slot(offsetof(struct vcpu, direction_mask)));
	emit_lea(e, 8, RCX, at_reg(RCX, -1));
	emit_pext(e, RCX, RCX, PAGE_MASK);
	emit_lea(e, 8, RCX, (struct operand){RCX, R10, 1, 0});
	only_zero(e, failed);
}

/*
 * Do they lie in the page at tags that reg points to? Each of what must not be there is a PEXT of less
 * than 2^52, so their sum is zero only if all are.
 */
static void check_page(struct codegen *g, unsigned reg, uint64_t tags, struct operand host,
	const uint8_t *failed)
{
	struct emit *e = &g->hot;

	emit_rorx(e, R11, reg, 12);
	emit_movzx16(e, R11, R11);
	emit_load(e, 8, R10, gs_table(tags, R11));
	emit_lea(e, 8, R10, (struct operand){R10, (uint8_t)reg, 1, 0});
	emit_load(e, 8, R11, gs_table(CTX_DELTA, R11));
	emit_lea(e, 8, R11, (struct operand){R11, (uint8_t)reg, 1, 0});
	emit_store(e, 8, host, R11);
	emit_load(e, 8, RCX, COUNT);
	emit_lea(e, 8, RCX, (struct operand){R10, RCX, (uint8_t)g->insn->mem_size, -1});
	emit_pext(e, RCX, RCX, PAGE_MASK);
	emit_pext(e, R10, R10, PAGE_MASK);
	emit_lea(e, 8, RCX, (struct operand){RCX, R10, 1, 0});
	only_zero(e, failed);
}

static void in_pages(struct codegen *g)
{
	struct emit *e = &g->hot;
	const struct insn *i = g->insn;
	const uint8_t *failed = g->cold.at;
	uint8_t scale = (uint8_t)i->mem_size;

	emit_load(&g->cold, 8, RCX, COUNT);
	emulate_cold(g);
	emit_store(e, 8, COUNT, RCX);
	check_count(e, failed);
	check_page(g, RDI, CTX_TAG_WRITE, TARGET, failed);
	if (moves(i))
		check_page(g, RSI, CTX_TAG_READ, SOURCE, failed);
	emit_load(e, 8, RCX, COUNT);
	emit_mov(e, 8, R10, RDI);
	if (moves(i)) {
		emit_mov(e, 8, R11, RSI);
		emit_load(e, 8, RSI, SOURCE);
	}
	emit_load(e, 8, RDI, TARGET);
	string(e, i);
	emit_load(e, 8, RCX, COUNT);
	emit_lea(e, 8, RDI, (struct operand){R10, RCX, scale, 0});
	if (moves(i))
		emit_lea(e, 8, RSI, (struct operand){R11, RCX, scale, 0});
	emit_mov_imm32(e, RCX, 0);
}

void gen_string(struct codegen *g)
{
	if (g->mode & MODE_HOSTMAP)
		through_windows(g);
	else
		in_pages(g);
}
