/* SPDX-License-Identifier: Apache-2.0 */
/* One instruction: each class has its function. */
#include <Zydis/Mnemonic.h>

#include "cpu/translate/cold.h"
#include "cpu/translate/emit/gen_internal.h"

static void gen_rdtsc(struct codegen *g)
{
	struct emit *e = &g->hot;
	bool waits = g->insn->mnemonic == ZYDIS_MNEMONIC_RDTSCP;

	/* RDTSCP: for what comes before */
	if (waits)
		emit_bytes(e, "\x0f\xae\xe8", 3); /* lfence */
	emit_8(e, 0x0f);
	emit_8(e, 0x31);
	emit_mov(e, 4, R10, RAX);
	emit_rorx(e, RDX, RDX, 32);
	emit_lea(e, 8, R10, (struct operand){R10, RDX, 1, 0});
	emit_load(e, 8, R11, gs_slot(offsetof(struct vcpu, cpu.tsc_offset)));
	emit_lea(e, 8, R10, (struct operand){R10, R11, 1, 0});
	emit_mov(e, 4, RAX, R10);
	emit_rorx(e, RDX, R10, 32);
	emit_mov(e, 4, RDX, RDX);
	if (waits)
		emit_load(e, 4, RCX, gs_slot(offsetof(struct vcpu, cpu.tsc_aux)));
}

static void gen_nop(struct codegen *g)
{
	/* a guest that spins must not starve the processor that it waits for */
	if (g->insn->mnemonic == ZYDIS_MNEMONIC_PAUSE)
		emit_bytes(&g->hot, "\xf3\x90", 2);
	/* all that this processor has stored is seen first */
	if (g->insn->mnemonic == ZYDIS_MNEMONIC_SERIALIZE)
		emit_bytes(&g->hot, "\x0f\xae\xf0", 3); /* mfence */
}

void gen_one(struct codegen *g)
{
	static void (*const emit[])(struct codegen * g) = {
#define X(name, emit, native, emulate, notes) [INSN_##name] = gen_##emit,
		INSN_CLASSES(X)
#undef X
	};
	const struct insn *i = g->insn;
	bool native = gen_native(g->mode, i);

	if (!native || !insn_is(i, CLASS_CARRY))
		gen_carry_load(g, &g->hot, R11);
	if (native)
		emit[i->class](g);
	else
		gen_emulate(g);
}
