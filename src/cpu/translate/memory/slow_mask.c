/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/translate/cold.h"
#include "cpu/translate/decode/insn.h"
#include "cpu/translate/vm.h"

/*
 * The slow path knows only that the access is masked: the instruction is read
 * again. Its bytes were there when the block was made, so the fetch can fail only
 * if the page went away meanwhile.
 */
enum outcome mmu_slow_mask(struct vcpu *v, const struct slow_access *d, uint64_t *mask)
{
	struct insn insn;
	uint8_t bytes[15] = {0};
	static const uint8_t code_bits[] = {16, 32, 64};
	unsigned bits = code_bits[v->private_data->mode & MODE_BITS];
	enum outcome out;

	vcpu_vectors_save(v);
	for (unsigned i = 0; i < d->length; i++) {
		uint64_t gpa;
		struct region *r;

		out = mmu_fetch(v, v->code_base + d->guest + i, &gpa);
		if (out)
			return out;
		r = vm_region(v->vm, gpa);
		if (r)
			bytes[i] = r->host[gpa - r->gpa];
	}
	if (insn_decode(&insn, bytes, d->length, bits, NULL))
		return OUT_OK;
	*mask = insn_mask(&insn, v->cpu.xsave, vcpu_cpuid(v)->area.offset[COMP_OPMASK]);
	return OUT_OK;
}
