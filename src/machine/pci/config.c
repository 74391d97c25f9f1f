/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration accesses, by the bus lock, which the port range names. */
#include "machine/pci/internal.h"

#define ADDRESS_ENABLE 0x80000000u
#define ADDRESS_BUS 0x00ff0000u

static struct pci_device *selected_device(const struct pci_bus *bus)
{
	if (!(bus->address & ADDRESS_ENABLE) || (bus->address & ADDRESS_BUS))
		return NULL;
	return bus->at[bus->address >> 11 & 31][bus->address >> 8 & 7];
}

static uint64_t config_read(void *ctx, uint64_t offset, unsigned size)
{
	struct pci_bus *bus = ctx;
	struct pci_device *dev;
	unsigned at = (bus->address & 0xfc) + (offset & 3);
	uint32_t value;

	if (offset < 4)
		return offset == 0 && size == 4 ? bus->address : UINT32_MAX;
	dev = selected_device(bus);
	if (!dev)
		return UINT32_MAX;
	if (dev->ops && dev->ops->config_read)
		dev->ops->config_read(dev, at, size);
	value = pci_config_get(dev, at, size);
	if (at <= PCI_STATUS && at + size > PCI_STATUS && dev->intx)
		value |= PCI_STATUS_INTX << (8 * (PCI_STATUS - at));
	return value;
}

static bool ranges_touch(unsigned at, unsigned size, unsigned start, unsigned length)
{
	return at < start + length && start < at + size;
}

static void config_bytes(struct pci_device *dev, unsigned at, unsigned size, uint64_t value)
{
	for (unsigned i = 0; i < size && at + i < PCI_CONFIG_SIZE; i++) {
		uint8_t byte = value >> (8 * i), *config = &dev->config[at + i];

		*config = (*config & ~dev->wmask[at + i]) | (byte & dev->wmask[at + i]);
		*config &= ~(byte & dev->w1c[at + i]);
	}
}

/* The device's own, then those of others that it was in the way of. */
static void map_bars(struct pci_bus *bus, struct pci_device *dev)
{
	pci_bars_map(dev);
	pci_for_each(other, bus) pci_bars_map(other);
}

static void config_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct pci_bus *bus = ctx;
	struct pci_device *dev;
	unsigned at = (bus->address & 0xfc) + (offset & 3);

	if (offset < 4) {
		if (offset == 0 && size == 4)
			bus->address = value & ~3u;
		else if (offset == 1 && size == 1 && bus->owner.reset_control)
			bus->owner.reset_control(bus->owner.ctx, value);
		return;
	}
	dev = selected_device(bus);
	if (!dev)
		return;
	config_bytes(dev, at, size, value);
	if (ranges_touch(at, size, PCI_COMMAND, 2)) {
		map_bars(bus, dev);
		pci_intx_command(dev);
	} else if (ranges_touch(at, size, PCI_BAR0, 4 * PCI_BARS) ||
		ranges_touch(at, size, PCI_ROM_BAR, 4)) {
		map_bars(bus, dev);
	}
	if (dev->msix.vectors && ranges_touch(at, size, dev->msix.cap + 2, 2))
		pci_msix_control(dev);
	if (dev->ops && dev->ops->config_write)
		dev->ops->config_write(dev, at, size);
}

const struct bus_ops pci_config_ops = {config_read, config_write, 1 | 2 | 4, false};
