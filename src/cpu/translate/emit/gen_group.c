/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several memory accesses behind one TLB check: neighbours that use the same
 * base and index registers (fields of a structure, a local variable read and
 * written), and runs of PUSH or POP. The check covers all their bytes and fails
 * if the TLB does not have them in one page. Then C code fills the TLB and the
 * check is tried again. Where that does not help (two pages, a device, code, a
 * fault) the group is left before its first instruction for a block of
 * MODE_UNGROUPED, in which each access has a check of its own, so that faults stay
 * exact; and the check leads there from then on, by an exit like any other.
 */
#include "cpu/translate/cold.h"
#include "cpu/translate/emit/gen_internal.h"

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

static struct group find_accesses(const struct codegen *g, const struct insn *insns, unsigned count)
{
	const struct insn *first = &insns[0];
	struct group group = {.accesses = 0}, best = {.accesses = 0};
	unsigned guest = g->guest, written = 0;

	/* r11 serves all of them anyway; see gen_way_after() */
	if (!plain_access(first) || (g->mode & MODE_HOSTMAP && gen_direct(first)))
		return best;
	for (unsigned k = 0; k < count; guest += insns[k].length, k++) {
		const struct insn *i = &insns[k];

		if (uses_scratch(i) || !gen_native(g->mode, i))
			break;
		if (plain_access(i) && same_registers(first, i)) {
			int64_t low = displacement(i, guest), high = low + i->mem_size;

			if (written & address_registers(first))
				break;
			group.low = group.accesses && group.low < low ? group.low : low;
			group.high = group.accesses && group.high > high ? group.high : high;
			if (group.high - group.low > SPAN_MAX)
				break;
			group.write |= i->mem_write;
			group.accesses++;
			group.count = k + 1;
			best = group;
		} else if (!plain_other(i)) {
			break;
		}
		written |= i->gpr_write;
	}
	best.at = (struct address){first->mem_base, first->mem_index, first->mem_scale,
		first->mem_seg, 8, best.low};
	/* address_rip: a displacement from the code page, not from the instruction */
	if (first->mem_base == INSN_RIP)
		best.at.disp -= (int64_t)(g->guest + first->length);
	return best;
}

/*
 * Through a window: the one access that has not found its memory, then on in line, with the group's window
 * in r10 and r11 again.
 */
static void emit_again(struct codegen *g, const struct insn *first, unsigned guest,
	const struct group *group, const uint8_t *at)
{
	const struct insn *insn = g->insn;
	unsigned guest_now = g->guest;
	struct slow_access *d =
		gen_slow_group(g, gen_address_of(insn), insn->mem_size, insn->mem_write, 0);
	struct emit hot = g->hot;

	d->retry = (int32_t)(g->cold.at - (uint8_t *)d);
	g->insn = first;
	g->guest = guest;
	g->hot = g->cold;
	gen_check(g, group->at, 0, false, NULL);
	emit_jmp(&g->hot, at);
	g->cold = g->hot;
	g->hot = hot;
	g->insn = insn;
	g->guest = guest_now;
}

static void emit_accesses(struct codegen *g, const struct insn *insns, const struct group *group)
{
	unsigned guest = g->guest;

	for (unsigned k = 0; k < group->count; k++) {
		const struct insn *i = &insns[k];

		g->insn = i;
		if (i->has_mem && i->class == INSN_COPY) {
			const uint8_t *at = g->hot.at;
			struct operand mem = g->mem;

			mem.disp += (int32_t)(displacement(i, g->guest) - group->low);
			g->slow = offset_of(g, g->cold.at);
			if (in_window(g))
				gen_reach(g, &g->hot);
			else
				gen_carry_for(g, &g->hot, i, R11);
			if (!in_window(g) && (i->may_fault || i->mem_aligned))
				gen_fixup(g, g->hot.at, 0, false);
			emit_copy(&g->hot, i, g->bits, mem);
			if (in_window(g))
				emit_again(g, insns, guest, group, at);
		} else {
			gen_one(g);
		}
		gen_carry_after(g, i);
		g->guest += i->length;
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
	struct group group = {.write = true};

	while (group.count < count && plain_push(&insns[group.count]))
		group.count++;
	group.accesses = group.count;
	group.low = -8 * (int64_t)group.count;
	group.at = (struct address){RSP, INSN_NO_REG, 1, SEG_SS, 8, group.low};
	return group;
}

/* POPs, and a RET behind them. */
static struct group find_pops(const struct insn *insns, unsigned count)
{
	struct group group = {.count = 0};

	while (group.count < count && plain_pop(&insns[group.count]))
		group.count++;
	if (group.count && group.count < count && insns[group.count].class == INSN_RET &&
		insns[group.count].operand_size == 8)
		group.count++;
	group.accesses = group.count;
	group.high = 8 * (int64_t)group.count;
	group.at = (struct address){RSP, INSN_NO_REG, 1, SEG_SS, 8, 0};
	return group;
}

static void emit_pushes(struct codegen *g, const struct insn *insns, const struct group *group)
{
	struct emit *e = &g->hot;

	for (unsigned k = 0; k < group->count; k++) {
		struct operand to = g->mem;
		unsigned from = insns[k].op_reg, value = free_scratch(g);

		to.disp += 8 * (int32_t)(group->count - 1 - k);
		if (from == R10 || from == R11) {
			emit_load(e, 8, value, gpr_slot(from));
			from = value;
		}
		gen_reach(g, e);
		if (from == INSN_NO_REG) {
			emit_op_mem(e, 8, 0xc7, 0, to);
			emit_32(e, (uint32_t)insns[k].imm);
			continue;
		}
		emit_store(e, 8, to, from);
	}
	emit_lea(e, 8, RSP, at_reg(RSP, (int32_t)group->low));
}

static void emit_pops(struct codegen *g, const struct insn *insns, const struct group *group)
{
	struct emit *e = &g->hot;
	int32_t move = (int32_t)group->high;

	for (unsigned k = 0; k < group->count; k++) {
		struct operand from = g->mem;
		unsigned to = insns[k].op_reg, value = free_scratch(g);

		from.disp += 8 * (int32_t)k;
		gen_reach(g, e);
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
static void emit_way_out(struct codegen *g)
{
	struct emit *e = &g->cold;

	emit_carry_load(e, R11, gs_slot(offsetof(struct vcpu, carry)));
	gen_align_jump(g, e, 1);
	emit_jmp(e, e->at + 5);
	g->patch = e->at - 4;
}

/* The way out of a check, and an exit to the same instructions one by one. */
static void emit_check(struct codegen *g, const struct group *group)
{
	unsigned size = (unsigned)(group->high - group->low);
	struct slow_access *d;
	uint32_t exit;

	gen_check(g, group->at, size, group->write, g->cold.at);
	if (g->checked == SLOW_CARRY)
		emit_way_out(g);
	exit = gen_exit(g, (int32_t)g->guest);
	g->cache->exit[exit].patch = offset_of(g, g->patch);
	d = gen_slow_group(g, group->at, size, group->write, exit);
	d->retry = (int32_t)(g->again - (uint8_t *)d);
}

/* Through windows: a run of the stack begins anew when it misses, since RSP has not moved yet. */
static void emit_window(struct codegen *g, const struct group *group)
{
	unsigned way_reg = g->way_reg;
	struct slow_access *d;

	gen_check(g, group->at, 0, false, NULL);
	if (!in_window(g) || g->mem.base != RSP)
		return;
	g->slow = offset_of(g, g->cold.at);
	d = gen_slow_group(g, group->at, (unsigned)(group->high - group->low), group->write, 0);
	d->retry = (int32_t)(g->again - (uint8_t *)d);
	if (way_reg != RSP)
		return;
	/* r11 was there before */
	d->retry = (int32_t)(g->cold.at - (uint8_t *)d);
	gen_way_again(g, &g->cold);
	emit_jmp(&g->cold, g->again);
}

unsigned gen_group(struct codegen *g, const struct insn *insns, unsigned count)
{
	unsigned guest = g->guest;
	struct group group;
	void (*emit_group)(struct codegen *, const struct insn *, const struct group *) =
		emit_accesses;

	if (g->bits != 64 || g->mode & (MODE_STEP | MODE_ALIGN | MODE_UNGROUPED))
		return 0;
	if (insns[0].class == INSN_PUSH) {
		group = find_pushes(insns, count);
		emit_group = emit_pushes;
	} else if (insns[0].class == INSN_POP) {
		group = find_pops(insns, count);
		emit_group = emit_pops;
	} else {
		group = find_accesses(g, insns, count);
	}
	if (group.accesses < 2)
		return 0;
	g->insn = &insns[0];
	/* kept whether it counts or not, since the exit's target may want it: see emit_check() */
	g->carry_counts = true;
	(g->mode & MODE_HOSTMAP ? emit_window : emit_check)(g, &group);
	emit_group(g, insns, &group);
	g->guest = guest;
	for (unsigned k = 0; k < group.count; k++) {
		gen_way_after(g, &insns[k]);
		g->guest += insns[k].length;
	}
	if (insns[group.count - 1].class == INSN_RET) {
		gen_carry_load(g, &g->hot, R11);
		gen_lookup_indirect(g);
	}
	return group.count;
}
