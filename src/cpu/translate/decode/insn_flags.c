/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flags. Zydis tells what the manual's table tells: modified, tested,
 * undefined. What matters here is whether a flag's old value can be seen
 * afterwards, so "undefined" is not "written" unless processors agree.
 */
#include "cpu/state.h"
#include "cpu/translate/cold.h"
#include "cpu/translate/decode/insn_parts.h"

enum count_kind { COUNT_NONE, COUNT_ZERO, COUNT_ONE, COUNT_FIXED, COUNT_CL };

/* Shifts and rotates: the count after masking, or that it is known only at run time. */
static enum count_kind count_of(const struct insn *i, const struct insn_raw *raw)
{
	const ZydisDecodedOperand *op;
	unsigned count;

	switch (raw->in.mnemonic) {
	case ZYDIS_MNEMONIC_SHL:
	case ZYDIS_MNEMONIC_SHR:
	case ZYDIS_MNEMONIC_SAR:
	case ZYDIS_MNEMONIC_ROL:
	case ZYDIS_MNEMONIC_ROR:
	case ZYDIS_MNEMONIC_RCL:
	case ZYDIS_MNEMONIC_RCR:
	case ZYDIS_MNEMONIC_SHLD:
	case ZYDIS_MNEMONIC_SHRD:
		break;
	default:
		return COUNT_NONE;
	}
	op = &raw->op[raw->in.operand_count_visible - 1];
	if (op->type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return COUNT_CL;
	count = op->imm.value.u & (i->operand_size == 8 ? 63 : 31);
	return count == 0 ? COUNT_ZERO : count == 1 ? COUNT_ONE : COUNT_FIXED;
}

void insn_flags(struct insn *i, const struct insn_raw *raw)
{
	static const ZydisAccessedFlags none;
	const ZydisAccessedFlags *flags = raw->in.cpu_flags ? raw->in.cpu_flags : &none;
	enum count_kind count = count_of(i, raw);
	uint32_t undefined;

	if (i->class == INSN_EMULATE) {
		i->flags_read = i->flags_maybe = INSN_ALL_FLAGS;
		return;
	}
	if (i->class == INSN_NOP || count == COUNT_ZERO)
		return;
	undefined = flags->undefined & INSN_ALL_FLAGS;
	i->flags_read = flags->tested & INSN_ALL_FLAGS;
	i->flags_written = (flags->modified | flags->set_0 | flags->set_1) & INSN_ALL_FLAGS;
	i->flags_written |= undefined & insn_silicon(raw).overwritten;
	if (count == COUNT_ONE) /* the one count that defines OF */
		i->flags_written |= undefined & FL_OF;
	i->flags_maybe = undefined & ~i->flags_written;
	switch (raw->in.mnemonic) {
	case ZYDIS_MNEMONIC_CLD: /* Zydis leaves DF out */
	case ZYDIS_MNEMONIC_STD:
		i->flags_written |= FL_DF;
		break;
	case ZYDIS_MNEMONIC_VPTEST: /* and here what PTEST clears */
	case ZYDIS_MNEMONIC_VTESTPS:
	case ZYDIS_MNEMONIC_VTESTPD:
		i->flags_written |= FL_STATUS;
		break;
	default:
		break;
	}
	if (i->class == INSN_STRING)
		i->flags_read |= FL_DF;
	/* A count of zero, known only at run time, leaves them all as they were. */
	if (count == COUNT_CL || (i->class == INSN_STRING && (i->prefix_f2 || i->prefix_f3))) {
		i->flags_maybe |= i->flags_written;
		i->flags_written = 0;
	}
}
