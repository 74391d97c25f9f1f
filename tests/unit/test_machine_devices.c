/* SPDX-License-Identifier: Apache-2.0 */
/* Serial port, interval timer, clock, power: what a kernel does to them when it starts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/loop.h"
#include "bytes.h"
#include "machine/chipset/pm.h"
#include "machine/chipset/serial.h"
#include "machine/memory.h"
#include "machine/timer/pit.h"
#include "machine/timer/pvclock.h"
#include "machine/timer/rtc.h"

struct rig {
	struct board board;
	struct loop *loop;
	struct serial *serial;
	struct pm *pm;
	char out[256];
	unsigned outs, rooms, serial_rises, pit_rises, rtc_rises;
	bool serial_irq, rtc_irq, sci;
	unsigned poweroffs, resets, panics, want;
};

static void output(void *ctx, const uint8_t *data, size_t len)
{
	struct rig *rig = ctx;

	if (rig->outs + len <= sizeof rig->out)
		memcpy(rig->out + rig->outs, data, len);
	rig->outs += len;
}

static void room(void *ctx)
{
	((struct rig *)ctx)->rooms++;
}

static void irq(void *ctx, unsigned number, bool level)
{
	struct rig *rig = ctx;

	switch (number) {
	case 0: /* the interval timer */
		rig->pit_rises += level;
		if (rig->want && rig->pit_rises == rig->want)
			loop_stop(rig->loop);
		break;
	case 4:
		rig->serial_rises += level && !rig->serial_irq;
		rig->serial_irq = level;
		break;
	case 8:
		rig->rtc_rises += level;
		rig->rtc_irq = level;
		if (level)
			loop_stop(rig->loop);
		break;
	case PM_SCI:
		rig->sci = level;
		break;
	default:
		fail();
	}
}

static void poweroff(void *ctx)
{
	((struct rig *)ctx)->poweroffs++;
}

static void reset(void *ctx)
{
	((struct rig *)ctx)->resets++;
}

static void panicked(void *ctx)
{
	((struct rig *)ctx)->panics++;
}

static const struct board_owner owner = {
	.irq = irq,
	.poweroff = poweroff,
	.reset = reset,
	.panicked = panicked,
	.serial_output = output,
	.serial_room = room,
};

static int setup(void **state)
{
	static const struct board_device *const devices[] = {&serial_com1_device, &pit_device,
		&rtc_device, &pm_device};
	struct rig *rig = calloc(1, sizeof *rig);
	struct error err = {0};

	assert_int_equal(loop_create(&rig->loop, &err), 0);
	rig->board = (struct board){.owner = &owner, .ctx = rig, .loop = rig->loop};
	board_init(&rig->board);
	for (unsigned i = 0; i < sizeof devices / sizeof *devices; i++)
		assert_int_equal(board_add(&rig->board, devices[i], &err), 0);
	rig->serial = board_find(&rig->board, &serial_com1_device);
	rig->pm = board_find(&rig->board, &pm_device);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	board_destroy(&rig->board);
	loop_destroy(rig->loop);
	free(rig);
	return 0;
}

static uint8_t in(struct rig *rig, unsigned port)
{
	return bus_read(&rig->board.io, port, 1);
}

static void out(struct rig *rig, unsigned port, uint8_t value)
{
	bus_write(&rig->board.io, port, 1, value);
}

static void serial_detected(void **state)
{
	struct rig *rig = *state;

	/* A 16550A by its FIFO bits, and the loopback wiring. */
	out(rig, 0x3fa, 1);
	assert_int_equal(in(rig, 0x3fa), 0xc1);
	out(rig, 0x3fa, 0);
	assert_int_equal(in(rig, 0x3fa), 0x01);
	out(rig, 0x3fc, 0x1a);
	assert_int_equal(in(rig, 0x3fe) & 0xf0, 0x90);
	out(rig, 0x3f8, 'l');
	assert_int_equal(in(rig, 0x3f8), 'l');
	assert_int_equal(rig->outs, 0);
	out(rig, 0x3fc, 0);
	out(rig, 0x3ff, 0xa5);
	assert_int_equal(in(rig, 0x3ff), 0xa5);
	out(rig, 0x3fb, 0x80);
	out(rig, 0x3f8, 0x34);
	out(rig, 0x3f9, 0x12);
	assert_int_equal(in(rig, 0x3f8), 0x34);
	assert_int_equal(in(rig, 0x3f9), 0x12);
	out(rig, 0x3fb, 3);
	assert_int_equal(rig->outs, 0);
}

static void serial_sends(void **state)
{
	struct rig *rig = *state;

	out(rig, 0x3fc, 8);
	out(rig, 0x3f8, 'a');
	assert_int_equal(rig->serial_rises, 0);
	out(rig, 0x3f9, 2); /* the register is empty: at once */
	assert_int_equal(rig->serial_rises, 1);
	assert_int_equal(in(rig, 0x3fa) & 15, 2);
	assert_false(rig->serial_irq); /* reading took it */
	out(rig, 0x3f8, 'b');
	assert_int_equal(rig->serial_rises, 2);
	out(rig, 0x3f8, 'c'); /* an edge for each */
	assert_int_equal(rig->serial_rises, 3);
	assert_int_equal(in(rig, 0x3fd), 0x60);
	assert_int_equal(rig->outs, 3);
	assert_memory_equal(rig->out, "abc", 3);
}

static void serial_receives(void **state)
{
	struct rig *rig = *state;
	uint8_t data[20];

	memset(data, 'x', sizeof data);
	assert_int_equal(serial_input(rig->serial, data, 20), 1); /* no FIFO yet */
	assert_int_equal(in(rig, 0x3f8), 'x');
	assert_int_equal(rig->rooms, 1);
	out(rig, 0x3fa, 0x81);
	out(rig, 0x3f9, 1);
	out(rig, 0x3fc, 8);
	assert_int_equal(serial_input(rig->serial, data, 3), 3);
	assert_true(rig->serial_irq);
	assert_int_equal(in(rig, 0x3fa), 0xcc); /* few: time-out */
	assert_int_equal(serial_input(rig->serial, data, 20), 13);
	assert_int_equal(in(rig, 0x3fa), 0xc4);
	for (unsigned i = 0; i < 16; i++) {
		assert_int_equal(in(rig, 0x3fd) & 1, 1);
		assert_int_equal(rig->rooms, 1);
		in(rig, 0x3f8);
	}
	assert_int_equal(rig->rooms, 2);
	assert_false(rig->serial_irq);
	assert_int_equal(in(rig, 0x3fd) & 1, 0);
	assert_int_equal(in(rig, 0x3f8), 0);
	serial_break(rig->serial);
	assert_int_equal(in(rig, 0x3fd), 0x71);
	assert_int_equal(in(rig, 0x3fd), 0x61);
}

/* A saved port is that of one moment, however busy it is. */

/* The one value of a field in a state's stream. */
static uint8_t saved(const struct bytes *bytes, const char *name)
{
	const uint8_t *at = memmem(bytes->data, bytes->len, name, strlen(name));

	assert_non_null(at);
	return at[strlen(name) + 5];
}

static sem_t busy, saving;

static void hold_up(void *ctx, const uint8_t *data, size_t len)
{
	sem_post(&busy);
	sem_wait(&saving);
	usleep(50000); /* until who saves waits for the lock */
}

/* Four ports at once, with the lock held in between: a byte goes out, then the FIFO is emptied. */
static void *use_port(void *ctx)
{
	struct rig *rig = ctx;

	bus_write(&rig->board.io, 0x3f8, 4, 0x03070141);
	return NULL;
}

static void serial_is_saved_whole(void **state)
{
	static struct board_owner holding;
	struct rig *rig = *state;
	struct bytes bytes = {0};
	struct error err = {0};
	struct state *s;
	pthread_t thread;

	out(rig, 0x3fa, 1);
	assert_int_equal(serial_input(rig->serial, (const uint8_t *)"abc", 3), 3);
	holding = owner;
	holding.serial_output = hold_up;
	rig->board.owner = &holding;
	sem_init(&busy, 0, 0);
	sem_init(&saving, 0, 0);
	assert_int_equal(pthread_create(&thread, NULL, use_port, rig), 0);
	sem_wait(&busy);
	assert_int_equal(state_save(BYTES_TO(&bytes), "test", &s, &err), 0);
	sem_post(&saving);
	serial_com1_device.describe(rig->serial, s);
	assert_int_equal(state_finish(s), 0);
	state_destroy(s);
	pthread_join(thread, NULL);
	assert_int_equal(saved(&bytes, "fifo_count"), 0);
	assert_int_equal(saved(&bytes, "ier"), 1);
	free(bytes.data);
}

static void pit_calibrates(void **state)
{
	struct rig *rig = *state;
	uint64_t start = clock_now(), took;

	/* Channel 2, mode 0, 10 ms, as Linux does it. */
	out(rig, 0x61, (in(rig, 0x61) & ~2) | 1);
	out(rig, 0x43, 0xb0);
	out(rig, 0x42, 11932 & 0xff);
	out(rig, 0x42, 11932 >> 8);
	while (!(in(rig, 0x61) & 0x20))
		if (clock_now() - start > 1000000000)
			fail();
	took = clock_now() - start;
	assert_in_range(took, 9999000, 500000000);
	assert_true((in(rig, 0x61) ^ in(rig, 0x61)) & 0x10);
}

static void pit_ticks(void **state)
{
	struct rig *rig = *state;
	uint64_t start = clock_now();
	unsigned low, high;

	rig->want = 5;
	out(rig, 0x43, 0x34);
	out(rig, 0x40, 2386 & 0xff);
	out(rig, 0x40, 2386 >> 8); /* 2 ms */
	rig->pit_rises = 0;
	loop_run(rig->loop);
	assert_in_range(clock_now() - start, 9999000, 500000000);
	out(rig, 0x43, 0x00);
	low = in(rig, 0x40);
	high = in(rig, 0x40);
	assert_in_range(high << 8 | low, 1, 2386);
	out(rig, 0x43, 0xe2);
	assert_int_equal(in(rig, 0x40) & 0x3f, 0x34);
	/* Faster than anybody needs: held back. */
	rig->pit_rises = 0;
	rig->want = 20;
	start = clock_now();
	out(rig, 0x43, 0x14);
	out(rig, 0x40, 1);
	loop_run(rig->loop);
	assert_true(clock_now() - start >= 900000);
}

static unsigned bcd(uint8_t v)
{
	return (v >> 4) * 10 + (v & 15);
}

static unsigned cmos(struct rig *rig, unsigned reg)
{
	out(rig, 0x70, reg);
	return in(rig, 0x71);
}

static void rtc_time(void **state)
{
	struct rig *rig = *state;
	struct tm tm = {0};
	time_t host = time(NULL);

	tm.tm_year = bcd(cmos(rig, 0x32)) * 100 + bcd(cmos(rig, 9)) - 1900;
	tm.tm_mon = bcd(cmos(rig, 8)) - 1;
	tm.tm_mday = bcd(cmos(rig, 7));
	tm.tm_hour = bcd(cmos(rig, 4));
	tm.tm_min = bcd(cmos(rig, 2));
	tm.tm_sec = bcd(cmos(rig, 0));
	assert_true(labs(timegm(&tm) - host) <= 1);
	assert_int_equal(cmos(rig, 0xd), 0x80);
	/* Set to 13:30:00 with SET on; then in 12-hour binary. */
	out(rig, 0x70, 0xb);
	out(rig, 0x71, 0x82);
	out(rig, 0x70, 4);
	out(rig, 0x71, 0x13);
	out(rig, 0x70, 2);
	out(rig, 0x71, 0x30);
	out(rig, 0x70, 0);
	out(rig, 0x71, 0x00);
	out(rig, 0x70, 0xb);
	out(rig, 0x71, 0x02);
	assert_int_equal(cmos(rig, 4), 0x13);
	out(rig, 0x70, 0xb);
	out(rig, 0x71, 0x04);
	assert_int_equal(cmos(rig, 4), 0x81);
	assert_int_equal(cmos(rig, 2), 30);
	/* Nonsense is taken and does no harm. */
	for (unsigned reg = 0; reg < 256; reg++) {
		out(rig, 0x70, reg);
		out(rig, 0x71, 0xff);
		cmos(rig, reg);
	}
}

static void rtc_update_irq(void **state)
{
	struct rig *rig = *state;

	out(rig, 0x70, 0xb);
	out(rig, 0x71, 0x12);
	loop_run(rig->loop);
	assert_true(rig->rtc_irq);
	assert_int_equal(cmos(rig, 0xc) & 0x90, 0x90);
	assert_false(rig->rtc_irq);
	assert_int_equal(cmos(rig, 0xc), 0);
	out(rig, 0x70, 0xb);
	out(rig, 0x71, 0x02);
}

static void power(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(bus_read(&rig->board.io, PM1_CONTROL, 2), 1);
	pm_power_button(rig->pm);
	assert_false(rig->sci);
	bus_write(&rig->board.io, PM1_EVENT + 2, 2, 0x100);
	assert_true(rig->sci);
	assert_int_equal(bus_read(&rig->board.io, PM1_EVENT, 2), 0x100);
	bus_write(&rig->board.io, PM1_EVENT, 2, 0x100);
	assert_false(rig->sci);
	/* S3, which nobody was offered: the guest does not sleep, and who waits for its waking sees it. */
	assert_false(bus_read(&rig->board.io, PM1_EVENT, 2) & 0x8000);
	bus_write(&rig->board.io, PM1_CONTROL, 2, 0x2000 | 1 << 10);
	assert_int_equal(rig->poweroffs, 0);
	assert_true(bus_read(&rig->board.io, PM1_EVENT, 2) & 0x8000);
	assert_int_equal(bus_read(&rig->board.io, PM1_CONTROL, 2), 1 << 10 | 1);
	bus_write(&rig->board.io, PM1_EVENT, 2, 0x8000);
	assert_false(bus_read(&rig->board.io, PM1_EVENT, 2) & 0x8000);
	bus_write(&rig->board.io, PM1_CONTROL, 2, 0x2000 | 5 << 10);
	assert_int_equal(rig->poweroffs, 1);
	out(rig, 0x64, 0xd1);
	out(rig, 0x92, 2);
	assert_int_equal(rig->resets, 0);
	out(rig, 0x64, 0xfe);
	out(rig, 0x92, 3);
	pm_reset_control(rig->pm, 6);
	assert_int_equal(rig->resets, 3);
	assert_int_equal(in(rig, 0x505), 3);
	out(rig, 0x505, 2);
	assert_int_equal(rig->panics, 0);
	out(rig, 0x505, 1);
	assert_int_equal(rig->panics, 1);
}

static void pm_timer_counts(void **state)
{
	struct rig *rig = *state;
	uint32_t start = bus_read(&rig->board.io, PM_TIMER, 4), ticks;

	usleep(10000);
	ticks = bus_read(&rig->board.io, PM_TIMER, 4) - start;
	assert_in_range(ticks, 35700, PM_TIMER_HZ);
}

static void scale(uint32_t khz)
{
	uint32_t mul;
	int8_t shift;
	double ns;

	pvclock_scale(khz, &mul, &shift);
	assert_true(mul >= 1u << 31);
	ns = mul / 4294967296.0;
	for (; shift > 0; shift--)
		ns *= 2;
	for (; shift < 0; shift++)
		ns /= 2;
	assert_true(ns * khz / 1e6 > 0.999999 && ns * khz / 1e6 < 1.000001);
}

static int64_t no_offset(void *ctx)
{
	return 0;
}

static const struct board_owner clock_owner = {.tsc_offset = no_offset};

static void pvclock(void **state)
{
	struct memory mem;
	struct error err = {0};
	struct board board;
	uint32_t words[8];
	uint64_t value;

	for (uint32_t khz = 1; khz < 4000000000u; khz = khz * 2 + khz / 3 + 1)
		scale(khz);
	assert_int_equal(memory_create(&mem, 0x100000, 0, false, &err), 0);
	board = (struct board){.owner = &clock_owner, .memory = &mem, .tsc_khz = 2000000};
	board_init(&board);
	assert_int_equal(board_add(&board, &pvclock_device, &err), 0);
	board_power_on(&board);
	assert_true(msr_bus_write(&board.msrs, 0, 0x4b564d01, 0x1001));
	assert_int_equal(memory_read(&mem, 0x1000, words, sizeof words), 0);
	assert_true(words[0] && words[0] % 2 == 0);
	assert_int_equal(words[6], 1u << 31); /* 0.5 ns a tick */
	assert_int_equal(words[7], 0x100);
	assert_true(msr_bus_write(&board.msrs, 0, 0x4b564d00, 0x2000));
	memory_read(&mem, 0x2000, words, sizeof words);
	assert_true(words[0] % 2 == 0 && labs((long)words[1] - time(NULL)) <= 1);
	/* Not RAM, not aligned, not there. */
	assert_false(msr_bus_write(&board.msrs, 0, 0x4b564d01, 0x100001));
	assert_false(msr_bus_write(&board.msrs, 0, 0x4b564d01, 0xfffff1));
	assert_false(msr_bus_write(&board.msrs, 0, 0x4b564d01, UINT64_MAX));
	assert_false(msr_bus_write(&board.msrs, 0, 0x4b564d00, 0x1002));
	assert_false(msr_bus_write(&board.msrs, 0, 0x4b564d02, 0x1001));
	assert_true(msr_bus_read(&board.msrs, 0, 0x4b564d01, &value));
	assert_int_equal(value, 0x1001);
	assert_true(msr_bus_write(&board.msrs, 0, 0x12, 0));
	board_destroy(&board);
	memory_destroy(&mem);
}

static void garbage(void **state)
{
	struct rig *rig = *state;

	srandom(3);
	for (unsigned i = 0; i < 300000; i++) {
		static const unsigned ports[] = {0x40, 0x60, 0x70, 0x90, 0x3f8, 0x500, 0x600};
		unsigned port = ports[random() % 7] + random() % 16, size = 1u << random() % 3;

		if (random() & 1)
			bus_write(&rig->board.io, port, size, random() * 3);
		else
			bus_read(&rig->board.io, port, size);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(serial_detected, setup, teardown),
		cmocka_unit_test_setup_teardown(serial_sends, setup, teardown),
		cmocka_unit_test_setup_teardown(serial_receives, setup, teardown),
		cmocka_unit_test_setup_teardown(serial_is_saved_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(pit_calibrates, setup, teardown),
		cmocka_unit_test_setup_teardown(pit_ticks, setup, teardown),
		cmocka_unit_test_setup_teardown(rtc_time, setup, teardown),
		cmocka_unit_test_setup_teardown(rtc_update_irq, setup, teardown),
		cmocka_unit_test_setup_teardown(power, setup, teardown),
		cmocka_unit_test_setup_teardown(pm_timer_counts, setup, teardown),
		cmocka_unit_test(pvclock),
		cmocka_unit_test_setup_teardown(garbage, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
