/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/pci/pci.h"

#include <errno.h>
#include <string.h>

#include "state/state.h"

#define PORT_ADDRESS 0xcf8
#define ADDRESS_ENABLE 0x80000000u
#define BAR_64 0x4u
#define BAR_PREFETCH 0x8u

uint32_t pci_config_get(const struct pci_device *dev, unsigned offset, unsigned size)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < size && i < 4 && offset + i < PCI_CONFIG_SIZE; i++)
		value |= (uint32_t)dev->config[offset + i] << (8 * i);
	return value;
}

static void put(uint8_t *bytes, unsigned offset, unsigned size, uint32_t value)
{
	for (unsigned i = 0; i < size && i < 4 && offset + i < PCI_CONFIG_SIZE; i++)
		bytes[offset + i] = value >> (8 * i);
}

void pci_config_set(struct pci_device *dev, unsigned offset, unsigned size, uint32_t value)
{
	put(dev->config, offset, size, value);
}

void pci_device_init(struct pci_device *dev, const char *name, const struct pci_ids *ids,
	const struct pci_device_ops *ops)
{
	memset(dev, 0, sizeof *dev);
	dev->name = name;
	dev->ops = ops;
	dev->cap_end = 0x40;
	pthread_mutex_init(&dev->msix.lock, NULL);
	for (unsigned i = 0; i < PCI_BARS; i++)
		dev->bar[i].mapped = PCI_NO_ADDRESS;
	pci_config_set(dev, 0x00, 2, ids->vendor);
	pci_config_set(dev, 0x02, 2, ids->device);
	pci_config_set(dev, 0x08, 4, ids->class_code << 8 | ids->revision);
	pci_config_set(dev, 0x2c, 2, ids->subsystem_vendor);
	pci_config_set(dev, 0x2e, 2, ids->subsystem);
	put(dev->wmask, PCI_COMMAND, 2,
		PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_OFF);
	put(dev->wmask, 0x0c, 2, 0xff); /* cache line size: kept, means nothing */
	put(dev->wmask, PCI_INTERRUPT_LINE, 1, 0xff);
}

void pci_device_destroy(struct pci_device *dev)
{
	pthread_mutex_destroy(&dev->msix.lock);
}

int pci_add_bar(struct pci_device *dev, unsigned index, uint64_t size, unsigned flags,
	const struct bus_ops *ops, void *ctx, pthread_mutex_t *lock)
{
	bool is64 = flags & PCI_BAR_64;
	uint64_t mask = ~(size - 1);
	struct pci_bar *bar;

	if (index + is64 >= PCI_BARS || size < 16 || (size & (size - 1)) ||
		(!is64 && size > 1u << 28))
		return -EINVAL;
	bar = &dev->bar[index];
	bar->size = size;
	bar->is64 = is64;
	bar->prefetch = flags & PCI_BAR_PREFETCH;
	bar->ops = ops;
	bar->ctx = ctx;
	bar->lock = lock;
	pci_config_set(dev, PCI_BAR0 + 4 * index, 4,
		(is64 ? BAR_64 : 0) | (bar->prefetch ? BAR_PREFETCH : 0));
	put(dev->wmask, PCI_BAR0 + 4 * index, 4, mask);
	if (is64)
		put(dev->wmask, PCI_BAR0 + 4 * index + 4, 4, mask >> 32);
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

/* Where a BAR is to be now, by the bus lock. */
static uint64_t wanted(const struct pci_device *dev, unsigned index)
{
	const struct pci_bar *bar = &dev->bar[index];
	uint64_t addr = pci_config_get(dev, PCI_BAR0 + 4 * index, 4) & ~15u;

	if (bar->is64)
		addr |= (uint64_t)pci_config_get(dev, PCI_BAR0 + 4 * index + 4, 4) << 32;
	if (!(dev->config[PCI_COMMAND] & PCI_COMMAND_MEMORY))
		return PCI_NO_ADDRESS;
	/* While it is being sized a BAR holds ones. */
	if (!addr || addr + (bar->size - 1) < addr)
		return PCI_NO_ADDRESS;
	return addr;
}

static void remap(struct pci_device *dev)
{
	for (unsigned i = 0; i < PCI_BARS; i++) {
		struct pci_bar *bar = &dev->bar[i];
		uint64_t addr;

		if (!bar->size)
			continue;
		addr = wanted(dev, i);
		if (addr == bar->mapped)
			continue;
		if (bar->mapped != PCI_NO_ADDRESS && dev->ops && dev->ops->moved)
			dev->ops->moved(dev, i, PCI_NO_ADDRESS);
		if (bar->mapped != PCI_NO_ADDRESS)
			bus_unmap(dev->bus->mmio, bar->mapped, bar->ctx);
		bar->mapped = PCI_NO_ADDRESS;
		/* Over another device it answers nowhere, until the guest moves it again. */
		if (addr != PCI_NO_ADDRESS &&
			!bus_map(dev->bus->mmio, addr, bar->size, bar->ops, bar->ctx, bar->lock))
			bar->mapped = addr;
		if (bar->mapped != PCI_NO_ADDRESS && dev->ops && dev->ops->moved)
			dev->ops->moved(dev, i, addr);
	}
}

/* INTx: lines are shared by every fourth slot. By intx_lock. */
static void drive(struct pci_bus *bus, unsigned pin)
{
	bool level = false;

	for (unsigned i = pin; i < PCI_SLOTS; i += 4)
		if (bus->slot[i] && bus->slot[i]->intx && !bus->slot[i]->intx_off)
			level = true;
	if (bus->host.intx)
		bus->host.intx(bus->host.ctx, pin, level);
}

void pci_use_intx(struct pci_device *dev)
{
	dev->config[PCI_INTERRUPT_PIN] = 1;
}

void pci_intx_set(struct pci_device *dev, bool level)
{
	struct pci_bus *bus = dev->bus;

	if (!bus || !dev->config[PCI_INTERRUPT_PIN])
		return;
	pthread_mutex_lock(&bus->intx_lock);
	if (dev->intx != level) {
		dev->intx = level;
		drive(bus, dev->slot & 3);
	}
	pthread_mutex_unlock(&bus->intx_lock);
}

static void intx_command(struct pci_device *dev)
{
	struct pci_bus *bus = dev->bus;
	bool off = pci_config_get(dev, PCI_COMMAND, 2) & PCI_COMMAND_INTX_OFF;

	pthread_mutex_lock(&bus->intx_lock);
	if (dev->intx_off != off) {
		dev->intx_off = off;
		if (dev->intx)
			drive(bus, dev->slot & 3);
	}
	pthread_mutex_unlock(&bus->intx_lock);
}

/* Configuration accesses; by the bus lock, which the port range names. */

static struct pci_device *addressed(const struct pci_bus *bus)
{
	/* Bus 0, function 0. */
	if (!(bus->address & ADDRESS_ENABLE) || (bus->address & 0x00ff0700))
		return NULL;
	return bus->slot[bus->address >> 11 & 31];
}

static uint64_t config_read(void *ctx, uint64_t offset, unsigned size)
{
	struct pci_bus *bus = ctx;
	struct pci_device *dev;
	unsigned at = (bus->address & 0xfc) + (offset & 3);
	uint32_t value;

	if (offset < 4)
		return offset == 0 && size == 4 ? bus->address : UINT32_MAX;
	dev = addressed(bus);
	if (!dev)
		return UINT32_MAX;
	if (dev->ops && dev->ops->config_read)
		dev->ops->config_read(dev, at, size);
	value = pci_config_get(dev, at, size);
	if (at <= PCI_STATUS && at + size > PCI_STATUS && dev->intx)
		value |= PCI_STATUS_INTX << (8 * (PCI_STATUS - at));
	return value;
}

static bool touches(unsigned at, unsigned size, unsigned start, unsigned length)
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

static void config_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct pci_bus *bus = ctx;
	struct pci_device *dev;
	unsigned at = (bus->address & 0xfc) + (offset & 3);

	if (offset < 4) {
		if (offset == 0 && size == 4)
			bus->address = value & ~3u;
		else if (offset == 1 && size == 1 && bus->host.reset_control)
			bus->host.reset_control(bus->host.ctx, value);
		return;
	}
	dev = addressed(bus);
	if (!dev)
		return;
	config_bytes(dev, at, size, value);
	if (touches(at, size, PCI_COMMAND, 2)) {
		remap(dev);
		intx_command(dev);
	} else if (touches(at, size, PCI_BAR0, 4 * PCI_BARS)) {
		remap(dev);
	}
	if (dev->msix.vectors && touches(at, size, dev->msix.cap + 2, 2))
		pci_msix_control(dev);
	if (dev->ops && dev->ops->config_write)
		dev->ops->config_write(dev, at, size);
}

static const struct bus_ops config_ops = {config_read, config_write, 1 | 2 | 4, false};

/* The firmware's part: addresses for the BARs. */
static int place(struct pci_bus *bus, struct pci_device *dev, struct error *err)
{
	for (unsigned i = 0; i < PCI_BARS; i++) {
		struct pci_bar *bar = &dev->bar[i];
		uint64_t size, start;

		if (!bar->size)
			continue;
		/* Whole pages, so that no two devices share one. */
		size = bar->size < 4096 ? 4096 : bar->size;
		start = (bus->next + size - 1) & ~(size - 1);
		if (start < bus->next || size > PCI_WINDOW_END || start > PCI_WINDOW_END - size)
			return error_set(err, ENOSPC, "%s: no room for its registers", dev->name);
		bus->next = start + size;
		pci_config_set(dev, PCI_BAR0 + 4 * i, 4,
			pci_config_get(dev, PCI_BAR0 + 4 * i, 4) | (uint32_t)start);
		if (bar->is64)
			pci_config_set(dev, PCI_BAR0 + 4 * i + 4, 4, start >> 32);
	}
	return 0;
}

int pci_bus_add(struct pci_bus *bus, struct pci_device *dev, struct error *err)
{
	unsigned slot = 0;
	int r;

	pthread_mutex_lock(&bus->lock);
	while (slot < PCI_SLOTS && bus->slot[slot])
		slot++;
	if (slot == PCI_SLOTS) {
		pthread_mutex_unlock(&bus->lock);
		return error_set(err, ENOSPC, "%s: more than %d devices", dev->name, PCI_SLOTS - 1);
	}
	r = place(bus, dev, err);
	if (!r) {
		dev->bus = bus;
		dev->slot = slot;
		dev->config[PCI_COMMAND] |= PCI_COMMAND_MEMORY;
		if (dev->config[PCI_INTERRUPT_PIN])
			dev->config[PCI_INTERRUPT_LINE] = 16 + (slot & 3);
		memcpy(dev->initial, dev->config, sizeof dev->initial);
		bus->slot[slot] = dev;
		remap(dev);
	}
	pthread_mutex_unlock(&bus->lock);
	return r;
}

static void reset_device(struct pci_device *dev)
{
	memcpy(dev->config, dev->initial, sizeof dev->config);
	remap(dev);
	if (dev->msix.vectors)
		pci_msix_reset(dev);
	intx_command(dev);
}

/* All out of the way: the guest may have moved one to where another belongs. */
static void unmap_all(struct pci_bus *bus)
{
	for (unsigned i = 0; i < PCI_SLOTS; i++) {
		if (!bus->slot[i])
			continue;
		bus->slot[i]->config[PCI_COMMAND] &= ~PCI_COMMAND_MEMORY;
		remap(bus->slot[i]);
	}
}

void pci_bus_reset(struct pci_bus *bus)
{
	pthread_mutex_lock(&bus->lock);
	bus->address = 0;
	unmap_all(bus);
	for (unsigned i = 0; i < PCI_SLOTS; i++)
		if (bus->slot[i])
			reset_device(bus->slot[i]);
	pthread_mutex_unlock(&bus->lock);
	for (unsigned i = 0; i < PCI_SLOTS; i++) {
		struct pci_device *dev = bus->slot[i];

		if (!dev)
			continue;
		pci_intx_set(dev, false);
		if (dev->ops && dev->ops->reset)
			dev->ops->reset(dev);
	}
}

/* What the guest cannot write must be as it is here: then it is the same kind of device. */
static bool same_device(const struct pci_device *dev, const uint8_t config[PCI_CONFIG_SIZE])
{
	for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++)
		if ((config[i] ^ dev->config[i]) & ~(dev->wmask[i] | dev->w1c[i]))
			return false;
	return true;
}

static void describe_device(struct pci_device *dev, struct state *s)
{
	uint8_t config[PCI_CONFIG_SIZE];
	bool intx = dev->intx;

	memcpy(config, dev->config, sizeof config);
	state_begin(s, "pci-device", dev->slot, 1);
	state_bytes(s, "config", config, sizeof config);
	state_bool(s, "intx", &intx);
	if (state_loading(s) && state_ok(s)) {
		if (!same_device(dev, config))
			state_fail(s, EINVAL, "the guest had another device than %s in slot %u",
				dev->name, dev->slot);
		else
			memcpy(dev->config, config, sizeof config);
		/* The line itself is in the interrupt controllers' sections. */
		dev->intx = intx && dev->config[PCI_INTERRUPT_PIN];
		dev->intx_off = pci_config_get(dev, PCI_COMMAND, 2) & PCI_COMMAND_INTX_OFF;
	}
	if (dev->msix.vectors)
		pci_msix_describe(dev, s);
	state_end(s);
	if (dev->ops && dev->ops->describe)
		dev->ops->describe(dev, s);
}

void pci_bus_quiet(struct pci_bus *bus, bool quiet)
{
	for (unsigned i = 0; i < PCI_SLOTS; i++)
		if (bus->slot[i] && bus->slot[i]->ops && bus->slot[i]->ops->quiet)
			bus->slot[i]->ops->quiet(bus->slot[i], quiet);
}

void pci_describe(struct pci_bus *bus, struct state *s)
{
	uint32_t slots = 0, here;

	pthread_mutex_lock(&bus->lock);
	for (unsigned i = 0; i < PCI_SLOTS; i++)
		slots |= bus->slot[i] ? 1u << i : 0;
	here = slots;
	state_begin(s, "pci", 0, 1);
	state_u32(s, "address", &bus->address);
	state_u32(s, "slots", &slots);
	if (slots != here)
		state_fail(s, EINVAL,
			"the guest had %d PCI devices, here there are %d: it needs the same disks "
			"and networks",
			__builtin_popcount(slots), __builtin_popcount(here));
	state_end(s);
	bus->address &= ~3u;
	if (state_loading(s))
		unmap_all(bus);
	for (unsigned i = 0; i < PCI_SLOTS; i++)
		if (bus->slot[i])
			describe_device(bus->slot[i], s);
	for (unsigned i = 0; i < PCI_SLOTS; i++)
		if (bus->slot[i] && state_loading(s))
			remap(bus->slot[i]);
	pthread_mutex_unlock(&bus->lock);
}

int pci_bus_init(struct pci_bus *bus, struct bus *io, struct bus *mmio, const struct pci_host *host,
	struct error *err)
{
	static const struct pci_ids bridge = {.vendor = 0x1b36,
		.device = 0x0008,
		.class_code = 0x060000};
	int r;

	memset(bus, 0, sizeof *bus);
	pthread_mutex_init(&bus->lock, NULL);
	pthread_mutex_init(&bus->intx_lock, NULL);
	bus->io = io;
	bus->mmio = mmio;
	bus->host = *host;
	bus->next = PCI_WINDOW_START;
	pci_device_init(&bus->bridge, "host bridge", &bridge, NULL);
	r = bus_map(io, PORT_ADDRESS, 8, &config_ops, bus, &bus->lock);
	if (r < 0)
		return error_set(err, -r, "PCI: its ports are taken");
	return pci_bus_add(bus, &bus->bridge, err);
}

void pci_bus_destroy(struct pci_bus *bus)
{
	pci_device_destroy(&bus->bridge);
	pthread_mutex_destroy(&bus->intx_lock);
	pthread_mutex_destroy(&bus->lock);
}
