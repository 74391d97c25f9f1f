/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's power button. A guest that does not listen yet loses a press: its kernel takes it, and nobody
 * waits for it. So one that was asked to end is asked again until it has, for some minutes.
 */
#ifndef DACH_VMM_POWER_H
#define DACH_VMM_POWER_H

#include "base/loop.h"

struct vmm;

#define POWER_AGAIN 5000000000ull /* ns between presses */
#define POWER_PRESSES 60

struct power {
	struct loop_timer timer;
	unsigned presses;
};

/* All on the loop's thread. */
void power_init(struct vmm *vmm);
/* Presses now, and again. While the guest is paused nothing is pressed; the presses do not count. */
void power_ask(struct vmm *vmm);
/* The guest has ended. */
void power_stop(struct vmm *vmm);

#endif
