/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/pci/device.h"

#include <errno.h>
#include <string.h>

#include "base/thread.h"
#include "machine/pci/bus.h"

#define BAR_IO 0x1u
#define BAR_64 0x4u
#define BAR_PREFETCH 0x8u
#define ROM_MIN 0x800u
#define ROM_MAX (16u << 20)

uint32_t pci_config_get(const struct pci_device *dev, unsigned offset, unsigned size)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < size && i < 4 && offset + i < PCI_CONFIG_SIZE; i++)
		value |= (uint32_t)dev->config[offset + i] << (8 * i);
	return value;
}

static void put_bytes(uint8_t *bytes, unsigned offset, unsigned size, uint32_t value)
{
	for (unsigned i = 0; i < size && i < 4 && offset + i < PCI_CONFIG_SIZE; i++)
		bytes[offset + i] = value >> (8 * i);
}

void pci_config_set(struct pci_device *dev, unsigned offset, unsigned size, uint32_t value)
{
	put_bytes(dev->config, offset, size, value);
}

unsigned pci_instance(const struct pci_device *dev)
{
	return dev->slot + PCI_SLOTS * dev->function;
}

void pci_device_init(struct pci_device *dev, const char *name, const struct pci_ids *ids,
	const struct pci_device_ops *ops)
{
	memset(dev, 0, sizeof *dev);
	dev->name = name;
	dev->ops = ops;
	dev->cap_end = 0x40;
	mutex_init(&dev->msix.lock);
	for (unsigned i = 0; i <= PCI_ROM; i++)
		dev->bar[i].mapped = dev->bar[i].assigned = PCI_NO_ADDRESS;
	pci_config_set(dev, 0x00, 2, ids->vendor);
	pci_config_set(dev, 0x02, 2, ids->device);
	pci_config_set(dev, 0x08, 4, ids->class_code << 8 | ids->revision);
	pci_config_set(dev, 0x2c, 2, ids->subsystem_vendor);
	pci_config_set(dev, 0x2e, 2, ids->subsystem);
	put_bytes(dev->wmask, PCI_COMMAND, 2,
		PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_OFF);
	put_bytes(dev->wmask, 0x0c, 2, 0xff); /* cache line size: kept, means nothing */
	put_bytes(dev->wmask, PCI_INTERRUPT_LINE, 1, 0xff);
}

void pci_device_destroy(struct pci_device *dev)
{
	mutex_destroy(&dev->msix.lock);
}

static bool bar_possible(unsigned index, uint64_t size, unsigned flags)
{
	bool is64 = flags & PCI_BAR_64;

	if (index + is64 >= PCI_BARS || !size || (size & (size - 1)))
		return false;
	if (flags & PCI_BAR_IO)
		return flags == PCI_BAR_IO && size >= 4 && size <= 256;
	return size >= 16 && (is64 || size <= 1u << 28);
}

int pci_add_bar(struct pci_device *dev, unsigned index, uint64_t size, unsigned flags,
	const struct bus_ops *ops, void *ctx, struct mutex *lock)
{
	unsigned at = PCI_BAR0 + 4 * index;
	uint64_t mask = ~(size - 1);

	if (!bar_possible(index, size, flags))
		return -EINVAL;
	dev->bar[index] = (struct pci_bar){.size = size,
		.flags = flags,
		.ops = ops,
		.ctx = ctx,
		.lock = lock,
		.mapped = PCI_NO_ADDRESS,
		.assigned = PCI_NO_ADDRESS};
	pci_config_set(dev, at, 4,
		(flags & PCI_BAR_IO ? BAR_IO : 0) | (flags & PCI_BAR_64 ? BAR_64 : 0) |
			(flags & PCI_BAR_PREFETCH ? BAR_PREFETCH : 0));
	put_bytes(dev->wmask, at, 4, mask);
	if (flags & PCI_BAR_64)
		put_bytes(dev->wmask, at + 4, 4, mask >> 32);
	if (flags & PCI_BAR_IO)
		dev->wmask[PCI_COMMAND] |= PCI_COMMAND_IO;
	return 0;
}

static uint64_t rom_read(void *ctx, uint64_t offset, unsigned size)
{
	const struct pci_device *dev = ctx;
	uint64_t value = 0;

	/* The bus keeps accesses within the ROM. */
	memcpy(&value, dev->rom + offset, size);
	return value;
}

static void rom_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
}

int pci_add_rom(struct pci_device *dev, const void *data, uint64_t size)
{
	static const struct bus_ops ops = {.read = rom_read, .write = rom_write};

	if (size < ROM_MIN || size > ROM_MAX || (size & (size - 1)))
		return -EINVAL;
	dev->rom = data;
	dev->bar[PCI_ROM] = (struct pci_bar){.size = size,
		.ops = &ops,
		.ctx = dev,
		.mapped = PCI_NO_ADDRESS,
		.assigned = PCI_NO_ADDRESS};
	put_bytes(dev->wmask, PCI_ROM_BAR, 4, ~(size - 1) | PCI_ROM_ENABLE);
	return 0;
}

int pci_add_capability(struct pci_device *dev, uint8_t id, unsigned size)
{
	unsigned offset = dev->cap_end, last = PCI_CAPABILITIES;

	if (size < 2 || offset + size > PCI_CONFIG_SIZE)
		return -ENOSPC;
	if (dev->config[last])
		for (last = dev->config[last]; dev->config[last + 1];)
			last = dev->config[last + 1];
	dev->config[last == PCI_CAPABILITIES ? last : last + 1] = offset;
	dev->config[offset] = id;
	dev->config[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
	dev->cap_end = (offset + size + 3) & ~3u;
	return offset;
}

void pci_use_intx(struct pci_device *dev)
{
	dev->config[PCI_INTERRUPT_PIN] = 1;
}
