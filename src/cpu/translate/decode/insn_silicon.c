/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What processors do beyond what Zydis's tables (version 4.0.0) and the manuals tell: flags that are
 * left undefined and yet always overwritten, bytes that are read, operands that need no alignment.
 *
 * A row counts for guests told of the makers in it, and it must be safe on a host of either: what is
 * overwritten is so on both, what is read is what the greedier one reads or what a copy is made to read.
 * Seen on: Intel (test_insn_native allows no exception there), AMD family 19h model 11h (Zen 4), AMD
 * family 1Ah model 2 (Zen 5). Tests: tests/unit/test_insn_native runs each form on the processor at hand
 * and demands that it overwrites, reads and aligns as told; tests/unit/test_insn_vendor decodes for both
 * makers; tests/oracle/makers.c holds the processor and the engine against each maker's outcome.
 */
#include "cpu/state.h"
#include "cpu/translate/cold.h"
#include "cpu/translate/decode/insn_parts.h"

#define OVERWRITES(name)                            \
	{                                           \
		ZYDIS_MNEMONIC_##name, INTEL | AMD, \
		{                                   \
			.overwritten = FL_STATUS    \
		}                                   \
	}
#define UNALIGNED(name)                     \
	{                                   \
		ZYDIS_MNEMONIC_##name, AMD, \
		{                           \
			.unaligned = true   \
		}                           \
	}

enum { INTEL = 1, AMD = 2 };

static const struct silicon_row {
	uint16_t mnemonic;
	uint8_t makers;
	struct insn_silicon silicon;
} rows[] = {
	/*
	 * SDM 2A, 2B and APM 3 leave AF undefined, of shifts OF too, of BEXTR, BZHI and the like PF. Not
	 * here, though Intel's processors overwrite all: MUL, IMUL (AMD keeps SF, ZF, AF, PF), LZCNT and TZCNT
	 * (AMD keeps OF), BSF and BSR (the manuals leave all but ZF undefined, and AMD's before Zen are said
	 * to keep some). Of SBB AF is not even undefined; Zydis says so.
	 */
	OVERWRITES(AND),
	OVERWRITES(OR),
	OVERWRITES(XOR),
	OVERWRITES(TEST),
	OVERWRITES(SHL),
	OVERWRITES(SHR),
	OVERWRITES(SAR),
	OVERWRITES(SBB),
	OVERWRITES(ANDN),
	OVERWRITES(BEXTR),
	OVERWRITES(BLSI),
	OVERWRITES(BLSMSK),
	OVERWRITES(BLSR),
	OVERWRITES(BZHI),
	/* with 66: SDM 2A has r16, r/m16, and a copy is made a MOV of 16 bits; AMD reads all 32 */
	{ZYDIS_MNEMONIC_MOVSXD, INTEL, {.size16 = 2}},
	{ZYDIS_MNEMONIC_MOVSXD, AMD, {.size16 = 4}},
	/* SDM 2B: exception class 4; APM 4 names no alignment check, and AMD makes none */
	UNALIGNED(SHA1MSG1),
	UNALIGNED(SHA1MSG2),
	UNALIGNED(SHA1NEXTE),
	UNALIGNED(SHA1RNDS4),
	UNALIGNED(SHA256MSG1),
	UNALIGNED(SHA256MSG2),
	UNALIGNED(SHA256RNDS2),
};

struct insn_silicon insn_silicon(const struct insn_raw *raw)
{
	unsigned maker = raw->amd ? AMD : INTEL;

	for (size_t n = 0; n < sizeof rows / sizeof *rows; n++)
		if (rows[n].mnemonic == raw->in.mnemonic && rows[n].makers & maker)
			return rows[n].silicon;
	return (struct insn_silicon){0};
}
