/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/translate/run/exclusive.h"

#include <signal.h>
#include <sys/syscall.h>

#include "cpu/translate/hot.h"
#include "cpu/translate/native/mirror.h"

static void kick_mirror(int process)
{
	register long r10 asm("r10") = 0;
	long result;

	asm volatile("syscall"
		     : "=a"(result)
		     : "a"((long)SYS_pidfd_send_signal), "D"((long)process), "S"((long)MIRROR_KICK),
		     "d"(0l), "r"(r10)
		     : "rcx", "r11", "memory");
}

void vcpu_interrupt(struct vcpu *v, unsigned why)
{
	int process;

	__atomic_fetch_or(&v->kicked, why, __ATOMIC_SEQ_CST);
	__atomic_store_n(&v->jump_mask, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&v->poll, (uint64_t *)8, __ATOMIC_SEQ_CST);
	/* once is enough: each kick takes of the mirror's stack until it has come back */
	process = __atomic_exchange_n(&v->private_data->native_process, -1, __ATOMIC_SEQ_CST);
	if (process >= 0)
		kick_mirror(process);
}

void vm_exclusive_begin(struct vcpu *v) UNCHECKED_LOCKS /* vm_exclusive_end() drops it */
{
	struct translate_vm *vm = v->vm;
	uint64_t since = __builtin_ia32_rdtsc();

	if (vm->vcpus < 2)
		return;
	v->count.exclusive++;
	lock_take(&vm->exclusive);
	__atomic_store_n(&vm->stop, true, __ATOMIC_SEQ_CST);
	for (unsigned k = 0; k < vm->vcpus; k++) {
		struct translate_vcpu *p = vm->vcpu[k];

		if (p->v == v)
			continue;
		while ((__atomic_load_n(&p->exec_state, __ATOMIC_SEQ_CST) & EXEC_BITS) !=
			EXEC_OUTSIDE) {
			vcpu_interrupt(p->v, KICK_CODE);
			lock_yield();
		}
	}
	v->count.exclusive_cycles += __builtin_ia32_rdtsc() - since;
}

void vm_exclusive_end(struct vcpu *v) UNCHECKED_LOCKS
{
	struct translate_vm *vm = v->vm;

	if (vm->vcpus < 2)
		return;
	__atomic_store_n(&vm->stop, false, __ATOMIC_SEQ_CST);
	lock_drop(&vm->exclusive);
}

bool vcpu_enter_code(struct vcpu *v)
{
	struct translate_vm *vm = v->vm;

	vcpu_exec_state(v->private_data, EXEC_CODE);
	if (__builtin_expect(!__atomic_load_n(&vm->stop, __ATOMIC_ACQUIRE), 1) ||
		v->private_data->alone)
		return true;
	vcpu_exec_state(v->private_data, EXEC_OUTSIDE);
	lock_take(&vm->exclusive);
	lock_drop(&vm->exclusive);
	return false;
}

void vcpu_wait_for_store(struct vcpu *self, struct translate_vcpu *other)
{
	uint32_t state = __atomic_load_n(&other->exec_state, __ATOMIC_SEQ_CST);

	if (other->v == self || (state & EXEC_BITS) != EXEC_CODE)
		return;
	vcpu_interrupt(other->v, KICK_CODE);
	for (unsigned turns = 0; __atomic_load_n(&other->exec_state, __ATOMIC_SEQ_CST) == state;
		turns++)
		if (turns % 256 == 255)
			lock_yield();
		else
			__builtin_ia32_pause();
}
