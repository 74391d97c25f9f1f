/* SPDX-License-Identifier: Apache-2.0 */
/* PUSH, POP and LEAVE of 64-bit code: memory first, then the stack pointer. */
#include "cpu/translate/cold.h"
#include "cpu/translate/emit/rewrite_internal.h"

static void op_push(struct rewrite *w, struct emit *e)
{
	const struct insn *i = w->insn;
	unsigned size = i->operand_size;

	if (i->has_mem) {
		unsigned value = free_scratch(w);

		emit_load(e, 8, value, gs_slot(offsetof(struct vcpu, spill[1])));
		rewrite_reach(w, e);
		emit_store(e, size, w->mem, value);
	} else if (i->op_reg == NO_REG) {
		rewrite_reach(w, e);
		emit_op_mem(e, size, 0xc7, 0, w->mem); /* mov mem, imm */
		if (size == 2)
			emit_bytes(e, &(uint16_t){(uint16_t)i->imm}, 2);
		else
			emit_32(e, (uint32_t)i->imm);
	} else {
		unsigned from = i->op_reg;

		if (is_scratch(from)) {
			emit_load(e, 8, free_scratch(w), gpr_slot(from));
			from = free_scratch(w);
		}
		rewrite_reach(w, e);
		emit_store(e, size, w->mem, from);
	}
	move_rsp(e, -(int32_t)size);
}

void rewrite_load_value(struct rewrite *w, struct emit *e)
{
	rewrite_reach(w, e);
	emit_load(e, w->insn->operand_size, R10, w->mem);
	emit_store(e, 8, gs_slot(offsetof(struct vcpu, spill[1])), R10);
}

void rewrite_push(struct rewrite *w)
{
	if (w->insn->has_mem)
		rewrite_access(w, rewrite_address_of(w->insn), w->insn->operand_size, SLOW_READ,
			rewrite_load_value);
	rewrite_access(w, stack_below(w->insn->operand_size), w->insn->operand_size, SLOW_WRITE,
		op_push);
}

static void op_pop(struct rewrite *w, struct emit *e)
{
	unsigned size = w->insn->operand_size, to = w->insn->op_reg;

	rewrite_reach(w, e);
	if (is_scratch(to)) {
		emit_load(e, size, R10, w->mem);
		emit_store(e, size, gpr_slot(to), R10);
	} else if (to == RSP) {
		emit_load(e, size, R10, w->mem);
		move_rsp(e, (int32_t)size);
		emit_mov(e, size, RSP, R10);
		return;
	} else {
		emit_load(e, size, to, w->mem);
	}
	move_rsp(e, (int32_t)size);
}

static void op_leave(struct rewrite *w, struct emit *e)
{
	rewrite_reach(w, e);
	emit_load(e, 8, R10, w->mem);
	emit_lea(e, 8, RSP, at_reg(RBP, 8));
	emit_mov(e, 8, RBP, R10);
}

void rewrite_pop(struct rewrite *w)
{
	rewrite_access(w, stack_below(0), w->insn->operand_size, SLOW_READ, op_pop);
}

void rewrite_leave_frame(struct rewrite *w)
{
	rewrite_access(w, (struct address){RBP, NO_REG, 1, SEG_SS, 8, 0}, 8, SLOW_READ, op_leave);
}
