/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/translate/vm.h"

#include "cpu/translate/hot.h"

struct region *vm_region_search(struct translate_vm *vm, uint64_t gpa)
{
	unsigned low = 0, high = vm->regions;
	struct region *r;

	/* the last one that begins at gpa or below */
	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (vm->by_gpa[middle]->gpa <= gpa)
			low = middle + 1;
		else
			high = middle;
	}
	r = low ? vm->by_gpa[low - 1] : NULL;
	return r && gpa - r->gpa < r->size ? r : NULL;
}

const struct cpuid_policy *vcpu_cpuid(const struct vcpu *v)
{
	return v->vm->config.cpuid;
}

const struct xsave_layout *vcpu_layout(const struct vcpu *v)
{
	return &v->vm->layout;
}

const struct engine_callbacks *vcpu_callbacks(const struct vcpu *v, void **ctx)
{
	*ctx = v->vm->config.ctx;
	return v->vm->config.callbacks;
}
