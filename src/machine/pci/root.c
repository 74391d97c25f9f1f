/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/pci/root.h"

#include "machine/pci/bus.h"

#define GSI_PCI 16 /* INTA# to INTD# are 16 to 19; the DSDT says so */

static void root_msi(void *ctx, uint64_t addr, uint32_t data)
{
	struct board *board = ctx;

	board->owner->message(board->ctx, addr, data);
}

static void root_intx(void *ctx, unsigned pin, bool level)
{
	board_irq(ctx, GSI_PCI + pin, level);
}

static void root_reset_control(void *ctx, uint8_t value)
{
	struct board *board = ctx;

	if (board->owner->reset_control)
		board->owner->reset_control(board->ctx, value);
}

static int root_notify_fd(void *ctx, uint64_t gpa, int fd, bool on)
{
	struct board *board = ctx;

	return board->owner->notify_fd(board->ctx, gpa, fd, on);
}

static int root_init(void *device, struct board *board, struct error *err)
{
	const struct pci_owner owner = {.ctx = board,
		.msi = root_msi,
		.intx = root_intx,
		.reset_control = root_reset_control,
		.notify_fd = board->owner->notify_fd ? root_notify_fd : NULL};

	return pci_bus_init(device, &board->io, &board->mmio, &owner, err);
}

static void root_reset(void *device)
{
	pci_bus_reset(device);
}

static void root_destroy(void *device)
{
	pci_bus_destroy(device);
}

static void root_describe(void *device, struct state *s)
{
	pci_bus_describe(device, s);
}

const struct board_device pci_root_device = {
	.name = "PCI",
	.size = sizeof(struct pci_bus),
	.init = root_init,
	.reset = root_reset,
	.destroy = root_destroy,
	.describe = root_describe,
};
