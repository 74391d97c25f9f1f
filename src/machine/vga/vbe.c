/* SPDX-License-Identifier: Apache-2.0 */
/* Bochs' VBE interface, and the BAR that has all registers (QEMU docs/specs/standard-vga.rst). */
#include <string.h>

#include "machine/vga/internal.h"

#define ID_FIRST 0xb0c0u
#define ID_LAST 0xb0c5u

#define MMIO_PORTS 0x400u /* those from 0x3c0 on */
#define MMIO_PORTS_SIZE 0x20u
#define MMIO_VBE 0x500u
#define MMIO_EXTENSION 0x600u /* its size, and the order of bytes in pixels */
#define EXTENSION_SIZE 8u
#define ORDER_LITTLE 0x1e1e1e1eu

static unsigned bytes_of_line(unsigned width, unsigned bits)
{
	return bits == 4 ? width / 2 : width * ((bits + 7) / 8);
}

/* What is asked for becomes what there can be. */
static void fit(struct vga_registers *r)
{
	uint16_t *vbe = r->vbe;
	unsigned line;

	if (vbe[VBE_BITS] != 4 && vbe[VBE_BITS] != 8 && vbe[VBE_BITS] != 15 &&
		vbe[VBE_BITS] != 16 && vbe[VBE_BITS] != 24)
		vbe[VBE_BITS] = 32;
	vbe[VBE_WIDTH] = vbe[VBE_WIDTH] < VBE_WIDTH_MAX ? vbe[VBE_WIDTH] & ~7u : VBE_WIDTH_MAX;
	if (!vbe[VBE_WIDTH])
		vbe[VBE_WIDTH] = 8;
	if (vbe[VBE_VIRTUAL_WIDTH] < vbe[VBE_WIDTH])
		vbe[VBE_VIRTUAL_WIDTH] = vbe[VBE_WIDTH];
	vbe[VBE_VIRTUAL_WIDTH] &= ~7u;
	line = bytes_of_line(vbe[VBE_VIRTUAL_WIDTH], vbe[VBE_BITS]);
	if (line > VGA_MEMORY / VBE_HEIGHT_MAX) {
		vbe[VBE_VIRTUAL_WIDTH] = vbe[VBE_WIDTH];
		line = bytes_of_line(vbe[VBE_WIDTH], vbe[VBE_BITS]);
	}
	if (vbe[VBE_HEIGHT] > VBE_HEIGHT_MAX)
		vbe[VBE_HEIGHT] = VBE_HEIGHT_MAX;
	if (!vbe[VBE_HEIGHT])
		vbe[VBE_HEIGHT] = 1;
	vbe[VBE_VIRTUAL_HEIGHT] = VGA_MEMORY / line < UINT16_MAX ? VGA_MEMORY / line : UINT16_MAX;
	if (vbe[VBE_X] > vbe[VBE_VIRTUAL_WIDTH] - vbe[VBE_WIDTH])
		vbe[VBE_X] = vbe[VBE_VIRTUAL_WIDTH] - vbe[VBE_WIDTH];
	if (vbe[VBE_Y] + vbe[VBE_HEIGHT] > vbe[VBE_VIRTUAL_HEIGHT])
		vbe[VBE_Y] = vbe[VBE_VIRTUAL_HEIGHT] - vbe[VBE_HEIGHT];
}

static uint16_t read_capability(unsigned index)
{
	return index == VBE_WIDTH ? VBE_WIDTH_MAX : index == VBE_HEIGHT ? VBE_HEIGHT_MAX : 32;
}

static uint16_t vbe_read(struct vga *vga, unsigned index) REQUIRES(vga->lock)
{
	const uint16_t *vbe = vga->r->vbe;

	switch (index) {
	case VBE_ID:
		return vbe[VBE_ID] ? vbe[VBE_ID] : ID_LAST;
	case VBE_WIDTH:
	case VBE_HEIGHT:
	case VBE_BITS:
		if (vbe[VBE_ENABLE] & VBE_GET_CAPABILITIES)
			return read_capability(index);
		return vbe[index];
	case VBE_MEMORY:
		return VGA_MEMORY >> 16;
	}
	return index < VBE_COUNT ? vbe[index] : 0;
}

/* Video modes are for who switches them on, and then begin as wide as they are. */
static void write_enable(struct vga *vga, uint16_t value) REQUIRES(vga->lock)
{
	struct vga_registers *r = vga->r;
	bool was = r->vbe[VBE_ENABLE] & VBE_ENABLED;

	r->vbe[VBE_ENABLE] = value;
	r->vbe[VBE_BANK] = 0;
	if (!(value & VBE_ENABLED) || was)
		return;
	r->vbe[VBE_VIRTUAL_WIDTH] = r->vbe[VBE_X] = r->vbe[VBE_Y] = 0;
	fit(r);
	if (!(value & VBE_NO_CLEAR))
		memset(vga->memory, 0,
			(size_t)bytes_of_line(r->vbe[VBE_WIDTH], r->vbe[VBE_BITS]) *
				r->vbe[VBE_HEIGHT]);
}

static void vbe_write(struct vga *vga, unsigned index, uint16_t value) REQUIRES(vga->lock)
{
	struct vga_registers *r = vga->r;

	switch (index) {
	case VBE_ID:
		if (value >= ID_FIRST && value <= ID_LAST)
			r->vbe[VBE_ID] = value;
		return;
	case VBE_ENABLE:
		write_enable(vga, value);
		return;
	case VBE_BANK:
		r->vbe[VBE_BANK] = value % (VGA_MEMORY >> 16);
		return;
	case VBE_WIDTH:
	case VBE_HEIGHT:
	case VBE_BITS:
	case VBE_VIRTUAL_WIDTH:
	case VBE_X:
	case VBE_Y:
		r->vbe[index] = value;
		/* Before that they come one by one. */
		if (r->vbe[VBE_ENABLE] & VBE_ENABLED)
			fit(r);
	}
}

/* Three ports: the index, its value, and that once more where it is aligned. */
static uint64_t ports_read(void *ctx, uint64_t offset, unsigned size)
{
	struct vga *vga = ctx;

	mutex_assert_held(&vga->lock);
	return offset ? vbe_read(vga, vga->vbe_index) : vga->vbe_index;
}

static void ports_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct vga *vga = ctx;

	mutex_assert_held(&vga->lock);
	if (offset)
		vbe_write(vga, vga->vbe_index, value);
	else
		vga->vbe_index = value;
}

const struct bus_ops vga_vbe_ops = {ports_read, ports_write, 2, false};

static uint64_t mmio_read(void *ctx, uint64_t offset, unsigned size)
{
	struct vga *vga = ctx;

	mutex_assert_held(&vga->lock);
	if (offset >= MMIO_PORTS && offset + size <= MMIO_PORTS + MMIO_PORTS_SIZE) {
		uint64_t value = 0;

		for (unsigned i = 0; i < size; i++)
			value |= (uint64_t)vga_port_read(vga, 0x10 + offset - MMIO_PORTS + i)
				<< (8 * i);
		return value;
	}
	if (offset >= MMIO_VBE && offset + size <= MMIO_VBE + 2 * VBE_COUNT && size == 2)
		return vbe_read(vga, (offset - MMIO_VBE) / 2);
	if (offset == MMIO_EXTENSION && size == 4)
		return EXTENSION_SIZE;
	if (offset == MMIO_EXTENSION + 4 && size == 4)
		return ORDER_LITTLE;
	return 0;
}

static void mmio_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct vga *vga = ctx;

	mutex_assert_held(&vga->lock);
	if (offset >= MMIO_PORTS && offset + size <= MMIO_PORTS + MMIO_PORTS_SIZE)
		for (unsigned i = 0; i < size; i++)
			vga_port_write(vga, 0x10 + offset - MMIO_PORTS + i, value >> (8 * i));
	else if (offset >= MMIO_VBE && offset + size <= MMIO_VBE + 2 * VBE_COUNT && size == 2)
		vbe_write(vga, (offset - MMIO_VBE) / 2, value);
}

const struct bus_ops vga_mmio_ops = {mmio_read, mmio_write, 1 | 2 | 4, true};
