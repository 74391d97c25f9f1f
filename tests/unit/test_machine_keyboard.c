/* SPDX-License-Identifier: Apache-2.0 */
/* The keyboard controller, its keyboard and its mouse: what drivers do to them, and what none should. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "machine/chipset/i8042.h"

struct rig {
	struct board board;
	struct i8042 *i8042;
	unsigned keyboard_rises, mouse_rises, resets;
	bool keyboard_irq, mouse_irq;
};

static void irq(void *ctx, unsigned number, bool level)
{
	struct rig *rig = ctx;

	assert_true(number == 1 || number == 12);
	if (number == 1) {
		rig->keyboard_rises += level && !rig->keyboard_irq;
		rig->keyboard_irq = level;
	} else {
		rig->mouse_rises += level && !rig->mouse_irq;
		rig->mouse_irq = level;
	}
}

static void reset(void *ctx)
{
	((struct rig *)ctx)->resets++;
}

static const struct board_owner owner = {.irq = irq, .reset = reset};

static int setup(void **state)
{
	struct rig *rig = calloc(1, sizeof *rig);
	struct error err = {0};

	rig->board = (struct board){.owner = &owner, .ctx = rig, .keyboard = true};
	board_init(&rig->board);
	assert_int_equal(board_add(&rig->board, &i8042_device, &err), 0);
	rig->i8042 = board_find(&rig->board, &i8042_device);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	board_destroy(&rig->board);
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

static void expect_from(struct rig *rig, uint8_t from, const char *bytes, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(in(rig, 0x64) & 0x21, from);
		assert_int_equal(in(rig, 0x60), (uint8_t)bytes[i]);
	}
	assert_int_equal(in(rig, 0x64) & 1, 0);
}

#define KEYBOARD(rig, bytes) expect_from(rig, 0x01, bytes, sizeof(bytes) - 1)
#define MOUSE(rig, bytes) expect_from(rig, 0x21, bytes, sizeof(bytes) - 1)

static void to_mouse(struct rig *rig, uint8_t value)
{
	out(rig, 0x64, 0xd4);
	out(rig, 0x60, value);
}

static void set_mode(struct rig *rig, uint8_t mode)
{
	out(rig, 0x64, 0x60);
	out(rig, 0x60, mode);
}

/* What Linux's i8042 asks before it believes in a mouse's port. */
static void controller_is_probed(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(in(rig, 0x64), 0x14);
	out(rig, 0x64, 0x20);
	KEYBOARD(rig, "\x47");
	out(rig, 0x64, 0xaa);
	KEYBOARD(rig, "\x55");
	out(rig, 0x64, 0xab);
	KEYBOARD(rig, "\x00");
	out(rig, 0x64, 0xd3);
	out(rig, 0x60, 0x5a);
	MOUSE(rig, "\x5a");
	out(rig, 0x64, 0xa9);
	KEYBOARD(rig, "\x00");
	out(rig, 0x64, 0xa7);
	out(rig, 0x64, 0x20);
	KEYBOARD(rig, "\x67");
	out(rig, 0x64, 0xa8);
	out(rig, 0x64, 0x20);
	KEYBOARD(rig, "\x47");
	out(rig, 0x64, 0x77);
	out(rig, 0x60, 0x12);
	out(rig, 0x64, 0x37);
	KEYBOARD(rig, "\x12");
	out(rig, 0x64, 0xd2);
	out(rig, 0x60, 0x34);
	KEYBOARD(rig, "\x34");
	out(rig, 0x64, 0xd0);
	assert_int_equal(in(rig, 0x60) & 3, 3);
	out(rig, 0x64, 0xd1);
	out(rig, 0x60, 0xdf);
	assert_int_equal(rig->resets, 0);
	out(rig, 0x64, 0xd1);
	out(rig, 0x60, 0xde);
	out(rig, 0x64, 0xfe);
	assert_int_equal(rig->resets, 2);
}

static void keys_come_in_both_sets(void **state)
{
	struct rig *rig = *state;

	i8042_key(rig->i8042, 0x1e, true);
	assert_true(rig->keyboard_irq);
	KEYBOARD(rig, "\x1e");
	assert_false(rig->keyboard_irq);
	i8042_key(rig->i8042, 0x1e, false);
	i8042_key(rig->i8042, 0x80 | 0x48, true);
	i8042_key(rig->i8042, 0x80 | 0x48, false);
	i8042_key(rig->i8042, 0x41, true);
	i8042_key(rig->i8042, PS2_PAUSE, true);
	i8042_key(rig->i8042, PS2_PAUSE, false);
	KEYBOARD(rig, "\x9e\xe0\x48\xe0\xc8\x41\xe1\x1d\x45\xe1\x9d\xc5");
	assert_int_equal(rig->keyboard_rises, 13);
	set_mode(rig, 0x07);
	i8042_key(rig->i8042, 0x1e, true);
	i8042_key(rig->i8042, 0x1e, false);
	i8042_key(rig->i8042, 0x80 | 0x48, false);
	i8042_key(rig->i8042, 0x41, true);
	KEYBOARD(rig, "\x1c\xf0\x1c\xe0\xf0\x75\x83");
	/* Set 1 by the keyboard itself. */
	out(rig, 0x60, 0xf0);
	KEYBOARD(rig, "\xfa");
	out(rig, 0x60, 1);
	KEYBOARD(rig, "\xfa");
	i8042_key(rig->i8042, 0x1e, true);
	i8042_key(rig->i8042, 0x1e, false);
	KEYBOARD(rig, "\x1e\x9e");
}

/* Each key that a keyboard of set 1 has comes out of set 2 and the controller's translation as it was. */
static void keys_survive_translation(void **state)
{
	struct rig *rig = *state;

	for (unsigned key = 1; key <= 0x58; key++) {
		if (key >= 0x55 && key <= 0x56)
			continue;
		i8042_key(rig->i8042, key, false);
		assert_int_equal(in(rig, 0x60), key | 0x80);
		assert_int_equal(in(rig, 0x64) & 1, 0);
	}
}

static void keyboard_is_asked(void **state)
{
	struct rig *rig = *state;

	out(rig, 0x60, 0xf2);
	KEYBOARD(rig, "\xfa\xab\x41"); /* translated, as it comes */
	out(rig, 0x60, 0xff);
	KEYBOARD(rig, "\xfa\xaa");
	out(rig, 0x60, 0xee);
	KEYBOARD(rig, "\xee");
	out(rig, 0x60, 0xed);
	KEYBOARD(rig, "\xfa");
	out(rig, 0x60, 7);
	KEYBOARD(rig, "\xfa");
	out(rig, 0x60, 0xf0);
	KEYBOARD(rig, "\xfa");
	out(rig, 0x60, 0);
	KEYBOARD(rig, "\xfa\x41");
	out(rig, 0x60, 0xf0);
	KEYBOARD(rig, "\xfa");
	out(rig, 0x60, 3); /* a set that it has not */
	KEYBOARD(rig, "\xfe");
	out(rig, 0x60, 0x01);
	KEYBOARD(rig, "\xfe");
	/* An answer comes before keys, which are not lost. */
	i8042_key(rig->i8042, 2, true);
	i8042_key(rig->i8042, 3, true);
	out(rig, 0x60, 0xee);
	KEYBOARD(rig, "\x02\xee\x03");
	out(rig, 0x60, 0xf5);
	KEYBOARD(rig, "\xfa");
	i8042_key(rig->i8042, 2, true);
	KEYBOARD(rig, "");
	out(rig, 0x64, 0xad);
	out(rig, 0x60, 0xf4); /* switches it on */
	KEYBOARD(rig, "\xfa");
	out(rig, 0x64, 0xad);
	i8042_key(rig->i8042, 2, true);
	assert_int_equal(in(rig, 0x64) & 1, 0);
	out(rig, 0x64, 0xae);
	KEYBOARD(rig, "\x02");
}

static void no_key_stays_down(void **state)
{
	struct rig *rig = *state;
	bool down[128] = {false};
	unsigned bytes = 0;
	uint8_t byte;

	for (unsigned round = 0; round < 100; round++) {
		for (unsigned key = 2; key < 12; key++)
			i8042_key(rig->i8042, key, true);
		for (unsigned key = 2; key < 12; key++)
			i8042_key(rig->i8042, key, false);
	}
	for (; in(rig, 0x64) & 1; bytes++) {
		byte = in(rig, 0x60);
		down[byte & 0x7f] = !(byte & 0x80);
	}
	assert_in_range(bytes, 100, PS2_QUEUE + 10);
	for (unsigned key = 0; key < 128; key++)
		assert_false(down[key]);
}

static void mouse_is_asked(void **state)
{
	static const uint8_t knock[] = {0xf3, 200, 0xf3, 100, 0xf3, 80, 0xf2, 0xf3, 200, 0xf3, 200,
		0xf3, 80, 0xf2};
	struct rig *rig = *state;

	to_mouse(rig, 0xff);
	MOUSE(rig, "\xfa\xaa\x00");
	to_mouse(rig, 0xf2);
	MOUSE(rig, "\xfa\x00");
	to_mouse(rig, 0xe9);
	MOUSE(rig, "\xfa\x00\x02\x64");
	for (unsigned i = 0; i < sizeof knock; i++) {
		to_mouse(rig, knock[i]);
		if (knock[i] != 0xf2)
			MOUSE(rig, "\xfa");
		else if (i < 7)
			MOUSE(rig, "\xfa\x03");
		else
			MOUSE(rig, "\xfa\x04");
	}
	to_mouse(rig, 0x77);
	MOUSE(rig, "\xfe");
	to_mouse(rig, 0xee);
	MOUSE(rig, "\xfa");
	to_mouse(rig, 0xf4); /* it gives back what it gets */
	MOUSE(rig, "\xf4");
	to_mouse(rig, 0xec);
	MOUSE(rig, "\xfa");
	to_mouse(rig, 0xe8);
	MOUSE(rig, "\xfa");
	to_mouse(rig, 3);
	MOUSE(rig, "\xfa");
	to_mouse(rig, 0xe9);
	MOUSE(rig, "\xfa\x00\x03\x50");
}

static void move(struct rig *rig, int dx, int dy, int dz, unsigned buttons)
{
	const struct ps2_motion motion = {dx, dy, dz, buttons};

	i8042_pointer(rig->i8042, &motion);
}

static void mouse_moves(void **state)
{
	struct rig *rig = *state;
	unsigned packets = 0;
	int y = 0;

	move(rig, 5, 5, 0, 1); /* nobody listens */
	to_mouse(rig, 0xf4);
	MOUSE(rig, "\xfa");
	assert_int_equal(rig->mouse_rises, 1);
	move(rig, 5, -3, 1, 1);
	assert_true(rig->mouse_irq);
	MOUSE(rig, "\x09\x05\x03");
	move(rig, -5, 3, 0, 0);
	MOUSE(rig, "\x38\xfb\xfd");
	move(rig, 300, 0, 0, 0);
	MOUSE(rig, "\x08\xff\x00\x08\x2d\x00");
	move(rig, 0, 0, 0, 0);
	MOUSE(rig, "");
	/* Nobody reads, all adds up, to a bound. */
	for (unsigned i = 0; i < 1000; i++)
		move(rig, INT32_MAX, 1, INT32_MIN, i % 2 ? 0 : 4);
	move(rig, 0, 0, 0, 2);
	for (; in(rig, 0x64) & 1; packets++) {
		uint8_t first = in(rig, 0x60);

		assert_int_equal(first & 8, 8);
		in(rig, 0x60);
		y -= in(rig, 0x60) - (first & 0x20 ? 256 : 0);
		if (!(in(rig, 0x64) & 1))
			assert_int_equal(first & 7, 2);
	}
	assert_in_range(packets, 40, 60);
	assert_int_equal(y, 1000);
	/* A command ends what was being sent. */
	move(rig, 1, 0, 0, 2);
	assert_int_equal(in(rig, 0x60), 0x0a);
	to_mouse(rig, 0xeb);
	MOUSE(rig, "\x01\xfa\x0a\x00\x00\x0a\x00\x00"); /* with the buttons, told again */
}

static void keyboard_comes_before_mouse(void **state)
{
	struct rig *rig = *state;

	to_mouse(rig, 0xf4);
	MOUSE(rig, "\xfa");
	i8042_key(rig->i8042, 2, true);
	move(rig, 1, 0, 0, 0);
	i8042_key(rig->i8042, 2, false);
	assert_int_equal(in(rig, 0x60), 0x02);
	assert_int_equal(in(rig, 0x60), 0x82);
	MOUSE(rig, "\x08\x01\x00");
	/* No interrupts that are not wanted. */
	set_mode(rig, 0x44);
	i8042_key(rig->i8042, 2, true);
	assert_false(rig->keyboard_irq);
	set_mode(rig, 0x45);
	assert_true(rig->keyboard_irq);
	KEYBOARD(rig, "\x02");
}

static void save(struct rig *rig, struct bytes *bytes)
{
	struct error err = {0};
	struct state *s;

	assert_int_equal(state_save(BYTES_TO(bytes), "test", &s, &err), 0);
	i8042_device.describe(rig->i8042, s);
	assert_int_equal(state_finish(s), 0);
	state_destroy(s);
}

static int load(struct rig *rig, struct bytes *bytes)
{
	struct error err = {0};
	struct state *s;
	int r;

	assert_int_equal(state_load(BYTES_FROM(bytes), "test", &s, &err), 0);
	i8042_device.describe(rig->i8042, s);
	r = state_finish(s);
	state_destroy(s);
	return r;
}

static void all_is_saved(void **state)
{
	struct rig *rig = *state;
	struct bytes bytes = {0};

	to_mouse(rig, 0xf4);
	MOUSE(rig, "\xfa");
	i8042_key(rig->i8042, 0x80 | 0x48, true);
	move(rig, 7, 0, 0, 1);
	assert_int_equal(in(rig, 0x60), 0xe0);
	save(rig, &bytes);
	board_reset(&rig->board);
	KEYBOARD(rig, "");
	assert_int_equal(load(rig, &bytes), 0);
	assert_int_equal(in(rig, 0x60), 0x48);
	MOUSE(rig, "\x09\x07\x00");
	free(bytes.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(controller_is_probed, setup, teardown),
		cmocka_unit_test_setup_teardown(keys_come_in_both_sets, setup, teardown),
		cmocka_unit_test_setup_teardown(keys_survive_translation, setup, teardown),
		cmocka_unit_test_setup_teardown(keyboard_is_asked, setup, teardown),
		cmocka_unit_test_setup_teardown(no_key_stays_down, setup, teardown),
		cmocka_unit_test_setup_teardown(mouse_is_asked, setup, teardown),
		cmocka_unit_test_setup_teardown(mouse_moves, setup, teardown),
		cmocka_unit_test_setup_teardown(keyboard_comes_before_mouse, setup, teardown),
		cmocka_unit_test_setup_teardown(all_is_saved, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
