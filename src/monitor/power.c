/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/power.h"

static void press(void *ctx)
{
	struct power *power = ctx;

	power->presses += power->press(power->ctx);
	if (power->presses < POWER_PRESSES)
		loop_timer_arm(&power->timer, clock_now() + POWER_AGAIN);
}

void power_init(struct power *power, struct loop *loop, bool (*press_it)(void *ctx), void *ctx)
{
	*power = (struct power){.press = press_it, .ctx = ctx};
	loop_timer_init(&power->timer, loop, press, power);
}

void power_ask(struct power *power)
{
	power->presses = 0;
	press(power);
}

void power_stop(struct power *power)
{
	loop_timer_cancel(&power->timer);
}
