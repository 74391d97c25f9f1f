/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a PC's setup would have left in the clock's memory for its firmware ("CMOS"; IBM PC/AT Technical Reference,
 * and SeaBIOS' src/hw/rtc.h for what came later): how much memory there is, how many processors, and from what to
 * start.
 */
#ifndef DACH_MACHINE_FIRMWARE_CMOS_H
#define DACH_MACHINE_FIRMWARE_CMOS_H

#include <stdint.h>

#include "machine/board.h"

/* Nothing happens on a board without firmware. */
void cmos_fill(const struct board *board, uint8_t cmos[128]);

#endif
