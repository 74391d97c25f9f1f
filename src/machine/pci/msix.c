/* SPDX-License-Identifier: Apache-2.0 */
/* MSI-X (PCI Local Bus 3.0, 6.8.2): the table, and the bits of what waits behind a mask. */
#include <errno.h>
#include <string.h>

#include "machine/pci/internal.h"
#include "state/state.h"

#define BAR_SIZE 4096
#define PBA_OFFSET (PCI_MSIX_MAX * 16)
#define CONTROL_ENABLE 0x8000u
#define CONTROL_MASK 0x4000u
#define ENTRY_MASKED 1u

static void send_vector(struct pci_device *dev, unsigned vector) REQUIRES(dev->msix.lock)
{
	struct pci_msix *msix = &dev->msix;
	const struct pci_msix_entry *entry = &msix->entry[vector];
	uint64_t bit = 1ull << vector % 64;

	if (msix->masked || (entry->control & ENTRY_MASKED)) {
		msix->pending[vector / 64] |= bit;
		return;
	}
	msix->pending[vector / 64] &= ~bit;
	dev->bus->owner.msi(dev->bus->owner.ctx, entry->addr, entry->data);
}

static void send_pending(struct pci_device *dev, unsigned vector) REQUIRES(dev->msix.lock)
{
	if (dev->msix.enabled && (dev->msix.pending[vector / 64] >> vector % 64 & 1))
		send_vector(dev, vector);
}

static uint64_t table_read(void *ctx, uint64_t offset, unsigned size)
{
	struct pci_device *dev = ctx;
	struct pci_msix *msix = &dev->msix;
	const struct pci_msix_entry *entry = &msix->entry[offset / 16 % PCI_MSIX_MAX];

	mutex_assert_held(&msix->lock);
	if (offset >= PBA_OFFSET) {
		offset -= PBA_OFFSET;
		if (offset / 8 >= PCI_MSIX_MAX / 64)
			return 0;
		return (uint32_t)(msix->pending[offset / 8] >> (offset & 4 ? 32 : 0));
	}
	if (offset / 16 >= msix->vectors)
		return 0;
	switch (offset & 15) {
	case 0:
		return (uint32_t)entry->addr;
	case 4:
		return entry->addr >> 32;
	case 8:
		return entry->data;
	}
	return entry->control;
}

static void table_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct pci_device *dev = ctx;
	struct pci_msix_entry *entry;

	mutex_assert_held(&dev->msix.lock);
	if (offset / 16 >= dev->msix.vectors)
		return;
	entry = &dev->msix.entry[offset / 16];
	switch (offset & 15) {
	case 0:
		entry->addr = (entry->addr & ~0xffffffffull) | (value & ~3u);
		break;
	case 4:
		entry->addr = (entry->addr & 0xffffffff) | value << 32;
		break;
	case 8:
		entry->data = value;
		break;
	default:
		entry->control = value & ENTRY_MASKED;
		send_pending(dev, offset / 16);
	}
}

static const struct bus_ops table_ops = {table_read, table_write, 4, true};

int pci_msix_init(struct pci_device *dev, unsigned bar, unsigned vectors)
{
	int cap, r;

	if (!vectors || vectors > PCI_MSIX_MAX)
		return -EINVAL;
	r = pci_add_bar(dev, bar, BAR_SIZE, 0, &table_ops, dev, &dev->msix.lock);
	if (r < 0)
		return r;
	cap = pci_add_capability(dev, PCI_CAP_MSIX, 12);
	if (cap < 0)
		return cap;
	dev->msix.cap = cap;
	dev->msix.vectors = vectors;
	pci_config_set(dev, cap + 2, 2, vectors - 1);
	pci_config_set(dev, cap + 4, 4, bar);
	pci_config_set(dev, cap + 8, 4, PBA_OFFSET | bar);
	dev->wmask[cap + 3] = (CONTROL_ENABLE | CONTROL_MASK) >> 8;
	pci_msix_reset(dev);
	return 0;
}

void pci_msix_reset(struct pci_device *dev)
{
	struct pci_msix *msix = &dev->msix;

	mutex_lock(&msix->lock);
	memset(msix->entry, 0, sizeof msix->entry);
	memset(msix->pending, 0, sizeof msix->pending);
	for (unsigned i = 0; i < msix->vectors; i++)
		msix->entry[i].control = ENTRY_MASKED;
	msix->enabled = msix->masked = false;
	mutex_unlock(&msix->lock);
}

void pci_msix_control(struct pci_device *dev)
{
	uint32_t control = pci_config_get(dev, dev->msix.cap + 2, 2);

	mutex_lock(&dev->msix.lock);
	dev->msix.enabled = control & CONTROL_ENABLE;
	dev->msix.masked = control & CONTROL_MASK;
	for (unsigned i = 0; i < dev->msix.vectors; i++)
		send_pending(dev, i);
	mutex_unlock(&dev->msix.lock);
}

bool pci_msix_enabled(struct pci_device *dev)
{
	bool enabled;

	mutex_lock(&dev->msix.lock);
	enabled = dev->msix.enabled;
	mutex_unlock(&dev->msix.lock);
	return enabled;
}

void pci_msix_notify(struct pci_device *dev, unsigned vector)
{
	mutex_lock(&dev->msix.lock);
	if (dev->msix.enabled && vector < dev->msix.vectors)
		send_vector(dev, vector);
	mutex_unlock(&dev->msix.lock);
}

void pci_msix_describe(struct pci_device *dev, struct state *s)
{
	struct pci_msix *msix = &dev->msix;
	uint32_t control = pci_config_get(dev, msix->cap + 2, 2);

	mutex_lock(&msix->lock);
	for (unsigned i = 0; i < msix->vectors; i++) {
		state_group(s, "vector", i);
		state_u64(s, "address", &msix->entry[i].addr);
		state_u32(s, "data", &msix->entry[i].data);
		state_u32(s, "control", &msix->entry[i].control);
	}
	state_group(s, NULL, 0);
	state_u64s(s, "pending", msix->pending, PCI_MSIX_MAX / 64);
	if (state_loading(s)) {
		msix->enabled = control & CONTROL_ENABLE;
		msix->masked = control & CONTROL_MASK;
		for (unsigned i = 0; i < msix->vectors; i++) {
			msix->entry[i].addr &= ~3ull;
			msix->entry[i].control &= ENTRY_MASKED;
		}
	}
	mutex_unlock(&msix->lock);
}
