/* SPDX-License-Identifier: Apache-2.0 */
/* INTx: level-triggered lines that functions share, as they lie next to each other (PCI 3.0, 2.2.6). */
#include "machine/pci/internal.h"

/* Which of the bus's four lines a function drives. */
static unsigned line_of(const struct pci_device *dev)
{
	return (dev->slot + dev->config[PCI_INTERRUPT_PIN] - 1) & 3;
}

/* By intx_lock. */
static void update_intx(struct pci_bus *bus, unsigned line)
{
	bool level = false;

	pci_for_each(dev, bus) if (dev->intx && !dev->intx_off && line_of(dev) == line) level =
		true;
	if (bus->owner.intx)
		bus->owner.intx(bus->owner.ctx, line, level);
}

void pci_intx_set(struct pci_device *dev, bool level)
{
	struct pci_bus *bus = dev->bus;

	if (!bus || !dev->config[PCI_INTERRUPT_PIN])
		return;
	mutex_lock(&bus->intx_lock);
	if (dev->intx != level) {
		dev->intx = level;
		update_intx(bus, line_of(dev));
	}
	mutex_unlock(&bus->intx_lock);
}

void pci_intx_command(struct pci_device *dev)
{
	struct pci_bus *bus = dev->bus;
	bool off = pci_config_get(dev, PCI_COMMAND, 2) & PCI_COMMAND_INTX_OFF;

	mutex_lock(&bus->intx_lock);
	if (dev->intx_off != off) {
		dev->intx_off = off;
		if (dev->intx)
			update_intx(bus, line_of(dev));
	}
	mutex_unlock(&bus->intx_lock);
}

void pci_intx_place(struct pci_bus *bus, unsigned slot, unsigned function, struct pci_device *dev)
{
	struct pci_device *old = bus->at[slot][function];

	mutex_lock(&bus->intx_lock);
	bus->at[slot][function] = dev;
	if (old && old->intx)
		update_intx(bus, line_of(old));
	mutex_unlock(&bus->intx_lock);
}
