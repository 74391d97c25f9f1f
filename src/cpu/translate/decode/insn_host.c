/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second look at generated code: whatever the translator wrote into the
 * code cache must decode to something from this list. It is the last line
 * of the sandbox, so it trusts nothing that the code generator knows.
 */
#include "cpu/state.h"
#include "cpu/translate/cold.h"
#include "cpu/translate/decode/insn_parts.h"

/*
 * Near control flow, address arithmetic and the time stamp are what the emitter adds of its own; not all
 * that is of their classes.
 */
static bool class_allowed(const struct insn *i)
{
	if (!insn_is(i, CLASS_HOST))
		return false;
	switch (i->class) {
	case INSN_RDTSC: /* RDTSCP would tell which processor of the host it is */
		return i->mnemonic == ZYDIS_MNEMONIC_RDTSC;
	case INSN_LOOP:
		return i->mnemonic == ZYDIS_MNEMONIC_JRCXZ || i->mnemonic == ZYDIS_MNEMONIC_JECXZ;
	case INSN_NOP:
		return i->mnemonic == ZYDIS_MNEMONIC_NOP || i->mnemonic == ZYDIS_MNEMONIC_PAUSE;
	case INSN_STRING: /* gen_string.c */
		return i->address_size == 8 && !i->seg_override &&
			((i->opcode & 0xfe) == 0xa4 || (i->opcode & 0xfe) == 0xaa);
	default:
		return true;
	}
}

/*
 * The vCPU by %gs; anything else through one register that holds a checked host address, and never
 * the guest's stack pointer alone.
 */
static bool memory_allowed(const struct insn *i)
{
	if (!i->has_mem || i->class == INSN_LEA)
		return true;
	if (i->mem_seg == SEG_GS)
		return true;
	if (i->mem_seg == SEG_FS || i->address_size != 8 || i->mem_vsib != INSN_NO_REG ||
		i->mem_base == INSN_NO_REG || i->mem_base == INSN_RIP)
		return false;
	/* through a window: r11 is the way from the guest's address to the host's */
	if (i->mem_index == R11)
		return i->mem_scale == 1 && i->mem_base != R11 && i->mem_disp > -(1 << 20) &&
			i->mem_disp < 1 << 20;
	if (i->mem_index != INSN_NO_REG || i->mem_base == RSP)
		return false;
	/* accesses that share a check */
	return i->mem_disp == 0 || (i->mem_base == R10 && i->mem_disp > 0 && i->mem_disp < 4096);
}

bool insn_host_allowed(const uint8_t *bytes, unsigned size, unsigned *length)
{
	struct insn i;

	*length = 0;
	if (insn_decode(&i, bytes, size, 64, NULL) != 0)
		return false;
	*length = i.length;
	return !i.rep_ignored && class_allowed(&i) && memory_allowed(&i);
}
