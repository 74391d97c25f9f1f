/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests that wait for another of their processors. Where that one's thread waits for a processor of
 * the host, spinning only keeps it from running.
 */
#include "cpu/translate/emulate/emulate.h"
#include "cpu/translate/hot.h"
#include "cpu/translate/lock.h"
#include "cpu/translate/vm.h"

#define GAP \
	20000u    /* TSC cycles without PAUSE: it was not spinning, or does so for something else */
#define SPINS 24u /* PAUSEs before the first yield, and between yields */
#define YIELDS 12u  /* yields that did not help, before sleeping */
#define SLEEP 50000 /* ns; an interrupt waits so long at most */

enum outcome emulate_pause(struct vcpu *v, const struct insn *i)
{
	struct translate_vcpu *p = v->private_data;
	uint64_t now = __builtin_ia32_rdtsc();

	v->count.pause++;
	if (now - p->spin.last_pause > GAP)
		p->spin.pauses = p->spin.yields = 0;
	__builtin_ia32_pause();
	if (++p->spin.pauses % SPINS == 0) {
		if (++p->spin.yields < YIELDS || v->vm->config.vcpus <= v->vm->host_cpus) {
			v->count.yield++;
			lock_yield();
		} else if (!__atomic_load_n(&v->kicked, __ATOMIC_SEQ_CST)) {
			v->count.spin_sleep++;
			p->spin.yields = 0;
			lock_sleep(SLEEP);
		}
		now = __builtin_ia32_rdtsc();
	}
	p->spin.last_pause = now;
	return insn_done(v, i);
}

/* Only the kernel may call; which calls there are is the machine's (machine/hypercall.h). */
enum outcome emulate_hypercall(struct vcpu *v, const struct insn *i)
{
	void *ctx;
	const struct engine_callbacks *c = vcpu_callbacks(v, &ctx);
	uint64_t mask = mode_code64(v) ? ~0ull : 0xffffffff, gpr[16];
	int64_t result = HYPERCALL_UNKNOWN;

	v->count.hypercall++;
	if (v->cpu.cpl)
		result = HYPERCALL_DENIED;
	else if (c->hypercall) {
		for (unsigned n = 0; n < 16; n++)
			gpr[n] = v->cpu.gpr[n] & mask;
		vcpu_vectors_save(v);
		result = c->hypercall(ctx, v->index, gpr);
	}
	v->cpu.gpr[RAX] = (uint64_t)result & mask;
	return insn_done(v, i);
}
