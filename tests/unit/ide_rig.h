/* SPDX-License-Identifier: Apache-2.0 */
/* An IDE controller with a disk and a CD, a disk that is read-only and an empty drive, and a driver's way to them. */
#ifndef DACH_TESTS_IDE_RIG_H
#define DACH_TESTS_IDE_RIG_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ata/ide_internal.h"
#include "block_rig.h"
#include "machine/pci/bus.h"

#define IDE_MEMORY 0x100000u
#define IDE_DISK (1u << 20)

struct ide_world {
	struct memory memory;
	struct bus io, mmio;
	struct pci_bus pci;
	struct pci_device isa;
	struct block_device *image[3];
	struct ide *ide;
	uint32_t irqs;
	unsigned count; /* interrupts that went up */
};

static void ide_world_irq(void *ctx, unsigned irq, bool level)
{
	struct ide_world *w = ctx;

	if (irq != 14 && irq != 15)
		abort();
	w->count += level;
	w->irqs = (w->irqs & ~(1u << irq)) | (uint32_t)level << irq;
}

/* Byte `at` of the images. */
static inline uint8_t ide_byte(uint32_t at)
{
	return at * 5 + (at >> 9) * 3 + 1;
}

static inline struct block_device *ide_world_image(const char *words)
{
	int fd = memfd_create("image", 0);
	uint8_t *bytes = malloc(IDE_DISK);
	struct block_device *image = NULL;
	char path[64];

	for (uint32_t i = 0; i < IDE_DISK; i++)
		bytes[i] = ide_byte(i);
	snprintf(path, sizeof path, "/proc/self/fd/%d%s", fd, words);
	if (!bytes || write(fd, bytes, IDE_DISK) != IDE_DISK || rig_block_open(path, &image, NULL))
		abort();
	free(bytes);
	close(fd);
	return image;
}

static inline void ide_world_open(struct ide_world *w)
{
	static const struct pci_ids isa = {.vendor = 0x8086, .device = 0x7000};
	const struct pci_owner owner = {.ctx = w, .firmware = true};
	const struct ide_owner ide = {w, ide_world_irq};

	memset(w, 0, sizeof *w);
	bus_init(&w->io);
	bus_init(&w->mmio);
	pci_device_init(&w->isa, "ISA bridge", &isa, NULL);
	w->image[0] = ide_world_image("");
	w->image[1] = ide_world_image(",ro");
	w->image[2] = ide_world_image(",ro");
	if (memory_create(&w->memory, IDE_MEMORY, 0, false, NULL) ||
		pci_bus_init(&w->pci, &w->io, &w->mmio, &owner, NULL) ||
		pci_bus_add(&w->pci, &w->isa, NULL) ||
		ide_create(&w->pci, &w->io, &w->memory, &ide,
			(struct ata_drive_config[IDE_DRIVES]){{w->image[0], false, "disk"},
				{w->image[1], true, "cd"}, {w->image[2], false, "fixed"},
				{NULL, true, "empty"}},
			&w->ide, NULL))
		abort();
	/* The bus master's registers at 0xc000. */
	bus_write(&w->io, 0xcf8, 4, 0x80000920);
	bus_write(&w->io, 0xcfc, 4, 0xc000);
	bus_write(&w->io, 0xcf8, 4, 0x80000904);
	bus_write(&w->io, 0xcfc, 2, 5);
}

static inline void ide_world_close(struct ide_world *w)
{
	ide_destroy(w->ide);
	pci_bus_remove(&w->isa, NULL);
	pci_device_destroy(&w->isa);
	pci_bus_destroy(&w->pci);
	for (unsigned i = 0; i < 3; i++)
		block_close(w->image[i]);
	memory_destroy(&w->memory);
	bus_destroy(&w->io);
	bus_destroy(&w->mmio);
}

/* Until no image has anything to do. */
static inline void ide_world_wait(struct ide_world *w)
{
	w->ide->pci.ops->quiesce(&w->ide->pci, true);
}

#endif
