/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory from inside: a linear address resolved to what is there, for mmu.c, fetch.c and slow.c. */
#ifndef DACH_CPU_TRANSLATE_MMU_H
#define DACH_CPU_TRANSLATE_MMU_H

#include "cpu/translate/vm.h"
#include "cpu/translate/memory/walk.h"

/*
 * Translates one byte's address, and fills the TLB with its page where that may be; the caller stays within
 * the page. OUT_OK, or OUT_FAULT with vcpu.fault set.
 */
enum outcome mmu_resolve(struct vcpu *v, uint64_t linear, unsigned access, struct target *out);
void mmu_target_read(struct vcpu *v, const struct target *t, void *data, unsigned size);
/* True if translated code was overwritten. */
bool mmu_target_write(struct vcpu *v, const struct target *t, const void *data, unsigned size);
/*
 * Makes sure that the page is here, before it is touched; vectors are saved where it is not. False: it
 * cannot be had, and translate_run() ends at its next turn.
 */
bool mmu_bring_absent(struct vcpu *v, struct region *r, uint64_t gpa);
static inline bool mmu_bring(struct vcpu *v, struct region *r, uint64_t gpa)
{
	return __builtin_expect(!v->vm->lazy, 1) || region_here(r, gpa) ||
		mmu_bring_absent(v, r, gpa);
}
/* walk() under the vCPU's state, with the tables brought. */
static inline int mmu_walk(struct vcpu *v, uint64_t linear, struct walk_access access,
	struct walk *out, uint32_t *error)
{
	int r;

	while ((r = walk(v->vm, &v->cpu, linear, access, out, error)) > 0)
		if (!mmu_bring(v, vm_region(v->vm, out->gpa), out->gpa))
			return -1;
	return r;
}
/* C code has written bytes of guest memory: for those who follow writes. */
void mmu_note_written(struct translate_vm *vm, const uint8_t *host, unsigned size);
/* Raises #PF for the address, with the error code's bits. */
enum outcome mmu_page_fault(struct vcpu *v, uint64_t linear, uint32_t error);
/* Of a host address in guest memory that can be written. */
uint64_t mmu_gpa_of_host(struct translate_vm *vm, const uint8_t *host);

/* How many of the bytes lie in the first page. */
static inline unsigned mmu_first_part(uint64_t linear, unsigned size)
{
	unsigned room = 4096 - (linear & 4095);

	return size < room ? size : room;
}

#endif
