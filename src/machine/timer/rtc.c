/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/timer/rtc.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "base/thread.h"
#include "base/loop.h"
#include "machine/firmware/cmos.h"
#include "state/state.h"

enum {
	SECONDS,
	SECONDS_ALARM,
	MINUTES,
	MINUTES_ALARM,
	HOURS,
	HOURS_ALARM,
	WEEKDAY,
	DAY,
	MONTH,
	YEAR,
	REG_A,
	REG_B,
	REG_C,
	REG_D,
	CENTURY = 0x32,
};

#define IRQ_RTC 8

#define B_24_HOURS 0x02u
#define B_BINARY 0x04u
#define B_UPDATE 0x10u
#define B_ALARM 0x20u
#define B_SET 0x80u
#define C_UPDATE 0x10u
#define C_ALARM 0x20u
#define C_IRQ 0x80u
#define D_VALID 0x80u
#define PM 0x80u

struct rtc {
	struct mutex lock; /* all that follows */
	uint8_t index, cmos[128];
	int64_t offset; /* guest time of day minus the host's, seconds */
	struct loop_timer timer;
	struct board *board;
};

static uint8_t encode_value(const struct rtc *rtc, unsigned value) REQUIRES(rtc->lock)
{
	return rtc->cmos[REG_B] & B_BINARY ? value : (value / 10 % 10) << 4 | value % 10;
}

static unsigned decode_value(const struct rtc *rtc, uint8_t value) REQUIRES(rtc->lock)
{
	return rtc->cmos[REG_B] & B_BINARY ? value : (value >> 4) * 10u + (value & 15);
}

static uint8_t encode_hour(const struct rtc *rtc, unsigned hour) REQUIRES(rtc->lock)
{
	if (rtc->cmos[REG_B] & B_24_HOURS)
		return encode_value(rtc, hour);
	return encode_value(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? PM : 0);
}

static unsigned decode_hour(const struct rtc *rtc, uint8_t value) REQUIRES(rtc->lock)
{
	if (rtc->cmos[REG_B] & B_24_HOURS)
		return decode_value(rtc, value);
	return decode_value(rtc, value & ~PM) % 12 + (value & PM ? 12 : 0);
}

/* The time registers from the clock; not while the guest sets them. */
static void refresh_time(struct rtc *rtc) REQUIRES(rtc->lock)
{
	time_t now = time(NULL) + rtc->offset;
	struct tm tm;

	if ((rtc->cmos[REG_B] & B_SET) || !gmtime_r(&now, &tm))
		return;
	rtc->cmos[SECONDS] = encode_value(rtc, tm.tm_sec);
	rtc->cmos[MINUTES] = encode_value(rtc, tm.tm_min);
	rtc->cmos[HOURS] = encode_hour(rtc, tm.tm_hour);
	rtc->cmos[WEEKDAY] = encode_value(rtc, tm.tm_wday + 1);
	rtc->cmos[DAY] = encode_value(rtc, tm.tm_mday);
	rtc->cmos[MONTH] = encode_value(rtc, tm.tm_mon + 1);
	rtc->cmos[YEAR] = encode_value(rtc, tm.tm_year % 100);
	rtc->cmos[CENTURY] = encode_value(rtc, (tm.tm_year + 1900) / 100 % 100);
}

/* The clock from the time registers. */
static void adopt_time(struct rtc *rtc) REQUIRES(rtc->lock)
{
	struct tm tm = {
		.tm_sec = decode_value(rtc, rtc->cmos[SECONDS]),
		.tm_min = decode_value(rtc, rtc->cmos[MINUTES]),
		.tm_hour = decode_hour(rtc, rtc->cmos[HOURS]),
		.tm_mday = decode_value(rtc, rtc->cmos[DAY]),
		.tm_mon = (int)decode_value(rtc, rtc->cmos[MONTH]) - 1,
		.tm_year = decode_value(rtc, rtc->cmos[CENTURY]) * 100 +
			decode_value(rtc, rtc->cmos[YEAR]) - 1900,
	};
	time_t set = timegm(&tm);

	rtc->offset = set - time(NULL);
}

static void schedule_second(struct rtc *rtc) REQUIRES(rtc->lock)
{
	struct timespec ts;

	if (!(rtc->cmos[REG_B] & (B_UPDATE | B_ALARM))) {
		loop_timer_cancel(&rtc->timer);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &ts);
	loop_timer_arm(&rtc->timer, clock_now() + 1000000000u - ts.tv_nsec);
}

static void update_irq(struct rtc *rtc) REQUIRES(rtc->lock)
{
	bool irq = rtc->cmos[REG_C] & rtc->cmos[REG_B] & (C_UPDATE | C_ALARM);

	rtc->cmos[REG_C] = (rtc->cmos[REG_C] & ~C_IRQ) | (irq ? C_IRQ : 0);
	board_irq(rtc->board, IRQ_RTC, irq);
}

/* The two highest bits set: any value fits. */
static bool alarm_fits(const struct rtc *rtc, unsigned alarm, unsigned now) REQUIRES(rtc->lock)
{
	return rtc->cmos[alarm] >= 0xc0 || rtc->cmos[alarm] == rtc->cmos[now];
}

static void second_passed(void *ctx)
{
	struct rtc *rtc = ctx;

	mutex_lock(&rtc->lock);
	if (!(rtc->cmos[REG_B] & B_SET)) {
		refresh_time(rtc);
		rtc->cmos[REG_C] |= C_UPDATE;
		if (alarm_fits(rtc, SECONDS_ALARM, SECONDS) &&
			alarm_fits(rtc, MINUTES_ALARM, MINUTES) &&
			alarm_fits(rtc, HOURS_ALARM, HOURS))
			rtc->cmos[REG_C] |= C_ALARM;
		update_irq(rtc);
	}
	schedule_second(rtc);
	mutex_unlock(&rtc->lock);
}

static void time_write(struct rtc *rtc, unsigned index, uint8_t value) REQUIRES(rtc->lock)
{
	refresh_time(rtc);
	rtc->cmos[index] = value;
	if (!(rtc->cmos[REG_B] & B_SET))
		adopt_time(rtc);
}

static void control_write(struct rtc *rtc, uint8_t value) REQUIRES(rtc->lock)
{
	bool was_set = rtc->cmos[REG_B] & B_SET;

	refresh_time(rtc);
	/* SET ends the update interrupt (data sheet, register B). */
	rtc->cmos[REG_B] = value & B_SET ? value & ~B_UPDATE : value;
	if (was_set && !(value & B_SET))
		adopt_time(rtc);
	update_irq(rtc);
	schedule_second(rtc);
}

static void rtc_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct rtc *rtc = ctx;

	mutex_assert_held(&rtc->lock);
	if (!offset) {
		rtc->index =
			value & 0x7f; /* the highest bit masks NMI, which nothing here raises */
		return;
	}
	switch (rtc->index) {
	case SECONDS:
	case MINUTES:
	case HOURS:
	case WEEKDAY ... YEAR:
	case CENTURY:
		time_write(rtc, rtc->index, value);
		break;
	case REG_A:
		rtc->cmos[REG_A] = value & 0x7f;
		break;
	case REG_B:
		control_write(rtc, value);
		break;
	case REG_C:
	case REG_D:
		break;
	default:
		rtc->cmos[rtc->index] = value;
	}
}

static uint64_t rtc_read(void *ctx, uint64_t offset, unsigned size)
{
	struct rtc *rtc = ctx;
	uint8_t value;

	mutex_assert_held(&rtc->lock);
	if (!offset)
		return rtc->index;
	refresh_time(rtc);
	value = rtc->cmos[rtc->index];
	if (rtc->index == REG_C) {
		rtc->cmos[REG_C] = 0;
		update_irq(rtc);
	}
	return value;
}

static const struct bus_ops rtc_ops = {rtc_read, rtc_write, 1, false};

/* On the board */

static void rtc_reset(void *device)
{
	struct rtc *rtc = device;

	mutex_lock(&rtc->lock);
	memset(rtc->cmos, 0, sizeof rtc->cmos);
	rtc->index = 0;
	rtc->cmos[REG_A] = 0x26; /* 32,768 Hz, the usual rate */
	rtc->cmos[REG_B] = B_24_HOURS;
	rtc->cmos[REG_D] = D_VALID;
	cmos_fill(rtc->board, rtc->cmos);
	loop_timer_cancel(&rtc->timer);
	mutex_unlock(&rtc->lock);
}

static void rtc_describe(void *device, struct state *s)
{
	struct rtc *rtc = device;

	mutex_lock(&rtc->lock);
	state_begin(s, "rtc", 0, 1);
	state_u8(s, "index", &rtc->index);
	state_bytes(s, "cmos", rtc->cmos, sizeof rtc->cmos);
	state_i64(s, "offset", &rtc->offset);
	state_require(s, rtc->index < sizeof rtc->cmos, "an index beyond its memory");
	/* So that no sum with the time of day overflows. */
	state_require(s, rtc->offset < INT64_MAX / 4 && rtc->offset > INT64_MIN / 4,
		"a time that cannot be");
	state_end(s);
	if (state_loading(s) && state_ok(s))
		schedule_second(rtc);
	mutex_unlock(&rtc->lock);
}

static int rtc_init(void *device, struct board *board, struct error *err)
{
	struct rtc *rtc = device;

	mutex_init(&rtc->lock);
	rtc->board = board;
	loop_timer_init(&rtc->timer, board->loop, second_passed, rtc);
	rtc_reset(rtc);
	return bus_map(&board->io, 0x70, 2, &rtc_ops, rtc, &rtc->lock);
}

static void rtc_destroy(void *device)
{
	struct rtc *rtc = device;

	loop_timer_cancel(&rtc->timer);
	mutex_destroy(&rtc->lock);
}

const struct board_device rtc_device = {
	.name = "real-time clock",
	.size = sizeof(struct rtc),
	.init = rtc_init,
	.reset = rtc_reset,
	.destroy = rtc_destroy,
	.describe = rtc_describe,
};
