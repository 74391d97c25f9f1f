/* SPDX-License-Identifier: Apache-2.0 */
/* One instruction: each class has its function. */
#include <Zydis/Mnemonic.h>

#include "cpu/translate/cold.h"
#include "cpu/translate/emit/rewrite_internal.h"

static void rewrite_rdtsc(struct rewrite *w)
{
	struct emit *e = &w->hot;
	bool waits = w->insn->mnemonic == ZYDIS_MNEMONIC_RDTSCP;

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

static void rewrite_nop(struct rewrite *w)
{
	/* a guest that spins must not starve the processor that it waits for */
	if (w->insn->mnemonic == ZYDIS_MNEMONIC_PAUSE)
		emit_bytes(&w->hot, "\xf3\x90", 2);
	/* all that this processor has stored is seen first */
	if (w->insn->mnemonic == ZYDIS_MNEMONIC_SERIALIZE)
		emit_bytes(&w->hot, "\x0f\xae\xf0", 3); /* mfence */
}

void rewrite_one(struct rewrite *w)
{
	static void (*const emit[])(struct rewrite * w) = {
#define X(name, emit, native, emulate, notes) [INSN_##name] = rewrite_##emit,
		INSN_CLASSES(X)
#undef X
	};
	const struct insn *i = w->insn;
	bool native = rewrite_native(w->mode, i);

	if (!native || !insn_is(i, CLASS_CARRY))
		rewrite_carry_load(w, &w->hot, R11);
	if (native)
		emit[i->class](w);
	else
		rewrite_emulate(w);
}
