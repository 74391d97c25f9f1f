/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From guest instructions to host code, one block at a time. While translated
 * code runs, guest registers but r10 and r11 are in the host registers of the
 * same name, the status flags and DF in the host's, the vector state too; r10
 * and r11 are scratch and %gs points to the TLB context.
 */
#ifndef DACH_CPU_TRANSLATE_GEN_H
#define DACH_CPU_TRANSLATE_GEN_H

#include <stdint.h>

#include "cpu/translate/cache/cache.h"
#include "cpu/translate/emit/emit.h"
#include "cpu/translate/decode/insn.h"

/* What generated code passes in r11 when it leaves (the low byte); r10 is as said. */
enum leave {
	LEAVE_LOOKUP, /* r10: the RIP to go on at; r11 >> 8: the block whose indirect branch led there, or 0 */
	LEAVE_EXIT,    /* r10: index of the block_exit */
	LEAVE_EMULATE, /* r10: struct emulated *, r11 >> 8: its offset in the code page */
	LEAVE_STEP,    /* r10: offset in the code page of the next instruction */
	LEAVE_FAULT,   /* from the slow path; vcpu.fault is set, cpu.rip is set */
	LEAVE_SIGNAL,  /* from a signal handler; vcpu.fault or a poll */
};

/* The most that one block may need, so that room is checked once a block. */
#define GEN_HOT_MAX (BLOCK_MAX_INSNS * 384u)
#define GEN_COLD_MAX (BLOCK_MAX_INSNS * 512u + 4096u)
#define GEN_EXITS_MAX (BLOCK_MAX_INSNS + 2)
#define GEN_FIXUPS_MAX (BLOCK_MAX_INSNS * 16)

/*
 * Translates decoded instructions, returns how many of the count it took; the first of which lies at page offset `start`. Code goes
 * to the cache's hot and cold parts; exits, fixups and emulated instructions to its tables, and the
 * block is filled in. The lock is held and there is room. next_crosses: the
 * instruction after the last begins in this page and ends in the next.
 */
unsigned gen_block(struct cache *c, struct tblock *b, uint32_t index, const struct insn *insns,
	unsigned count, unsigned start, bool next_crosses);

/* True if no instruction may follow this one in a block of the mode. */
bool gen_ends(uint32_t mode, const struct insn *i);

#endif
