/* SPDX-License-Identifier: Apache-2.0 */
/* The rewriter's working state, shared by its files. */
#ifndef DACH_CPU_TRANSLATE_REWRITE_INTERNAL_H
#define DACH_CPU_TRANSLATE_REWRITE_INTERNAL_H

#include "cpu/translate/rewrite.h"
#include "cpu/translate/vm.h"

/* A guest address: registers by number (INSN_NO_REG, INSN_RIP too), and the segment. */
struct address {
	uint8_t base, index, scale, seg;
	uint8_t size; /* 2, 4, 8 */
	int64_t disp;
};

struct rewrite {
	struct cache *cache;
	uint32_t block_index, mode;
	unsigned bits;          /* 16, 32, 64 */
	struct emit hot, cold;
	const struct insn *insn;
	unsigned guest;         /* the instruction's offset in the code page */
	bool flags_live;        /* before this instruction */
	unsigned hot_sites, cold_sites;
	struct site hot_site[REWRITE_SITES_MAX / 2], cold_site[REWRITE_SITES_MAX / 2];
};

void rewrite_site(struct rewrite *w, const uint8_t *at, unsigned spilled, bool poll);
void rewrite_leave(struct emit *e, enum leave why);
void rewrite_lookup(struct rewrite *w);
void rewrite_emulate(struct rewrite *w);
/* The operation on [r10], emitted once in line and once out of line. */
typedef void access_op(struct rewrite *w, struct emit *e);
void rewrite_stack_write(struct rewrite *w, unsigned size, access_op *op);

/* Emits w->insn, which rewrite_native() allows. */
void rewrite_one(struct rewrite *w);
bool rewrite_native(uint32_t mode, const struct insn *i);
/* RET without the jump: its target is in r10. */
void rewrite_ret_target(struct rewrite *w);
/* r10 = host address of size bytes at a; a jump to failed if they are not in one page of the TLB. */
void rewrite_check(struct rewrite *w, struct address a, unsigned size, bool write, uint8_t *failed);

/*
 * rewrite_group.c: emits the first of these instructions together if they share a check; how many it
 * took, or 0.
 */
unsigned rewrite_group(struct rewrite *w, const struct insn *insns, unsigned count,
	const uint32_t *live);

/* rewrite_system.c */
bool rewrite_system_native(uint32_t mode, const struct insn *i);
void rewrite_system(struct rewrite *w);
void rewrite_interrupt_window(struct rewrite *w);

#endif
