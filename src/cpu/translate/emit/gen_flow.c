/* SPDX-License-Identifier: Apache-2.0 */
/* Near branches, calls and returns. */
#include "cpu/translate/cold.h"
#include "cpu/translate/emit/gen_internal.h"

static void poll(struct codegen *g)
{
	gen_fixup(g, g->hot.at, 0, true);
	emit_load(&g->hot, 8, R10, gs_slot(offsetof(struct vcpu, poll)));
	emit_load(&g->hot, 8, R10, at_reg(R10, 0));
	/* whatever follows is not the poll */
	gen_fixup(g, g->hot.at, 0, false);
}

static void op_ret(struct codegen *g, struct emit *e)
{
	gen_reach(g, e);
	emit_load(e, 8, R10, g->mem);
	move_rsp(g, e, 8 + (int32_t)(uint16_t)g->insn->imm);
}

static void op_call(struct codegen *g, struct emit *e)
{
	unsigned value = free_scratch(g);

	gen_code_address(g, e, value, (int32_t)(g->guest + g->insn->length), 8);
	gen_reach(g, e);
	emit_store(e, 8, g->mem, value);
	move_rsp(g, e, -8);
}

/* The target of an indirect branch to spill[1]. */
static void indirect_target(struct codegen *g)
{
	const struct insn *i = g->insn;

	if (i->has_mem) {
		gen_access(g, gen_address_of(i), 8, SLOW_READ, gen_load_value);
	} else {
		unsigned from = i->op_reg;

		if (is_scratch(from)) {
			emit_load(&g->hot, 8, R10, gpr_slot(from));
			from = R10;
		}
		emit_store(&g->hot, 8, gs_slot(offsetof(struct vcpu, spill[1])), from);
	}
}

static void op_load_target(struct codegen *g, struct emit *e)
{
	gen_reach(g, e);
	emit_load(e, 8, R10, g->mem);
}

void gen_jump_indirect(struct codegen *g)
{
	const struct insn *i = g->insn;

	if (i->has_mem)
		gen_access(g, gen_address_of(i), 8, SLOW_READ, op_load_target);
	else if (is_scratch(i->op_reg))
		emit_load(&g->hot, 8, R10, gpr_slot(i->op_reg));
	else
		emit_mov(&g->hot, 8, R10, i->op_reg);
	gen_carry_load(g, &g->hot, R11);
	gen_lookup_indirect(g);
}

static void goto_spilled(struct codegen *g)
{
	gen_carry_load(g, &g->hot, R11);
	emit_load(&g->hot, 8, R10, gs_slot(offsetof(struct vcpu, spill[1])));
	gen_lookup_indirect(g);
}

static int32_t target_of(const struct codegen *g)
{
	return (int32_t)(g->guest + g->insn->length + g->insn->imm);
}

void gen_conditional(struct codegen *g)
{
	int32_t target = target_of(g);

	if (target <= (int32_t)g->guest)
		poll(g);
	gen_branch(g, g->insn->cc, target);
}

/* LOOP and JrCXZ without flags: rcx counts in itself, LOOPE and LOOPNE are left to C. */
void gen_loop(struct codegen *g)
{
	struct emit *e = &g->hot;
	uint8_t *taken, *over;

	if (target_of(g) <= (int32_t)g->guest)
		poll(g);
	if (g->insn->cc == 2)
		emit_lea(e, g->insn->address_size, RCX, at_reg(RCX, -1));
	if (g->insn->address_size == 4)
		emit_8(e, 0x67);
	taken = emit_jrcxz(e);
	if (g->insn->cc == 2) {
		/* zero: fall through; not zero: branch */
		emit_8(e, 0xeb);
		emit_8(e, 0);
		over = e->at;
		emit_close(e, taken);
		emit_8(e, 0xeb);
		emit_8(e, 0);
		taken = e->at;
		emit_close(e, over);
		gen_branch(g, -1, target_of(g));
		emit_close(e, taken);
	} else {
		emit_8(e, 0xeb);
		emit_8(e, 0);
		over = e->at;
		emit_close(e, taken);
		gen_branch(g, -1, target_of(g));
		emit_close(e, over);
	}
}

void gen_ret_target(struct codegen *g)
{
	gen_access(g, stack_below(g, 0), 8, SLOW_READ, op_ret);
}

void gen_ret(struct codegen *g)
{
	gen_ret_target(g);
	gen_carry_load(g, &g->hot, R11);
	gen_lookup_indirect(g);
}

void gen_jump(struct codegen *g)
{
	if (g->shadow) {
		gen_code_address(g, &g->hot, R10, target_of(g), 8);
		gen_lookup(g);
		return;
	}
	if (target_of(g) <= (int32_t)g->guest)
		poll(g);
	gen_branch(g, -1, target_of(g));
}

void gen_call(struct codegen *g)
{
	if (target_of(g) <= (int32_t)g->guest)
		poll(g);
	gen_access(g, stack_below(g, 8), 8, SLOW_WRITE | SLOW_JUMPS, op_call);
	gen_carry_load(g, &g->hot, R11);
	gen_branch(g, -1, target_of(g));
}

void gen_call_indirect(struct codegen *g)
{
	indirect_target(g);
	gen_access(g, stack_below(g, 8), 8, SLOW_WRITE | SLOW_JUMPS, op_call);
	goto_spilled(g);
}
