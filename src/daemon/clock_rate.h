/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rate of the host's TSC, which each monitor needs and would measure for itself, 50 ms long: measured here
 * once, while the daemon does other things.
 */
#ifndef DACH_DAEMON_CLOCK_RATE_H
#define DACH_DAEMON_CLOCK_RATE_H

#include "base/loop.h"
#include "cpu/cpuid.h"

struct clock_rate {
	struct loop_timer timer;
	struct tsc_moment begin;
	uint32_t khz; /* 0: not known yet */
};

void clock_rate_begin(struct clock_rate *rate, struct loop *loop);
/* Whether or not it has begun. */
void clock_rate_end(struct clock_rate *rate);

#endif
