/* SPDX-License-Identifier: Apache-2.0 */
/* Which instructions become host code, in which modes; the others leave for C. */
#include <Zydis/Mnemonic.h>

#include "cpu/translate/cold.h"
#include "cpu/translate/emit/gen_internal.h"

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

static bool bits64(uint32_t mode)
{
	return (mode & MODE_BITS) == MODE_64;
}

/* --- by class: insn_class.h names them ------------------------------------------------------- */

static bool native_never(uint32_t mode, const struct insn *i)
{
	return false;
}

static bool native_always(uint32_t mode, const struct insn *i)
{
	return true;
}

static bool native_copy(uint32_t mode, const struct insn *i)
{
	return !i->has_mem || (i->mem_size && i->mem_size <= 64);
}

/* Direct branches: CS is such that no target has to be checked. */
static bool native_near(uint32_t mode, const struct insn *i)
{
	return i->operand_size != 2 &&
		(bits64(mode) || (mode & (MODE_FLAT | MODE_BITS)) == (MODE_FLAT | MODE_32));
}

/* LOOP and JrCXZ without flags. */
static bool native_loop(uint32_t mode, const struct insn *i)
{
	return bits64(mode) && i->cc >= 2 && i->operand_size == 8;
}

static bool native_quad(uint32_t mode, const struct insn *i)
{
	return bits64(mode) && i->operand_size == 8;
}

/* No segment's limit or base, and the stack pointer is ESP. */
static bool flat_stack32(uint32_t mode)
{
	const uint32_t mask = MODE_FLAT | MODE_BITS | MODE_SS32;

	return (mode & mask) == (MODE_FLAT | MODE_32 | MODE_SS32);
}

static bool native_push(uint32_t mode, const struct insn *i)
{
	return bits64(mode) || (flat_stack32(mode) && i->operand_size == 4);
}

static bool native_pop(uint32_t mode, const struct insn *i)
{
	return (bits64(mode) || (flat_stack32(mode) && i->operand_size == 4)) && !i->has_mem;
}

static bool native_rdtsc(uint32_t mode, const struct insn *i)
{
	return !(mode & MODE_TSD);
}

/* MOVS and STOS. */
static bool native_string(uint32_t mode, const struct insn *i)
{
	bool rep = i->prefix_f2 || i->prefix_f3;

	if ((mode & (MODE_BITS | MODE_STEP | MODE_ALIGN)) != MODE_64 ||
		(!rep && !(mode & MODE_HOSTMAP)))
		return false;
	return i->address_size == 8 && !i->seg_override && !i->prefix_lock &&
		((i->opcode & 0xfe) == 0xa4 || (i->opcode & 0xfe) == 0xaa);
}

static bool native_bits(uint32_t mode, const struct insn *i)
{
	if (!bits64(mode) || i->operand_size == 2 || i->prefix_lock)
		return false;
	/* through a window the store could fault when CF has been written already */
	return i->mnemonic == ZYDIS_MNEMONIC_BT ||
		(!(mode & MODE_HOSTMAP) && !is_scratch(modrm_reg(i)));
}

/* The few of what is emulated that gen_system() makes. */
static bool native_system(uint32_t mode, const struct insn *i)
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

bool gen_native(uint32_t mode, const struct insn *i)
{
	static bool (*const native[])(uint32_t mode, const struct insn *i) = {
#define X(name, emit, native, emulate, notes) [INSN_##name] = native_##native,
		INSN_CLASSES(X)
#undef X
	};

	if (!state_enabled(mode, i) ||
		(i->encoding != ENC_LEGACY && (mode & (MODE_BITS | MODE_FLAT)) == MODE_16))
		return false;
	return native[i->class](mode, i);
}

bool gen_ends(uint32_t mode, const struct insn *i)
{
	if (!gen_native(mode, i) || insn_is(i, CLASS_LEAVES))
		return true;
	/* code that computes is worth having twice where paths meet, if both run on in one piece */
	if (i->class == INSN_JCC && mode & MODE_HOSTMAP)
		return i->imm < 0;
	/* what is emulated may end a block; this is not, here */
	return i->ends_block && i->class != INSN_EMULATE;
}
