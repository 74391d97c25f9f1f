/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MOVS and STOS through windows: the host's own string instruction, with RDI and RSI moved to their
 * windows for as long as it takes. Elements follow each other, so that what would leave a window meets
 * its guard. The rest is emulated: other string instructions, and counts that would keep a kick waiting.
 */
#include "cpu/translate/rewrite/rewrite_internal.h"

static bool moves(const struct insn *i)
{
	return (i->opcode & 0xfe) == 0xa4;
}

bool rewrite_string_native(uint32_t mode, const struct insn *i)
{
	return mode & MODE_WINDOW && i->address_size == 8 && !i->seg_override && !i->prefix_lock &&
		(moves(i) || (i->opcode & 0xfe) == 0xaa);
}

/* reg, with the way to its window in `way`, and back; flags stay. */
static void into_window(struct emit *e, unsigned reg, unsigned way)
{
	rewrite_window_of(e, way, reg);
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

static void emulate_cold(struct rewrite *w)
{
	struct emit hot = w->hot;

	w->hot = w->cold;
	rewrite_emulate(w);
	w->cold = w->hot;
	w->hot = hot;
}

/* Out of line, r10 = the address of an element that is not in its window: in line again if it can be brought there. */
static void bring(struct rewrite *w, unsigned reg, unsigned flags, const uint8_t *start)
{
	struct slow_access *d;

	emit_mov(&w->cold, 8, R10, reg);
	d = rewrite_slow_call(w, w->insn->mem_size, flags, SEG_DS);
	d->retry = (int32_t)(start - (uint8_t *)d);
	emulate_cold(w);
}

/* What has faulted is the element that the registers point to; a part may be done. */
static void out_of_line(struct rewrite *w, const uint8_t *start)
{
	struct emit *e = &w->cold;
	const struct insn *i = w->insn;

	w->slow = offset_of(w, e->at);
	out_of_window(e, RDI, R11);
	if (!moves(i)) {
		bring(w, RDI, SLOW_WRITE, start);
		return;
	}
	/* the source, or the destination? It is read first. */
	struct emit probe = *e;
	uint32_t slow = w->slow;

	emit_bytes(e, "\x44\x0f\xb6\x1e", 4); /* movzx r11d, byte [rsi] */
	out_of_window(e, RSI, R10);
	bring(w, RDI, SLOW_WRITE, start);
	w->slow = offset_of(w, e->at);
	rewrite_site_slow(w, probe.at, 0);
	out_of_window(e, RSI, R10);
	bring(w, RSI, SLOW_READ, start);
	w->slow = slow;
}

void rewrite_string(struct rewrite *w)
{
	struct emit *e = &w->hot;
	const struct insn *i = w->insn;
	const uint8_t *start = e->at;
	uint8_t *few;

	if (i->prefix_f2 || i->prefix_f3) {
		/* 4,096 elements, without touching flags */
		emit_mov(e, 8, R10, RCX);
		emit_pext(e, RCX, RCX, gs_slot(offsetof(struct vcpu, page_mask)));
		few = emit_jrcxz(e);
		emit_mov(e, 8, RCX, R10);
		emit_jmp(e, w->cold.at);
		emulate_cold(w);
		emit_close(e, few);
		emit_mov(e, 8, RCX, R10);
	}
	into_window(e, RDI, R11);
	if (moves(i))
		into_window(e, RSI, R10);
	out_of_line(w, start);
	rewrite_site_slow(w, e->at, 0);
	string(e, i);
	rewrite_site(w, e->at, 0, false);
	out_of_window(e, RDI, R11);
	if (moves(i))
		out_of_window(e, RSI, R10);
}
