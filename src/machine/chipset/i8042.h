/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keyboard controller (Intel 8042 as in IBM's PS/2, Technical Reference 1990, keyboard and
 * auxiliary device controller) with a keyboard and a mouse at its two ports: 0x60 and 0x64,
 * interrupts 1 and 12. As firmware leaves it: both enabled, scan codes translated to set 1. Address line
 * 20 is always on, whatever its output port is told.
 */
#ifndef DACH_MACHINE_CHIPSET_I8042_H
#define DACH_MACHINE_CHIPSET_I8042_H

#include <stdbool.h>
#include <stdint.h>

#include "machine/board.h"
#include "machine/chipset/ps2.h"

struct i8042;

/* Where the board is to have a keyboard. Where it has not, pm.h answers at 0x64. */
extern const struct board_device i8042_device;

/* What somebody does to the keyboard and the mouse; see ps2.h. Any thread. */
void i8042_key(struct i8042 *i8042, uint8_t key, bool down);
void i8042_pointer(struct i8042 *i8042, const struct ps2_motion *motion);

#endif
