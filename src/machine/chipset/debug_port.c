/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/chipset/debug_port.h"

#include "base/thread.h"

#define PORT 0x402
#define SIGNATURE 0xe9 /* what is read where there is one (Bochs) */

struct debug_port {
	struct board *board;
	struct mutex lock; /* held while the owner is told */
};

static uint64_t port_read(void *ctx, uint64_t offset, unsigned size)
{
	return SIGNATURE;
}

static void port_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct debug_port *port = ctx;

	port->board->owner->firmware_text(port->board->ctx, (char)value);
}

static const struct bus_ops ops = {port_read, port_write, 1, false};

static bool is_heard(const struct board *board)
{
	return board->firmware && board->owner->firmware_text;
}

static int port_init(void *device, struct board *board, struct error *err)
{
	struct debug_port *port = device;

	mutex_init(&port->lock);
	port->board = board;
	return bus_map(&board->io, PORT, 1, &ops, port, &port->lock);
}

static void port_destroy(void *device)
{
	struct debug_port *port = device;

	mutex_destroy(&port->lock);
}

const struct board_device debug_port_device = {
	.name = "debug port",
	.size = sizeof(struct debug_port),
	.wanted = is_heard,
	.init = port_init,
	.destroy = port_destroy,
};
