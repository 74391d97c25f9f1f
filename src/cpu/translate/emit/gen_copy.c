/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions that are executed as they are, on another address; and LEA. */
#include <Zydis/Mnemonic.h>

#include "cpu/translate/cold.h"
#include "cpu/translate/emit/gen_internal.h"

#define BOTH_SCRATCH (1u << R10 | 1u << R11)

/* Those of r10 and r11 that the instruction uses beside its address. */
static unsigned scratch_data(const struct insn *i)
{
	const uint8_t *v = i->bytes + i->vex_offset;
	unsigned reg = i->modrm >> 3 & 7, mask = i->gpr_write | i->gpr_fixed, vvvv = 0;

	if (i->encoding == ENC_LEGACY) {
		reg |= i->rex & 4 ? 8 : 0;
	} else {
		reg |= v[1] & 0x80 ? 0 : 8;
		vvvv = ~(v[0] == 0xc5 ? v[1] : v[2]) >> 3 & 15;
		mask |= (1u << vvvv) & i->gpr_read;
	}
	mask |= (1u << reg) & i->gpr_read;
	return mask & BOTH_SCRATCH;
}

static void op_copy(struct codegen *g, struct emit *e)
{
	const struct insn *i = g->insn;
	unsigned both = BOTH_SCRATCH, scratch = scratch_data(i);
	bool window = in_window(g);

	/* what names the memory must be neither the instruction's data nor need a REX prefix */
	if (window && (i->high8 || scratch & 1u << R11 || (scratch && g->mem.base == R10)))
		gen_narrow(g, e);
	if (i->high8 || scratch == both) {
		/* another register for the address: one of the low eight that the instruction leaves alone */
		unsigned used = i->gpr_read | i->gpr_write | 1u << RSP | 1u << RBP, mem;

		for (mem = RAX; used >> mem & 1; mem++)
			;
		emit_store(e, 8, gs_slot(offsetof(struct vcpu, spill[2])), mem);
		emit_mov(e, 8, mem, R10);
		load_scratch(e, scratch);
		if (window)
			gen_fixup_slow(g, e->at, mem == RAX ? 16 : mem);
		else
			gen_fixup(g, e->at, mem == RAX ? 16 : mem, false);
		emit_copy(e, i, g->bits, at_reg(mem, 0));
		emit_load(e, 8, mem, gs_slot(offsetof(struct vcpu, spill[2])));
		gen_fixup(g, e->at, 0, false);
		store_scratch(e, i->gpr_write & both);
		return;
	}
	if (scratch == 1u << R10 && g->mem.base == R10) {
		emit_mov(e, 8, R11, R10);
		g->mem = at_reg(R11, 0);
	}
	load_scratch(e, scratch);
	if (window)
		gen_fixup_slow(g, e->at, 0);
	emit_copy(e, i, g->bits, g->mem);
	store_scratch(e, i->gpr_write & both);
}

void gen_copy(struct codegen *g)
{
	const struct insn *i = g->insn;
	unsigned flags = 0;

	if (!i->has_mem) {
		gen_carry_for(g, &g->hot, i, R11);
		if (i->may_fault)
			gen_fixup(g, g->hot.at, 0, false);
		load_scratch(&g->hot, i->gpr_read | i->gpr_write);
		emit_copy(&g->hot, i, g->bits, at_reg(R10, 0));
		store_scratch(&g->hot, i->gpr_write);
		return;
	}
	/* an unmasked exception keeps x87 stores from storing */
	if (i->mem_read || i->state == STATE_X87)
		flags |= SLOW_READ;
	if (i->mem_write)
		flags |= SLOW_WRITE;
	if (i->prefix_lock || i->mnemonic == ZYDIS_MNEMONIC_XCHG)
		flags |= SLOW_LOCK;
	if (i->mem_masked)
		flags |= SLOW_MASKED;
	if (i->mem_aligned)
		flags |= SLOW_ALIGNED | (i->mem_relaxed ? SLOW_RELAXED : 0);
	g->sums = !i->high8 && !scratch_data(i);
	gen_access(g, gen_address_of(i), i->mem_size, flags, op_copy);
	g->sums = false;
}

void gen_lea(struct codegen *g)
{
	const struct insn *i = g->insn;
	unsigned to = modrm_reg(i);

	if (g->bits == 64 && i->mem_base != INSN_RIP && !is_scratch(to) &&
		!is_scratch(i->mem_base) && !is_scratch(i->mem_index)) {
		emit_bytes(&g->hot, i->bytes, i->length);
		return;
	}
	gen_effective(g, &g->hot, gen_address_of(i));
	if (!is_scratch(to)) {
		emit_mov(&g->hot, i->operand_size, to, R10);
		return;
	}
	if (i->operand_size == 2) {
		emit_store(&g->hot, 2, gpr_slot(to), R10);
		return;
	}
	if (i->operand_size == 4)
		emit_mov(&g->hot, 4, R10, R10);
	emit_store(&g->hot, 8, gpr_slot(to), R10);
}
