/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power: the ACPI fixed registers (ACPI 6.4, 4.8.3), the reset registers
 * (0xcf9, port 0x92, and 0x64 where no keyboard controller (i8042.h) is there) and pvpanic, through
 * which a guest tells of its panic.
 */
#ifndef DACH_MACHINE_CHIPSET_PM_H
#define DACH_MACHINE_CHIPSET_PM_H

#include <stdint.h>

#include "machine/board.h"

/* The DSDT and the FADT say the same. */
#define PM1_EVENT 0x600
#define PM1_CONTROL 0x604
#define PM_TIMER 0x608
#define PM_TIMER_HZ 3579545u
#define PM_SLEEP_S5 5
#define PM_SCI 9
#define PM_RESET_PORT 0xcf9
#define PM_RESET_VALUE 0x06
#define PVPANIC_PORT 0x505

struct pm;

extern const struct board_device pm_device;

void pm_power_button(struct pm *pm);                 /* any thread */
void pm_reset_control(struct pm *pm, uint8_t value); /* a write to port 0xcf9 */

#endif
