/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's extended state between the host's registers and cpu.xsave.
 *
 * XSAVEOPT leaves out what is in its initial state, and what has not changed since XRSTOR loaded the
 * same area (SDM 1, 13.9). About the second Zen 4 and 5 are wrong: where XRSTOR has left AVX in its
 * initial state and ZMM_Hi256 not, a legacy SSE instruction makes AVX count as in use, but not as
 * changed. XSTATE_BV then has the bit, and the bytes behind it are what stood in the area before: maybe
 * another program's registers. (Initial goes by value: a zero component that was loaded is one.)
 *
 * So the area is kept such that what a processor leaves out is right. Behind a clear bit of XSTATE_BV
 * there is the initial state, always (xsave_initial()). That does not depend on which processor is how
 * wrong, and costs a comparison. XSAVE instead would cost 10 ns of the 146 that both ways take
 * together (Zen 5 at 2.6 GHz), and more on processors whose XSAVEOPT has more to leave out.
 *
 * The host's kernel has areas too (XSAVES, when it switches threads), and does not clear what is behind
 * its clear bits. So a processor that has ZMM_Hi256 in use gets AVX in use and changed with it: then
 * what the kernel saves first is written, and what it leaves out later is that. The kernel loads the
 * registers also when a signal's handler returns: signal.c.
 */
#include "cpu/translate/cold.h"
#include "cpu/translate/vm.h"

void vcpu_vectors_save(struct vcpu *v)
{
	uint64_t mask = v->vm->host.vectors, used, gone;
	static const uint32_t mxcsr = MXCSR_INITIAL;

	if (v->vectors_saved)
		return;
	v->vectors_saved = true;
	v->count.vector_save++;
	used = *xsave_bv(v->cpu.xsave);
	if (v->vm->host.has_xsaveopt)
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
	if (mask & 1u << COMP_AVX)
		asm volatile("vzeroupper");
	gone = used & ~*xsave_bv(v->cpu.xsave);
	if (gone)
		xsave_initial(v->cpu.xsave, &v->vm->config.cpuid->area, gone);
}

void vcpu_vectors_restore(struct vcpu *v)
{
	uint64_t mask = v->vm->host.vectors;

	if (!v->vectors_saved)
		return;
	v->vectors_saved = false;
	asm volatile("xrstor64 %0"
		     :
		     : "m"(v->cpu.xsave), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
		     : "memory");
	if (*xsave_bv(v->cpu.xsave) & 1u << COMP_ZMM_HI)
		asm volatile("vpord %zmm0, %zmm0, %zmm0"); /* the same value, written */
}
