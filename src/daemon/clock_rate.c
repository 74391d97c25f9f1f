/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/clock_rate.h"

#define MEASURE_NS 100000000ull

static void measured(void *ctx)
{
	struct clock_rate *rate = ctx;

	rate->khz = cpuid_tsc_since(&rate->begin);
}

void clock_rate_begin(struct clock_rate *rate, struct loop *loop)
{
	rate->khz = cpuid_tsc_begin(&rate->begin);
	loop_timer_init(&rate->timer, loop, measured, rate);
	if (!rate->khz)
		loop_timer_arm(&rate->timer, clock_now() + MEASURE_NS);
}

void clock_rate_end(struct clock_rate *rate)
{
	if (rate->timer.loop)
		loop_timer_cancel(&rate->timer);
}
