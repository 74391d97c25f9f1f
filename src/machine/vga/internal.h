/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the VGA. */
#ifndef DACH_MACHINE_VGA_INTERNAL_H
#define DACH_MACHINE_VGA_INTERNAL_H

#include "base/thread.h"
#include "machine/pci/device.h"
#include "machine/vga/registers.h"
#include "machine/vga/vga.h"

#define VGA_WINDOW 0xa0000u
#define VGA_WINDOW_SIZE 0x20000u

struct vga {
	struct pci_device pci;
	struct vga_config config;
	uint8_t *memory;
	uint8_t *rom;
	uint8_t glyphs[VGA_GLYPHS];
	uint64_t wanted; /* where the BAR is, or PCI_NO_ADDRESS; by the PCI bus's lock, or atomic */
	uint64_t placed; /* where guest memory has it, likewise; while no vCPU runs */

	struct mutex lock;       /* all that follows */
	struct vga_registers *r; /* in the page; read by others */
	uint8_t seq_index, graphics_index, crtc_index, attribute_index, feature, status;
	bool attribute_data; /* the next write to 0x3c0 is a value */
	uint8_t dac_read, dac_write, dac_part;
	bool dac_reads;
	uint16_t vbe_index;
	uint32_t latch;
};

/* ports.c; offsets from 0x3b0 */
extern const struct bus_ops vga_port_ops;
uint8_t vga_port_read(struct vga *vga, unsigned offset);
void vga_port_write(struct vga *vga, unsigned offset, uint8_t value);
/* As a BIOS leaves it. */
void vga_text_mode(struct vga *vga);

/* vbe.c: the two ports, and the registers in a BAR */
extern const struct bus_ops vga_vbe_ops, vga_mmio_ops;

/* window.c: the window below 1 MiB */
extern const struct bus_ops vga_window_ops;

#endif
