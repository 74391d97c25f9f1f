/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of PCI. The bus lock is held unless it says otherwise. */
#ifndef DACH_MACHINE_PCI_INTERNAL_H
#define DACH_MACHINE_PCI_INTERNAL_H

#include "machine/pci/bus.h"
#include "machine/pci/device.h"

/* Each function on the bus, lowest slot first. */
#define pci_for_each(dev, bus)                                                                     \
	for (unsigned at_ = 0; at_ < PCI_SLOTS * PCI_FUNCTIONS; at_++)                             \
		for (struct pci_device *dev = (bus)->at[at_ / PCI_FUNCTIONS][at_ % PCI_FUNCTIONS]; \
			dev; dev = NULL)

/* config.c: the two ports, named by bus_map() */
extern const struct bus_ops pci_config_ops;

/* bar.c */
/* Puts each BAR where configuration space says. */
void pci_bars_map(struct pci_device *dev);
/* None answers any more, whatever the guest may have moved where. */
void pci_bars_unmap(struct pci_device *dev);
/* The firmware's part: finds addresses and writes them. -ENOSPC: nothing was taken. */
int pci_bars_assign(struct pci_bus *bus, struct pci_device *dev, struct error *err);
void pci_bars_release(struct pci_device *dev);

/* intx.c */
void pci_intx_command(struct pci_device *dev); /* COMMAND may have changed */
/* Puts it on the bus, or (NULL) takes away what is there. */
void pci_intx_place(struct pci_bus *bus, unsigned slot, unsigned function, struct pci_device *dev);

/* msix.c */
void pci_msix_control(struct pci_device *dev); /* the control word may have changed */
void pci_msix_reset(struct pci_device *dev);
void pci_msix_describe(struct pci_device *dev, struct state *s); /* fields */

#endif
