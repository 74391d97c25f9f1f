/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/chipset/testdev.h"

#include <string.h>

#define PORT_HOLD 0xe0
#define PORT_TAKE 0xe4
#define PORT_END 0xf4
#define PORT_IRQ 0x2000
#define IRQS 24
#define MEMORY_BASE 0xff000000u

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

	atomic_store(&testdev->status, value);
	testdev->end(testdev->ctx);
}

static void irq_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct testdev *testdev = ctx;

	testdev->irq(testdev->ctx, offset, value & 1);
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

int testdev_init(struct testdev *testdev, struct bus *io, struct bus *mmio,
	void (*irq)(void *ctx, unsigned gsi, bool level), void (*end)(void *ctx), void *ctx)
{
	int r;

	*testdev = (struct testdev){.irq = irq, .end = end, .ctx = ctx};
	pthread_mutex_init(&testdev->lock, NULL);
	r = bus_map(io, PORT_END, 4, &end_ops, testdev, NULL);
	if (!r)
		r = bus_map(io, PORT_TAKE, 4, &take_ops, testdev, NULL);
	if (!r)
		r = bus_map(io, PORT_HOLD, 4, &port_ops, testdev, &testdev->lock);
	/* No lock: the interrupt controllers have their own. */
	if (!r)
		r = bus_map(io, PORT_IRQ, IRQS, &irq_ops, testdev, NULL);
	if (!r)
		r = bus_map(mmio, MEMORY_BASE, TESTDEV_MEMORY, &memory_ops, testdev,
			&testdev->lock);
	return r;
}
