/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/chipset/fpu.h"

#define PORT_FPU 0xf0

struct fpu {
	struct board *board;
};

static uint64_t fpu_read(void *ctx, uint64_t offset, unsigned size)
{
	return UINT64_MAX;
}

static void fpu_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct fpu *fpu = ctx;

	board_irq(fpu->board, IRQ_FPU, false);
}

static const struct bus_ops fpu_ops = {.read = fpu_read, .write = fpu_write};

static int fpu_init(void *device, struct board *board, struct error *err)
{
	struct fpu *fpu = device;

	fpu->board = board;
	return bus_map(&board->io, PORT_FPU, 1, &fpu_ops, fpu, NULL);
}

const struct board_device fpu_device = {
	.name = "coprocessor error",
	.size = sizeof(struct fpu),
	.init = fpu_init,
};
