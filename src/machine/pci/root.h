/* SPDX-License-Identifier: Apache-2.0 */
/* The board's PCI bus (bus.h) as a device on it, its host bridge with it: begins with a struct pci_bus. */
#ifndef DACH_MACHINE_PCI_ROOT_H
#define DACH_MACHINE_PCI_ROOT_H

#include "machine/board.h"

extern const struct board_device pci_root_device;

#endif
