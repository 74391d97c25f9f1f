/* SPDX-License-Identifier: Apache-2.0 */
/* The board: devices from one row each; who serves an MSR, and a call of the guest's kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cpu/engine.h"
#include "machine/board.h"
#include "machine/pci/plug.h"
#include "machine/timer/pit.h"

/* A device that tells what is done to it. */
struct lamp {
	struct board *board;
	char letter;
};

static char story[64];
static char letters[] = "abc";
static unsigned lamps;

static void tell(const struct lamp *lamp, const char *what)
{
	size_t len = strlen(story);

	snprintf(story + len, sizeof story - len, "%c%s ", lamp->letter, what);
}

static uint64_t lamp_read(void *ctx, uint64_t offset, unsigned size)
{
	return ((struct lamp *)ctx)->letter;
}

static void lamp_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	board_irq(((struct lamp *)ctx)->board, 5, value);
}

static const struct bus_ops lamp_ops = {.read = lamp_read, .write = lamp_write};

static int lamp_init(void *device, struct board *board, struct error *err)
{
	struct lamp *lamp = device;
	unsigned n = lamps++;

	assert_int_equal(lamp->letter, 0);
	lamp->board = board;
	lamp->letter = letters[n];
	tell(lamp, "init");
	return bus_map(&board->io, 0x80 + n, 1, &lamp_ops, lamp, NULL);
}

static void lamp_reset(void *device)
{
	tell(device, "reset");
}

static void lamp_power_on(void *device)
{
	tell(device, "on");
}

static void lamp_destroy(void *device)
{
	tell(device, "off");
}

static void lamp_describe(void *device, struct state *s)
{
	tell(device, "saved");
}

static const struct board_device lamp_device = {
	.name = "lamp",
	.size = sizeof(struct lamp),
	.init = lamp_init,
	.reset = lamp_reset,
	.power_on = lamp_power_on,
	.destroy = lamp_destroy,
	.describe = lamp_describe,
};
static const struct board_device second_lamp = {
	.name = "second lamp",
	.size = sizeof(struct lamp),
	.init = lamp_init,
	.destroy = lamp_destroy,
};

static void on_irq(void *ctx, unsigned irq, bool level)
{
	*(unsigned *)ctx = irq << 1 | level;
}

static const struct board_owner owner = {.irq = on_irq};

static void devices(void **state)
{
	unsigned irq = 0;
	struct board board = {.owner = &owner, .ctx = &irq};
	struct error err = {0};

	lamps = 0;
	story[0] = '\0';
	board_init(&board);
	assert_null(board_find(&board, &lamp_device));
	assert_int_equal(board_add(&board, &lamp_device, &err), 0);
	assert_int_equal(board_add(&board, &second_lamp, &err), 0);
	assert_int_equal(((struct lamp *)board_find(&board, &lamp_device))->letter, 'a');
	assert_int_equal(((struct lamp *)board_find(&board, &second_lamp))->letter, 'b');
	assert_null(board_find(&board, &pit_device));
	assert_int_equal(bus_read(&board.io, 0x81, 1), 'b');
	bus_write(&board.io, 0x80, 1, 1);
	assert_int_equal(irq, 5 << 1 | 1);
	board_power_on(&board);
	board_reset(&board);
	board_describe(&board, NULL);
	board_destroy(&board);
	assert_string_equal(story, "ainit binit aon areset asaved boff aoff ");
}

/* Whose addresses are taken is said, and what was made is taken apart. */
static void two_at_one_address(void **state)
{
	struct board board = {.owner = &owner};
	struct error err = {0};

	lamps = 0;
	story[0] = '\0';
	board_init(&board);
	assert_int_equal(bus_map(&board.io, 0x81, 1, &lamp_ops, NULL, NULL), 0);
	assert_int_equal(board_add(&board, &lamp_device, &err), 0);
	assert_int_equal(board_add(&board, &second_lamp, &err), -EEXIST);
	assert_string_equal(err.text, "second lamp: its addresses are another device's");
	board_destroy(&board);
	assert_string_equal(story, "ainit binit boff aoff ");
}

/* Hot-plug: what is told is there until it is read, and the line with it */

struct plugged {
	bool line;
	uint32_t ejected;
};

static void on_line(void *ctx, unsigned irq, bool level)
{
	assert_int_equal(irq, PLUG_IRQ);
	((struct plugged *)ctx)->line = level;
}

static void on_ejected(void *ctx, uint32_t slots)
{
	((struct plugged *)ctx)->ejected |= slots;
}

static void hot_plug(void **state)
{
	static const struct board_owner told = {.irq = on_line, .ejected = on_ejected};
	struct plugged seen = {false};
	struct board board = {.owner = &told, .ctx = &seen};
	struct error err = {0};
	struct plug *plug;

	board_init(&board);
	assert_int_equal(board_add(&board, &plug_device, &err), 0);
	plug = board_find(&board, &plug_device);
	plug_came(plug, 31);
	plug_came(plug, 1);
	assert_true(seen.line);
	plug_leaves(plug, 2);
	assert_int_equal(bus_read(&board.io, PLUG_PORTS + PLUG_CAME, 4), 0x80000002);
	assert_true(seen.line);
	assert_int_equal(bus_read(&board.io, PLUG_PORTS + PLUG_LEAVES, 4), 4);
	assert_false(seen.line);
	assert_int_equal(bus_read(&board.io, PLUG_PORTS + PLUG_CAME, 4), 0);
	/* One that goes before it was seen, and one that need not any more. */
	plug_came(plug, 5);
	plug_leaves(plug, 5);
	plug_leaves(plug, 6);
	plug_stays(plug, 6);
	assert_int_equal(bus_read(&board.io, PLUG_PORTS + PLUG_CAME, 4), 0);
	assert_int_equal(bus_read(&board.io, PLUG_PORTS + PLUG_LEAVES, 4), 1u << 5);
	bus_write(&board.io, PLUG_PORTS + PLUG_EJECT, 4, 0x21);
	assert_int_equal(seen.ejected, 0x21);
	/* Ports that say nothing, and other widths. */
	bus_write(&board.io, PLUG_PORTS + PLUG_CAME, 4, UINT32_MAX);
	bus_write(&board.io, PLUG_PORTS + PLUG_EJECT, 1, 0x40);
	assert_int_equal(bus_read(&board.io, PLUG_PORTS + PLUG_EJECT, 4), 0);
	assert_int_equal(seen.ejected, 0x21);
	plug_came(plug, 7);
	board_reset(&board);
	assert_false(seen.line);
	assert_int_equal(bus_read(&board.io, PLUG_PORTS + PLUG_CAME, 4), 0);
	board_destroy(&board);
}

/* MSRs */

struct counted {
	unsigned reads, writes, vcpu;
	uint32_t msr;
};

static bool counted_read(void *ctx, unsigned vcpu, uint32_t msr, uint64_t *value)
{
	struct counted *counted = ctx;

	counted->reads++;
	counted->vcpu = vcpu;
	counted->msr = msr;
	*value = msr * 2;
	return true;
}

static bool counted_write(void *ctx, unsigned vcpu, uint32_t msr, uint64_t value)
{
	((struct counted *)ctx)->writes++;
	return value != 13;
}

static void msrs(void **state)
{
	static const struct msr_ops ops = {counted_read, counted_write};
	struct counted low = {0}, high = {0};
	struct msr_bus bus;
	uint64_t value = 7;

	msr_bus_init(&bus);
	assert_false(msr_bus_read(&bus, 0, 0x10, &value));
	assert_int_equal(msr_bus_map(&bus, 0x800, 0x8ff, &ops, &high), 0);
	assert_int_equal(msr_bus_map(&bus, 0x10, 0x12, &ops, &low), 0);
	assert_int_equal(msr_bus_map(&bus, 0x12, 0x14, &ops, &high), -EEXIST);
	assert_int_equal(msr_bus_map(&bus, 0, UINT32_MAX, &ops, &high), -EEXIST);
	assert_int_equal(msr_bus_map(&bus, 2, 1, &ops, &high), -EINVAL);
	assert_false(msr_bus_read(&bus, 0, 0x0f, &value));
	assert_false(msr_bus_read(&bus, 0, 0x13, &value));
	assert_false(msr_bus_write(&bus, 0, 0x7ff, 0));
	assert_false(msr_bus_write(&bus, 0, 0x900, 0));
	assert_int_equal(value, 7);
	assert_true(msr_bus_read(&bus, 3, 0x12, &value));
	assert_int_equal(value, 0x24);
	assert_int_equal(low.vcpu, 3);
	assert_int_equal(low.reads, 1);
	assert_true(msr_bus_write(&bus, 0, 0x8ff, 12));
	assert_false(msr_bus_write(&bus, 0, 0x800, 13)); /* whose it is refuses it */
	assert_int_equal(high.writes, 2);
	for (unsigned i = 2; i < MSR_RANGES; i++)
		assert_int_equal(msr_bus_map(&bus, 0x1000 + i, 0x1000 + i, &ops, &low), 0);
	assert_int_equal(msr_bus_map(&bus, 0x2000, 0x2000, &ops, &low), -ENOSPC);
	assert_false(msr_bus_read(&bus, 0, UINT32_MAX, &value));
}

/* Calls: two interfaces, whose answers to what they do not know differ */

static int64_t first_interface(void *ctx, unsigned vcpu, const uint64_t gpr[16])
{
	return gpr[RAX] == 5 ? (int64_t)gpr[RBX] : HYPERCALL_UNKNOWN;
}

static int64_t second_interface(void *ctx, unsigned vcpu, const uint64_t gpr[16])
{
	return gpr[RAX] == 0x80000011 ? (int64_t)(gpr[RDI] + gpr[R8]) : -ENOSYS;
}

static int64_t call(const struct hypercall_bus *bus, uint64_t number)
{
	return hypercall_bus_call(bus, 0,
		(const uint64_t[16]){[RAX] = number, [RBX] = 42, [RDI] = 1, [R8] = 2});
}

static void calls(void **state)
{
	struct hypercall_bus bus;

	hypercall_bus_init(&bus);
	assert_int_equal(call(&bus, 5), HYPERCALL_UNKNOWN);
	assert_int_equal(hypercall_bus_map(&bus, 0, 15, first_interface, NULL), 0);
	assert_int_equal(hypercall_bus_map(&bus, 0x80000000, 0x8000003f, second_interface, NULL),
		0);
	assert_int_equal(hypercall_bus_map(&bus, 15, 20, second_interface, NULL), -EEXIST);
	assert_int_equal(hypercall_bus_map(&bus, 20, 15, second_interface, NULL), -EINVAL);
	assert_int_equal(call(&bus, 5), 42);
	assert_int_equal(call(&bus, 6), HYPERCALL_UNKNOWN);
	assert_int_equal(call(&bus, 16), HYPERCALL_UNKNOWN);
	assert_int_equal(call(&bus, 0x80000011), 3);
	assert_int_equal(call(&bus, 0x80000012), -ENOSYS);
	assert_int_equal(call(&bus, UINT64_MAX), HYPERCALL_UNKNOWN);
	for (unsigned i = 2; i < HYPERCALL_RANGES; i++)
		assert_int_equal(hypercall_bus_map(&bus, 100 + i, 100 + i, first_interface, NULL),
			0);
	assert_int_equal(hypercall_bus_map(&bus, 1000, 1000, first_interface, NULL), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(devices),
		cmocka_unit_test(two_at_one_address),
		cmocka_unit_test(hot_plug),
		cmocka_unit_test(msrs),
		cmocka_unit_test(calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
