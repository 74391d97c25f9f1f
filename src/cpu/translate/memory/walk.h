/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page table walk (Intel SDM 3A chapter 4): 32-bit, PAE and 4-level paging,
 * and none. Sets accessed and dirty bits with a locked compare and exchange.
 */
#ifndef DACH_CPU_TRANSLATE_WALK_H
#define DACH_CPU_TRANSLATE_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu/state.h"

struct translate_vm;

/* What the walk found. */
struct walk {
	uint64_t gpa;      /* of the byte asked for */
	uint8_t page_bits; /* 12, 21, 22 or 30 */
	bool user, writable, global, accessed, dirty, no_execute;
};

#define PF_PRESENT 1u
#define PF_WRITE 2u
#define PF_USER 4u
#define PF_RESERVED 8u
#define PF_FETCH 16u

/* How the access is to be judged. */
struct walk_access {
	bool write, fetch, user;
	bool no_user_pages; /* supervisor access under SMAP without AC, or implicit */
	bool peek;          /* a debugger's: judges nothing, changes nothing */
};

/*
 * Walks for linear under cr0, cr3, cr4, efer of state. 0, or -1 with the page fault's error code
 * in *error; or 1 with the address of a table's entry in out->gpa that is absent (page_door.h).
 */
int walk(struct translate_vm *vm, const struct cpu_state *state, uint64_t linear,
	struct walk_access access, struct walk *out, uint32_t *error);

/* Are the four entries that a PAE CR3 points to free of reserved bits (SDM 3A 4.4.1)? */
bool walk_pdptes_good(struct translate_vm *vm, uint64_t cr3);

#endif
