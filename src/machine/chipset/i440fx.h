/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host bridge of a board with firmware (Intel 82441FX data sheet, 290549): slot 0 of the PCI bus. Of it there
 * is what firmware asks for: the registers that say where between 0xc0000 and 0xfffff the ROM is seen and where
 * the RAM below it (PAM, 3.2.18), and the ROM itself, right below 4 GiB and its last 128 KiB below 1 MiB. There is
 * no system management mode (SMRAM is kept, and means nothing).
 */
#ifndef DACH_MACHINE_CHIPSET_I440FX_H
#define DACH_MACHINE_CHIPSET_I440FX_H

#include <stdint.h>

#include "machine/board.h"
#include "machine/memory.h"
#include "machine/pci/device.h"

#define I440FX_SECTIONS 16 /* of 16 KiB each from 0xc0000 on */

struct i440fx {
	struct pci_device pci;
	struct board *board;
	struct memory_region rom;
	uint8_t shown[I440FX_SECTIONS]; /* what memory has there now; while no vCPU runs */
};

/* Reads the ROM of board->firmware. The device is not on a bus yet. i440fx_destroy() follows even then. */
int i440fx_init(struct i440fx *bridge, struct board *board, struct error *err);
void i440fx_destroy(struct i440fx *bridge);
/* board_device.remap */
int i440fx_remap(struct i440fx *bridge, struct error *err);
/* After power-on: the registers are to be looked at. */
void i440fx_power_on(struct i440fx *bridge);

#endif
