/* SPDX-License-Identifier: Apache-2.0 */
/* One instruction: each class has its function. */
#include <Zydis/Mnemonic.h>

#include "cpu/translate/emit/rewrite_internal.h"

static void rdtsc(struct rewrite *w)
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

/* CF as the instruction needs it; those that access memory see to it themselves, behind their check. */
static void carry_before(struct rewrite *w, const struct insn *i)
{
	switch (i->class) {
	case INSN_COPY:
		if (!i->has_mem)
			rewrite_carry_for(w, &w->hot, i, R11);
		break;
	case INSN_NOP:
	case INSN_LEA:
	case INSN_PUSH:
	case INSN_POP:
	case INSN_LEAVE:
	case INSN_BITSTRING:
	case INSN_CALL:
	case INSN_RET:
	case INSN_JMP_IND:
	case INSN_CALL_IND:
		break;
	default:
		rewrite_carry_load(w, &w->hot, R11);
		break;
	}
}

void rewrite_one(struct rewrite *w)
{
	const struct insn *i = w->insn;

	if (!rewrite_native(w->mode, i)) {
		rewrite_carry_load(w, &w->hot, R11);
		rewrite_emulate(w);
		return;
	}
	carry_before(w, i);
	switch (i->class) {
	case INSN_COPY:
		rewrite_copy(w);
		break;
	case INSN_NOP:
		/* a guest that spins must not starve the processor that it waits for */
		if (i->mnemonic == ZYDIS_MNEMONIC_PAUSE)
			emit_bytes(&w->hot, "\xf3\x90", 2);
		/* all that this processor has stored is seen first */
		if (i->mnemonic == ZYDIS_MNEMONIC_SERIALIZE)
			emit_bytes(&w->hot, "\x0f\xae\xf0", 3); /* mfence */
		break;
	case INSN_LEA:
		rewrite_lea(w);
		break;
	case INSN_JMP:
		rewrite_jump(w);
		break;
	case INSN_JCC:
		rewrite_conditional(w);
		break;
	case INSN_LOOP:
		rewrite_loop(w);
		break;
	case INSN_CALL:
		rewrite_call(w);
		break;
	case INSN_RET:
		rewrite_ret_target(w);
		rewrite_carry_load(w, &w->hot, R11);
		rewrite_lookup_indirect(w);
		break;
	case INSN_JMP_IND:
		rewrite_jump_indirect(w);
		break;
	case INSN_CALL_IND:
		rewrite_call_indirect(w);
		break;
	case INSN_PUSH:
		rewrite_push(w);
		break;
	case INSN_POP:
		rewrite_pop(w);
		break;
	case INSN_LEAVE:
		rewrite_leave_frame(w);
		break;
	case INSN_RDTSC:
		rdtsc(w);
		break;
	case INSN_STRING:
		rewrite_string(w);
		break;
	case INSN_BITSTRING:
		rewrite_bits(w);
		break;
	case INSN_EMULATE:
		rewrite_system(w);
		break;
	default:
		break;
	}
}
