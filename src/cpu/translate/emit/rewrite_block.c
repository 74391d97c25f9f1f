/* SPDX-License-Identifier: Apache-2.0 */
/* A block: its entry, its instructions one by one or in groups, and what comes behind the last. */
#include <Zydis/Mnemonic.h>

#include "cpu/translate/cold.h"
#include "cpu/translate/emit/rewrite_internal.h"

/* The far entry: r10 is the RIP, of which the page's address is kept. */
static void entry(struct rewrite *w, unsigned start)
{
	if (w->mode & MODE_HOSTMAP)
		return;
	emit_lea(&w->hot, 8, R10, at_reg(R10, -(int32_t)start));
	emit_store(&w->hot, 8, gs_slot(offsetof(struct vcpu, code_base)), R10);
}

/* Is what comes behind it in the block not reached? */
static bool leaves(const struct rewrite *w, const struct insn *i)
{
	return !rewrite_native(w->mode, i) || insn_is(i, CLASS_LEAVES);
}

static void sites_flush(struct rewrite *w, struct tblock *b)
{
	struct cache *c = w->cache;

	/* ascending by code offset: the hot part lies below the cold one */
	b->first_site = c->sites;
	for (unsigned k = 0; k < w->hot_sites; k++)
		c->site[c->sites++] = w->hot_site[k];
	for (unsigned k = 0; k < w->cold_sites; k++)
		c->site[c->sites++] = w->cold_site[k];
	b->sites = (uint16_t)(c->sites - b->first_site);
}

/* Is there an instruction after STI behind which the interrupt may come? */
static bool irq_window_fits(const struct rewrite *w, const struct insn *insns, unsigned k,
	unsigned count)
{
	if (!rewrite_native(w->mode, &insns[k]))
		return true; /* emulated anyway */
	return k + 1 < count && rewrite_native(w->mode, &insns[k + 1]) &&
		insn_is(&insns[k + 1], CLASS_AFTER_STI);
}

/*
 * Behind the last instruction. `anew`: the next is looked up each time, since it lies in two pages, or
 * comes after SERIALIZE, behind which no jump counts that this processor may have fetched before.
 */
static void go_on(struct rewrite *w, bool anew)
{
	rewrite_carry_load(w, &w->hot, R11);
	if (w->mode & MODE_STEP) {
		emit_mov_imm32(&w->hot, R10, w->guest);
		rewrite_leave(&w->hot, LEAVE_STEP);
	} else if (anew) {
		rewrite_code_address(w, &w->hot, R10, (int32_t)w->guest, w->bits == 64 ? 8 : 4);
		rewrite_lookup(w);
	} else {
		rewrite_branch(w, -1, (int32_t)w->guest);
	}
}

unsigned rewrite_block(struct cache *c, struct tblock *b, uint32_t index, const struct insn *insns,
	unsigned count, unsigned start, bool next_crosses)
{
	bool carry_counts[BLOCK_MAX_INSNS];
	struct site hot_site[REWRITE_SITES_MAX / 2], cold_site[REWRITE_SITES_MAX / 2];
	bool left = false;
	uint32_t first_exit;
	unsigned grouped;
	struct rewrite w = {
		.cache = c,
		.block_index = index,
		.mode = b->mode,
		.base = b->base,
		.guest = start,
		.held = NO_REG,
		.bits = (b->mode & MODE_BITS) == MODE_64   ? 64
			: (b->mode & MODE_BITS) == MODE_32 ? 32
							   : 16,
		.hot = {c->write + c->hot, 0},
		.cold = {c->write + c->cold, 0},
		.hot_site = hot_site,
		.cold_site = cold_site,
	};

	b->code = c->hot;
	b->cold = c->cold;
	first_exit = c->exits;
	rewrite_flow(b->mode, insns, count, carry_counts);
	entry(&w, start);
	b->near = (uint8_t)(offset_of(&w, w.hot.at) - b->code);
	for (unsigned k = 0; k < count; k++) {
		w.insn = &insns[k];
		w.carry_counts = carry_counts[k];
		if (w.insn->mnemonic == ZYDIS_MNEMONIC_STI &&
			!irq_window_fits(&w, insns, k, count)) {
			rewrite_carry_load(&w, &w.hot, R11);
			rewrite_emulate(&w);
			count = k + 1;
			left = true;
			break;
		}
		/* not behind STI, where the window is */
		w.shadow = k && insns[k - 1].mnemonic == ZYDIS_MNEMONIC_STI;
		grouped = w.shadow ? 0 : rewrite_group(&w, insns + k, count - k);
		if (grouped) {
			k += grouped - 1;
			continue;
		}
		rewrite_one(&w);
		rewrite_carry_after(&w, &insns[k]);
		rewrite_hold(&w, &insns[k]);
		w.guest += insns[k].length;
		if (w.shadow && !leaves(&w, &insns[k]))
			rewrite_irq_window(&w);
	}
	if (!left && !leaves(&w, &insns[count - 1]))
		go_on(&w, next_crosses || insns[count - 1].mnemonic == ZYDIS_MNEMONIC_SERIALIZE);
	b->exits = (uint8_t)(c->exits - first_exit);
	c->hot = offset_of(&w, w.hot.at);
	c->cold = offset_of(&w, w.cold.at);
	b->code_size = (uint16_t)(c->hot - b->code);
	b->cold_size = (uint16_t)(c->cold - b->cold);
	sites_flush(&w, b);
	return count;
}
