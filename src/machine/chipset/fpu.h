/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The coprocessor's error as a PC/AT has it: FERR# is IRQ 13, until the guest
 * writes anything to port 0xf0.
 */
#ifndef DACH_MACHINE_CHIPSET_FPU_H
#define DACH_MACHINE_CHIPSET_FPU_H

#include "machine/board.h"

#define IRQ_FPU 13

extern const struct board_device fpu_device;

#endif
