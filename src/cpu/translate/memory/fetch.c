/* SPDX-License-Identifier: Apache-2.0 */
/* Where code is fetched from: an address's page, remembered by its TLB context. */
#include "cpu/translate/hot.h"
#include "cpu/translate/memory/mmu.h"

enum outcome mmu_fetch(struct vcpu *v, uint64_t linear, uint64_t *gpa)
{
	struct tlb *t = v->tlb;
	struct fetch_entry *f = &t->fetch[linear >> 12 & (FETCH_ENTRIES - 1)];
	struct walk w;
	struct region *r;
	uint32_t error;

	if ((f->page & ~2ull) == ((linear & ~4095ull) | 1)) {
		*gpa = f->gpa | (linear & 4095);
		return OUT_OK;
	}
	v->count.walk++;
	if (mmu_walk(v, linear, (struct walk_access){.fetch = true, .user = v->cpu.cpl == 3}, &w,
		    &error))
		return mmu_page_fault(v, linear, error);
	r = vm_region(v->vm, w.gpa);
	if (r && !mmu_bring(v, r, w.gpa))
		return mmu_page_fault(v, linear, 0);
	t->fetched = true;
	if (!w.global)
		t->fetched_nonglobal = true;
	if (w.page_bits == 21)
		t->large[linear >> 27 & 15] |= 1ull << (linear >> 21 & 63);
	else if (w.page_bits > 21)
		t->huge |= 1ull << (linear >> 30 & 63);
	f->page = (linear & ~4095ull) | (w.global ? 3 : 1);
	f->gpa = w.gpa & ~4095ull;
	*gpa = w.gpa;
	return OUT_OK;
}

bool mmu_fetch_global(const struct vcpu *v, uint64_t linear)
{
	return v->tlb->fetch[linear >> 12 & (FETCH_ENTRIES - 1)].page == ((linear & ~4095ull) | 3);
}
