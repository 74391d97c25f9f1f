/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PCI bus: one, behind configuration mechanism 1 (ports 0xcf8 and 0xcfc; PCI
 * Local Bus 3.0, 3.2.2.3), with its host bridge in slot 0. Devices come and go
 * while no vCPU runs: before the machine starts, or under machine_pause().
 */
#ifndef DACH_MACHINE_PCI_BUS_H
#define DACH_MACHINE_PCI_BUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/thread.h"
#include "base/error.h"
#include "machine/pci/device.h"

/* Where the firmware puts BARs, 64-bit ones too, and ports; within the DSDT's _CRS. */
#define PCI_WINDOW_START 0xc0000000ull
#define PCI_WINDOW_END 0xfeb00000ull
#define PCI_PORTS_START 0xc000u
#define PCI_PORTS_END 0x10000u

#define PCI_SLOTS 32
#define PCI_FUNCTIONS 8

/* What the bus needs of its owner. */
struct pci_owner {
	void *ctx;
	void (*msi)(void *ctx, uint64_t addr, uint32_t data);
	void (*intx)(void *ctx, unsigned pin, bool level); /* pin 0-3: INTA#-INTD# of the bus */
	void (*reset_control)(void *ctx, uint8_t value);   /* a byte to port 0xcf9; may be NULL */
	/*
	 * From on to off, writes to gpa signal the eventfd and run no callback. A negative errno
	 * where that cannot be had: then callbacks run. NULL: it never can.
	 */
	int (*notify_fd)(void *ctx, uint64_t gpa, int fd, bool on);
	struct pci_device *bridge; /* slot 0; NULL: one without registers, the bus's own */
	bool firmware; /* it gives addresses and interrupts' numbers; else devices have them from the start */
};

struct pci_bus {
	struct mutex lock;
	struct bus *io, *mmio;
	struct pci_owner owner;
	uint32_t address;       /* 0xcf8; by lock */
	struct mutex intx_lock; /* held while owner.intx runs */
	/* By both locks to change, by either to read. */
	struct pci_device *at[PCI_SLOTS][PCI_FUNCTIONS];
	uint8_t place[PCI_SLOTS]; /* where the next devices go; 0: the first free slot */
	unsigned placed;
	struct pci_device bridge; /* slot 0 */
};

/* Puts the bus with its host bridge at the two ports. */
int pci_bus_init(struct pci_bus *bus, struct bus *io, struct bus *mmio,
	const struct pci_owner *owner, struct error *err);
/* Devices are gone, or never used again. */
void pci_bus_destroy(struct pci_bus *bus);

/* All that follows: no vCPU runs. */

/*
 * The next pci_bus_add()s put their devices into these slots, in this order, and further ones into the first that is
 * free: for a guest that goes on, whose devices may have come at any time. At most PCI_SLOTS.
 */
void pci_bus_places(struct pci_bus *bus, const uint8_t *slot, unsigned count);
/* Takes the device into the first free slot (but see pci_bus_places()) and gives its BARs addresses. */
int pci_bus_add(struct pci_bus *bus, struct pci_device *dev, struct error *err);
/*
 * The same as a further function (1 to 7) of a slot that has function 0. -EEXIST if it is taken,
 * -EINVAL if there is no such place.
 */
int pci_bus_add_function(struct pci_bus *bus, struct pci_device *dev, unsigned slot,
	unsigned function, struct error *err);
/*
 * Takes the device away: its BARs answer nowhere (bar_mapped is told), its interrupts reach nobody,
 * its slot and addresses are free. Its own threads may still run; they are its owner's to end. Function
 * 0 goes last: -EBUSY.
 */
int pci_bus_remove(struct pci_device *dev, struct error *err);

/* Everything as after pci_bus_add(), then each device's reset. */
void pci_bus_reset(struct pci_bus *bus);
/* All devices stand still, or go on. */
void pci_bus_quiesce(struct pci_bus *bus, bool quiet);
/* A device would have to wait for the host to stand still. No vCPU runs. */
bool pci_bus_busy(struct pci_bus *bus);
/* The bus, configuration space and MSI-X of each device on it; which ones are there must be equal. */
void pci_bus_describe(struct pci_bus *bus, struct state *s);

#endif
