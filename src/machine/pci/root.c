/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/pci/root.h"

#include "machine/chipset/i440fx.h"
#include "machine/chipset/piix.h"
#include "machine/pci/bus.h"

#define GSI_PCI 16 /* INTA# to INTD# are 16 to 19; the DSDT says so */

struct pci_root {
	struct pci_bus bus;   /* first: root.h */
	struct i440fx bridge; /* where there is firmware */
};

static void root_msi(void *ctx, uint64_t addr, uint32_t data)
{
	struct board *board = ctx;

	board->owner->message(board->ctx, addr, data);
}

static void root_intx(void *ctx, unsigned pin, bool level)
{
	struct piix *piix = board_find(ctx, &piix_device);

	board_irq(ctx, GSI_PCI + pin, level);
	if (piix)
		piix_intx(piix, pin, level);
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
	struct pci_root *root = device;
	const struct pci_owner owner = {.ctx = board,
		.msi = root_msi,
		.intx = root_intx,
		.reset_control = root_reset_control,
		.notify_fd = board->owner->notify_fd ? root_notify_fd : NULL,
		.bridge = board->firmware ? &root->bridge.pci : NULL,
		.firmware = board->firmware};
	int r = board->firmware ? i440fx_init(&root->bridge, board, err) : 0;

	return r ? r : pci_bus_init(&root->bus, &board->io, &board->mmio, &owner, err);
}

static void root_reset(void *device)
{
	struct pci_root *root = device;

	pci_bus_reset(&root->bus);
}

static void root_power_on(void *device)
{
	struct pci_root *root = device;

	if (root->bus.owner.bridge)
		i440fx_power_on(&root->bridge);
}

static int root_remap(void *device, struct error *err)
{
	struct pci_root *root = device;

	return root->bus.owner.bridge ? i440fx_remap(&root->bridge, err) : 0;
}

static void root_destroy(void *device)
{
	struct pci_root *root = device;

	pci_bus_destroy(&root->bus);
	i440fx_destroy(&root->bridge);
}

static void root_describe(void *device, struct state *s)
{
	struct pci_root *root = device;

	pci_bus_describe(&root->bus, s);
}

uint64_t pci_root_rom(const struct board *board)
{
	const struct pci_root *root = board_find(board, &pci_root_device);

	return root->bridge.rom.gpa;
}

const struct board_device pci_root_device = {
	.name = "PCI",
	.size = sizeof(struct pci_root),
	.init = root_init,
	.reset = root_reset,
	.remap = root_remap,
	.power_on = root_power_on,
	.destroy = root_destroy,
	.describe = root_describe,
};
