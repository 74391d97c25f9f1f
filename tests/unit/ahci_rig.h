/* SPDX-License-Identifier: Apache-2.0 */
/* An AHCI controller with a disk, a CD, a disk that is read-only and an empty drive, and a driver's way to them. */
#ifndef DACH_TESTS_AHCI_RIG_H
#define DACH_TESTS_AHCI_RIG_H

#include "ata/ahci_internal.h"
#include "ide_rig.h"

#define AHCI_MEMORY 0x200000u
#define AHCI_BAR 0xf0000000u
#define AHCI_CONFIG 0x80000800u /* the first slot: it is alone */

struct ahci_world {
	struct memory memory;
	struct bus io, mmio;
	struct pci_bus pci;
	struct block_device *image[3];
	struct ahci *ahci;
	bool line;
	unsigned count; /* interrupts that went up */
};

static void ahci_world_intx(void *ctx, unsigned pin, bool level)
{
	struct ahci_world *w = ctx;

	w->count += level && !w->line;
	w->line = level;
}

/* Its registers answer at AHCI_BAR. */
static inline void ahci_world_map(struct ahci_world *w)
{
	bus_write(&w->io, 0xcf8, 4, AHCI_CONFIG + 0x24);
	bus_write(&w->io, 0xcfc, 4, AHCI_BAR);
	bus_write(&w->io, 0xcf8, 4, AHCI_CONFIG + 4);
	bus_write(&w->io, 0xcfc, 2, 6);
}

static inline void ahci_world_open(struct ahci_world *w)
{
	const struct pci_owner owner = {.ctx = w, .firmware = true, .intx = ahci_world_intx};

	memset(w, 0, sizeof *w);
	bus_init(&w->io);
	bus_init(&w->mmio);
	w->image[0] = ide_world_image("");
	w->image[1] = ide_world_image(",ro");
	w->image[2] = ide_world_image(",ro");
	if (memory_create(&w->memory, AHCI_MEMORY, 0, false, NULL) ||
		pci_bus_init(&w->pci, &w->io, &w->mmio, &owner, NULL) ||
		ahci_create(&w->pci, &w->memory,
			(struct ata_drive_config[AHCI_PORTS]){{w->image[0], false, "disk"},
				{w->image[1], true, "cd"}, {w->image[2], false, "fixed"},
				{NULL, true, "empty"}},
			&w->ahci, NULL))
		abort();
	ahci_world_map(w);
}

static inline void ahci_world_close(struct ahci_world *w)
{
	ahci_destroy(w->ahci);
	pci_bus_destroy(&w->pci);
	for (unsigned i = 0; i < 3; i++)
		block_close(w->image[i]);
	memory_destroy(&w->memory);
	bus_destroy(&w->io);
	bus_destroy(&w->mmio);
}

/* It has something to begin, or under way. */
static inline bool ahci_world_works(struct ahci_world *w)
{
	bool works = false;

	mutex_lock(&w->ahci->lock);
	for (unsigned i = 0; i < AHCI_PORTS; i++) {
		const struct ahci_port *a = &w->ahci->port[i];

		works |= a->port.active ||
			(a->port.drive[0].there && a->command & PORT_START && !a->stuck &&
				a->issue);
	}
	mutex_unlock(&w->ahci->lock);
	return works;
}

static inline void ahci_world_wait(struct ahci_world *w)
{
	do {
		w->ahci->pci.ops->quiesce(&w->ahci->pci, true);
		w->ahci->pci.ops->quiesce(&w->ahci->pci, false);
	} while (ahci_world_works(w));
}

#endif
