/* SPDX-License-Identifier: Apache-2.0 */
#include <asm/prctl.h>
#include <sys/syscall.h>

#include "cpu/translate/hot.h"
#include "cpu/translate/vm.h"

/* By instruction where the kernel allows it (AT_HWCAP2), else by a system call. */
void vcpu_set_gs(struct vcpu *v, void *base)
{
	long r;

	if (!v->private_data->running)
		return;
	if (v->vm->has_fsgsbase)
		asm volatile("wrgsbase %0" : : "r"(base));
	else
		asm volatile("syscall"
			     : "=a"(r)
			     : "a"((long)SYS_arch_prctl), "D"((long)ARCH_SET_GS), "S"(base)
			     : "rcx", "r11", "memory");
}
