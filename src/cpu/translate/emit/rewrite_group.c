/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several memory accesses behind one TLB check: neighbours that use the same
 * base and index registers (fields of a structure, a local variable read and
 * written), and runs of PUSH or POP. The check covers all their bytes and fails
 * if the TLB does not have them in one page. Then C code fills the TLB and the
 * check is tried again. Where that does not help (two pages, a device, code, a
 * fault) the group is left before its first instruction for a block of
 * MODE_SINGLY, in which each access has a check of its own, so that faults stay
 * exact; and the check leads there from then on, by an exit like any other.
 */
#include "cpu/translate/cold.h"
#include "cpu/translate/emit/rewrite_internal.h"

#define SPAN_MAX 512
#define SCRATCH (1u << R10 | 1u << R11)

/* A group of insns[0, count): what the one check has to cover. */
struct group {
	unsigned count;
	struct address at; /* of the lowest byte */
	int64_t low, high; /* displacements covered, high exclusive */
	bool write;
	unsigned accesses;
};

static bool uses_scratch(const struct insn *i)
{
	return (i->gpr_read | i->gpr_write) & SCRATCH;
}

/* --- accesses by the same registers --------------------------------------------------------- */

static bool plain_access(const struct insn *i)
{
	return i->class == INSN_COPY && i->has_mem && !i->mem_masked && i->mem_size &&
		i->mem_size <= 64 && !i->high8 && !i->prefix_lock && i->modrm_offset &&
		i->address_size == 8 && i->mem_disp == (int32_t)i->mem_disp;
}

static bool plain_other(const struct insn *i)
{
	if (i->class == INSN_COPY)
		return !i->has_mem;
	return insn_is(i, CLASS_PURE) && (i->class != INSN_LEA || i->mem_base != INSN_RIP);
}

static bool same_registers(const struct insn *a, const struct insn *b)
{
	return a->mem_base == b->mem_base && a->mem_index == b->mem_index &&
		(a->mem_index == INSN_NO_REG || a->mem_scale == b->mem_scale) &&
		a->mem_seg == b->mem_seg;
}

/* Displacement from the register part; RIP-relative ones count from the code page. */
static int64_t displacement(const struct insn *i, unsigned guest)
{
	return i->mem_disp + (i->mem_base == INSN_RIP ? (int64_t)(guest + i->length) : 0);
}

static unsigned address_registers(const struct insn *i)
{
	unsigned mask = 0;

	if (i->mem_base < 16)
		mask |= 1u << i->mem_base;
	if (i->mem_index < 16)
		mask |= 1u << i->mem_index;
	return mask;
}

static struct group find_accesses(const struct rewrite *w, const struct insn *insns, unsigned count)
{
	const struct insn *first = &insns[0];
	struct group g = {.accesses = 0}, best = {.accesses = 0};
	unsigned guest = w->guest, written = 0;

	/* r11 serves all of them anyway; see rewrite_hold() */
	if (!plain_access(first) || (w->mode & MODE_HOSTMAP && rewrite_direct(first)))
		return best;
	for (unsigned k = 0; k < count; guest += insns[k].length, k++) {
		const struct insn *i = &insns[k];

		if (uses_scratch(i) || !rewrite_native(w->mode, i))
			break;
		if (plain_access(i) && same_registers(first, i)) {
			int64_t low = displacement(i, guest), high = low + i->mem_size;

			if (written & address_registers(first))
				break;
			g.low = g.accesses && g.low < low ? g.low : low;
			g.high = g.accesses && g.high > high ? g.high : high;
			if (g.high - g.low > SPAN_MAX)
				break;
			g.write |= i->mem_write;
			g.accesses++;
			g.count = k + 1;
			best = g;
		} else if (!plain_other(i)) {
			break;
		}
		written |= i->gpr_write;
	}
	best.at = (struct address){first->mem_base, first->mem_index, first->mem_scale,
		first->mem_seg, 8, best.low};
	/* address_rip: a displacement from the code page, not from the instruction */
	if (first->mem_base == INSN_RIP)
		best.at.disp -= (int64_t)(w->guest + first->length);
	return best;
}

/*
 * Through a window: the one access that has not found its memory, then on in line, with the group's window
 * in r10 and r11 again.
 */
static void emit_again(struct rewrite *w, const struct insn *first, unsigned guest,
	const struct group *g, const uint8_t *at)
{
	const struct insn *insn = w->insn;
	unsigned guest_now = w->guest;
	struct slow_access *d =
		rewrite_slow_group(w, rewrite_address_of(insn), insn->mem_size, insn->mem_write, 0);
	struct emit hot = w->hot;

	d->retry = (int32_t)(w->cold.at - (uint8_t *)d);
	w->insn = first;
	w->guest = guest;
	w->hot = w->cold;
	rewrite_check(w, g->at, 0, false, NULL);
	emit_jmp(&w->hot, at);
	w->cold = w->hot;
	w->hot = hot;
	w->insn = insn;
	w->guest = guest_now;
}

static void emit_accesses(struct rewrite *w, const struct insn *insns, const struct group *g)
{
	unsigned guest = w->guest;

	for (unsigned k = 0; k < g->count; k++) {
		const struct insn *i = &insns[k];

		w->insn = i;
		if (i->has_mem && i->class == INSN_COPY) {
			const uint8_t *at = w->hot.at;
			struct operand mem = w->mem;

			mem.disp += (int32_t)(displacement(i, w->guest) - g->low);
			w->slow = offset_of(w, w->cold.at);
			if (in_window(w))
				rewrite_reach(w, &w->hot);
			else
				rewrite_carry_for(w, &w->hot, i, R11);
			if (!in_window(w) && (i->may_fault || i->mem_aligned))
				rewrite_site(w, w->hot.at, 0, false);
			emit_copy(&w->hot, i, w->bits, mem);
			if (in_window(w))
				emit_again(w, insns, guest, g, at);
		} else {
			rewrite_one(w);
		}
		rewrite_carry_after(w, i);
		w->guest += i->length;
	}
}

/* --- the stack ----------------------------------------------------------------------------------- */

static bool plain_push(const struct insn *i)
{
	return i->class == INSN_PUSH && !i->has_mem && i->operand_size == 8 && i->op_reg != RSP;
}

static bool plain_pop(const struct insn *i)
{
	return i->class == INSN_POP && !i->has_mem && i->operand_size == 8 && i->op_reg != RSP;
}

static struct group find_pushes(const struct insn *insns, unsigned count)
{
	struct group g = {.write = true};

	while (g.count < count && plain_push(&insns[g.count]))
		g.count++;
	g.accesses = g.count;
	g.low = -8 * (int64_t)g.count;
	g.at = (struct address){RSP, INSN_NO_REG, 1, SEG_SS, 8, g.low};
	return g;
}

/* POPs, and a RET behind them. */
static struct group find_pops(const struct insn *insns, unsigned count)
{
	struct group g = {.count = 0};

	while (g.count < count && plain_pop(&insns[g.count]))
		g.count++;
	if (g.count && g.count < count && insns[g.count].class == INSN_RET &&
		insns[g.count].operand_size == 8)
		g.count++;
	g.accesses = g.count;
	g.high = 8 * (int64_t)g.count;
	g.at = (struct address){RSP, INSN_NO_REG, 1, SEG_SS, 8, 0};
	return g;
}

static void emit_pushes(struct rewrite *w, const struct insn *insns, const struct group *g)
{
	struct emit *e = &w->hot;

	for (unsigned k = 0; k < g->count; k++) {
		struct operand to = w->mem;
		unsigned from = insns[k].op_reg, value = free_scratch(w);

		to.disp += 8 * (int32_t)(g->count - 1 - k);
		if (from == R10 || from == R11) {
			emit_load(e, 8, value, gpr_slot(from));
			from = value;
		}
		rewrite_reach(w, e);
		if (from == INSN_NO_REG) {
			emit_op_mem(e, 8, 0xc7, 0, to);
			emit_32(e, (uint32_t)insns[k].imm);
			continue;
		}
		emit_store(e, 8, to, from);
	}
	emit_lea(e, 8, RSP, at_reg(RSP, (int32_t)g->low));
}

static void emit_pops(struct rewrite *w, const struct insn *insns, const struct group *g)
{
	struct emit *e = &w->hot;
	int32_t move = (int32_t)g->high;

	for (unsigned k = 0; k < g->count; k++) {
		struct operand from = w->mem;
		unsigned to = insns[k].op_reg, value = free_scratch(w);

		from.disp += 8 * (int32_t)k;
		rewrite_reach(w, e);
		if (insns[k].class == INSN_RET) {
			emit_load(e, 8, R10, from);
			move += (int32_t)(uint16_t)insns[k].imm;
		} else if (to == R10 || to == R11) {
			emit_load(e, 8, value, from);
			emit_store(e, 8, gpr_slot(to), value);
		} else {
			emit_load(e, 8, to, from);
		}
	}
	emit_lea(e, 8, RSP, at_reg(RSP, move));
}

/* --- both ------------------------------------------------------------------------------------------ */

/* Out of line: CF is the guest's again, and then a jump that may be patched to lead to another block. */
static void emit_way_out(struct rewrite *w)
{
	struct emit *e = &w->cold;

	emit_carry_load(e, R11, gs_slot(offsetof(struct vcpu, carry)));
	rewrite_align_jump(w, e, 1);
	emit_jmp(e, e->at + 5);
	w->patch = e->at - 4;
}

/* The way out of a check, and an exit to the same instructions one by one. */
static void emit_check(struct rewrite *w, const struct group *g)
{
	unsigned size = (unsigned)(g->high - g->low);
	struct slow_access *d;
	uint32_t exit;

	rewrite_check(w, g->at, size, g->write, w->cold.at);
	if (w->checked == SLOW_CARRY)
		emit_way_out(w);
	exit = rewrite_exit(w, (int32_t)w->guest);
	w->cache->exit[exit].patch = offset_of(w, w->patch);
	d = rewrite_slow_group(w, g->at, size, g->write, exit);
	d->retry = (int32_t)(w->again - (uint8_t *)d);
}

/* Through windows: a run of the stack begins anew when it misses, since RSP has not moved yet. */
static void emit_window(struct rewrite *w, const struct group *g)
{
	unsigned held = w->held;
	struct slow_access *d;

	rewrite_check(w, g->at, 0, false, NULL);
	if (!in_window(w) || w->mem.base != RSP)
		return;
	w->slow = offset_of(w, w->cold.at);
	d = rewrite_slow_group(w, g->at, (unsigned)(g->high - g->low), g->write, 0);
	d->retry = (int32_t)(w->again - (uint8_t *)d);
	if (held != RSP)
		return;
	/* r11 was there before */
	d->retry = (int32_t)(w->cold.at - (uint8_t *)d);
	rewrite_hold_again(w, &w->cold);
	emit_jmp(&w->cold, w->again);
}

unsigned rewrite_group(struct rewrite *w, const struct insn *insns, unsigned count)
{
	unsigned guest = w->guest;
	struct group g;
	void (*emit_group)(struct rewrite *, const struct insn *, const struct group *) =
		emit_accesses;

	if (w->bits != 64 || w->mode & (MODE_STEP | MODE_ALIGN | MODE_SINGLY))
		return 0;
	if (insns[0].class == INSN_PUSH) {
		g = find_pushes(insns, count);
		emit_group = emit_pushes;
	} else if (insns[0].class == INSN_POP) {
		g = find_pops(insns, count);
		emit_group = emit_pops;
	} else {
		g = find_accesses(w, insns, count);
	}
	if (g.accesses < 2)
		return 0;
	w->insn = &insns[0];
	/* kept whether it counts or not, since the exit's target may want it: see emit_check() */
	w->carry_counts = true;
	(w->mode & MODE_HOSTMAP ? emit_window : emit_check)(w, &g);
	emit_group(w, insns, &g);
	w->guest = guest;
	for (unsigned k = 0; k < g.count; k++) {
		rewrite_hold(w, &insns[k]);
		w->guest += insns[k].length;
	}
	if (insns[g.count - 1].class == INSN_RET) {
		rewrite_carry_load(w, &w->hot, R11);
		rewrite_lookup_indirect(w);
	}
	return g.count;
}
