/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/power.h"

#include "vmm/internal.h"

static void press(void *ctx)
{
	struct vmm *vmm = ctx;

	if (vmm->held)
		return;
	if (!vmm->paused) {
		machine_power_button(vmm->machine);
		vmm->power.presses++;
	}
	if (vmm->power.presses < POWER_PRESSES)
		loop_timer_arm(&vmm->power.timer, clock_now() + POWER_AGAIN);
}

void power_init(struct vmm *vmm)
{
	loop_timer_init(&vmm->power.timer, vmm->loop, press, vmm);
}

void power_ask(struct vmm *vmm)
{
	vmm->power.presses = 0;
	press(vmm);
}

void power_stop(struct vmm *vmm)
{
	if (vmm->loop)
		loop_timer_cancel(&vmm->power.timer);
}
