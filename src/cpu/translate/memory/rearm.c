/* SPDX-License-Identifier: Apache-2.0 */
/* The log of written pages, from the side that reads it: the next write of a page is to be told again. */
#include "cpu/translate/cold.h"
#include "cpu/translate/run/exclusive.h"
#include "cpu/translate/vm.h"

/* More pages than that: to look through a whole TLB costs less than to look for each. */
#define FEW 256u

/* By the hints of where each page may be writable. */
static bool demote_few(struct translate_vcpu *p, struct region *r, uint64_t first, uint64_t count)
{
	uint32_t *hints = p->write_hint[r - p->v->vm->region];
	bool found = false;

	for (uint64_t i = first; i < first + count; i++) {
		uint32_t where;

		if (!page_bit(r->door->taken, r->door_page + i))
			continue;
		where = __atomic_exchange_n(&hints[i], 0, __ATOMIC_SEQ_CST);
		for (unsigned n = 0; where && n < CTX_COUNT; n++)
			found |= tlb_demote(&p->context[n], r->host + (i << 12), where);
	}
	return found;
}

static bool demote_all(struct translate_vcpu *p, struct region *r, uint64_t first, uint64_t count)
{
	bool found = false;

	for (unsigned n = 0; n < CTX_COUNT; n++)
		found |= tlb_demote_all(&p->context[n], r->host + (first << 12), r->door->taken,
			r->door_page + first, count);
	return found;
}

static uint64_t count_taken(const struct region *r, uint64_t first, uint64_t count)
{
	uint64_t taken = 0;

	for (uint64_t i = first; i < first + count; i++)
		taken += page_bit(r->door->taken, r->door_page + i);
	return taken;
}

void vm_log_rearm(struct translate_vm *vm, const struct memory_region *part)
{
	struct region *r = vm_region(vm, part->gpa);
	uint64_t first, count = part->size >> 12;
	bool few;

	if (!r)
		return;
	first = (part->gpa - r->gpa) >> 12;
	few = count_taken(r, first, count) <= FEW;
	hostmap_demote_taken(vm, r, part);
	for (unsigned k = 0; k < vm->vcpus; k++)
		if ((few ? demote_few : demote_all)(vm->vcpu[k], r, first, count))
			vcpu_wait_for_store(NULL, vm->vcpu[k]);
}
