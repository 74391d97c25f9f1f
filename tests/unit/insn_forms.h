/* SPDX-License-Identifier: Apache-2.0 */
/* Enumerates instruction encodings for tests: every opcode in its forms. */
#ifndef DACH_TESTS_INSN_FORMS_H
#define DACH_TESTS_INSN_FORMS_H

#include <stdbool.h>
#include <stdint.h>

enum forms_operand {
	FORMS_REGISTER, /* ModRM names rsi, xmm6... */
	FORMS_MEMORY,   /* [rbx] */
	FORMS_DISP8,    /* [rbx + 2], EVEX: scaled */
	FORMS_MIXED,    /* registers of all numbers, spread over the opcodes */
};

/*
 * Calls visit with 15 bytes (the instruction and what may be its immediate) for every combination
 * of mandatory prefix, REX.W or W, vector length, opcode map, opcode and ModRM.reg. Many are no
 * instructions.
 */
void insn_forms(enum forms_operand operand, void (*visit)(void *ctx, const uint8_t bytes[15]),
	void *ctx);

#endif
