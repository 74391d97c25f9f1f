/* SPDX-License-Identifier: Apache-2.0 */
/* The opcodes that a sequence is made of. Private to forms.c and random.c. */
#ifndef DACH_TESTS_ORACLE_FORMS_H
#define DACH_TESTS_ORACLE_FORMS_H

#include "oracle.h"

#define FORM_MNEMONICS 2048u

enum group {
	GROUP_GENERAL,
	GROUP_X87,
	GROUP_SSE,
	GROUP_VEX,
	GROUP_EVEX,
	GROUP_EMULATED,
	GROUP_FAULTING,
	GROUP_COUNT,
	GROUP_NONE = GROUP_COUNT,
};

enum form_kind { FORM_PLAIN, FORM_REGISTER, FORM_MEMORY };

struct form {
	uint16_t mnemonic;
	uint8_t encoding, map, opcode;
	uint8_t prefix; /* legacy: 0, 66, F2, F3; else pp */
	uint8_t kind;
	uint8_t reg_mask, rm_mask; /* values that ModRM's fields may have */
};

struct form_list {
	struct form *form;
	unsigned count;
};

struct form_table {
	const struct cpuid_policy *policy;
	const char *only;
	unsigned forms;
	struct form_list list[FORM_MNEMONICS];
	struct {
		uint16_t mnemonic[FORM_MNEMONICS];
		unsigned count;
	} group[GROUP_COUNT];
};

enum group group_of(const struct insn *i, const struct cpuid_policy *policy);

#endif
