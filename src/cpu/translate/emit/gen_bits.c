/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BT, BTS, BTR and BTC of a bit string in memory: the element that holds the bit is an access like any
 * other once its address is known, and the operation is done in r11, where the processor takes the bit
 * number modulo the element's size. CF is all that it writes. LOCK is left to C.
 */
#include "cpu/translate/cold.h"
#include "cpu/translate/emit/gen_internal.h"

#define ADDRESS gs_slot(offsetof(struct vcpu, spill[3]))

static void op_bits(struct codegen *g, struct emit *e)
{
	const struct insn *i = g->insn;
	unsigned bit = modrm_reg(i), size = i->operand_size;
	unsigned opcode = 0x0f00 | i->opcode;

	gen_reach(g, e);
	emit_load(e, size, R11, g->mem);
	if (is_scratch(bit)) {
		emit_load(e, 8, R10, gpr_slot(bit));
		bit = R10;
	}
	emit_op_reg(e, size, opcode, bit, R11);
	if (i->mem_write)
		emit_store(e, size, g->mem, R11);
}

void gen_bits(struct codegen *g)
{
	struct emit *e = &g->hot;
	const struct insn *i = g->insn;
	unsigned bit = modrm_reg(i), size = i->operand_size;
	struct address a = gen_address_of(i);

	/* r10 = the signed bit number, then the element's number; before r11 may hold a part of the address */
	if (is_scratch(bit))
		emit_op_mem(e, 8, size == 8 ? 0x8b : 0x63, R10, gpr_slot(bit));
	else
		emit_op_reg(e, 8, size == 8 ? 0x8b : 0x63, R10, bit);
	emit_mov_imm32(e, R11, size == 8 ? 6 : 5);
	emit_sarx(e, R10, R10, R11);
	emit_store(e, 8, ADDRESS, R10);
	g->way_reg = NO_REG;
	gen_effective(g, e, a);
	emit_load(e, 8, R11, ADDRESS);
	emit_lea(e, a.size == 8 ? 8 : 4, R10, (struct operand){R10, R11, (uint8_t)size, 0});
	emit_store(e, 8, ADDRESS, R10);
	a.base = ADDRESS_SPILLED;
	a.index = NO_REG;
	gen_access(g, a, size, SLOW_READ | (i->mem_write ? SLOW_WRITE : 0), op_bits);
}
