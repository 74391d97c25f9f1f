/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "machine/chipset/ps2.h"
#include "state/state.h"

#define ACK 0xfa
#define RESEND 0xfe
#define PASSED 0xaa /* the test of itself after a reset */

enum {
	SET_LEDS = 0xed,
	ECHO = 0xee,
	SET_CODES = 0xf0,
	GET_ID = 0xf2,
	SET_RATE = 0xf3,
	ENABLE = 0xf4,
	DISABLE = 0xf5,
	SET_DEFAULTS = 0xf6,
	KEYS_FIRST = 0xf7, /* how keys of set 3 repeat */
	KEYS_LAST = 0xfd,
	SEND_AGAIN = 0xfe,
	RESET = 0xff,
};

/* Codes of set 2, and what the controller makes of them; 0x83 and 0x84 besides: F7 and SysRq. */
const uint8_t ps2_set_1[128] = {0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42,
	0x40, 0x3e, 0x0f, 0x29, 0x59, 0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71,
	0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b, 0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68,
	0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d, 0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e,
	0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f, 0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a,
	0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61, 0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d,
	0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76, 0x55, 0x56, 0x77, 0x78, 0x79,
	0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f, 0x52, 0x53, 0x50, 0x4c,
	0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54};

/* 0: there is no such key. */
static uint8_t set_2(uint8_t code)
{
	if (code == 0x41)
		return 0x83;
	if (code == 0x54)
		return 0x84;
	for (unsigned i = 1; code && i < sizeof ps2_set_1; i++)
		if (ps2_set_1[i] == code)
			return i;
	return 0;
}

static void set_defaults(struct ps2_keyboard *keyboard)
{
	keyboard->command = 0;
	keyboard->set = 2;
	keyboard->scans = true;
}

void ps2_keyboard_reset(struct ps2_keyboard *keyboard)
{
	memset(keyboard, 0, sizeof *keyboard);
	set_defaults(keyboard);
}

static void answer_one(struct ps2_keyboard *keyboard, uint8_t byte)
{
	ps2_answer(&keyboard->queue, &byte, 1);
}

static void argument(struct ps2_keyboard *keyboard, uint8_t value)
{
	uint8_t command = keyboard->command;

	keyboard->command = 0;
	switch (command) {
	case SET_LEDS:
		keyboard->leds = value & 7;
		break;
	case SET_CODES:
		if (value > 2) {
			answer_one(keyboard, RESEND);
			return;
		}
		if (value)
			keyboard->set = value;
		else
			ps2_answer(&keyboard->queue, (uint8_t[]){ACK, keyboard->set}, 2);
		if (!value)
			return;
		break;
	case SET_RATE: /* keys repeat as often as whoever holds them down says */
		break;
	}
	answer_one(keyboard, ACK);
}

static void command(struct ps2_keyboard *keyboard, uint8_t value)
{
	switch (value) {
	case ECHO:
		answer_one(keyboard, ECHO);
		return;
	case SET_LEDS:
	case SET_CODES:
	case SET_RATE:
		keyboard->command = value;
		break;
	case GET_ID:
		ps2_answer(&keyboard->queue, (uint8_t[]){ACK, 0xab, 0x83}, 3);
		return;
	case ENABLE:
		keyboard->scans = true;
		break;
	case DISABLE:
		set_defaults(keyboard);
		keyboard->scans = false;
		break;
	case SET_DEFAULTS:
		set_defaults(keyboard);
		break;
	case KEYS_FIRST ... KEYS_LAST:
		break;
	case SEND_AGAIN:
		answer_one(keyboard, keyboard->last);
		return;
	case RESET:
		ps2_keyboard_reset(keyboard);
		ps2_answer(&keyboard->queue, (uint8_t[]){ACK, PASSED}, 2);
		return;
	default:
		answer_one(keyboard, RESEND);
		return;
	}
	answer_one(keyboard, ACK);
}

void ps2_keyboard_write(struct ps2_keyboard *keyboard, uint8_t value)
{
	/* A command in an argument's place is one. */
	if (keyboard->command && value < SET_LEDS)
		argument(keyboard, value);
	else
		command(keyboard, value);
}

/* The bytes of a key that is pressed or let go; how many. */
static unsigned encode(const struct ps2_keyboard *keyboard, uint8_t key, bool down,
	uint8_t bytes[8])
{
	static const uint8_t pause[] = {0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77};
	static const uint8_t pause_1[] = {0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5};
	bool first = keyboard->set == 1;
	uint8_t code = key & 0x7f;
	unsigned count = 0;

	if (key == PS2_PAUSE) {
		memcpy(bytes, first ? pause_1 : pause, first ? sizeof pause_1 : sizeof pause);
		return !down ? 0 : first ? sizeof pause_1 : sizeof pause;
	}
	if (!first)
		code = set_2(code);
	if (!code)
		return 0;
	if (key & 0x80)
		bytes[count++] = 0xe0;
	if (!first && !down)
		bytes[count++] = 0xf0;
	bytes[count++] = first && !down ? code | 0x80 : code;
	return count;
}

static bool send_key(struct ps2_keyboard *keyboard, uint8_t key, bool down)
{
	uint8_t bytes[8];

	return ps2_put(&keyboard->queue, bytes, encode(keyboard, key, down, bytes));
}

void ps2_keyboard_key(struct ps2_keyboard *keyboard, uint8_t key, bool down)
{
	if (!keyboard->scans)
		return;
	/* A press without room is lost, a release is not: the key would stay down for ever. */
	if (down)
		keyboard->owed[key / 64] &= ~(1ull << key % 64);
	if (!send_key(keyboard, key, down) && !down)
		keyboard->owed[key / 64] |= 1ull << key % 64;
}

bool ps2_keyboard_read(struct ps2_keyboard *keyboard, uint8_t *byte)
{
	if (!ps2_take(&keyboard->queue, byte))
		return false;
	keyboard->last = *byte;
	for (unsigned i = 0; i < 4; i++)
		while (keyboard->owed[i]) {
			unsigned bit = __builtin_ctzll(keyboard->owed[i]);

			if (!send_key(keyboard, 64 * i + bit, false))
				return true;
			keyboard->owed[i] &= ~(1ull << bit);
		}
	return true;
}

void ps2_keyboard_describe(struct ps2_keyboard *keyboard, struct state *s)
{
	state_group(s, "keyboard", 0);
	ps2_queue_describe(&keyboard->queue, s);
	state_u8(s, "command", &keyboard->command);
	state_u8(s, "set", &keyboard->set);
	state_u8(s, "leds", &keyboard->leds);
	state_u8(s, "last", &keyboard->last);
	state_bool(s, "scans", &keyboard->scans);
	state_u64s(s, "owed", keyboard->owed, 4);
	state_group(s, NULL, 0);
	state_require(s, keyboard->set == 1 || keyboard->set == 2, "a scan code set beyond 2");
}
