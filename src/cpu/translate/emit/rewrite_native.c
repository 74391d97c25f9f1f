/* SPDX-License-Identifier: Apache-2.0 */
/* Which instructions become host code, in which modes; the others leave for C. */
#include <Zydis/Mnemonic.h>

#include "cpu/translate/emit/rewrite_internal.h"

/* True if the state that the instruction needs is enabled in this mode. */
static bool state_enabled(uint32_t mode, const struct insn *i)
{
	switch (i->state) {
	case STATE_NONE:
		return true;
	case STATE_X87:
	case STATE_MMX:
		return !(mode & MODE_FPU_OFF);
	case STATE_SSE:
		return (mode & (MODE_FPU_OFF | MODE_SSE)) == MODE_SSE;
	case STATE_AVX:
		return (mode & (MODE_FPU_OFF | MODE_AVX)) == MODE_AVX;
	default:
		return (mode & (MODE_FPU_OFF | MODE_AVX512)) == MODE_AVX512;
	}
}

static bool rewrite_string_native(uint32_t mode, const struct insn *i)
{
	bool rep = i->prefix_f2 || i->prefix_f3;

	if ((mode & (MODE_BITS | MODE_STEP | MODE_ALIGN)) != MODE_64 ||
		(!rep && !(mode & MODE_HOSTMAP)))
		return false;
	return i->address_size == 8 && !i->seg_override && !i->prefix_lock &&
		((i->opcode & 0xfe) == 0xa4 || (i->opcode & 0xfe) == 0xaa);
}

static bool rewrite_bits_native(uint32_t mode, const struct insn *i)
{
	if ((mode & MODE_BITS) != MODE_64 || i->operand_size == 2 || i->prefix_lock)
		return false;
	/* through a window the store could fault when CF has been written already */
	return i->mnemonic == ZYDIS_MNEMONIC_BT ||
		(!(mode & MODE_HOSTMAP) && !is_scratch(modrm_reg(i)));
}

static bool rewrite_system_native(uint32_t mode, const struct insn *i)
{
	if ((mode & (MODE_BITS | MODE_RING0 | MODE_STEP)) != (MODE_64 | MODE_RING0))
		return false;
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_CLI:
	case ZYDIS_MNEMONIC_STI:
	case ZYDIS_MNEMONIC_SWAPGS:
		return true;
	case ZYDIS_MNEMONIC_PUSHFQ:
		return !i->prefix_66;
	default:
		return false;
	}
}

bool rewrite_native(uint32_t mode, const struct insn *i)
{
	bool near_branches = (mode & MODE_BITS) == MODE_64 ||
		(mode & MODE_FLAT && (mode & MODE_BITS) == MODE_32);
	bool bits64 = (mode & MODE_BITS) == MODE_64;

	if (!state_enabled(mode, i) ||
		(i->encoding != ENC_LEGACY && (mode & (MODE_BITS | MODE_FLAT)) == MODE_16))
		return false;
	switch (i->class) {
	case INSN_COPY:
		return !i->has_mem || (i->mem_size && i->mem_size <= 64);
	case INSN_NOP:
	case INSN_LEA:
		return true;
	case INSN_JMP:
	case INSN_JCC:
		return near_branches && i->operand_size != 2;
	case INSN_LOOP:
		return bits64 && i->cc >= 2 && i->operand_size == 8;
	case INSN_CALL:
	case INSN_RET:
		return bits64 && i->operand_size == 8;
	case INSN_JMP_IND:
	case INSN_CALL_IND:
		return bits64 && i->operand_size == 8;
	case INSN_PUSH:
	case INSN_LEAVE:
		return bits64 && (i->class == INSN_PUSH || i->operand_size == 8);
	case INSN_POP:
		return bits64 && !i->has_mem;
	case INSN_RDTSC:
		return !(mode & MODE_TSD);
	case INSN_STRING:
		return rewrite_string_native(mode, i);
	case INSN_BITSTRING:
		return rewrite_bits_native(mode, i);
	default:
		return rewrite_system_native(mode, i);
	}
}

bool rewrite_ends(uint32_t mode, const struct insn *i)
{
	if (!rewrite_native(mode, i))
		return true;
	switch (i->class) {
	case INSN_JMP:
	case INSN_CALL:
	case INSN_RET:
	case INSN_JMP_IND:
	case INSN_CALL_IND:
		return true;
	case INSN_STRING:
	case INSN_EMULATE:
		return false; /* rewrite_native() has said that it is not emulated */
	case INSN_JCC:
		/* code that computes is worth having twice where paths meet, if both run on in one piece */
		return !(mode & MODE_HOSTMAP) || i->imm < 0;
	default:
		return i->ends_block;
	}
}
