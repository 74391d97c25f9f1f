/* SPDX-License-Identifier: Apache-2.0 */
/* The rewriter's working state, shared by its files. */
#ifndef DACH_CPU_TRANSLATE_REWRITE_INTERNAL_H
#define DACH_CPU_TRANSLATE_REWRITE_INTERNAL_H

#include "cpu/translate/rewrite.h"
#include "cpu/translate/vm.h"

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

/* rewrite_system.c */
bool rewrite_system_native(uint32_t mode, const struct insn *i);
void rewrite_system(struct rewrite *w);
void rewrite_interrupt_window(struct rewrite *w);

#endif
