/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 8254 interval timer (Intel 8254 data sheet) with port 0x61, which gates
 * and reads channel 2. Channel 0 drives IRQ 0. Counting is computed from the
 * host's clock, not ticked. BCD counting is not offered (it counts in binary).
 */
#ifndef DACH_MACHINE_TIMER_PIT_H
#define DACH_MACHINE_TIMER_PIT_H

#include "machine/board.h"

#define PIT_HZ 1193182u

extern const struct board_device pit_device;

#endif
