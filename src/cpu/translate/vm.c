/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/translate/vm.h"

struct region *vm_region(struct translate_vm *vm, uint64_t gpa)
{
	for (unsigned i = 0; i < vm->regions; i++)
		if (gpa - vm->region[i].gpa < vm->region[i].size)
			return &vm->region[i];
	return NULL;
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
