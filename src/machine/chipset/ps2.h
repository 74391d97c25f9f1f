/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PS/2 keyboard and a PS/2 mouse: what they are told, and the bytes that they send (IBM PS/2
 * Technical Reference 1990, keyboard and mouse; the wheel and the two further buttons as Microsoft's IntelliMouse has
 * them). Whoever holds one locks it.
 */
#ifndef DACH_MACHINE_CHIPSET_PS2_H
#define DACH_MACHINE_CHIPSET_PS2_H

#include <stdbool.h>
#include <stdint.h>

struct state;

#define PS2_QUEUE 256 /* bytes that wait to be read */
#define PS2_ANSWER 8

struct ps2_queue {
	uint8_t byte[PS2_QUEUE];
	unsigned head, count;
	unsigned answers; /* so many of the next bytes answer a command */
};

/*
 * A key is its code in scan code set 1 without the bit for its release; bit 7 is set for those that
 * have the prefix 0xe0. Two have codes of their own: PS2_PAUSE and PS2_PRINT.
 */
#define PS2_PAUSE 0xc6
#define PS2_PRINT 0xb7

struct ps2_keyboard {
	struct ps2_queue queue;
	uint8_t command;  /* whose argument comes next; 0: none */
	uint8_t set;      /* of scan codes: 1 or 2 */
	uint8_t leds;     /* 1: scroll lock, 2: num lock, 4: caps lock */
	uint8_t last;     /* byte sent, for who wants it once more */
	bool scans;       /* keys are sent */
	uint64_t owed[4]; /* keys whose release found no room in the queue */
};

/* What happened to the mouse: counts to the right, down and of the wheel towards its user. */
struct ps2_motion {
	int dx, dy, dz;
	unsigned buttons; /* pressed now: 1 left, 2 right, 4 middle, 8 and 16 at the side */
};

struct ps2_mouse {
	struct ps2_queue queue;
	uint8_t command;
	uint8_t id;    /* 0, 3 with a wheel, 4 with five buttons */
	uint8_t knock; /* how much of the sequence of rates that asks for those has come */
	uint8_t rate, resolution, last;
	uint8_t buttons, told; /* pressed, and as last sent */
	bool enabled, remote, wrap, doubled;
	int32_t dx, dy, dz; /* not yet sent; bounded */
};

/* A byte of set 2 as the controller passes it on; see also ps2.c. */
extern const uint8_t ps2_set_1[128];

void ps2_keyboard_reset(struct ps2_keyboard *keyboard);
void ps2_keyboard_write(struct ps2_keyboard *keyboard, uint8_t value);
void ps2_keyboard_key(struct ps2_keyboard *keyboard, uint8_t key, bool down);
/* Its next byte. False: there is none. */
bool ps2_keyboard_read(struct ps2_keyboard *keyboard, uint8_t *byte);
/* Fields of a saved state, in a group of their own. */
void ps2_keyboard_describe(struct ps2_keyboard *keyboard, struct state *s);

void ps2_mouse_reset(struct ps2_mouse *mouse);
void ps2_mouse_write(struct ps2_mouse *mouse, uint8_t value);
void ps2_mouse_move(struct ps2_mouse *mouse, const struct ps2_motion *motion);
bool ps2_mouse_read(struct ps2_mouse *mouse, uint8_t *byte);
void ps2_mouse_describe(struct ps2_mouse *mouse, struct state *s);

/* ps2.c, for the two. All of a few bytes behind what waits, or false and nothing. */
bool ps2_put(struct ps2_queue *queue, const uint8_t *bytes, unsigned count);
/* PS2_ANSWER bytes at most, before all that waits and instead of an answer that nobody has read. */
void ps2_answer(struct ps2_queue *queue, const uint8_t *bytes, unsigned count);
bool ps2_take(struct ps2_queue *queue, uint8_t *byte);
void ps2_queue_describe(struct ps2_queue *queue, struct state *s);

#endif
