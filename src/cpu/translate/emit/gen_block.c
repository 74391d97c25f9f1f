/* SPDX-License-Identifier: Apache-2.0 */
/* A block: its entry, its instructions one by one or in groups, and what comes behind the last. */
#include <Zydis/Mnemonic.h>

#include "cpu/translate/cold.h"
#include "cpu/translate/emit/gen_internal.h"

/* The far entry: r10 is the RIP, of which the page's address is kept. */
static void entry(struct codegen *g, unsigned start)
{
	if (g->mode & MODE_HOSTMAP)
		return;
	emit_lea(&g->hot, 8, R10, at_reg(R10, -(int32_t)start));
	emit_store(&g->hot, 8, gs_slot(offsetof(struct vcpu, code_base)), R10);
}

/* Is what comes behind it in the block not reached? */
static bool leaves(const struct codegen *g, const struct insn *i)
{
	return !gen_native(g->mode, i) || insn_is(i, CLASS_LEAVES);
}

static void fixups_flush(struct codegen *g, struct tblock *b)
{
	struct cache *c = g->cache;

	/* ascending by code offset: the hot part lies below the cold one */
	b->first_fixup = c->fixups;
	for (unsigned k = 0; k < g->hot_fixups; k++)
		c->fixup[c->fixups++] = g->hot_fixup[k];
	for (unsigned k = 0; k < g->cold_fixups; k++)
		c->fixup[c->fixups++] = g->cold_fixup[k];
	b->fixups = (uint16_t)(c->fixups - b->first_fixup);
}

/* Is there an instruction after STI behind which the interrupt may come? */
static bool irq_window_fits(const struct codegen *g, const struct insn *insns, unsigned k,
	unsigned count)
{
	if (!gen_native(g->mode, &insns[k]))
		return true; /* emulated anyway */
	return k + 1 < count && gen_native(g->mode, &insns[k + 1]) &&
		insn_is(&insns[k + 1], CLASS_AFTER_STI);
}

/*
 * Behind the last instruction. `anew`: the next is looked up each time, since it lies in two pages, or
 * comes after SERIALIZE, behind which no jump counts that this processor may have fetched before.
 */
static void go_on(struct codegen *g, bool anew)
{
	gen_carry_load(g, &g->hot, R11);
	if (g->mode & MODE_STEP) {
		emit_mov_imm32(&g->hot, R10, g->guest);
		gen_leave(&g->hot, LEAVE_STEP);
	} else if (anew) {
		gen_code_address(g, &g->hot, R10, (int32_t)g->guest, g->bits == 64 ? 8 : 4);
		gen_lookup(g);
	} else {
		gen_branch(g, -1, (int32_t)g->guest);
	}
}

unsigned gen_block(struct cache *c, struct tblock *b, uint32_t index, const struct insn *insns,
	unsigned count, unsigned start, bool next_crosses)
{
	bool carry_counts[BLOCK_MAX_INSNS];
	struct fixup hot_fixup[GEN_FIXUPS_MAX / 2], cold_fixup[GEN_FIXUPS_MAX / 2];
	bool left = false;
	uint32_t first_exit;
	unsigned grouped;
	struct codegen g = {
		.cache = c,
		.block_index = index,
		.mode = b->mode,
		.base = b->base,
		.guest = start,
		.way_reg = NO_REG,
		.bits = (b->mode & MODE_BITS) == MODE_64   ? 64
			: (b->mode & MODE_BITS) == MODE_32 ? 32
							   : 16,
		.hot = {c->write + c->hot, 0},
		.cold = {c->write + c->cold, 0},
		.hot_fixup = hot_fixup,
		.cold_fixup = cold_fixup,
	};

	b->code = c->hot;
	b->cold = c->cold;
	first_exit = c->exits;
	gen_flow(b->mode, insns, count, carry_counts);
	entry(&g, start);
	b->same_page_entry = (uint8_t)(offset_of(&g, g.hot.at) - b->code);
	for (unsigned k = 0; k < count; k++) {
		g.insn = &insns[k];
		g.carry_counts = carry_counts[k];
		if (g.insn->mnemonic == ZYDIS_MNEMONIC_STI &&
			!irq_window_fits(&g, insns, k, count)) {
			gen_carry_load(&g, &g.hot, R11);
			gen_emulate(&g);
			count = k + 1;
			left = true;
			break;
		}
		/* not behind STI, where the window is */
		g.shadow = k && insns[k - 1].mnemonic == ZYDIS_MNEMONIC_STI;
		grouped = g.shadow ? 0 : gen_group(&g, insns + k, count - k);
		if (grouped) {
			k += grouped - 1;
			continue;
		}
		gen_one(&g);
		gen_carry_after(&g, &insns[k]);
		gen_way_after(&g, &insns[k]);
		g.guest += insns[k].length;
		if (g.shadow && !leaves(&g, &insns[k]))
			gen_irq_window(&g);
	}
	if (!left && !leaves(&g, &insns[count - 1]))
		go_on(&g, next_crosses || insns[count - 1].mnemonic == ZYDIS_MNEMONIC_SERIALIZE);
	b->exits = (uint8_t)(c->exits - first_exit);
	c->hot = offset_of(&g, g.hot.at);
	c->cold = offset_of(&g, g.cold.at);
	b->code_size = (uint16_t)(c->hot - b->code);
	b->cold_size = (uint16_t)(c->cold - b->cold);
	fixups_flush(&g, b);
	return count;
}
