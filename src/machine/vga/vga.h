/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A standard VGA with Bochs' VBE interface, as a PCI device (1234:1111, as QEMU's "std": QEMU
 * docs/specs/standard-vga.rst): ports 0x3b0 to 0x3df, 0x1ce and 0x1cf; the window from 0xa0000
 * to 0xbffff, which is a device's and not memory; a linear frame buffer, which is guest memory; the
 * registers again in a BAR of 4 KiB; and a ROM.
 *
 * At first and after a reset it is as a BIOS leaves it, in 80 x 25 characters.
 */
#ifndef DACH_MACHINE_VGA_H
#define DACH_MACHINE_VGA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "machine/bus.h"
#include "machine/memory.h"

struct pci_bus;
struct vga;

#define VGA_GLYPHS (256 * 16) /* bytes of a font 16 lines high */

struct vga_config {
	/* Of vga_memory_create(); the caller's, and outlives the VGA. */
	const struct memory_region *region;
	struct pci_bus *pci;
	struct bus *io, *mmio;
	struct memory *memory;
	/* Whole ROM images of a VGA BIOS, copied; and glyphs for 80 x 25 characters. */
	const uint8_t *rom;
	size_t rom_size;
	const uint8_t *glyphs;
	/* The frame buffer lies elsewhere: vga_place() is to be called. Any thread, PCI's lock held. */
	void (*moved)(void *ctx);
	void *ctx;
};

/*
 * Video memory, and behind it struct vga_registers (registers.h), in a file; memory_region_destroy() is its end.
 * vga_memory_reader(): a descriptor for reading that file alone, which is the caller's; or a negative errno.
 */
int vga_memory_create(struct memory_region *region, struct error *err);
int vga_memory_reader(const struct memory_region *region);

/* Before memory_attach(): the window is taken out of RAM. */
int vga_create(const struct vga_config *config, struct vga **vga, struct error *err);
/* The guest does not run any more. NULL is allowed. */
void vga_destroy(struct vga *vga);
/*
 * Puts the frame buffer into guest memory where its BAR is. Until then accesses there are a
 * device's, and slow. No vCPU runs.
 */
void vga_place(struct vga *vga);
/* Where its PCI slot is. */
unsigned vga_slot(const struct vga *vga);

#endif
