/* SPDX-License-Identifier: Apache-2.0 */
/* The board's PCI bus (bus.h) as a device on it, its host bridge with it: begins with a struct pci_bus. */
#ifndef DACH_MACHINE_PCI_ROOT_H
#define DACH_MACHINE_PCI_ROOT_H

#include <stdint.h>

#include "machine/board.h"

extern const struct board_device pci_root_device;

/* Where the ROM begins that its host bridge has; on a board with firmware. */
uint64_t pci_root_rom(const struct board *board);

#endif
