/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking a guest to end, which is pressing its power button. One that does not listen yet loses a press: its
 * kernel takes it, and nobody waits for it. So it is asked again until it has ended, for some minutes.
 */
#ifndef DACH_MONITOR_POWER_H
#define DACH_MONITOR_POWER_H

#include <stdbool.h>

#include "base/loop.h"

#define POWER_AGAIN 5000000000ull /* ns between presses */
#define POWER_PRESSES 60

struct power {
	struct loop_timer timer;
	unsigned presses;
	/* false: not now, the guest is paused. */
	bool (*press)(void *ctx);
	void *ctx;
};

/* All on the loop's thread. */
void power_init(struct power *power, struct loop *loop, bool (*press)(void *ctx), void *ctx);
/* Presses now, and again. While it is not now the presses do not count. */
void power_ask(struct power *power);
/* The guest has ended. */
void power_stop(struct power *power);

#endif
