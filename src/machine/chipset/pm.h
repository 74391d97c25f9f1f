/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power: the ACPI fixed registers (ACPI 6.4, 4.8.3), the reset registers
 * (0xcf9, the keyboard controller's port 0x64, port 0x92) and pvpanic, through
 * which a guest tells of its panic.
 */
#ifndef DACH_MACHINE_CHIPSET_PM_H
#define DACH_MACHINE_CHIPSET_PM_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "machine/bus.h"

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

struct pm_ops {
	void (*sci)(void *ctx, bool level);
	void (*poweroff)(void *ctx);
	void (*reset)(void *ctx);
	void (*panicked)(void *ctx);
};

struct pm {
	pthread_mutex_t lock; /* all that follows */
	const struct pm_ops *ops;
	void *ctx;
	uint16_t status, enable, control;
	uint8_t port92, reset_control;
	uint64_t timer_start; /* when the timer was 0, ns of CLOCK_MONOTONIC; modulo 2^64 */
};

int pm_init(struct pm *pm, struct bus *io, const struct pm_ops *ops, void *ctx);
void pm_destroy(struct pm *pm);
void pm_reset(struct pm *pm);
void pm_power_button(struct pm *pm);                 /* any thread */
void pm_reset_control(struct pm *pm, uint8_t value); /* a write to port 0xcf9 */

#endif
