/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sensitive instructions that a kernel runs at every entry and exit, made of
 * loads and stores of the vCPU structure instead of a way out to C: CLI, STI,
 * SWAPGS and PUSHF at CPL 0 in 64-bit code.
 *
 * While translated code runs, cpu.rflags holds what is not in the host's flags:
 * status flags and DF are zero there.
 */
#include <Zydis/Mnemonic.h>

#include "cpu/translate/cold.h"
#include "cpu/translate/emit/gen_internal.h"

#define SLOT(field) gs_slot(offsetof(struct vcpu, field))
#define GS_BASE                                                                    \
	gs_slot(offsetof(struct vcpu, cpu.seg) + SEG_GS * sizeof(struct segment) + \
		offsetof(struct segment, base))

static void clear_if(struct codegen *g)
{
	struct emit *e = &g->hot;

	emit_load(e, 8, R10, SLOT(cpu.rflags));
	emit_pext(e, R10, R10, SLOT(if_mask));
	emit_pdep(e, R10, R10, SLOT(if_mask));
	emit_store(e, 8, SLOT(cpu.rflags), R10);
}

static void set_if(struct codegen *g)
{
	struct emit *e = &g->hot;

	clear_if(g);
	emit_lea(e, 8, R10, at_reg(R10, FL_IF));
	emit_store(e, 8, SLOT(cpu.rflags), R10);
}

static void swapgs(struct emit *e)
{
	emit_load(e, 8, R10, GS_BASE);
	emit_load(e, 8, R11, SLOT(cpu.kernel_gs_base));
	emit_store(e, 8, GS_BASE, R11);
	emit_store(e, 8, SLOT(cpu.kernel_gs_base), R10);
}

static void op_store_value(struct codegen *g, struct emit *e)
{
	emit_load(e, 8, R11, SLOT(spill[1]));
	emit_store(e, 8, g->mem, R11);
	emit_lea(e, 8, RSP, at_reg(RSP, -8));
}

/* PUSHFQ needs the host's stack. */
void gen_host_flags(struct emit *e)
{
	emit_store(e, 8, SLOT(spill[1]), RSP);
	emit_load(e, 8, RSP, SLOT(host_rsp));
	emit_8(e, 0x9c); /* pushfq */
	emit_8(e, 0x41); /* pop r10 */
	emit_8(e, 0x5a);
	emit_load(e, 8, RSP, SLOT(spill[1]));
}

static void pushf(struct codegen *g)
{
	struct emit *e = &g->hot;

	gen_host_flags(e);
	emit_pext(e, R10, R10, SLOT(code_flags_mask));
	emit_pdep(e, R10, R10, SLOT(code_flags_mask));
	emit_load(e, 8, R11, SLOT(cpu.rflags));
	emit_lea(e, 8, R10, (struct operand){R10, R11, 1, 0});
	emit_store(e, 8, SLOT(spill[1]), R10);
	gen_stack_write(g, 8, op_store_value);
}

void gen_system(struct codegen *g)
{
	switch (g->insn->mnemonic) {
	case ZYDIS_MNEMONIC_CLI:
		clear_if(g);
		break;
	case ZYDIS_MNEMONIC_STI:
		/* the interrupt that waits comes after the next instruction: the caller polls there */
		set_if(g);
		break;
	case ZYDIS_MNEMONIC_SWAPGS:
		swapgs(&g->hot);
		break;
	default:
		pushf(g);
		break;
	}
}

/* After the instruction that follows STI. */
void gen_irq_window(struct codegen *g)
{
	gen_fixup(g, g->hot.at, 0, true);
	emit_load(&g->hot, 8, R10, SLOT(irq_window_poll));
	emit_load(&g->hot, 8, R10, at_reg(R10, 0));
	gen_fixup(g, g->hot.at, 0, false);
}
