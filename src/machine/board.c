/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/board.h"

#include <errno.h>
#include <stdlib.h>

#include "machine/chipset/debug_port.h"
#include "machine/chipset/fpu.h"
#include "machine/chipset/i8042.h"
#include "machine/chipset/piix.h"
#include "machine/chipset/pm.h"
#include "machine/chipset/serial.h"
#include "machine/chipset/testdev.h"
#include "machine/firmware/flash.h"
#include "machine/firmware/fw_cfg.h"
#include "machine/interrupt/ioapic.h"
#include "machine/interrupt/pic.h"
#include "machine/pci/plug.h"
#include "machine/pci/root.h"
#include "machine/timer/pit.h"
#include "machine/timer/pvclock.h"
#include "machine/timer/rtc.h"

/*
 * All that a PC has. The order is that of their sections in a saved state. A new one goes last and takes
 * a state without its section as one of after a reset (state_next_is()), so that older states load.
 */
static const struct board_device *const devices[] = {
	&ioapic_device,
	&pic_device,
	&pit_device,
	&rtc_device,
	&pm_device,
	&serial_com1_device,
	&pvclock_device,
	&pci_root_device,
	&fpu_device,
	&testdev_device,
	&plug_device,
	&i8042_device,
	&piix_device,
	&fw_cfg_device,
	&debug_port_device,
	&flash_device,
};

void board_init(struct board *board)
{
	board->count = 0;
	bus_init(&board->io);
	bus_init(&board->mmio);
	msr_bus_init(&board->msrs);
	hypercall_bus_init(&board->hypercalls);
}

void board_destroy(struct board *board)
{
	for (unsigned i = board->count; i--;) {
		struct board_place *place = &board->place[i];

		if (place->type->destroy)
			place->type->destroy(place->device);
		free(place->device);
	}
	board->count = 0;
	bus_destroy(&board->mmio);
	bus_destroy(&board->io);
}

int board_add(struct board *board, const struct board_device *type, struct error *err)
{
	struct board_place place = {.type = type};
	int r;

	if (board->count == BOARD_DEVICES_MAX)
		return error_set(err, ENOSPC, "%s: the board is full", type->name);
	place.device = calloc(1, type->size);
	if (!place.device)
		return error_set(err, ENOMEM, "%s: out of memory", type->name);
	board->place[board->count++] = place;
	r = type->init(place.device, board, err);
	if (r == -EEXIST)
		return error_set(err, -r, "%s: its addresses are another device's", type->name);
	return r < 0 ? error_set(err, -r, "%s: cannot be put on the board", type->name) : 0;
}

int board_populate(struct board *board, struct error *err)
{
	int r = 0;

	for (unsigned i = 0; i < sizeof devices / sizeof *devices && !r; i++)
		if (!devices[i]->wanted || devices[i]->wanted(board))
			r = board_add(board, devices[i], err);
	return r;
}

void *board_find(const struct board *board, const struct board_device *type)
{
	for (unsigned i = 0; i < board->count; i++)
		if (board->place[i].type == type)
			return board->place[i].device;
	return NULL;
}

void board_reset(struct board *board)
{
	for (unsigned i = board->count; i--;)
		if (board->place[i].type->reset)
			board->place[i].type->reset(board->place[i].device);
}

void board_power_on(struct board *board)
{
	for (unsigned i = 0; i < board->count; i++)
		if (board->place[i].type->power_on)
			board->place[i].type->power_on(board->place[i].device);
}

int board_remap(struct board *board, struct error *err)
{
	int r = 0;

	for (unsigned i = 0; i < board->count && !r; i++)
		if (board->place[i].type->remap)
			r = board->place[i].type->remap(board->place[i].device, err);
	return r;
}

void board_describe(struct board *board, struct state *s)
{
	for (unsigned i = 0; i < board->count; i++)
		if (board->place[i].type->describe)
			board->place[i].type->describe(board->place[i].device, s);
}
