/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The allowlist: what the translator does with each mnemonic, and which
 * instruction sets it knows at all. Private to insn*.c.
 */
#ifndef DACH_CPU_TRANSLATE_INSN_TABLE_H
#define DACH_CPU_TRANSLATE_INSN_TABLE_H

#include <Zydis/Zydis.h>
#include <stdbool.h>
#include <stdint.h>

#include "cpu/translate/decode/insn.h"

/* Notes on a mnemonic. */
#define NOTE_END 0x01        /* ends its block */
#define NOTE_PRIVILEGED 0x02 /* #GP(0) outside CPL 0 */
#define NOTE_NO_STATE 0x04   /* needs no state although its instruction set does */
#define NOTE_FAULT 0x08      /* faults by its operands' values */
#define NOTE_UNALIGNED 0x10  /* takes an unaligned operand although its exception class says not */
#define NOTE_ALIGNED 0x20    /* the other way round */

struct insn_rule {
	uint8_t class; /* enum insn_class; INSN_UNDEFINED where nobody listed the mnemonic */
	uint8_t notes;
};

/* clang-format off */
/* A CPUID feature; FEATURE_NONE is always there. */
enum insn_feature {
	FEATURE_NONE, FEATURE_FPU, FEATURE_CX8, FEATURE_CMOV, FEATURE_CLFSH, FEATURE_MMX,
	FEATURE_FXSR, FEATURE_SSE, FEATURE_SSE2, FEATURE_SSE3, FEATURE_PCLMUL, FEATURE_SSSE3,
	FEATURE_FMA, FEATURE_CX16, FEATURE_SSE41, FEATURE_SSE42, FEATURE_MOVBE, FEATURE_POPCNT,
	FEATURE_AES, FEATURE_XSAVE, FEATURE_AVX, FEATURE_F16C, FEATURE_RDRAND, FEATURE_FSGSBASE,
	FEATURE_BMI1, FEATURE_AVX2, FEATURE_BMI2, FEATURE_INVPCID, FEATURE_F, FEATURE_DQ,
	FEATURE_RDSEED, FEATURE_ADX, FEATURE_SMAP, FEATURE_IFMA, FEATURE_CLFLUSHOPT, FEATURE_CLWB,
	FEATURE_CD, FEATURE_SHA, FEATURE_BW, FEATURE_VL, FEATURE_VBMI, FEATURE_VBMI2, FEATURE_GFNI,
	FEATURE_VAES, FEATURE_VPCLMUL, FEATURE_VNNI, FEATURE_BITALG, FEATURE_VPOPCNTDQ,
	FEATURE_RDPID, FEATURE_MOVDIRI, FEATURE_MOVDIR64B, FEATURE_SERIALIZE, FEATURE_FP16,
	FEATURE_AVX_VNNI, FEATURE_BF16, FEATURE_XSAVEOPT, FEATURE_XSAVEC, FEATURE_XSAVES,
	FEATURE_LZCNT, FEATURE_RDTSCP, FEATURE_COUNT,
};
/* clang-format on */

struct insn_set {
	bool known;
	uint8_t state;           /* enum insn_state */
	uint8_t feature, second; /* both are needed */
};

extern const struct insn_rule insn_rules[ZYDIS_MNEMONIC_MAX_VALUE + 1];
extern const struct insn_set insn_sets[ZYDIS_ISA_SET_MAX_VALUE + 1];

/* Does the guest's CPUID offer the feature? policy NULL: yes. */
bool insn_feature_offered(const struct cpuid_policy *policy, enum insn_feature feature);

#endif
