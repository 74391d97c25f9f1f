/* SPDX-License-Identifier: Apache-2.0 */
/* Enumerates instruction encodings for tests: every opcode in its forms. */
#ifndef DACH_TESTS_INSN_FORMS_H
#define DACH_TESTS_INSN_FORMS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Calls visit with 15 bytes (the instruction and zeros) for every combination of mandatory prefix,
 * REX.W or W, vector length, opcode map, opcode and ModRM.reg. The ModRM byte names a register
 * (memory false) or [rbx]. Many are no instructions.
 */
void insn_forms(bool memory, void (*visit)(void *ctx, const uint8_t bytes[15]), void *ctx);

#endif
