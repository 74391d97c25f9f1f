/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/pci/bus.h"

#include <errno.h>
#include <string.h>

#include "base/thread.h"
#include "machine/pci/internal.h"
#include "state/state.h"

#define PORT_ADDRESS 0xcf8

/* Function 0 tells whether there are others (PCI 3.0, 6.2.1). */
static void tell_functions(struct pci_bus *bus, unsigned slot)
{
	struct pci_device *first = bus->at[slot][0];
	bool more = false;

	for (unsigned i = 1; i < PCI_FUNCTIONS; i++)
		more |= bus->at[slot][i] != NULL;
	if (!first)
		return;
	first->config[PCI_HEADER_TYPE] = more ? PCI_HEADER_MULTI : 0;
	first->initial[PCI_HEADER_TYPE] = first->config[PCI_HEADER_TYPE];
}

/* As a firmware leaves it, unless there is one: with addresses, decoding them, its interrupt's number written down. */
static int place_device(struct pci_bus *bus, struct pci_device *dev, unsigned slot,
	unsigned function, struct error *err)
{
	const bool firmware = bus->owner.firmware;
	int r = firmware ? 0 : pci_bars_assign(bus, dev, err);

	if (r)
		return r;
	dev->bus = bus;
	dev->slot = slot;
	dev->function = function;
	if (!firmware)
		dev->config[PCI_COMMAND] |=
			PCI_COMMAND_MEMORY | (dev->wmask[PCI_COMMAND] & PCI_COMMAND_IO);
	if (dev->config[PCI_INTERRUPT_PIN]) {
		dev->config[PCI_INTERRUPT_PIN] = 1 + function % 4;
		dev->config[PCI_INTERRUPT_LINE] = firmware ? 0 : 16 + ((slot + function) & 3);
	}
	memcpy(dev->initial, dev->config, sizeof dev->initial);
	pci_intx_place(bus, slot, function, dev);
	tell_functions(bus, slot);
	pci_bars_map(dev);
	return 0;
}

void pci_bus_places(struct pci_bus *bus, const uint8_t *slot, unsigned count)
{
	mutex_lock(&bus->lock);
	memset(bus->place, 0, sizeof bus->place);
	memcpy(bus->place, slot, count);
	bus->placed = 0;
	mutex_unlock(&bus->lock);
}

/* PCI_SLOTS: there is no room. A place that is taken or none is as good as none: a state says what cannot be. */
static unsigned choose_slot(struct pci_bus *bus)
{
	unsigned slot = bus->placed < PCI_SLOTS ? bus->place[bus->placed++] : 0;

	if (slot && slot < PCI_SLOTS && !bus->at[slot][0])
		return slot;
	for (slot = 0; slot < PCI_SLOTS && bus->at[slot][0];)
		slot++;
	return slot;
}

int pci_bus_add(struct pci_bus *bus, struct pci_device *dev, struct error *err)
{
	unsigned slot;
	int r;

	mutex_lock(&bus->lock);
	slot = choose_slot(bus);
	r = slot < PCI_SLOTS
		? place_device(bus, dev, slot, 0, err)
		: error_set(err, ENOSPC, "%s: more than %d devices", dev->name, PCI_SLOTS - 1);
	mutex_unlock(&bus->lock);
	return r;
}

int pci_bus_add_function(struct pci_bus *bus, struct pci_device *dev, unsigned slot,
	unsigned function, struct error *err)
{
	int r;

	if (slot >= PCI_SLOTS || !function || function >= PCI_FUNCTIONS)
		return error_set(err, EINVAL, "%s: there is no PCI slot %u with a function %u",
			dev->name, slot, function);
	mutex_lock(&bus->lock);
	if (!bus->at[slot][0])
		r = error_set(err, EINVAL, "%s: PCI slot %u has no function 0", dev->name, slot);
	else if (bus->at[slot][function])
		r = error_set(err, EEXIST, "%s: function %u of PCI slot %u is %s", dev->name,
			function, slot, bus->at[slot][function]->name);
	else
		r = place_device(bus, dev, slot, function, err);
	mutex_unlock(&bus->lock);
	return r;
}

int pci_bus_remove(struct pci_device *dev, struct error *err)
{
	struct pci_bus *bus = dev->bus;

	mutex_lock(&bus->lock);
	for (unsigned i = 1; i < PCI_FUNCTIONS && !dev->function; i++) {
		if (bus->at[dev->slot][i]) {
			mutex_unlock(&bus->lock);
			return error_set(err, EBUSY, "%s: PCI slot %u has further functions",
				dev->name, dev->slot);
		}
	}
	pci_bars_unmap(dev);
	pci_bars_release(dev);
	if (dev->msix.vectors)
		pci_msix_reset(dev);
	pci_intx_place(bus, dev->slot, dev->function, NULL);
	tell_functions(bus, dev->slot);
	mutex_unlock(&bus->lock);
	return 0;
}

static void reset_device(struct pci_device *dev)
{
	memcpy(dev->config, dev->initial, sizeof dev->config);
	pci_bars_map(dev);
	if (dev->msix.vectors)
		pci_msix_reset(dev);
	pci_intx_command(dev);
}

void pci_bus_reset(struct pci_bus *bus)
{
	mutex_lock(&bus->lock);
	bus->address = 0;
	/* All out of the way first: the guest may have moved one to where another belongs. */
	pci_for_each(dev, bus) pci_bars_unmap(dev);
	pci_for_each(dev, bus) reset_device(dev);
	mutex_unlock(&bus->lock);
	pci_for_each(dev, bus)
	{
		pci_intx_set(dev, false);
		if (dev->ops && dev->ops->reset)
			dev->ops->reset(dev);
	}
}

void pci_bus_quiesce(struct pci_bus *bus, bool quiet)
{
	pci_for_each(dev, bus) if (dev->ops && dev->ops->quiesce) dev->ops->quiesce(dev, quiet);
}

bool pci_bus_busy(struct pci_bus *bus)
{
	bool busy = false;

	pci_for_each(dev, bus) busy |= dev->ops && dev->ops->busy && dev->ops->busy(dev);
	return busy;
}

/* Saved states */

/* ROMs are files of this host's, in no state: a device's may have another size here, or be missing. */
static bool is_rom(unsigned at)
{
	return at >= PCI_ROM_BAR && at < PCI_ROM_BAR + 4;
}

/* What the guest cannot write must be as it is here: then it is the same kind of device. */
static bool same_device(const struct pci_device *dev, const uint8_t config[PCI_CONFIG_SIZE])
{
	for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++)
		if (!is_rom(i) && (config[i] ^ dev->config[i]) & ~(dev->wmask[i] | dev->w1c[i]))
			return false;
	return true;
}

static void take_config(struct pci_device *dev, const uint8_t config[PCI_CONFIG_SIZE])
{
	for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++)
		dev->config[i] = is_rom(i) ? config[i] & dev->wmask[i] : config[i];
}

static void describe_device(struct pci_device *dev, struct state *s)
{
	uint8_t config[PCI_CONFIG_SIZE];
	bool intx = dev->intx;

	memcpy(config, dev->config, sizeof config);
	state_begin(s, "pci-device", pci_instance(dev), 1);
	state_bytes(s, "config", config, sizeof config);
	state_bool(s, "intx", &intx);
	if (state_loading(s) && state_ok(s)) {
		if (!same_device(dev, config))
			state_fail(s, EINVAL, "the guest had another device than %s in slot %u",
				dev->name, dev->slot);
		else
			take_config(dev, config);
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

static unsigned count_places(const uint8_t places[PCI_SLOTS])
{
	unsigned count = 0;

	for (unsigned i = 0; i < PCI_SLOTS; i++)
		count += __builtin_popcount(places[i]);
	return count;
}

/* Which places are taken: slots, by their functions 0, and further functions if there are any. */
static void describe_places(struct pci_bus *bus, struct state *s)
{
	uint8_t there[PCI_SLOTS] = {0}, here[PCI_SLOTS] = {0};
	bool more = false;
	uint32_t slots = 0;

	pci_for_each(dev, bus)
	{
		here[dev->slot] |= 1u << dev->function;
		slots |= 1u << dev->slot;
		more |= dev->function;
	}
	state_begin(s, "pci", 0, 1);
	state_u32(s, "address", &bus->address);
	state_u32(s, "slots", &slots);
	for (unsigned i = 0; i < PCI_SLOTS; i++)
		there[i] = state_loading(s) ? slots >> i & 1 : here[i];
	if (state_optional(s, "further", more))
		state_bytes(s, "functions", there, sizeof there);
	if (memcmp(there, here, sizeof here))
		state_fail(s, EINVAL,
			"the guest had %u PCI devices, here there are %u: it needs the same disks "
			"and networks",
			count_places(there), count_places(here));
	state_end(s);
	bus->address &= ~3u;
}

void pci_bus_describe(struct pci_bus *bus, struct state *s)
{
	mutex_lock(&bus->lock);
	describe_places(bus, s);
	if (state_loading(s))
		pci_for_each(dev, bus) pci_bars_unmap(dev);
	pci_for_each(dev, bus) describe_device(dev, s);
	if (state_loading(s))
		pci_for_each(dev, bus) pci_bars_map(dev);
	mutex_unlock(&bus->lock);
}

/* The bus itself */

int pci_bus_init(struct pci_bus *bus, struct bus *io, struct bus *mmio,
	const struct pci_owner *owner, struct error *err)
{
	static const struct pci_ids bridge = {.vendor = 0x1b36,
		.device = 0x0008,
		.class_code = 0x060000};
	int r;

	memset(bus, 0, sizeof *bus);
	mutex_init(&bus->lock);
	mutex_init(&bus->intx_lock);
	bus->io = io;
	bus->mmio = mmio;
	bus->owner = *owner;
	pci_device_init(&bus->bridge, "host bridge", &bridge, NULL);
	r = bus_map(io, PORT_ADDRESS, 8, &pci_config_ops, bus, &bus->lock);
	if (r < 0)
		return error_set(err, -r, "PCI: its ports are taken");
	return pci_bus_add(bus, owner->bridge ? owner->bridge : &bus->bridge, err);
}

void pci_bus_destroy(struct pci_bus *bus)
{
	pci_device_destroy(&bus->bridge);
	mutex_destroy(&bus->intx_lock);
	mutex_destroy(&bus->lock);
}
