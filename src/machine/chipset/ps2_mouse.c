/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "machine/chipset/ps2.h"
#include "state/state.h"

#define ACK 0xfa
#define RESEND 0xfe
#define PASSED 0xaa
#define MOTION_MAX 10000 /* of what waits to be sent */
#define QUEUE_ENOUGH 16  /* bytes that wait: what moves meanwhile is added up */

#define ID_WHEEL 3
#define ID_FIVE_BUTTONS 4

enum {
	SCALE_1 = 0xe6,
	SCALE_2 = 0xe7,
	SET_RESOLUTION = 0xe8,
	GET_STATUS = 0xe9,
	SET_STREAM = 0xea,
	GET_MOTION = 0xeb,
	END_WRAP = 0xec,
	SET_WRAP = 0xee,
	SET_REMOTE = 0xf0,
	GET_ID = 0xf2,
	SET_RATE = 0xf3,
	ENABLE = 0xf4,
	DISABLE = 0xf5,
	SET_DEFAULTS = 0xf6,
	SEND_AGAIN = 0xfe,
	RESET = 0xff,
};

static void set_defaults(struct ps2_mouse *mouse)
{
	mouse->command = 0;
	mouse->knock = 0;
	mouse->rate = 100;
	mouse->resolution = 2;
	mouse->enabled = mouse->remote = mouse->wrap = mouse->doubled = false;
	mouse->dx = mouse->dy = mouse->dz = 0;
}

void ps2_mouse_reset(struct ps2_mouse *mouse)
{
	memset(mouse, 0, sizeof *mouse);
	set_defaults(mouse);
}

static void answer(struct ps2_mouse *mouse, const uint8_t *bytes, unsigned count)
{
	/* It ends what was being sent; the buttons are told again. */
	if (mouse->queue.count > mouse->queue.answers)
		mouse->told = UINT8_MAX;
	mouse->queue.count = mouse->queue.answers = 0;
	ps2_answer(&mouse->queue, bytes, count);
}

static int clamp(int value, int low, int high)
{
	return value < low ? low : value > high ? high : value;
}

/* One packet of what has moved; what does not fit in it stays for the next. */
static unsigned packet(struct ps2_mouse *mouse, uint8_t bytes[4])
{
	int dx = clamp(mouse->dx, -255, 255), dy = clamp(mouse->dy, -255, 255);
	int dz = clamp(mouse->dz, -8, 7);

	/* The mouse's y grows upwards. */
	bytes[0] = 8 | (mouse->buttons & 7) | (dx < 0) << 4 | (-dy < 0) << 5;
	bytes[1] = dx;
	bytes[2] = -dy;
	bytes[3] = mouse->id == ID_FIVE_BUTTONS ? (dz & 15) | (mouse->buttons & 0x18) << 1 : dz;
	mouse->dx -= dx;
	mouse->dy -= dy;
	mouse->dz = mouse->id ? mouse->dz - dz : 0;
	mouse->told = mouse->buttons;
	return mouse->id ? 4 : 3;
}

static void stream(struct ps2_mouse *mouse)
{
	uint8_t bytes[4];

	while (mouse->enabled && !mouse->remote && !mouse->wrap &&
		mouse->queue.count < QUEUE_ENOUGH &&
		(mouse->dx || mouse->dy || mouse->dz || mouse->buttons != mouse->told))
		ps2_put(&mouse->queue, bytes, packet(mouse, bytes));
}

/* 200, 100, 80 asks for the wheel, and 200, 200, 80 then for five buttons. */
static void set_rate(struct ps2_mouse *mouse, uint8_t rate)
{
	mouse->rate = rate;
	if (rate == 200)
		mouse->knock = mouse->knock == 1 ? 2 : 1;
	else if (rate == 100 && mouse->knock == 1)
		mouse->knock = 3;
	else if (rate == 80 && mouse->knock == 3)
		mouse->id = mouse->id ? mouse->id : ID_WHEEL;
	else if (rate == 80 && mouse->knock == 2 && mouse->id)
		mouse->id = ID_FIVE_BUTTONS;
	if (rate != 200 && rate != 100)
		mouse->knock = 0;
}

static void status(struct ps2_mouse *mouse)
{
	uint8_t buttons =
		(mouse->buttons & 1) << 2 | (mouse->buttons & 4) >> 1 | (mouse->buttons & 2) >> 1;

	answer(mouse,
		(uint8_t[]){ACK,
			mouse->remote << 6 | mouse->enabled << 5 | mouse->doubled << 4 | buttons,
			mouse->resolution, mouse->rate},
		4);
}

static void motion(struct ps2_mouse *mouse)
{
	uint8_t bytes[5] = {ACK};

	answer(mouse, bytes, 1 + packet(mouse, bytes + 1));
}

/* What an answer of one byte suffices for. False: there is no such command. */
static bool set(struct ps2_mouse *mouse, uint8_t value)
{
	switch (value) {
	case SCALE_1:
	case SCALE_2:
		mouse->doubled = value == SCALE_2;
		return true;
	case SET_RESOLUTION:
	case SET_RATE:
		mouse->command = value;
		return true;
	case SET_STREAM:
	case SET_REMOTE:
		mouse->remote = value == SET_REMOTE;
		return true;
	case SET_WRAP:
		mouse->wrap = true;
		return true;
	case END_WRAP:
		return true;
	case ENABLE:
	case DISABLE:
		mouse->enabled = value == ENABLE;
		return true;
	case SET_DEFAULTS:
		set_defaults(mouse);
		return true;
	}
	return false;
}

void ps2_mouse_write(struct ps2_mouse *mouse, uint8_t value)
{
	uint8_t command = mouse->command;

	if (mouse->wrap && value != RESET && value != END_WRAP) {
		answer(mouse, &value, 1);
		return;
	}
	mouse->wrap = false;
	mouse->command = 0;
	if (command == SET_RATE)
		set_rate(mouse, value);
	else if (command == SET_RESOLUTION)
		mouse->resolution = value & 3;
	if (command) {
		answer(mouse, (uint8_t[]){ACK}, 1);
		return;
	}
	switch (value) {
	case GET_STATUS:
		status(mouse);
		return;
	case GET_MOTION:
		motion(mouse);
		return;
	case GET_ID:
		answer(mouse, (uint8_t[]){ACK, mouse->id}, 2);
		return;
	case SEND_AGAIN:
		answer(mouse, &mouse->last, 1);
		return;
	case RESET:
		ps2_mouse_reset(mouse);
		answer(mouse, (uint8_t[]){ACK, PASSED, 0}, 3);
		return;
	}
	answer(mouse, (uint8_t[]){set(mouse, value) ? ACK : RESEND}, 1);
}

void ps2_mouse_move(struct ps2_mouse *mouse, const struct ps2_motion *motion)
{
	if (!mouse->enabled)
		return;
	mouse->dx = clamp(mouse->dx + clamp(motion->dx, -MOTION_MAX, MOTION_MAX), -MOTION_MAX,
		MOTION_MAX);
	mouse->dy = clamp(mouse->dy + clamp(motion->dy, -MOTION_MAX, MOTION_MAX), -MOTION_MAX,
		MOTION_MAX);
	mouse->dz = mouse->id ? clamp(mouse->dz + clamp(motion->dz, -127, 127), -127, 127) : 0;
	mouse->buttons = motion->buttons & (mouse->id == ID_FIVE_BUTTONS ? 0x1f : 7);
	stream(mouse);
}

bool ps2_mouse_read(struct ps2_mouse *mouse, uint8_t *byte)
{
	if (!ps2_take(&mouse->queue, byte))
		return false;
	mouse->last = *byte;
	stream(mouse);
	return true;
}

void ps2_mouse_describe(struct ps2_mouse *mouse, struct state *s)
{
	uint32_t dx = mouse->dx, dy = mouse->dy, dz = mouse->dz;

	state_group(s, "mouse", 0);
	ps2_queue_describe(&mouse->queue, s);
	state_u8(s, "command", &mouse->command);
	state_u8(s, "id", &mouse->id);
	state_u8(s, "knock", &mouse->knock);
	state_u8(s, "rate", &mouse->rate);
	state_u8(s, "resolution", &mouse->resolution);
	state_u8(s, "last", &mouse->last);
	state_u8(s, "buttons", &mouse->buttons);
	state_u8(s, "told", &mouse->told);
	state_bool(s, "enabled", &mouse->enabled);
	state_bool(s, "remote", &mouse->remote);
	state_bool(s, "wrap", &mouse->wrap);
	state_bool(s, "doubled", &mouse->doubled);
	state_u32(s, "dx", &dx);
	state_u32(s, "dy", &dy);
	state_u32(s, "dz", &dz);
	state_group(s, NULL, 0);
	state_require(s, mouse->id == 0 || mouse->id == ID_WHEEL || mouse->id == ID_FIVE_BUTTONS,
		"a mouse of an unknown kind");
	if (!state_loading(s) || !state_ok(s))
		return;
	mouse->dx = clamp(dx, -MOTION_MAX, MOTION_MAX);
	mouse->dy = clamp(dy, -MOTION_MAX, MOTION_MAX);
	mouse->dz = clamp(dz, -127, 127);
	mouse->buttons &= 0x1f;
}
