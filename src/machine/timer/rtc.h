/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CMOS clock (Motorola MC146818 data sheet) at ports 0x70 and 0x71: the
 * host's time of day in UTC plus what the guest has set, alarm and update
 * interrupts on IRQ 8. No periodic interrupt.
 */
#ifndef DACH_MACHINE_TIMER_RTC_H
#define DACH_MACHINE_TIMER_RTC_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "machine/bus.h"

struct rtc {
	pthread_mutex_t lock; /* all that follows */
	uint8_t index, cmos[128];
	int64_t offset; /* guest time of day minus the host's, seconds */
	struct loop_timer timer;
	void (*irq)(void *ctx, bool level);
	void *ctx;
};

int rtc_init(struct rtc *rtc, struct bus *io, struct loop *loop, void (*irq)(void *ctx, bool level),
	void *ctx);
void rtc_destroy(struct rtc *rtc);
void rtc_reset(struct rtc *rtc);

#endif
