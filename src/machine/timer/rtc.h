/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CMOS clock (Motorola MC146818 data sheet) at ports 0x70 and 0x71: the
 * host's time of day in UTC plus what the guest has set, alarm and update
 * interrupts on IRQ 8. No periodic interrupt.
 */
#ifndef DACH_MACHINE_TIMER_RTC_H
#define DACH_MACHINE_TIMER_RTC_H

#include "machine/board.h"

extern const struct board_device rtc_device;

#endif
