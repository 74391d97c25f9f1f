/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/slow.h"

#include "monitor/monitor.h"

#define PERIOD_NS 20000000ull

/* Percent of a period for which it stands. */
static const unsigned shares[] = {0, 40, 70, 85, 95, 98};
#define STEPS (sizeof shares / sizeof *shares)

static void turn(void *ctx)
{
	struct slow *slow = ctx;
	uint64_t stands = PERIOD_NS / 100 * shares[slow->step];

	slow->stands = !slow->stands;
	monitor_withhold(slow->monitor, slow->stands ? slow->let_go : NULL, NULL);
	loop_timer_arm(&slow->timer, clock_now() + (slow->stands ? stands : PERIOD_NS - stands));
}

void slow_begin(struct slow *slow, struct guest_monitor *monitor,
	int (*let_go)(void *ctx, struct error *err))
{
	*slow = (struct slow){.monitor = monitor, .let_go = let_go};
	loop_timer_init(&slow->timer, monitor_loop(monitor), turn, slow);
}

void slow_more(struct slow *slow)
{
	if (slow->step + 1 < STEPS && !slow->step++)
		turn(slow);
}

void slow_end(struct slow *slow)
{
	if (!slow->monitor)
		return;
	loop_timer_cancel(&slow->timer);
	if (slow->stands)
		monitor_withhold(slow->monitor, NULL, NULL);
	slow->monitor = NULL;
}
