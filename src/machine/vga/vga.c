/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/vga/vga.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "machine/pci/bus.h"
#include "machine/vga/internal.h"
#include "state/state.h"

#define BAR_MEMORY 0
#define BAR_MMIO 2
#define MMIO_SIZE 0x1000u
#define ROM_MIN 0x800u
#define BLOCK 0x10000u /* of video memory, in a saved state */

/* Video memory as a device's, wherever it is not guest memory. */
static uint64_t memory_bar_read(void *ctx, uint64_t offset, unsigned size)
{
	struct vga *vga = ctx;
	uint64_t value = 0;

	memcpy(&value, vga->memory + offset, size);
	return value;
}

static void memory_bar_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct vga *vga = ctx;

	memcpy(vga->memory + offset, &value, size);
}

static const struct bus_ops memory_bar_ops = {.read = memory_bar_read, .write = memory_bar_write};

static void bar_mapped(struct pci_device *dev, unsigned bar, uint64_t addr)
{
	struct vga *vga = container_of(dev, struct vga, pci);

	if (bar != BAR_MEMORY)
		return;
	__atomic_store_n(&vga->wanted, addr, __ATOMIC_SEQ_CST);
	/* Away and back again is how its size is asked for. */
	if (addr != PCI_NO_ADDRESS && addr != __atomic_load_n(&vga->placed, __ATOMIC_SEQ_CST) &&
		vga->config.moved)
		vga->config.moved(vga->config.ctx);
}

void vga_place(struct vga *vga)
{
	uint64_t wanted = __atomic_load_n(&vga->wanted, __ATOMIC_SEQ_CST);
	struct memory_region region = *vga->config.region;
	struct error ignored;

	if (wanted == vga->placed)
		return;
	if (vga->placed != PCI_NO_ADDRESS &&
		memory_remove(vga->config.memory, vga->placed, VGA_MEMORY, &ignored))
		return;
	__atomic_store_n(&vga->placed, PCI_NO_ADDRESS, __ATOMIC_SEQ_CST);
	region.gpa = wanted;
	region.size = VGA_MEMORY;
	region.apart = true;
	/* Where other memory is, the device's callbacks stay. */
	if (wanted != PCI_NO_ADDRESS && wanted % REGION_PAGE == 0 &&
		!memory_add(vga->config.memory, &region, &ignored))
		__atomic_store_n(&vga->placed, wanted, __ATOMIC_SEQ_CST);
}

static void reset_registers(struct vga *vga) REQUIRES(vga->lock)
{
	vga->seq_index = vga->graphics_index = vga->crtc_index = vga->attribute_index = 0;
	vga->feature = vga->status = 0;
	vga->attribute_data = vga->dac_reads = false;
	vga->dac_read = vga->dac_write = vga->dac_part = 0;
	vga->vbe_index = 0;
	vga->latch = 0;
	memset(vga->memory, 0, VGA_MEMORY);
	vga_text_mode(vga);
}

static void vga_reset(struct pci_device *dev)
{
	struct vga *vga = container_of(dev, struct vga, pci);

	mutex_lock(&vga->lock);
	reset_registers(vga);
	mutex_unlock(&vga->lock);
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
	return !bytes[0] && !memcmp(bytes, bytes + 1, len - 1);
}

static void describe_block(struct vga *vga, struct state *s, uint32_t block)
{
	const void *data = vga->memory + (size_t)block * BLOCK;
	size_t size = BLOCK;

	state_begin(s, "vga-memory", 0, 1);
	state_u32(s, "block", &block);
	state_blob(s, "bytes", &data, &size);
	state_require(s, block < VGA_MEMORY / BLOCK && size == BLOCK, "no video memory there");
	if (state_loading(s) && state_ok(s))
		memcpy(vga->memory + (size_t)block * BLOCK, data, BLOCK);
	state_end(s);
}

static void describe_memory(struct vga *vga, struct state *s)
{
	if (state_loading(s)) {
		memset(vga->memory, 0, VGA_MEMORY);
		while (state_next_is(s, "vga-memory"))
			describe_block(vga, s, 0);
		return;
	}
	for (uint32_t i = 0; i < VGA_MEMORY / BLOCK; i++)
		if (!is_zero(vga->memory + (size_t)i * BLOCK, BLOCK))
			describe_block(vga, s, i);
}

static void describe_registers(struct vga *vga, struct state *s) REQUIRES(vga->lock)
{
	struct vga_registers *r = vga->r;
	uint32_t vbe[VBE_COUNT];

	for (unsigned i = 0; i < VBE_COUNT; i++)
		vbe[i] = r->vbe[i];
	state_u8(s, "misc", &r->misc);
	state_u8(s, "palette_off", &r->palette_off);
	state_u8(s, "dac_mask", &r->dac_mask);
	state_bytes(s, "seq", r->seq, sizeof r->seq);
	state_bytes(s, "graphics", r->graphics, sizeof r->graphics);
	state_bytes(s, "crtc", r->crtc, sizeof r->crtc);
	state_bytes(s, "attribute", r->attribute, sizeof r->attribute);
	state_bytes(s, "dac", r->dac, sizeof r->dac);
	state_u32s(s, "vbe", vbe, VBE_COUNT);
	for (unsigned i = 0; i < VBE_COUNT; i++)
		r->vbe[i] = vbe[i];
	r->graphics[GRAPHICS_READ_MAP] &= 3;
	r->vbe[VBE_BANK] %= VGA_MEMORY >> 16;
}

static void vga_describe(struct pci_device *dev, struct state *s)
{
	struct vga *vga = container_of(dev, struct vga, pci);

	mutex_lock(&vga->lock);
	state_begin(s, "vga", 0, 1);
	describe_registers(vga, s);
	state_u8(s, "seq_index", &vga->seq_index);
	state_u8(s, "graphics_index", &vga->graphics_index);
	state_u8(s, "crtc_index", &vga->crtc_index);
	state_u8(s, "attribute_index", &vga->attribute_index);
	state_u8(s, "feature", &vga->feature);
	state_u8(s, "status", &vga->status);
	state_bool(s, "attribute_data", &vga->attribute_data);
	state_u8(s, "dac_read", &vga->dac_read);
	state_u8(s, "dac_write", &vga->dac_write);
	state_u8(s, "dac_part", &vga->dac_part);
	state_bool(s, "dac_reads", &vga->dac_reads);
	state_u16(s, "vbe_index", &vga->vbe_index);
	state_u32(s, "latch", &vga->latch);
	state_require(s,
		vga->seq_index < SEQ_COUNT && vga->graphics_index < GRAPHICS_COUNT &&
			vga->crtc_index < CRTC_COUNT && vga->attribute_index < ATTRIBUTE_COUNT &&
			vga->dac_part < 3,
		"a register beyond the last");
	state_end(s);
	describe_memory(vga, s);
	mutex_unlock(&vga->lock);
}

static const struct pci_device_ops pci_ops = {.bar_mapped = bar_mapped,
	.reset = vga_reset,
	.describe = vga_describe};

static int add_rom(struct vga *vga, struct error *err)
{
	size_t size = ROM_MIN;

	while (size < vga->config.rom_size)
		size *= 2;
	vga->rom = calloc(1, size);
	if (!vga->rom)
		return error_set(err, ENOMEM, "no memory for the VGA BIOS");
	memcpy(vga->rom, vga->config.rom, vga->config.rom_size);
	return pci_add_rom(&vga->pci, vga->rom, size)
		? error_set(err, EINVAL, "the VGA BIOS has %zu bytes", vga->config.rom_size)
		: 0;
}

static int make_pci(struct vga *vga, struct error *err)
{
	static const struct pci_ids ids = {.vendor = 0x1234,
		.device = 0x1111,
		.subsystem_vendor = 0x1af4,
		.subsystem = 0x1100,
		.class_code = 0x030000,
		.revision = 2};
	int r;

	pci_device_init(&vga->pci, "VGA", &ids, &pci_ops);
	/* Its ports and its window are where every VGA has them. */
	vga->pci.wmask[PCI_COMMAND] |= PCI_COMMAND_IO;
	vga->pci.config[PCI_COMMAND] |= PCI_COMMAND_IO;
	r = pci_add_bar(&vga->pci, BAR_MEMORY, VGA_MEMORY, PCI_BAR_PREFETCH, &memory_bar_ops, vga,
		NULL);
	if (!r)
		r = pci_add_bar(&vga->pci, BAR_MMIO, MMIO_SIZE, 0, &vga_mmio_ops, vga, &vga->lock);
	if (r)
		return error_set(err, -r, "the VGA has no room for its registers");
	r = vga->config.rom_size ? add_rom(vga, err) : 0;
	return r ? r : pci_bus_add(vga->config.pci, &vga->pci, err);
}

static int take_places(struct vga *vga, struct error *err)
{
	struct bus *io = vga->config.io;
	int r = bus_map(io, 0x3b0, 0x30, &vga_port_ops, vga, &vga->lock);

	if (!r)
		r = bus_map(io, 0x1ce, 4, &vga_vbe_ops, vga, &vga->lock);
	if (!r)
		r = bus_map(vga->config.mmio, VGA_WINDOW, VGA_WINDOW_SIZE, &vga_window_ops, vga,
			&vga->lock);
	if (r)
		return error_set(err, -r, "the VGA: its addresses are another device's");
	return memory_remove(vga->config.memory, VGA_WINDOW, VGA_WINDOW_SIZE, err);
}

int vga_create(const struct vga_config *config, struct vga **out, struct error *err)
{
	struct vga *vga = calloc(1, sizeof *vga);
	int r;

	*out = NULL;
	if (!vga)
		return error_set(err, ENOMEM, "out of memory");
	mutex_init(&vga->lock);
	vga->config = *config;
	vga->wanted = vga->placed = PCI_NO_ADDRESS;
	memcpy(vga->glyphs, config->glyphs, sizeof vga->glyphs);
	vga->memory = config->region->host;
	vga->r = (struct vga_registers *)(void *)(vga->memory + VGA_MEMORY);
	vga_reset(&vga->pci);
	r = make_pci(vga, err);
	if (!r)
		r = take_places(vga, err);
	if (r) {
		vga_destroy(vga);
		return r;
	}
	vga_place(vga);
	*out = vga;
	return 0;
}

void vga_destroy(struct vga *vga)
{
	struct error ignored;

	if (!vga)
		return;
	bus_unmap(vga->config.mmio, VGA_WINDOW, vga);
	bus_unmap(vga->config.io, 0x1ce, vga);
	bus_unmap(vga->config.io, 0x3b0, vga);
	if (vga->pci.bus)
		pci_bus_remove(&vga->pci, &ignored);
	if (vga->placed != PCI_NO_ADDRESS)
		memory_remove(vga->config.memory, vga->placed, VGA_MEMORY, &ignored);
	pci_device_destroy(&vga->pci);
	mutex_destroy(&vga->lock);
	free(vga->rom);
	free(vga);
}

unsigned vga_slot(const struct vga *vga)
{
	return vga->pci.slot;
}

int vga_memory_create(struct memory_region *region, struct error *err)
{
	return memory_region_create(region, 0, VGA_MEMORY + VGA_PAGE, err);
}

int vga_memory_reader(const struct memory_region *region)
{
	char path[32];
	int fd;

	snprintf(path, sizeof path, "/proc/self/fd/%d", region->fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}
