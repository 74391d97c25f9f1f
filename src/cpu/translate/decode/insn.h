/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One guest instruction, decoded and classified: what the code generator and the
 * emulator need to know, and nothing of Zydis's own types except the mnemonic.
 *
 * Classification is an allowlist: INSN_COPY is given only to instructions that
 * are known to be harmless when executed as they are on the host (after their
 * memory operand is replaced); what nobody listed is INSN_UNDEFINED.
 */
#ifndef DACH_CPU_TRANSLATE_INSN_H
#define DACH_CPU_TRANSLATE_INSN_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu/translate/decode/insn_class.h"

#define INSN_NO_REG 0xff
/* mem_seg uses SEG_*; base/index use RAX..R15, INSN_RIP or INSN_NO_REG */
#define INSN_RIP 0x10

/* State an instruction needs enabled; else #UD or #NM as the SDM says. */
enum insn_state { STATE_NONE, STATE_X87, STATE_MMX, STATE_SSE, STATE_AVX, STATE_AVX512 };

/* encoding */
enum insn_encoding { ENC_LEGACY, ENC_VEX, ENC_EVEX };

/* What a mask does to the memory operand. */
enum insn_mask {
	INSN_MASK_NONE,
	INSN_MASK_LANES,    /* lane i is touched if bit i of k is set */
	INSN_MASK_PACKED,   /* compress, expand: as many lanes from the first on as bits are set */
	INSN_MASK_REPEAT,   /* broadcast: lanes use the elements of memory in turn */
	INSN_MASK_SIGN,     /* VMASKMOV, VPMASKMOV: by the top bit of each lane of a vector */
	INSN_MASK_BYTES,    /* MASKMOVDQU: by the top bit of each byte of xmm */
	INSN_MASK_BYTES_MM, /* MASKMOVQ: the same in mm */
};

struct insn {
	/*
	 * As read; but in 16- and 32-bit code VEX and EVEX bits of INSN_COPY that such code ignores
	 * and 64-bit code does not (registers 8-31, W) are set to mean the same there; and what another
	 * maker's processor would take otherwise is written so that either takes it as the guest's
	 * does (MOVSXD of 16 bits is a MOV for Intel's, F3 before XCHG R8 is 3E for AMD's).
	 */
	uint8_t bytes[15];
	uint8_t length;
	uint8_t class;     /* enum insn_class */
	uint16_t mnemonic; /* ZydisMnemonic */
	uint8_t encoding;
	uint8_t state; /* enum insn_state */

	/* where the pieces are in bytes (0 = absent, except opcode) */
	uint8_t prefix_count; /* bytes before the REX that counts, VEX, EVEX, 0F or opcode; in 64-bit
	                         code a REX that does not count may be among them */
	uint8_t rex;          /* the byte or 0 */
	uint8_t vex_offset;   /* of C4, C5, 62 (0 may be right: see encoding) */
	uint8_t opcode_offset, modrm_offset, imm_offset, imm_size;
	uint8_t opcode_map; /* 0 one-byte, 1 0F, 2 0F38, 3 0F3A, EVEX also 5 and 6 */
	uint8_t opcode, modrm;
	bool prefix_66, prefix_67, prefix_lock, prefix_f2,
		prefix_f3; /* f2/f3: present, mandatory or REP */
	bool mandatory_66; /* 66 is part of the opcode, not an operand size */
	bool rep_ignored;  /* F2 or F3 means nothing here; a copy must leave it out, lest a newer
	                         processor find a meaning */
	bool too_long;     /* more than 15 bytes: #GP(0), not #UD */

	uint8_t operand_size; /* 1, 2, 4, 8: effective operand size of the instruction. Of INSN_COPY in
	                         16- and 32-bit code it is 2 only if a copy needs 66 for it. Near
	                         branches of 64-bit code: 8, or 2 where 66 counts (AMD) */
	uint8_t address_size; /* 2, 4, 8 */

	/*
	 * The memory operand. For INSN_COPY it is in ModRM but for MOV with A0-A3 (modrm_offset 0:
	 * an absolute address in mem_disp). INSN_STRING has none (has_mem false) but fills in
	 * mem_seg (of the source), mem_read, mem_write and mem_size (of one element). PUSH and POP:
	 * only an explicit operand, the stack access is not told. XLAT and MASKMOV: the implicit one
	 * (without AL).
	 */
	bool has_mem;
	bool mem_read, mem_write; /* as the SDM says, corrected; LEA, NOP: neither */
	bool mem_masked;          /* lanes can be switched off by a mask: see insn_mask.c */
	bool mem_aligned; /* raises #GP when misaligned (MOVAPS, legacy SSE arithmetic, CMPXCHG16B...) */
	bool mem_relaxed; /* ... unless MXCSR.MM is set */
	uint8_t mem_base, mem_index, mem_scale, mem_seg;
	bool seg_override;
	int64_t mem_disp;
	uint16_t mem_size; /* bytes touched; 0 if it varies */
	uint8_t mem_vsib;  /* gathers and scatters: the vector register that is the index, else
	                        INSN_NO_REG */
	uint8_t mem_mask;  /* mem_masked: enum insn_mask, how the mask selects bytes */
	uint8_t mask_reg; /* its register: k1-k7, or a vector register for INSN_MASK_SIGN, _BYTES */
	uint8_t mask_step;  /* bytes of memory that one lane stands for */
	uint8_t mask_lanes; /* bits of the mask that count */

	int64_t imm;    /* first immediate or branch displacement, sign-extended; zero-extended
	                        for RET, ENTER, INT, IN, OUT and far pointers */
	int64_t imm2;   /* ENTER, far pointers' selector... */
	uint8_t cc;     /* Jcc condition, 0-15; LOOPs: 0 LOOPNE 1 LOOPE 2 LOOP 3 JrCXZ */
	uint8_t op_reg; /* PUSH/POP/JMP_IND/CALL_IND register form: RAX..R15, else INSN_NO_REG */

	/*
	 * Registers, as masks over RAX..R15; parts count as the whole. Explicit and implicit ones;
	 * read includes the memory operand's. What is written partly (8, 16 bits) or sometimes
	 * (CMOVcc, BSF) counts as read too: gpr_write & ~gpr_read is dead before. INSN_EMULATE: all.
	 */
	uint16_t gpr_read, gpr_write;
	uint16_t
		gpr_fixed; /* those used implicitly or fixed by the opcode (CL, RAX in MUL, RDX ...) */
	bool high8;        /* uses AH, CH, DH or BH: admits no REX */

	/*
	 * Status flags (FL_*), DF included. INSN_EMULATE: reads all, maybe writes all. flags_maybe does
	 * not appear in flags_read: what is live after is live before, unless flags_written.
	 */
	uint32_t flags_read;
	uint32_t flags_written; /* always written or left undefined, whatever the operands */
	uint32_t flags_maybe;   /* written only sometimes (shifts by CL, REP): not killed */

	bool may_fault;  /* can fault without touching memory: DIV, FP exceptions, ... */
	bool ends_block; /* changes control flow or mode, so nothing may follow it in a block */
	bool privileged; /* #GP(0) unless CPL 0 */
};

/* Is it of a class with any of these notes (CLASS_*)? */
static inline bool insn_is(const struct insn *i, unsigned notes)
{
	return insn_class_notes[i->class] & notes;
}

struct cpuid_policy;

/*
 * Decodes at most size bytes for a code segment of code_bits (16, 32, 64) and classifies. policy
 * (may be NULL: everything the table knows, as Intel's processors have it) says which features exist
 * and whose processor it is.
 * Returns 0; -EAGAIN if more bytes are needed; -EILSEQ if the bytes are no instruction (class is
 * INSN_UNDEFINED, length at least 1).
 */
int insn_decode(struct insn *insn, const uint8_t *bytes, unsigned size, unsigned code_bits,
	const struct cpuid_policy *policy);

/*
 * The same, quicker, with what has been decoded before: instructions that differ in a displacement or
 * an immediate only. A memo serves one thread and one policy; it takes up to 544 KiB, as it is filled.
 */
struct insn_memo;
struct insn_memo *insn_memo_create(void); /* NULL: no memory */
void insn_memo_destroy(struct insn_memo *m);
int insn_memo_decode(struct insn_memo *m, struct insn *insn, const uint8_t *bytes, unsigned size,
	unsigned code_bits, const struct cpuid_policy *policy);

/* The instruction as text, for dumps. */
void insn_format(const struct insn *insn, uint64_t rip, unsigned code_bits, char *text,
	unsigned size);

/*
 * Is this host instruction one that generated code may contain? Used by the self-check that
 * decodes everything in the code cache again: allowlisted copies, and what the code generator emits.
 */
bool insn_host_allowed(const uint8_t *bytes, unsigned size, unsigned *length);

/*
 * Of an instruction with mem_masked: which bytes of the memory operand it touches, bit i for byte
 * i from the operand's address on. xsave is the vCPU's extended state (standard format, XSTATE_BV
 * obeyed), of size CPU_XSAVE_SIZE. Exact where the processor's documentation is; it never leaves
 * out a byte that is touched. opmask_at: where the image has k0 (CPUID leaf 0xd, subleaf 5; makers
 * differ), 0 if the processor has no such registers.
 */
uint64_t insn_mask(const struct insn *insn, const uint8_t *xsave, unsigned opmask_at);

#endif
