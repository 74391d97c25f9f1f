/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/timer/pit.h"

#include <pthread.h>
#include <string.h>

#include "base/thread.h"
#include "base/loop.h"
#include "state/state.h"

#define IRQ_PIT 0
#define NS 1000000000u
/* Interrupts of channel 0 come no closer together, whatever the guest asks for. */
#define MIN_PERIOD 50000u

struct pit_channel {
	uint8_t mode, access; /* access: 1 low byte, 2 high byte, 3 low then high */
	bool gate, counting, high_next_write, high_next_read, latched, status_latched;
	uint8_t low, status;
	uint16_t latch;
	uint32_t reload; /* 1 to 65536 */
	uint64_t start;  /* when the count was loaded, ns */
};

struct pit {
	struct mutex lock; /* all that follows */
	struct pit_channel channel[3];
	bool speaker, refresh;
	struct loop_timer timer;
	struct board *board;
};

static uint64_t to_ticks(uint64_t ns)
{
	return (unsigned __int128)ns * PIT_HZ / NS;
}

/* Rounded up, so that the tick has happened when this much time has gone. */
static uint64_t to_ns(uint64_t ticks)
{
	return ((unsigned __int128)ticks * NS + PIT_HZ - 1) / PIT_HZ;
}

static uint64_t elapsed_ticks(const struct pit_channel *c)
{
	return to_ticks(clock_now() - c->start);
}

static uint16_t count_now(const struct pit_channel *c)
{
	uint64_t ticks;

	if (!c->counting)
		return c->reload;
	ticks = elapsed_ticks(c);
	switch (c->mode) {
	case 2:
		return c->reload - ticks % c->reload;
	case 3:
		return c->reload - 2 * ticks % c->reload;
	}
	return c->reload - ticks;
}

static bool channel_output(const struct pit_channel *c)
{
	uint64_t ticks;

	if (!c->counting)
		return c->mode != 0;
	ticks = elapsed_ticks(c);
	switch (c->mode) {
	case 0:
	case 1:
		return ticks >= c->reload;
	case 2:
		return ticks % c->reload != c->reload - 1;
	case 3:
		return ticks % c->reload < (c->reload + 1) / 2;
	}
	return ticks != c->reload;
}

/* When channel 0 next interrupts; 0: never. */
static uint64_t next_irq(const struct pit_channel *c, uint64_t now)
{
	uint64_t period = to_ns(c->reload);

	if (!c->counting)
		return 0;
	if (c->mode != 2 && c->mode != 3)
		return c->start + period > now ? c->start + period : 0;
	if (period < MIN_PERIOD)
		return now + MIN_PERIOD;
	/* From the start each time: rounding must not add up. */
	return c->start + to_ns((to_ticks(now - c->start) / c->reload + 1) * c->reload);
}

static void schedule_irq(struct pit *pit) REQUIRES(pit->lock)
{
	uint64_t when = next_irq(&pit->channel[0], clock_now());

	if (when)
		loop_timer_arm(&pit->timer, when);
	else
		loop_timer_cancel(&pit->timer);
}

static void timer_fired(void *ctx)
{
	struct pit *pit = ctx;

	mutex_lock(&pit->lock);
	board_irq(pit->board, IRQ_PIT, false);
	board_irq(pit->board, IRQ_PIT, true);
	schedule_irq(pit);
	mutex_unlock(&pit->lock);
}

static void load_count(struct pit *pit, unsigned which, uint16_t count) REQUIRES(pit->lock)
{
	struct pit_channel *c = &pit->channel[which];

	c->reload = count ? count : 0x10000;
	if (c->mode == 1 || c->mode == 5)
		return; /* these start at the gate's edge */
	c->start = clock_now();
	c->counting = c->gate;
	if (which == 0) {
		board_irq(pit->board, IRQ_PIT, false);
		schedule_irq(pit);
	}
}

static void latch_count(struct pit_channel *c)
{
	if (c->latched)
		return;
	c->latch = count_now(c);
	c->latched = true;
	c->high_next_read = false;
}

static void latch_status(struct pit_channel *c)
{
	if (c->status_latched)
		return;
	c->status = channel_output(c) << 7 | c->access << 4 | c->mode << 1;
	c->status_latched = true;
}

static void write_control(struct pit *pit, uint8_t value) REQUIRES(pit->lock)
{
	unsigned which = value >> 6;
	struct pit_channel *c;

	if (which == 3) {
		for (unsigned i = 0; i < 3; i++) {
			if (!(value >> (i + 1) & 1))
				continue;
			if (!(value & 0x20))
				latch_count(&pit->channel[i]);
			if (!(value & 0x10))
				latch_status(&pit->channel[i]);
		}
		return;
	}
	c = &pit->channel[which];
	if (!(value & 0x30)) {
		latch_count(c);
		return;
	}
	c->access = value >> 4 & 3;
	c->mode = value >> 1 & 7;
	if (c->mode > 5)
		c->mode -= 4;
	c->counting = c->latched = c->status_latched = false;
	c->high_next_write = c->high_next_read = false;
	if (which == 0) {
		board_irq(pit->board, IRQ_PIT, c->mode != 0);
		schedule_irq(pit);
	}
}

static void pit_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct pit *pit = ctx;
	struct pit_channel *c;

	mutex_assert_held(&pit->lock);
	if (offset == 3) {
		write_control(pit, value);
		return;
	}
	c = &pit->channel[offset];
	switch (c->access) {
	case 1:
		load_count(pit, offset, value);
		break;
	case 2:
		load_count(pit, offset, value << 8);
		break;
	case 3:
		if (c->high_next_write)
			load_count(pit, offset, value << 8 | c->low);
		else
			c->low = value;
		c->high_next_write = !c->high_next_write;
		break;
	}
}

static uint64_t pit_read(void *ctx, uint64_t offset, unsigned size)
{
	struct pit *pit = ctx;
	struct pit_channel *c = &pit->channel[offset];
	uint16_t value;
	bool high;

	mutex_assert_held(&pit->lock);
	if (offset == 3)
		return 0xff;
	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	value = c->latched ? c->latch : count_now(c);
	high = c->access == 2 || (c->access == 3 && c->high_next_read);
	if (c->access == 3)
		c->high_next_read = !c->high_next_read;
	if (c->access != 3 || high)
		c->latched = false;
	return high ? value >> 8 : value & 0xff;
}

static void set_gate(struct pit_channel *c, bool gate)
{
	bool rise = gate && !c->gate;

	c->gate = gate;
	switch (c->mode) {
	case 1:
	case 2:
	case 3:
	case 5:
		if (rise) {
			c->start = clock_now();
			c->counting = true;
		}
		if (!gate && (c->mode == 2 || c->mode == 3))
			c->counting = false;
		break;
	default:
		/* Modes 0 and 4 pause; a pause here starts over, which nobody relies on. */
		if (rise)
			c->start = clock_now();
		c->counting = gate;
	}
}

static uint64_t port61_read(void *ctx, uint64_t offset, unsigned size)
{
	struct pit *pit = ctx;
	struct pit_channel *c = &pit->channel[2];

	mutex_assert_held(&pit->lock);
	pit->refresh = !pit->refresh;
	return c->gate | pit->speaker << 1 | pit->refresh << 4 | channel_output(c) << 5;
}

static void port61_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct pit *pit = ctx;

	mutex_assert_held(&pit->lock);
	pit->speaker = value & 2;
	set_gate(&pit->channel[2], value & 1);
}

static const struct bus_ops pit_ops = {pit_read, pit_write, 1, false};
static const struct bus_ops port61_ops = {port61_read, port61_write, 1, false};

/* On the board */

static void pit_reset(void *device)
{
	struct pit *pit = device;

	mutex_lock(&pit->lock);
	memset(pit->channel, 0, sizeof pit->channel);
	for (unsigned i = 0; i < 3; i++) {
		pit->channel[i].access = 3;
		pit->channel[i].mode = 3;
		pit->channel[i].reload = 0x10000;
		pit->channel[i].gate = i != 2;
	}
	loop_timer_cancel(&pit->timer);
	mutex_unlock(&pit->lock);
}

static void describe_channel(struct pit_channel *c, unsigned n, struct state *s)
{
	state_group(s, "channel", n);
	state_u8(s, "mode", &c->mode);
	state_u8(s, "access", &c->access);
	state_bool(s, "gate", &c->gate);
	state_bool(s, "counting", &c->counting);
	state_bool(s, "high_next_write", &c->high_next_write);
	state_bool(s, "high_next_read", &c->high_next_read);
	state_bool(s, "latched", &c->latched);
	state_bool(s, "status_latched", &c->status_latched);
	state_u8(s, "low", &c->low);
	state_u8(s, "status", &c->status);
	state_u16(s, "latch", &c->latch);
	state_u32(s, "reload", &c->reload);
	state_time(s, "start", &c->start);
	state_require(s, c->mode <= 5 && c->access >= 1 && c->access <= 3, "an unknown mode");
	state_require(s, c->reload >= 1 && c->reload <= 0x10000, "a count that cannot be");
}

static void pit_describe(void *device, struct state *s)
{
	struct pit *pit = device;
	struct pit_channel channel[3];

	mutex_lock(&pit->lock);
	memcpy(channel, pit->channel, sizeof channel);
	state_begin(s, "pit", 0, 1);
	for (unsigned i = 0; i < 3; i++)
		describe_channel(&channel[i], i, s);
	state_group(s, NULL, 0);
	state_bool(s, "speaker", &pit->speaker);
	state_bool(s, "refresh", &pit->refresh);
	state_end(s);
	if (state_loading(s) && state_ok(s)) {
		memcpy(pit->channel, channel, sizeof channel);
		schedule_irq(pit);
	}
	mutex_unlock(&pit->lock);
}

static int pit_init(void *device, struct board *board, struct error *err)
{
	struct pit *pit = device;
	int r;

	mutex_init(&pit->lock);
	pit->board = board;
	loop_timer_init(&pit->timer, board->loop, timer_fired, pit);
	pit_reset(pit);
	r = bus_map(&board->io, 0x40, 4, &pit_ops, pit, &pit->lock);
	if (!r)
		r = bus_map(&board->io, 0x61, 1, &port61_ops, pit, &pit->lock);
	return r;
}

static void pit_destroy(void *device)
{
	struct pit *pit = device;

	loop_timer_cancel(&pit->timer);
	mutex_destroy(&pit->lock);
}

const struct board_device pit_device = {
	.name = "interval timer",
	.size = sizeof(struct pit),
	.init = pit_init,
	.reset = pit_reset,
	.destroy = pit_destroy,
	.describe = pit_describe,
};
