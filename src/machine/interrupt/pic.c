/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/interrupt/pic.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/thread.h"
#include "state/state.h"

#define CASCADE 2 /* the master's input that the slave drives */

struct pic_chip {
	uint8_t irr, isr, imr, lines, elcr;
	uint8_t base; /* vector of input 0 (ICW2) */
	uint8_t step; /* which ICW comes next, 0: ready */
	bool icw4, auto_eoi, rotate_auto, read_isr, special_mask, poll;
	uint8_t lowest; /* input of the lowest priority */
};

struct pic {
	struct mutex lock; /* chip */
	struct pic_chip chip[2];
	atomic_bool output; /* something is pending: a look without the lock */
	struct board *board;
};

/* Priority of an input, 0 is the highest. */
static unsigned input_rank(const struct pic_chip *chip, unsigned input)
{
	return (input - chip->lowest - 1) & 7;
}

static int first_input(const struct pic_chip *chip, uint8_t bits)
{
	for (unsigned i = 0; i < 8; i++) {
		unsigned input = (chip->lowest + 1 + i) & 7;

		if (bits >> input & 1)
			return input;
	}
	return -1;
}

/* The input that the chip asks for, or -1. */
static int requested_input(const struct pic_chip *chip)
{
	uint8_t in_service = chip->special_mask ? chip->isr & ~chip->imr : chip->isr;
	int input = first_input(chip, chip->irr & ~chip->imr), busy = first_input(chip, in_service);

	if (chip->step || input < 0)
		return -1;
	if (busy >= 0 && input_rank(chip, busy) <= input_rank(chip, input))
		return -1;
	return input;
}

static void set_line(struct pic_chip *chip, unsigned input, bool level)
{
	uint8_t bit = 1u << input;

	if (chip->elcr & bit) {
		chip->irr = level ? chip->irr | bit : chip->irr & ~bit;
	} else {
		if (level && !(chip->lines & bit))
			chip->irr |= bit;
		/*
		 * A pulse that ends before it is acknowledged stays, as with all virtual PICs: real ones
		 * make a spurious interrupt of it, and no driver misses that.
		 */
		if (!level && input == CASCADE)
			chip->irr &= ~bit;
	}
	chip->lines = level ? chip->lines | bit : chip->lines & ~bit;
}

static void update_output(struct pic *pic) REQUIRES(pic->lock)
{
	bool output, was = atomic_load(&pic->output);

	set_line(&pic->chip[0], CASCADE, requested_input(&pic->chip[1]) >= 0);
	output = requested_input(&pic->chip[0]) >= 0;
	atomic_store(&pic->output, output);
	if (output && !was)
		pic->board->owner->intr(pic->board->ctx);
}

static void take_input(struct pic_chip *chip, unsigned input)
{
	uint8_t bit = 1u << input;

	if (!(chip->elcr & bit))
		chip->irr &= ~bit;
	if (!chip->auto_eoi)
		chip->isr |= bit;
	else if (chip->rotate_auto)
		chip->lowest = input;
}

static int vector(struct pic *pic, bool ack) REQUIRES(pic->lock)
{
	int input = requested_input(&pic->chip[0]), slave;

	if (input < 0)
		return -1;
	if (ack)
		take_input(&pic->chip[0], input);
	if (input != CASCADE)
		return pic->chip[0].base + input;
	slave = requested_input(&pic->chip[1]);
	/* The request went away: the slave answers with its input 7 (spurious). */
	if (slave < 0)
		return pic->chip[1].base + 7;
	if (ack)
		take_input(&pic->chip[1], slave);
	return pic->chip[1].base + slave;
}

int pic_pending(struct pic *pic)
{
	int v;

	if (!atomic_load(&pic->output))
		return -1;
	mutex_lock(&pic->lock);
	v = vector(pic, false);
	mutex_unlock(&pic->lock);
	return v;
}

int pic_ack(struct pic *pic)
{
	int v;

	mutex_lock(&pic->lock);
	v = vector(pic, true);
	/* update_output() tells of rising output: what is still pending has to be told again. */
	atomic_store(&pic->output, false);
	update_output(pic);
	mutex_unlock(&pic->lock);
	return v;
}

void pic_set(struct pic *pic, unsigned irq, bool level)
{
	if (irq > 15 || irq == CASCADE)
		return;
	mutex_lock(&pic->lock);
	set_line(&pic->chip[irq / 8], irq % 8, level);
	update_output(pic);
	mutex_unlock(&pic->lock);
}

static void start_init(struct pic_chip *chip, uint8_t icw1)
{
	chip->irr &= chip->elcr;
	chip->isr = chip->imr = 0;
	chip->lowest = 7;
	chip->auto_eoi = chip->rotate_auto = chip->read_isr = chip->special_mask = false;
	chip->poll = false;
	chip->icw4 = icw1 & 1;
	chip->step = 2;
}

static void command2(struct pic_chip *chip, uint8_t value)
{
	unsigned how = value >> 5;
	int input = value & 7;

	if (how == 0 || how == 4) {
		chip->rotate_auto = how == 4;
		return;
	}
	/* Without the S bit it is the input of the highest priority in service. */
	if (how == 1 || how == 5)
		input = first_input(chip, chip->isr);
	if (input < 0)
		return;
	if (how & 1)
		chip->isr &= ~(1u << input);
	if (how & 4)
		chip->lowest = input;
}

static void command3(struct pic_chip *chip, uint8_t value)
{
	if (value & 4)
		chip->poll = true;
	if (value & 2)
		chip->read_isr = value & 1;
	if (value & 0x40)
		chip->special_mask = value & 0x20;
}

static void data_write(struct pic_chip *chip, uint8_t value)
{
	switch (chip->step) {
	case 0:
		chip->imr = value;
		break;
	case 2:
		chip->base = value & 0xf8;
		chip->step = 3;
		break;
	case 3:
		chip->step = chip->icw4 ? 4 : 0;
		break;
	case 4:
		chip->auto_eoi = value & 2;
		chip->step = 0;
		break;
	}
}

static void chip_write(struct pic *pic, struct pic_chip *chip, uint64_t offset, uint64_t value)
	REQUIRES(pic->lock)
{
	if (offset & 1)
		data_write(chip, value);
	else if (value & 0x10)
		start_init(chip, value);
	else if (value & 0x08)
		command3(chip, value);
	else
		command2(chip, value);
	update_output(pic);
}

static uint64_t chip_read(struct pic *pic, struct pic_chip *chip, uint64_t offset)
	REQUIRES(pic->lock)
{
	if (chip->poll) {
		int input = requested_input(chip);

		chip->poll = false;
		if (input < 0)
			return 0;
		take_input(chip, input);
		update_output(pic);
		return 0x80 | input;
	}
	if (offset & 1)
		return chip->imr;
	return chip->read_isr ? chip->isr : chip->irr;
}

static uint64_t master_read(void *ctx, uint64_t offset, unsigned size)
{
	struct pic *pic = ctx;

	mutex_assert_held(&pic->lock);
	return chip_read(pic, &pic->chip[0], offset);
}

static void master_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct pic *pic = ctx;

	mutex_assert_held(&pic->lock);
	chip_write(pic, &pic->chip[0], offset, value);
}

static uint64_t slave_read(void *ctx, uint64_t offset, unsigned size)
{
	struct pic *pic = ctx;

	mutex_assert_held(&pic->lock);
	return chip_read(pic, &pic->chip[1], offset);
}

static void slave_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct pic *pic = ctx;

	mutex_assert_held(&pic->lock);
	chip_write(pic, &pic->chip[1], offset, value);
}

static uint64_t elcr_read(void *ctx, uint64_t offset, unsigned size)
{
	struct pic *pic = ctx;

	mutex_assert_held(&pic->lock);
	return pic->chip[offset & 1].elcr;
}

static void elcr_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct pic *pic = ctx;

	mutex_assert_held(&pic->lock);
	/* Timer, keyboard, cascade, clock and coprocessor are always edges. */
	pic->chip[offset & 1].elcr = value & (offset & 1 ? 0xde : 0xf8);
	update_output(pic);
}

static const struct bus_ops master_ops = {master_read, master_write, 1, false};
static const struct bus_ops slave_ops = {slave_read, slave_write, 1, false};
static const struct bus_ops elcr_ops = {elcr_read, elcr_write, 1, false};

/* On the board */

static void pic_reset(void *device)
{
	struct pic *pic = device;

	mutex_lock(&pic->lock);
	memset(pic->chip, 0, sizeof pic->chip);
	for (unsigned i = 0; i < 2; i++) {
		pic->chip[i].imr = 0xff;
		pic->chip[i].lowest = 7;
		pic->chip[i].base = i ? 0x70 : 0x08;
	}
	update_output(pic);
	mutex_unlock(&pic->lock);
}

static void describe_chip(struct pic_chip *chip, unsigned n, struct state *s)
{
	state_group(s, "chip", n);
	state_u8(s, "irr", &chip->irr);
	state_u8(s, "isr", &chip->isr);
	state_u8(s, "imr", &chip->imr);
	state_u8(s, "lines", &chip->lines);
	state_u8(s, "elcr", &chip->elcr);
	state_u8(s, "base", &chip->base);
	state_u8(s, "init_step", &chip->step);
	state_bool(s, "icw4", &chip->icw4);
	state_bool(s, "auto_eoi", &chip->auto_eoi);
	state_bool(s, "rotate_auto", &chip->rotate_auto);
	state_bool(s, "read_isr", &chip->read_isr);
	state_bool(s, "special_mask", &chip->special_mask);
	state_bool(s, "poll", &chip->poll);
	state_u8(s, "lowest", &chip->lowest);
	state_require(s, chip->lowest <= 7 && chip->step <= 4, "an unknown mode");
	state_require(s, !(chip->base & 7), "a base that is no multiple of 8");
}

static void pic_describe(void *device, struct state *s)
{
	struct pic *pic = device;

	mutex_lock(&pic->lock);
	state_begin(s, "pic", 0, 1);
	for (unsigned i = 0; i < 2; i++)
		describe_chip(&pic->chip[i], i, s);
	state_end(s);
	if (state_loading(s) && state_ok(s)) {
		atomic_store(&pic->output, false);
		update_output(pic);
	}
	mutex_unlock(&pic->lock);
}

static int pic_init(void *device, struct board *board, struct error *err)
{
	struct pic *pic = device;
	int r;

	mutex_init(&pic->lock);
	pic->board = board;
	pic_reset(pic);
	r = bus_map(&board->io, 0x20, 2, &master_ops, pic, &pic->lock);
	if (!r)
		r = bus_map(&board->io, 0xa0, 2, &slave_ops, pic, &pic->lock);
	if (!r)
		r = bus_map(&board->io, 0x4d0, 2, &elcr_ops, pic, &pic->lock);
	return r;
}

static void pic_destroy(void *device)
{
	struct pic *pic = device;

	mutex_destroy(&pic->lock);
}

const struct board_device pic_device = {
	.name = "8259 interrupt controllers",
	.size = sizeof(struct pic),
	.init = pic_init,
	.reset = pic_reset,
	.destroy = pic_destroy,
	.describe = pic_describe,
};
