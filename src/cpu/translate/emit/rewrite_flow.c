/* SPDX-License-Identifier: Apache-2.0 */
/* Near branches, calls and returns. */
#include "cpu/translate/cold.h"
#include "cpu/translate/emit/rewrite_internal.h"

static void poll(struct rewrite *w)
{
	rewrite_site(w, w->hot.at, 0, true);
	emit_load(&w->hot, 8, R10, gs_slot(offsetof(struct vcpu, poll)));
	emit_load(&w->hot, 8, R10, at_reg(R10, 0));
	/* whatever follows is not the poll */
	rewrite_site(w, w->hot.at, 0, false);
}

static void op_ret(struct rewrite *w, struct emit *e)
{
	rewrite_reach(w, e);
	emit_load(e, 8, R10, w->mem);
	move_rsp(e, 8 + (int32_t)(uint16_t)w->insn->imm);
}

static void op_call(struct rewrite *w, struct emit *e)
{
	unsigned value = free_scratch(w);

	rewrite_code_address(w, e, value, (int32_t)(w->guest + w->insn->length), 8);
	rewrite_reach(w, e);
	emit_store(e, 8, w->mem, value);
	move_rsp(e, -8);
}

/* The target of an indirect branch to spill[1]. */
static void indirect_target(struct rewrite *w)
{
	const struct insn *i = w->insn;

	if (i->has_mem) {
		rewrite_access(w, rewrite_address_of(i), 8, SLOW_READ, rewrite_load_value);
	} else {
		unsigned from = i->op_reg;

		if (is_scratch(from)) {
			emit_load(&w->hot, 8, R10, gpr_slot(from));
			from = R10;
		}
		emit_store(&w->hot, 8, gs_slot(offsetof(struct vcpu, spill[1])), from);
	}
}

static void op_load_target(struct rewrite *w, struct emit *e)
{
	rewrite_reach(w, e);
	emit_load(e, 8, R10, w->mem);
}

void rewrite_jump_indirect(struct rewrite *w)
{
	const struct insn *i = w->insn;

	if (i->has_mem)
		rewrite_access(w, rewrite_address_of(i), 8, SLOW_READ, op_load_target);
	else if (is_scratch(i->op_reg))
		emit_load(&w->hot, 8, R10, gpr_slot(i->op_reg));
	else
		emit_mov(&w->hot, 8, R10, i->op_reg);
	rewrite_carry_load(w, &w->hot, R11);
	rewrite_lookup_indirect(w);
}

static void goto_spilled(struct rewrite *w)
{
	rewrite_carry_load(w, &w->hot, R11);
	emit_load(&w->hot, 8, R10, gs_slot(offsetof(struct vcpu, spill[1])));
	rewrite_lookup_indirect(w);
}

static int32_t target_of(const struct rewrite *w)
{
	return (int32_t)(w->guest + w->insn->length + w->insn->imm);
}

void rewrite_conditional(struct rewrite *w)
{
	int32_t target = target_of(w);

	if (target <= (int32_t)w->guest)
		poll(w);
	rewrite_branch(w, w->insn->cc, target);
}

/* LOOP and JrCXZ without flags: rcx counts in itself, LOOPE and LOOPNE are left to C. */
void rewrite_loop(struct rewrite *w)
{
	struct emit *e = &w->hot;
	uint8_t *taken, *over;

	if (target_of(w) <= (int32_t)w->guest)
		poll(w);
	if (w->insn->cc == 2)
		emit_lea(e, w->insn->address_size, RCX, at_reg(RCX, -1));
	if (w->insn->address_size == 4)
		emit_8(e, 0x67);
	taken = emit_jrcxz(e);
	if (w->insn->cc == 2) {
		/* zero: fall through; not zero: branch */
		emit_8(e, 0xeb);
		emit_8(e, 0);
		over = e->at;
		emit_close(e, taken);
		emit_8(e, 0xeb);
		emit_8(e, 0);
		taken = e->at;
		emit_close(e, over);
		rewrite_branch(w, -1, target_of(w));
		emit_close(e, taken);
	} else {
		emit_8(e, 0xeb);
		emit_8(e, 0);
		over = e->at;
		emit_close(e, taken);
		rewrite_branch(w, -1, target_of(w));
		emit_close(e, over);
	}
}

void rewrite_ret_target(struct rewrite *w)
{
	rewrite_access(w, stack_below(0), 8, SLOW_READ, op_ret);
}

void rewrite_ret(struct rewrite *w)
{
	rewrite_ret_target(w);
	rewrite_carry_load(w, &w->hot, R11);
	rewrite_lookup_indirect(w);
}

void rewrite_jump(struct rewrite *w)
{
	if (w->shadow) {
		rewrite_code_address(w, &w->hot, R10, target_of(w), 8);
		rewrite_lookup(w);
		return;
	}
	if (target_of(w) <= (int32_t)w->guest)
		poll(w);
	rewrite_branch(w, -1, target_of(w));
}

void rewrite_call(struct rewrite *w)
{
	if (target_of(w) <= (int32_t)w->guest)
		poll(w);
	rewrite_access(w, stack_below(8), 8, SLOW_WRITE | SLOW_JUMPS, op_call);
	rewrite_carry_load(w, &w->hot, R11);
	rewrite_branch(w, -1, target_of(w));
}

void rewrite_call_indirect(struct rewrite *w)
{
	indirect_target(w);
	rewrite_access(w, stack_below(8), 8, SLOW_WRITE | SLOW_JUMPS, op_call);
	goto_spilled(w);
}
