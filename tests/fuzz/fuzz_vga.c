/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VGA: what the guest does to its ports, its window, its BARs and its configuration space, and the picture
 * that becomes of it; then of registers that no port would take.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "machine/pci/bus.h"
#include "machine/vga/picture.h"
#include "machine/vga/vga.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct bus io, mmio;
static struct pci_bus pci;
static struct memory memory;
static struct memory_region region;
static struct vga *vga;
static const uint8_t *shared;
static struct vga_picture picture;
static uint8_t cells[VGA_TEXT_MAX][2];

static void set_up(void)
{
	static const uint8_t bytes[VGA_GLYPHS] = {0x55, 0xaa};
	const struct pci_owner owner = {.ctx = NULL};
	const struct vga_config config = {.region = &region,
		.pci = &pci,
		.io = &io,
		.mmio = &mmio,
		.memory = &memory,
		.rom = bytes,
		.rom_size = sizeof bytes,
		.glyphs = bytes};
	struct error err;
	int fd;

	bus_init(&io);
	bus_init(&mmio);
	if (memory_create(&memory, 2u << 20, 0, false, &err) || vga_memory_create(&region, &err) ||
		pci_bus_init(&pci, &io, &mmio, &owner, &err) || vga_create(&config, &vga, &err))
		abort();
	fd = vga_memory_reader(&region);
	shared = mmap(NULL, VGA_MEMORY + VGA_PAGE, PROT_READ, MAP_SHARED, fd, 0);
	picture.pixels = malloc(4 * VGA_PICTURE_MAX);
	if (shared == MAP_FAILED || !picture.pixels)
		abort();
	close(fd);
}

/* Small pictures for the most part, since large ones take as long as a hundred others. */
static void look(struct vga_registers *registers, bool small)
{
	unsigned lines, columns;

	if (small) {
		registers->crtc[CRTC_WIDTH] &= 15;
		registers->crtc[CRTC_HEIGHT] &= 63;
		registers->crtc[CRTC_OVERFLOW] &= ~0x42u;
		registers->vbe[VBE_WIDTH] &= 127;
		registers->vbe[VBE_HEIGHT] &= 63;
	}
	columns = vga_text(registers, shared, cells, &lines);
	vga_picture_draw(registers, shared, &picture);
	if (columns * lines > VGA_TEXT_MAX || picture.width * picture.height > VGA_PICTURE_MAX)
		abort();
}

static void one(const uint8_t data[4])
{
	unsigned size = 1u << (data[0] >> 3 & 3);
	uint32_t value = data[2] | data[3] << 8 | data[1] << 16;

	switch (data[0] & 7) {
	case 0:
		bus_write(&io, 0x3b0 + data[1] % 0x30, size, data[2] | data[3] << 8);
		break;
	case 1:
		bus_read(&io, 0x3b0 + data[1] % 0x30, size);
		break;
	case 2:
		bus_write(&io, 0x1ce, 2, data[1] % 16);
		bus_write(&io, 0x1cf, 2, data[2] | data[3] << 8);
		break;
	case 3:
		bus_write(&mmio, 0xa0000 + value % 0x20000, size, value * 0x01010101ull);
		break;
	case 4:
		bus_read(&mmio, 0xa0000 + value % 0x20000, size);
		break;
	case 5:
		bus_write(&io, 0xcf8, 4, 0x80000000u | vga_slot(vga) << 11 | (data[1] & 0xfc));
		bus_write(&io, 0xcfc, 4, (uint32_t)data[3] << 24 | data[2] << 8);
		vga_place(vga);
		break;
	case 6:
		bus_write(&mmio, (uint64_t)data[3] << 24 | value % 0x1000, size, value);
		break;
	case 7:
		bus_read(&mmio, (uint64_t)data[3] << 24 | value % 0x1000, size);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vga_registers copy;
	bool small = size % 64;

	if (!vga)
		set_up();
	pci_bus_reset(&pci);
	vga_place(vga);
	for (; size >= 4; data += 4, size -= 4)
		one(data);
	memcpy(&copy, shared + VGA_MEMORY, sizeof copy);
	look(&copy, small);
	memcpy((uint8_t *)&copy + sizeof copy - size, data, size);
	memset(copy.vbe, size ? data[0] : 0xff, sizeof copy.vbe);
	look(&copy, small);
	return 0;
}
