/* SPDX-License-Identifier: Apache-2.0 */
/* Where each vCPU's thread is (EXEC_*), making it leave translated code, and holding all others outside of it. */
#ifndef DACH_CPU_TRANSLATE_EXCLUSIVE_H
#define DACH_CPU_TRANSLATE_EXCLUSIVE_H

#include "cpu/translate/vm.h"

/* Any thread: makes a vCPU leave translated code soon. */
void vcpu_interrupt(struct vcpu *v, unsigned why);
#define KICK_LOOK 1u  /* for interrupts */
#define KICK_LEAVE 2u /* vcpu_run() returns */
#define KICK_CODE 4u  /* only leave translated code once */

/* Waits until no other vCPU is in translated code, and keeps them out. The caller is outside. */
void vm_exclusive_begin(struct vcpu *v);
void vm_exclusive_end(struct vcpu *v);

/* The vCPU's own thread goes there. */
static inline void vcpu_exec_state(struct translate_vcpu *p, uint32_t where)
{
	uint32_t old = __atomic_load_n(&p->exec_state, __ATOMIC_RELAXED);
	uint32_t state = ((old & ~EXEC_BITS) + 4) | where;

	/* entering must be seen before the TLB is read; see vcpu_wait_for_store() */
	if (where == EXEC_CODE && p->v->vm->vcpus > 1)
		__atomic_store_n(&p->exec_state, state, __ATOMIC_SEQ_CST);
	else
		__atomic_store_n(&p->exec_state, state, __ATOMIC_RELEASE);
}

/* False: somebody runs alone; wait, and look for the block again. */
bool vcpu_enter_code(struct vcpu *v);

/*
 * A vCPU that has passed its TLB check may not yet have stored. Wait until it has left translated
 * code, or is in a helper, where a store is followed by a look at has_code and a mark in the page's door.
 * self: who asks; NULL: no vCPU.
 */
void vcpu_wait_for_store(struct vcpu *self, struct translate_vcpu *other);

#endif
