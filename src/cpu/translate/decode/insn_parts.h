/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of insn_decode(), one file each. Private to insn*.c. */
#ifndef DACH_CPU_TRANSLATE_INSN_PARTS_H
#define DACH_CPU_TRANSLATE_INSN_PARTS_H

#include <Zydis/Zydis.h>

#include "cpu/translate/decode/insn.h"
#include "cpu/translate/decode/insn_table.h"

/* What Zydis says, and where we are. */
struct insn_raw {
	ZydisDecodedInstruction in;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	unsigned code_bits;
	bool amd; /* the guest is told that AMD made its processor */
	/* kinds of register among the explicit operands */
	bool has_gpr, has_segment, has_system, has_mmx, has_xmm;
};

#define INSN_ALL_FLAGS (FL_STATUS | FL_DF)

/* What processors of the guest's maker do beyond what Zydis tells of a mnemonic (insn_silicon.c). */
struct insn_silicon {
	uint32_t overwritten; /* undefined flags that are overwritten always */
	uint8_t size16; /* bytes of memory touched where the operand has 16 bits; 0: as told */
	bool unaligned; /* takes a misaligned operand; the host may be one that does not */
};
struct insn_silicon insn_silicon(const struct insn_raw *raw);

/* Byte positions, prefixes, immediates. Needs length, encoding and raw. */
void insn_layout(struct insn *i, const struct insn_raw *raw);
/*
 * Makes bytes and operand_size of a copied instruction mean in 64-bit code what they mean in the
 * code they come from.
 */
void insn_normalize(struct insn *i, const struct insn_raw *raw);
/* Registers and the memory operand. */
void insn_operands(struct insn *i, struct insn_raw *raw);
/* Flags, from Zydis's tables and the corrections to them. */
void insn_flags(struct insn *i, const struct insn_raw *raw);
/* How the memory operand is masked. */
void insn_masking(struct insn *i, const struct insn_raw *raw);

#endif
