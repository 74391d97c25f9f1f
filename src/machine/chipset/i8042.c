/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/chipset/i8042.h"

#include <string.h>

#include "state/state.h"

#define PORT_DATA 0x60
#define PORT_CONTROL 0x64
#define IRQ_KEYBOARD 1
#define IRQ_MOUSE 12

#define STATUS_FULL 0x01u
#define STATUS_SYSTEM 0x04u
#define STATUS_COMMAND 0x08u
#define STATUS_UNLOCKED 0x10u
#define STATUS_MOUSE 0x20u

#define MODE_KEYBOARD_IRQ 0x01u
#define MODE_MOUSE_IRQ 0x02u
#define MODE_SYSTEM 0x04u
#define MODE_KEYBOARD_OFF 0x10u
#define MODE_MOUSE_OFF 0x20u
#define MODE_TRANSLATE 0x40u

#define OUTPUT_RUN 0x01u /* 0 holds the processor in reset */
#define OUTPUT_A20 0x02u
#define OUTPUT_KEYBOARD 0x10u /* as the two interrupts are */
#define OUTPUT_MOUSE 0x20u
#define INPUT_UNLOCKED 0x80u

enum {
	READ_FIRST = 0x20, /* of 32 bytes, the first of which is the mode */
	READ_LAST = 0x3f,
	WRITE_FIRST = 0x60,
	WRITE_LAST = 0x7f,
	MOUSE_OFF = 0xa7,
	MOUSE_ON = 0xa8,
	MOUSE_TEST = 0xa9,
	SELF_TEST = 0xaa,
	KEYBOARD_TEST = 0xab,
	KEYBOARD_OFF = 0xad,
	KEYBOARD_ON = 0xae,
	READ_INPUT = 0xc0,
	READ_OUTPUT = 0xd0,
	WRITE_OUTPUT = 0xd1,
	AS_KEYBOARD = 0xd2,
	AS_MOUSE = 0xd3,
	TO_MOUSE = 0xd4,
	PULSE_FIRST = 0xf0,
};

/* Whose byte can be read. */
enum { NOBODY, CONTROLLER, KEYBOARD, MOUSE };

struct i8042 {
	struct board *board;
	struct mutex lock; /* all that follows */
	uint8_t memory[32];
	uint8_t command; /* whose argument comes next; 0: none */
	uint8_t status;  /* STATUS_SYSTEM, STATUS_COMMAND */
	uint8_t data, from;
	bool released; /* the keyboard's code that is being translated is of a key let go */
	struct ps2_keyboard keyboard;
	struct ps2_mouse mouse;
};

static uint8_t mode(const struct i8042 *i8042) REQUIRES(i8042->lock)
{
	return i8042->memory[0];
}

static void update_lines(struct i8042 *i8042) REQUIRES(i8042->lock)
{
	bool mouse = i8042->from == MOUSE, keyboard = i8042->from != NOBODY && !mouse;

	board_irq(i8042->board, IRQ_KEYBOARD, keyboard && (mode(i8042) & MODE_KEYBOARD_IRQ));
	board_irq(i8042->board, IRQ_MOUSE, mouse && (mode(i8042) & MODE_MOUSE_IRQ));
}

/* False: the byte is none by itself. */
static bool translate(struct i8042 *i8042, uint8_t *byte) REQUIRES(i8042->lock)
{
	if (!(mode(i8042) & MODE_TRANSLATE))
		return true;
	if (*byte == 0xf0) {
		i8042->released = true;
		return false;
	}
	if (*byte < sizeof ps2_set_1)
		*byte = ps2_set_1[*byte];
	else if (*byte == 0x83 || *byte == 0x84)
		*byte = *byte == 0x83 ? 0x41 : 0x54;
	else
		return true;
	*byte |= i8042->released ? 0x80 : 0;
	i8042->released = false;
	return true;
}

/* The next byte comes to where it can be read, if that is empty. */
static void load(struct i8042 *i8042) REQUIRES(i8042->lock)
{
	uint8_t byte;

	while (i8042->from == NOBODY && !(mode(i8042) & MODE_KEYBOARD_OFF) &&
		ps2_keyboard_read(&i8042->keyboard, &byte)) {
		if (!translate(i8042, &byte))
			continue;
		i8042->data = byte;
		i8042->from = KEYBOARD;
	}
	if (i8042->from == NOBODY && !(mode(i8042) & MODE_MOUSE_OFF) &&
		ps2_mouse_read(&i8042->mouse, &byte)) {
		i8042->data = byte;
		i8042->from = MOUSE;
	}
	update_lines(i8042);
}

/* An answer of its own takes the place of what has not been read. */
static void put(struct i8042 *i8042, uint8_t value, uint8_t from) REQUIRES(i8042->lock)
{
	i8042->from = NOBODY; /* so that the line falls, and an edge tells of this one */
	update_lines(i8042);
	i8042->data = value;
	i8042->from = from;
}

static void write_output(struct i8042 *i8042, uint8_t value) REQUIRES(i8042->lock)
{
	if (!(value & OUTPUT_RUN))
		i8042->board->owner->reset(i8042->board->ctx);
}

static uint8_t read_output(const struct i8042 *i8042) REQUIRES(i8042->lock)
{
	return OUTPUT_RUN | OUTPUT_A20 | 0xc0 |
		(i8042->from == KEYBOARD || i8042->from == CONTROLLER ? OUTPUT_KEYBOARD : 0) |
		(i8042->from == MOUSE ? OUTPUT_MOUSE : 0);
}

static void set_mode(struct i8042 *i8042, uint8_t clear, uint8_t set) REQUIRES(i8042->lock)
{
	i8042->memory[0] = (mode(i8042) & ~clear) | set;
}

static void command(struct i8042 *i8042, uint8_t value) REQUIRES(i8042->lock)
{
	i8042->command = 0;
	switch (value) {
	case READ_FIRST ... READ_LAST:
		put(i8042, i8042->memory[value - READ_FIRST], CONTROLLER);
		break;
	case WRITE_FIRST ... WRITE_LAST:
	case WRITE_OUTPUT:
	case AS_KEYBOARD:
	case AS_MOUSE:
	case TO_MOUSE:
		i8042->command = value;
		break;
	case MOUSE_OFF:
		set_mode(i8042, 0, MODE_MOUSE_OFF);
		break;
	case MOUSE_ON:
		set_mode(i8042, MODE_MOUSE_OFF, 0);
		break;
	case MOUSE_TEST:
	case KEYBOARD_TEST:
		put(i8042, 0, CONTROLLER);
		break;
	case SELF_TEST:
		i8042->status |= STATUS_SYSTEM;
		put(i8042, 0x55, CONTROLLER);
		break;
	case KEYBOARD_OFF:
		set_mode(i8042, 0, MODE_KEYBOARD_OFF);
		break;
	case KEYBOARD_ON:
		set_mode(i8042, MODE_KEYBOARD_OFF, 0);
		break;
	case READ_INPUT:
		put(i8042, INPUT_UNLOCKED, CONTROLLER);
		break;
	case READ_OUTPUT:
		put(i8042, read_output(i8042), CONTROLLER);
		break;
	case PULSE_FIRST ... UINT8_MAX:
		write_output(i8042, value);
		break;
	}
}

static void argument(struct i8042 *i8042, uint8_t value) REQUIRES(i8042->lock)
{
	uint8_t of = i8042->command;

	i8042->command = 0;
	switch (of) {
	case WRITE_FIRST ... WRITE_LAST:
		i8042->memory[of - WRITE_FIRST] = value;
		i8042->status = (i8042->status & ~STATUS_SYSTEM) |
			(mode(i8042) & MODE_SYSTEM ? STATUS_SYSTEM : 0);
		break;
	case WRITE_OUTPUT:
		write_output(i8042, value);
		break;
	case AS_KEYBOARD:
	case AS_MOUSE:
		put(i8042, value, of == AS_MOUSE ? MOUSE : KEYBOARD);
		break;
	case TO_MOUSE:
		set_mode(i8042, MODE_MOUSE_OFF, 0);
		ps2_mouse_write(&i8042->mouse, value);
		break;
	default: /* to the keyboard, which that switches on */
		set_mode(i8042, MODE_KEYBOARD_OFF, 0);
		i8042->released = false;
		ps2_keyboard_write(&i8042->keyboard, value);
	}
}

static uint64_t data_read(void *ctx, uint64_t offset, unsigned size)
{
	struct i8042 *i8042 = ctx;
	uint8_t value;

	mutex_assert_held(&i8042->lock);
	value = i8042->data;
	i8042->from = NOBODY;
	update_lines(i8042);
	load(i8042);
	return value;
}

static void data_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct i8042 *i8042 = ctx;

	mutex_assert_held(&i8042->lock);
	i8042->status &= ~STATUS_COMMAND;
	argument(i8042, value);
	load(i8042);
}

static uint64_t status_read(void *ctx, uint64_t offset, unsigned size)
{
	struct i8042 *i8042 = ctx;

	mutex_assert_held(&i8042->lock);
	return i8042->status | STATUS_UNLOCKED | (i8042->from != NOBODY ? STATUS_FULL : 0) |
		(i8042->from == MOUSE ? STATUS_MOUSE : 0);
}

static void command_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct i8042 *i8042 = ctx;

	mutex_assert_held(&i8042->lock);
	i8042->status |= STATUS_COMMAND;
	command(i8042, value);
	load(i8042);
}

static const struct bus_ops data_ops = {data_read, data_write, 1, false};
static const struct bus_ops control_ops = {status_read, command_write, 1, false};

void i8042_key(struct i8042 *i8042, uint8_t key, bool down)
{
	mutex_lock(&i8042->lock);
	ps2_keyboard_key(&i8042->keyboard, key, down);
	load(i8042);
	mutex_unlock(&i8042->lock);
}

void i8042_pointer(struct i8042 *i8042, const struct ps2_motion *motion)
{
	mutex_lock(&i8042->lock);
	ps2_mouse_move(&i8042->mouse, motion);
	load(i8042);
	mutex_unlock(&i8042->lock);
}

/* On the board */

static void i8042_reset(void *device)
{
	struct i8042 *i8042 = device;

	mutex_lock(&i8042->lock);
	memset(i8042->memory, 0, sizeof i8042->memory);
	i8042->memory[0] = MODE_KEYBOARD_IRQ | MODE_MOUSE_IRQ | MODE_SYSTEM | MODE_TRANSLATE;
	i8042->status = STATUS_SYSTEM;
	i8042->command = i8042->data = 0;
	i8042->from = NOBODY;
	i8042->released = false;
	ps2_keyboard_reset(&i8042->keyboard);
	ps2_mouse_reset(&i8042->mouse);
	update_lines(i8042);
	mutex_unlock(&i8042->lock);
}

static void i8042_describe(void *device, struct state *s)
{
	struct i8042 *i8042 = device;

	mutex_lock(&i8042->lock);
	state_begin(s, "i8042", 0, 1);
	state_bytes(s, "memory", i8042->memory, sizeof i8042->memory);
	state_u8(s, "command", &i8042->command);
	state_u8(s, "status", &i8042->status);
	state_u8(s, "data", &i8042->data);
	state_u8(s, "from", &i8042->from);
	state_bool(s, "released", &i8042->released);
	ps2_keyboard_describe(&i8042->keyboard, s);
	ps2_mouse_describe(&i8042->mouse, s);
	state_require(s, i8042->from <= MOUSE, "a byte from nowhere");
	state_end(s);
	/* The lines are in the interrupt controllers' sections. */
	i8042->status &= STATUS_SYSTEM | STATUS_COMMAND;
	mutex_unlock(&i8042->lock);
}

static bool i8042_wanted(const struct board *board)
{
	return board->keyboard;
}

static int i8042_init(void *device, struct board *board, struct error *err)
{
	struct i8042 *i8042 = device;
	int r;

	mutex_init(&i8042->lock);
	i8042->board = board;
	i8042_reset(i8042);
	r = bus_map(&board->io, PORT_DATA, 1, &data_ops, i8042, &i8042->lock);
	if (!r)
		r = bus_map(&board->io, PORT_CONTROL, 1, &control_ops, i8042, &i8042->lock);
	return r;
}

static void i8042_destroy(void *device)
{
	struct i8042 *i8042 = device;

	mutex_destroy(&i8042->lock);
}

const struct board_device i8042_device = {
	.name = "keyboard controller",
	.size = sizeof(struct i8042),
	.wanted = i8042_wanted,
	.init = i8042_init,
	.reset = i8042_reset,
	.destroy = i8042_destroy,
	.describe = i8042_describe,
};
