/* SPDX-License-Identifier: Apache-2.0 */
/* PUSH and POP, and LEAVE of 64-bit code: memory first, then the stack pointer. */
#include "cpu/translate/cold.h"
#include "cpu/translate/emit/gen_internal.h"

static void op_push(struct codegen *g, struct emit *e)
{
	const struct insn *i = g->insn;
	unsigned size = i->operand_size;

	if (i->has_mem) {
		unsigned value = free_scratch(g);

		emit_load(e, 8, value, gs_slot(offsetof(struct vcpu, spill[1])));
		gen_reach(g, e);
		emit_store(e, size, g->mem, value);
	} else if (i->op_reg == NO_REG) {
		gen_reach(g, e);
		emit_op_mem(e, size, 0xc7, 0, g->mem); /* mov mem, imm */
		if (size == 2)
			emit_bytes(e, &(uint16_t){(uint16_t)i->imm}, 2);
		else
			emit_32(e, (uint32_t)i->imm);
	} else {
		unsigned from = i->op_reg;

		if (is_scratch(from)) {
			emit_load(e, 8, free_scratch(g), gpr_slot(from));
			from = free_scratch(g);
		}
		gen_reach(g, e);
		emit_store(e, size, g->mem, from);
	}
	move_rsp(g, e, -(int32_t)size);
}

void gen_load_value(struct codegen *g, struct emit *e)
{
	gen_reach(g, e);
	emit_load(e, g->insn->operand_size, R10, g->mem);
	emit_store(e, 8, gs_slot(offsetof(struct vcpu, spill[1])), R10);
}

void gen_push(struct codegen *g)
{
	if (g->insn->has_mem)
		gen_access(g, gen_address_of(g->insn), g->insn->operand_size, SLOW_READ,
			gen_load_value);
	gen_access(g, stack_below(g, g->insn->operand_size), g->insn->operand_size, SLOW_WRITE,
		op_push);
}

static void op_pop(struct codegen *g, struct emit *e)
{
	unsigned size = g->insn->operand_size, to = g->insn->op_reg;

	gen_reach(g, e);
	if (is_scratch(to)) {
		emit_load(e, size, R10, g->mem);
		emit_store(e, size, gpr_slot(to), R10);
	} else if (to == RSP) {
		emit_load(e, size, R10, g->mem);
		move_rsp(g, e, (int32_t)size);
		emit_mov(e, size, RSP, R10);
		return;
	} else {
		emit_load(e, size, to, g->mem);
	}
	move_rsp(g, e, (int32_t)size);
}

static void op_leave(struct codegen *g, struct emit *e)
{
	gen_reach(g, e);
	emit_load(e, 8, R10, g->mem);
	emit_lea(e, 8, RSP, at_reg(RBP, 8));
	emit_mov(e, 8, RBP, R10);
}

void gen_pop(struct codegen *g)
{
	gen_access(g, stack_below(g, 0), g->insn->operand_size, SLOW_READ, op_pop);
}

void gen_leave_frame(struct codegen *g)
{
	gen_access(g, (struct address){RBP, NO_REG, 1, SEG_SS, 8, 0}, 8, SLOW_READ, op_leave);
}
