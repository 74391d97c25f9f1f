/* SPDX-License-Identifier: Apache-2.0 */
/* Base address registers (PCI Local Bus 3.0, 6.2.5): where the guest wants them, and the firmware put them. */
#include <errno.h>

#include "machine/pci/internal.h"

#define PAGE 4096u

static unsigned bar_register(unsigned index)
{
	return index == PCI_ROM ? PCI_ROM_BAR : PCI_BAR0 + 4 * index;
}

static struct bus *bar_bus(const struct pci_device *dev, const struct pci_bar *bar)
{
	return bar->flags & PCI_BAR_IO ? dev->bus->io : dev->bus->mmio;
}

/* Where a BAR is to be now, or PCI_NO_ADDRESS. */
static uint64_t bar_target(const struct pci_device *dev, unsigned index)
{
	const struct pci_bar *bar = &dev->bar[index];
	bool io = bar->flags & PCI_BAR_IO;
	uint64_t addr = pci_config_get(dev, bar_register(index), 4);

	if (index == PCI_ROM && !(addr & PCI_ROM_ENABLE))
		return PCI_NO_ADDRESS;
	addr &= index == PCI_ROM ? ~0x7ffull : io ? ~3ull : ~15ull;
	if (bar->flags & PCI_BAR_64)
		addr |= (uint64_t)pci_config_get(dev, bar_register(index) + 4, 4) << 32;
	if (!(dev->config[PCI_COMMAND] & (io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)))
		return PCI_NO_ADDRESS;
	/* While it is being sized a BAR holds ones. */
	if (!addr || addr + (bar->size - 1) < addr || (io && addr + bar->size > PCI_PORTS_END))
		return PCI_NO_ADDRESS;
	return addr;
}

static void bar_move(struct pci_device *dev, unsigned index, uint64_t addr)
{
	struct pci_bar *bar = &dev->bar[index];
	bool told = dev->ops && dev->ops->bar_mapped;

	if (!bar->size || addr == bar->mapped)
		return;
	if (bar->mapped != PCI_NO_ADDRESS) {
		if (told)
			dev->ops->bar_mapped(dev, index, PCI_NO_ADDRESS);
		bus_unmap(bar_bus(dev, bar), bar->mapped, bar->ctx);
		bar->mapped = PCI_NO_ADDRESS;
	}
	/* Over another device it answers nowhere, until the guest moves it again. */
	if (addr == PCI_NO_ADDRESS ||
		bus_map(bar_bus(dev, bar), addr, bar->size, bar->ops, bar->ctx, bar->lock))
		return;
	bar->mapped = addr;
	if (told)
		dev->ops->bar_mapped(dev, index, addr);
}

void pci_bars_map(struct pci_device *dev)
{
	for (unsigned i = 0; i <= PCI_ROM; i++)
		bar_move(dev, i, bar_target(dev, i));
}

void pci_bars_unmap(struct pci_device *dev)
{
	for (unsigned i = 0; i <= PCI_ROM; i++)
		bar_move(dev, i, PCI_NO_ADDRESS);
}

/* Where the range that overlaps size bytes at start ends; 0 if none does. */
static uint64_t taken_until(uint64_t start, uint64_t size, uint64_t at, uint64_t length)
{
	if (at == PCI_NO_ADDRESS || at >= start + size || start >= at + length)
		return 0;
	return at + length;
}

/* Of all BARs of one kind, where they were put and where the guest has moved them. */
static uint64_t next_taken(struct pci_bus *bus, uint64_t start, uint64_t size, unsigned io)
{
	uint64_t end;

	pci_for_each(dev, bus)
	{
		for (unsigned i = 0; i <= PCI_ROM; i++) {
			const struct pci_bar *bar = &dev->bar[i];

			if (!bar->size || (bar->flags & PCI_BAR_IO) != io)
				continue;
			end = taken_until(start, size, bar->assigned, bar->size);
			if (!end)
				end = taken_until(start, size, bar->mapped, bar->size);
			if (end)
				return end;
		}
	}
	return 0;
}

/* The lowest address that is free. */
static uint64_t find_gap(struct pci_bus *bus, const struct pci_device *own, unsigned index)
{
	unsigned io = own->bar[index].flags & PCI_BAR_IO;
	uint64_t start = io ? PCI_PORTS_START : PCI_WINDOW_START, taken;
	uint64_t end = io ? PCI_PORTS_END : PCI_WINDOW_END, size = own->bar[index].size;

	/* Whole pages, so that no two devices share one. */
	if (!io && size < PAGE)
		size = PAGE;
	if (size > end)
		return PCI_NO_ADDRESS;
	for (;; start = taken) {
		start = (start + size - 1) & ~(size - 1);
		if (start > end - size)
			return PCI_NO_ADDRESS;
		taken = next_taken(bus, start, size, io);
		for (unsigned i = 0; i < index && !taken; i++)
			if (own->bar[i].size && (own->bar[i].flags & PCI_BAR_IO) == io)
				taken = taken_until(start, size, own->bar[i].assigned,
					own->bar[i].size);
		if (!taken)
			return start;
	}
}

int pci_bars_assign(struct pci_bus *bus, struct pci_device *dev, struct error *err)
{
	for (unsigned i = 0; i <= PCI_ROM; i++) {
		struct pci_bar *bar = &dev->bar[i];
		unsigned at = bar_register(i);

		if (!bar->size)
			continue;
		bar->assigned = find_gap(bus, dev, i);
		if (bar->assigned == PCI_NO_ADDRESS) {
			pci_bars_release(dev);
			return error_set(err, ENOSPC, "%s: no room for its registers", dev->name);
		}
		pci_config_set(dev, at, 4,
			(pci_config_get(dev, at, 4) & 15) | (uint32_t)bar->assigned);
		if (bar->flags & PCI_BAR_64)
			pci_config_set(dev, at + 4, 4, bar->assigned >> 32);
	}
	return 0;
}

void pci_bars_release(struct pci_device *dev)
{
	for (unsigned i = 0; i <= PCI_ROM; i++)
		dev->bar[i].assigned = PCI_NO_ADDRESS;
}
