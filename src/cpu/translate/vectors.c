/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/translate/vm.h"

void vcpu_vectors_save(struct vcpu *v)
{
	uint64_t mask = v->vm->vectors;
	static const uint32_t mxcsr = 0x1f80;

	if (v->vectors_saved)
		return;
	v->vectors_saved = true;
	v->count.vector_save++;
	if (v->vm->has_xsaveopt)
		asm volatile("xsaveopt64 %0"
			     : "+m"(v->cpu.xsave)
			     : "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
			     : "memory");
	else
		asm volatile("xsave64 %0"
			     : "+m"(v->cpu.xsave)
			     : "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
			     : "memory");
	asm volatile("fninit\n ldmxcsr %0" : : "m"(mxcsr));
	if (mask & 4)
		asm volatile("vzeroupper");
}

void vcpu_vectors_restore(struct vcpu *v)
{
	uint64_t mask = v->vm->vectors;

	if (!v->vectors_saved)
		return;
	v->vectors_saved = false;
	asm volatile("xrstor64 %0"
		     :
		     : "m"(v->cpu.xsave), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
		     : "memory");
}
