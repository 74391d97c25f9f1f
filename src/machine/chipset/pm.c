/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/chipset/pm.h"

#include <pthread.h>
#include <stdbool.h>

#include "base/thread.h"
#include "base/loop.h"
#include "state/state.h"

#define STATUS_BUTTON 0x100u
#define STATUS_WAKE 0x8000u
#define STATUS_WRITABLE 0x8531u /* clear by ones: timer, bus master, global, button, RTC, wake */
#define ENABLE_WRITABLE 0x0521u
#define CONTROL_SCI 0x1u
#define CONTROL_SLEEP 0x2000u
#define CONTROL_TYPE(v) ((v) >> 10 & 7)
#define KEYBOARD_RESET 0xfe
#define PVPANIC_PANICKED 1u
#define PVPANIC_CRASH_LOADED 2u

struct pm {
	struct board *board;
	struct mutex lock; /* all that follows */
	uint16_t status, enable, control;
	uint8_t port92, reset_control;
	uint64_t timer_start; /* when the timer was 0, ns of CLOCK_MONOTONIC; modulo 2^64 */
};

static void update_sci(struct pm *pm) REQUIRES(pm->lock)
{
	board_irq(pm->board, PM_SCI, pm->status & pm->enable & ENABLE_WRITABLE);
}

void pm_power_button(struct pm *pm)
{
	mutex_lock(&pm->lock);
	pm->status |= STATUS_BUTTON;
	update_sci(pm);
	mutex_unlock(&pm->lock);
}

static uint64_t event_read(void *ctx, uint64_t offset, unsigned size)
{
	struct pm *pm = ctx;

	mutex_assert_held(&pm->lock);
	return offset ? pm->enable : pm->status;
}

static void event_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct pm *pm = ctx;

	mutex_assert_held(&pm->lock);
	if (offset)
		pm->enable = value & ENABLE_WRITABLE;
	else
		pm->status &= ~(value & STATUS_WRITABLE);
	update_sci(pm);
}

static uint64_t control_read(void *ctx, uint64_t offset, unsigned size)
{
	struct pm *pm = ctx;

	mutex_assert_held(&pm->lock);
	/* ACPI mode from the start; the sleep bit reads as zero. */
	return (pm->control & ~CONTROL_SLEEP) | CONTROL_SCI;
}

static void control_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct pm *pm = ctx;

	mutex_assert_held(&pm->lock);
	pm->control = value;
	if (!(value & CONTROL_SLEEP))
		return;
	if (CONTROL_TYPE(value) == PM_SLEEP_S5)
		pm->board->owner->poweroff(pm->board->ctx);
	else /* a sleep that the DSDT does not offer: over at once, for who waits for its end */
		pm->status |= STATUS_WAKE;
}

static uint64_t timer_read(void *ctx, uint64_t offset, unsigned size)
{
	const struct pm *pm = ctx;

	mutex_assert_held(&pm->lock);
	return (uint32_t)((unsigned __int128)(clock_now() - pm->timer_start) * PM_TIMER_HZ /
		1000000000u);
}

static void ignore_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
}

void pm_reset_control(struct pm *pm, uint8_t value)
{
	mutex_lock(&pm->lock);
	pm->reset_control = value & ~4u;
	mutex_unlock(&pm->lock);
	if (value & 4)
		pm->board->owner->reset(pm->board->ctx);
}

static uint64_t keyboard_read(void *ctx, uint64_t offset, unsigned size)
{
	return 0; /* nothing to read, ready to be written */
}

static void keyboard_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct pm *pm = ctx;

	mutex_assert_held(&pm->lock);
	if (value == KEYBOARD_RESET)
		pm->board->owner->reset(pm->board->ctx);
}

static uint64_t port92_read(void *ctx, uint64_t offset, unsigned size)
{
	struct pm *pm = ctx;

	mutex_assert_held(&pm->lock);
	return pm->port92;
}

static void port92_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct pm *pm = ctx;

	mutex_assert_held(&pm->lock);
	pm->port92 = (value & ~1u) | 2; /* address line 20 stays on */
	if (value & 1)
		pm->board->owner->reset(pm->board->ctx);
}

static uint64_t pvpanic_read(void *ctx, uint64_t offset, unsigned size)
{
	return PVPANIC_PANICKED | PVPANIC_CRASH_LOADED;
}

static void pvpanic_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct pm *pm = ctx;

	mutex_assert_held(&pm->lock);
	/* A guest with a crash kernel loaded goes on by itself. */
	if (value & PVPANIC_PANICKED)
		pm->board->owner->panicked(pm->board->ctx);
}

static const struct bus_ops event_ops = {event_read, event_write, 2, true};
static const struct bus_ops control_ops = {control_read, control_write, 2, true};
static const struct bus_ops timer_ops = {timer_read, ignore_write, 4, true};
static const struct bus_ops keyboard_ops = {keyboard_read, keyboard_write, 1, false};
static const struct bus_ops port92_ops = {port92_read, port92_write, 1, false};
static const struct bus_ops pvpanic_ops = {pvpanic_read, pvpanic_write, 1, false};

/* On the board */

static void pm_reset(void *device)
{
	struct pm *pm = device;

	mutex_lock(&pm->lock);
	pm->status = pm->enable = pm->control = 0;
	pm->port92 = 2;
	pm->reset_control = 0;
	update_sci(pm);
	mutex_unlock(&pm->lock);
}

static void pm_describe(void *device, struct state *s)
{
	struct pm *pm = device;
	uint64_t elapsed;

	mutex_lock(&pm->lock);
	elapsed = state_now(s)->monotonic - pm->timer_start;
	state_begin(s, "pm", 0, 1);
	state_u16(s, "status", &pm->status);
	state_u16(s, "enable", &pm->enable);
	state_u16(s, "control", &pm->control);
	state_u8(s, "port92", &pm->port92);
	state_u8(s, "reset_control", &pm->reset_control);
	/* ns since the timer was zero; it may have been so before this host was there. */
	state_u64(s, "timer", &elapsed);
	state_end(s);
	if (state_loading(s) && state_ok(s))
		pm->timer_start = state_now(s)->monotonic - (elapsed + state_elapsed(s));
	mutex_unlock(&pm->lock);
}

static int pm_init(void *device, struct board *board, struct error *err)
{
	static const struct {
		uint16_t port, size;
		const struct bus_ops *ops;
	} ports[] = {{PM1_EVENT, 4, &event_ops}, {PM1_CONTROL, 2, &control_ops},
		{PM_TIMER, 4, &timer_ops}, {0x92, 1, &port92_ops}, {PVPANIC_PORT, 1, &pvpanic_ops},
		{0x64, 1, &keyboard_ops}};
	struct pm *pm = device;
	int r = 0;

	mutex_init(&pm->lock);
	pm->board = board;
	pm_reset(pm);
	for (unsigned i = 0; i < sizeof ports / sizeof *ports - board->keyboard && !r; i++)
		r = bus_map(&board->io, ports[i].port, ports[i].size, ports[i].ops, pm, &pm->lock);
	return r;
}

static void pm_destroy(void *device)
{
	struct pm *pm = device;

	mutex_destroy(&pm->lock);
}

const struct board_device pm_device = {
	.name = "power management",
	.size = sizeof(struct pm),
	.init = pm_init,
	.reset = pm_reset,
	.destroy = pm_destroy,
	.describe = pm_describe,
};
