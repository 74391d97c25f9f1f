/* SPDX-License-Identifier: Apache-2.0 */
/* Forgetting translations of addresses: INVLPG, CR3 and its relatives. */
#include "cpu/translate/hot.h"
#include "cpu/translate/memory/mmu.h"

static struct tlb *user_context(struct vcpu *v)
{
	struct translate_vcpu *p = v->private_data;
	unsigned pcid = v->cpu.cr4 & CR4_PCIDE ? v->cpu.cr3 & 0xfff : 0;
	struct tlb *oldest = &p->context[CTX_USER_FIRST];

	for (unsigned i = CTX_USER_FIRST; i < CTX_COUNT; i++) {
		struct tlb *t = &p->context[i];

		if (t->pcid == pcid) {
			t->used = ++p->clock;
			return t;
		}
		if (t->used < oldest->used)
			oldest = t;
	}
	tlb_clear(oldest);
	hostmap_leave(oldest->hostmap);
	oldest->pcid = pcid;
	oldest->used = ++p->clock;
	return oldest;
}

bool mmu_pdptes_good(struct vcpu *v, uint64_t cr3)
{
	struct region *r = vm_region(v->vm, (uint32_t)cr3);

	return (!r || mmu_bring(v, r, (uint32_t)cr3)) && walk_pdptes_good(v->vm, cr3);
}

void mmu_flush_all(struct vcpu *v)
{
	v->count.tlb_flush++;
	cache_unlink_crossing(v->vm, ~0ull);
	for (unsigned i = 0; i < CTX_COUNT; i++)
		tlb_clear(&v->private_data->context[i]);
}

void mmu_flush_nonglobal(struct vcpu *v)
{
	struct translate_vcpu *p = v->private_data;

	v->count.tlb_flush++;
	tlb_clear_nonglobal(&p->context[CTX_SUPER]);
	tlb_clear_nonglobal(&p->context[CTX_SUPER_USER]);
	tlb_clear(p->user);
}

void mmu_flush_page(struct vcpu *v, uint64_t linear)
{
	struct translate_vcpu *p = v->private_data;

	v->count.tlb_flush_page++;
	cache_unlink_crossing(v->vm, linear);
	tlb_clear_page(&p->context[CTX_SUPER], linear);
	tlb_clear_page(&p->context[CTX_SUPER_USER], linear);
	tlb_clear_page(p->user, linear);
}

void mmu_flush_pcid(struct vcpu *v, unsigned pcid)
{
	struct translate_vcpu *p = v->private_data;

	if (pcid == (v->cpu.cr3 & 0xfff)) {
		mmu_flush_nonglobal(v);
		return;
	}
	v->count.tlb_flush++;
	for (unsigned i = CTX_USER_FIRST; i < CTX_COUNT; i++)
		if (p->context[i].pcid == pcid)
			tlb_clear(&p->context[i]);
}

void mmu_cr3_loaded(struct vcpu *v, bool keep)
{
	struct translate_vcpu *p = v->private_data;

	p->user = user_context(v);
	if (!keep) {
		mmu_flush_nonglobal(v);
		hostmap_space(p->user->hostmap, v->cpu.cr3);
	} else {
		tlb_clear_nonglobal(&p->context[CTX_SUPER]);
		tlb_clear_nonglobal(&p->context[CTX_SUPER_USER]);
	}
	mode_context(v);
}
