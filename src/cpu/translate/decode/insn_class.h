/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The classes of instructions, a row each. What one class does otherwise than another stands in its row and
 * nowhere else; a new class is a new row and the functions that it names.
 */
#ifndef DACH_CPU_TRANSLATE_INSN_CLASS_H
#define DACH_CPU_TRANSLATE_INSN_CLASS_H

#include <stdint.h>

/*
 * X(name, emit, native, emulate, notes)
 *   emit     gen_* that writes host code for one (emit/gen_one.c)
 *   native   native_* that tells for which of them, in which modes, it does; the others leave for C
 *            (emit/gen_native.c)
 *   emulate  emulate_* that executes one in C (emulate/emulate.c)
 *   notes    CLASS_*
 */
/* clang-format off */
#define INSN_CLASSES(X)                                                                                       \
	/* #UD: invalid, or a feature the CPUID policy does not offer */                                      \
	X(UNDEFINED, emulate, never, undefined, 0)                                                            \
	/* copied; at most one memory operand, encoded in ModRM */                                            \
	X(COPY, copy, copy, copy, STRAIGHT | PLAIN | CARRY | AFTER_STI | KEEPS | HOST)                        \
	/* no effect at all: NOP (also with operand), PREFETCHx, ENDBR, CLDEMOTE...; SERIALIZE, a fence */    \
	X(NOP, nop, always, nop, STRAIGHT | PLAIN | PURE | CARRY | AFTER_STI | KEEPS | HOST)                  \
	/* needs its address computed as the guest sees it */                                                 \
	X(LEA, lea, always, lea, STRAIGHT | PLAIN | PURE | CARRY | AFTER_STI | KEEPS | HOST)                  \
	/* direct: target = rip after + imm */                                                                \
	X(JMP, jump, near, jmp, BRANCH | LEAVES | AFTER_STI | HOST)                                           \
	/* direct: condition in cc */                                                                         \
	X(JCC, conditional, near, jcc, BRANCH | KEEPS | HOST)                                                 \
	/* LOOP, LOOPE, LOOPNE, JCXZ/JECXZ/JRCXZ */                                                           \
	X(LOOP, loop, loop, loop, BRANCH | HOST)                                                              \
	/* direct near */                                                                                     \
	X(CALL, call, quad, call, BRANCH | LEAVES | CARRY | STACK)                                            \
	/* near, register or memory */                                                                        \
	X(JMP_IND, jump_indirect, quad, jmp_ind, BRANCH | LEAVES | CARRY | HOST)                              \
	X(CALL_IND, call_indirect, quad, call_ind, BRANCH | LEAVES | CARRY | STACK)                           \
	/* near, with imm */                                                                                  \
	X(RET, ret, quad, ret, BRANCH | LEAVES | CARRY | AFTER_STI | STACK)                                   \
	/* register, immediate or memory (not segment registers, not flags) */                                \
	X(PUSH, push, push, push, STRAIGHT | PLAIN | CARRY | AFTER_STI | KEEPS | STACK)                       \
	/* register or memory */                                                                              \
	X(POP, pop, pop, pop, STRAIGHT | PLAIN | CARRY | AFTER_STI | KEEPS | STACK)                           \
	X(LEAVE, leave_frame, quad, leave, STRAIGHT | PLAIN | CARRY | STACK)                                  \
	/* MOVS STOS LODS CMPS SCAS, with or without REP */                                                   \
	X(STRING, string, string, string, STRAIGHT | HOST)                                                    \
	/* BT/BTS/BTR/BTC memory, register: the bit offset moves the address */                               \
	X(BITSTRING, bits, bits, bitstring, STRAIGHT | PLAIN | CARRY)                                         \
	/* RDTSCP too */                                                                                      \
	X(RDTSC, rdtsc, rdtsc, rdtsc, HOST)                                                                   \
	/* by C as a rule, by mnemonic: emulate_by[] */                                                        \
	X(EMULATE, system, system, by_mnemonic, 0)
/* clang-format on */

enum insn_class {
#define X(name, emit, native, emulate, notes) INSN_##name,
	INSN_CLASSES(X)
#undef X
		INSN_CLASS_COUNT
};

/* Notes. */
#define CLASS_STRAIGHT 0x1u   /* the next instruction follows, if it does not fault */
#define CLASS_PLAIN 0x2u      /* ... and it uses only those flags that it names */
#define CLASS_PURE 0x4u       /* ... and it cannot fault */
#define CLASS_BRANCH 0x8u     /* a near branch */
#define CLASS_LEAVES 0x10u    /* ... behind which nothing of its block is reached */
#define CLASS_CARRY 0x20u     /* what gen_* writes sees itself to where CF is (gen_carry.c) */
#define CLASS_AFTER_STI 0x40u /* behind its host code the interrupt may come that STI held off */
#define CLASS_KEEPS 0x80u  /* host code of it leaves r11 alone, if it names neither r10 nor r11 */
#define CLASS_STACK 0x100u /* it moves RSP */
#define CLASS_HOST 0x200u  /* some of it may stand in the code cache: insn_host.c says which */

/* By class: CLASS_*. */
extern const uint16_t insn_class_notes[INSN_CLASS_COUNT];

#endif
