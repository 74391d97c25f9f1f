/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/chipset/testdev.h"
#include "base/thread.h"

#include <pthread.h>
#include <string.h>

#define PORT_HOLD 0xe0
#define PORT_TAKE 0xe4
#define PORT_END 0xf4
#define PORT_IRQ 0x2000
#define IRQS 24
#define MEMORY_BASE 0xff000000u
#define MEMORY_SIZE 0x10000u

struct testdev {
	struct board *board;
	uint32_t status; /* atomic */
	struct mutex lock;
	uint8_t port[4];             /* by lock */
	uint8_t memory[MEMORY_SIZE]; /* by lock */
};

uint32_t testdev_status(const struct testdev *testdev)
{
	return __atomic_load_n(&testdev->status, __ATOMIC_SEQ_CST);
}

static uint64_t ones_read(void *ctx, uint64_t offset, unsigned size)
{
	return ~0ull;
}

static void take_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
}

static void end_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct testdev *testdev = ctx;

	__atomic_store_n(&testdev->status, value, __ATOMIC_SEQ_CST);
	testdev->board->owner->test_end(testdev->board->ctx);
}

static void irq_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct testdev *testdev = ctx;

	board_irq(testdev->board, offset, value & 1);
}

/* The bus keeps accesses within the ranges. */
static uint64_t port_read(void *ctx, uint64_t offset, unsigned size)
{
	struct testdev *testdev = ctx;
	uint64_t value = 0;

	memcpy(&value, testdev->port + offset, size);
	return value;
}

static void port_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct testdev *testdev = ctx;

	memcpy(testdev->port + offset, &value, size);
}

static uint64_t hold_read(void *ctx, uint64_t offset, unsigned size)
{
	struct testdev *testdev = ctx;
	uint64_t value = 0;

	memcpy(&value, testdev->memory + offset, size);
	return value;
}

static void hold_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct testdev *testdev = ctx;

	memcpy(testdev->memory + offset, &value, size);
}

static const struct bus_ops take_ops = {.read = ones_read, .write = take_write};
static const struct bus_ops end_ops = {.read = ones_read, .write = end_write};
static const struct bus_ops irq_ops = {.read = ones_read, .write = irq_write, .sizes = 1};
static const struct bus_ops port_ops = {.read = port_read, .write = port_write};
static const struct bus_ops memory_ops = {.read = hold_read, .write = hold_write};

static bool testdev_wanted(const struct board *board)
{
	return board->test_devices;
}

static int testdev_init(void *device, struct board *board, struct error *err)
{
	struct testdev *testdev = device;
	int r;

	testdev->board = board;
	mutex_init(&testdev->lock);
	r = bus_map(&board->io, PORT_END, 4, &end_ops, testdev, NULL);
	if (!r)
		r = bus_map(&board->io, PORT_TAKE, 4, &take_ops, testdev, NULL);
	if (!r)
		r = bus_map(&board->io, PORT_HOLD, 4, &port_ops, testdev, &testdev->lock);
	/* No lock: the interrupt controllers have their own. */
	if (!r)
		r = bus_map(&board->io, PORT_IRQ, IRQS, &irq_ops, testdev, NULL);
	if (!r)
		r = bus_map(&board->mmio, MEMORY_BASE, MEMORY_SIZE, &memory_ops, testdev,
			&testdev->lock);
	return r;
}

static void testdev_power_on(void *device)
{
	static const struct {
		uint8_t port, value;
	} pic[] = {{0x20, 0x11}, {0x21, 8}, {0x21, 4}, {0x21, 1}, {0x21, 0xb8}, {0xa0, 0x11},
		{0xa1, 0x70}, {0xa1, 2}, {0xa1, 1}, {0xa1, 0x87}};
	struct testdev *testdev = device;

	for (unsigned i = 0; i < sizeof pic / sizeof *pic; i++)
		bus_write(&testdev->board->io, pic[i].port, 1, pic[i].value);
}

static void testdev_destroy(void *device)
{
	struct testdev *testdev = device;

	mutex_destroy(&testdev->lock);
}

const struct board_device testdev_device = {
	.name = "test devices",
	.size = sizeof(struct testdev),
	.wanted = testdev_wanted,
	.init = testdev_init,
	.power_on = testdev_power_on,
	.destroy = testdev_destroy,
};
