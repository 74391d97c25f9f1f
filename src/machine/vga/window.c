/* SPDX-License-Identifier: Apache-2.0 */
/* The window below 1 MiB: four planes through one address, as registers say (IBM, "Graphics Controller"). */
#include "machine/vga/internal.h"

/* A byte in each of the four planes, from a bit each. */
static uint32_t spread(uint8_t planes)
{
	return (planes & 1) * 0xffu | (planes & 2) * 0x7f80u | (planes & 4) * 0x3fc000u |
		(planes & 8) * 0x1fe00000u;
}

static uint32_t planes_at(const struct vga *vga, uint32_t at)
{
	const uint8_t *from = vga->memory + (4 * at & (VGA_MEMORY - 1));

	return from[0] | from[1] << 8 | from[2] << 16 | (uint32_t)from[3] << 24;
}

static void put_planes(struct vga *vga, uint32_t at, uint32_t value, uint32_t mask)
{
	uint8_t *to = vga->memory + (4 * at & (VGA_MEMORY - 1));

	value = (value & mask) | (planes_at(vga, at) & ~mask);
	for (unsigned i = 0; i < 4; i++)
		to[i] = value >> (8 * i);
}

/* Where in a window of the size that is chosen; UINT32_MAX: outside of it. */
static uint32_t window_offset(const struct vga *vga, uint32_t offset) REQUIRES(vga->lock)
{
	if (vga->r->vbe[VBE_ENABLE] & VBE_ENABLED)
		return offset < 0x10000 ? offset : UINT32_MAX;
	switch (vga->r->graphics[GRAPHICS_MISC] >> 2 & 3) {
	case 0:
		return offset;
	case 1:
		return offset < 0x10000 ? offset : UINT32_MAX;
	case 2:
		return offset >= 0x10000 && offset < 0x18000 ? offset - 0x10000 : UINT32_MAX;
	default:
		return offset >= 0x18000 ? offset - 0x18000 : UINT32_MAX;
	}
}

/* Bytes of memory side by side: VBE's modes of 8 bits and more, and the VGA's own of 256 colours. */
static bool is_linear(const struct vga *vga) REQUIRES(vga->lock)
{
	const struct vga_registers *r = vga->r;

	if (r->vbe[VBE_ENABLE] & VBE_ENABLED)
		return r->vbe[VBE_BITS] > 4;
	return r->seq[SEQ_MEMORY] & SEQ_MEMORY_CHAIN_4;
}

static uint32_t bank(const struct vga *vga) REQUIRES(vga->lock)
{
	bool on = vga->r->vbe[VBE_ENABLE] & VBE_ENABLED;

	return on ? (uint32_t)vga->r->vbe[VBE_BANK] << 16 : 0;
}

static uint8_t window_read_byte(struct vga *vga, uint32_t offset) REQUIRES(vga->lock)
{
	const struct vga_registers *r = vga->r;
	const uint8_t *graphics = r->graphics;
	uint32_t at = window_offset(vga, offset), differs;

	if (at == UINT32_MAX)
		return 0xff;
	if (is_linear(vga))
		return vga->memory[(at + bank(vga)) & (VGA_MEMORY - 1)];
	if (graphics[GRAPHICS_MODE] & 0x10) /* even addresses are in planes 0 and 2 */
		return vga
			->memory[((at & ~1u) << 1 | (graphics[GRAPHICS_READ_MAP] & 2) | (at & 1)) &
				(VGA_MEMORY - 1)];
	at += bank(vga) / 4;
	vga->latch = planes_at(vga, at);
	if (!(graphics[GRAPHICS_MODE] & GRAPHICS_MODE_COMPARE))
		return vga->latch >> (8 * graphics[GRAPHICS_READ_MAP]);
	differs = (vga->latch ^ spread(graphics[GRAPHICS_COMPARE])) &
		spread(graphics[GRAPHICS_DO_NOT_CARE]);
	differs |= differs >> 16;
	return ~(differs | differs >> 8);
}

/* What the processor wrote and the latches become, before the bit mask. */
static uint32_t combine(const struct vga *vga, uint32_t value) REQUIRES(vga->lock)
{
	switch (vga->r->graphics[GRAPHICS_ROTATE] >> 3 & 3) {
	case 1:
		return value & vga->latch;
	case 2:
		return value | vga->latch;
	case 3:
		return value ^ vga->latch;
	}
	return value;
}

static uint32_t planar_value(const struct vga *vga, uint8_t byte, uint32_t *bits)
	REQUIRES(vga->lock)
{
	const uint8_t *graphics = vga->r->graphics;
	unsigned rotate = graphics[GRAPHICS_ROTATE] & 7;
	uint8_t turned = byte >> rotate | byte << (8 - rotate);
	uint32_t set = spread(graphics[GRAPHICS_SET_RESET]);
	uint32_t enable = spread(graphics[GRAPHICS_ENABLE_SET_RESET]);

	*bits = graphics[GRAPHICS_BIT_MASK] * 0x01010101u;
	switch (graphics[GRAPHICS_MODE] & 3) {
	case 0:
		return combine(vga, (turned * 0x01010101u & ~enable) | (set & enable));
	case 1:
		*bits = UINT32_MAX;
		return vga->latch;
	case 2:
		return combine(vga, spread(byte & 15));
	default:
		*bits &= turned * 0x01010101u;
		return combine(vga, set);
	}
}

static void window_write_byte(struct vga *vga, uint32_t offset, uint8_t byte) REQUIRES(vga->lock)
{
	const struct vga_registers *r = vga->r;
	uint8_t planes = r->seq[SEQ_MAP_MASK];
	uint32_t at = window_offset(vga, offset), bits, value;

	if (at == UINT32_MAX)
		return;
	if (is_linear(vga)) {
		if ((r->vbe[VBE_ENABLE] & VBE_ENABLED) || (planes >> (at & 3) & 1))
			vga->memory[(at + bank(vga)) & (VGA_MEMORY - 1)] = byte;
		return;
	}
	if (!(r->seq[SEQ_MEMORY] & SEQ_MEMORY_LINEAR)) {
		uint32_t to = (at & ~1u) << 1 | (at & 1);

		if (planes >> (at & 1) & 1)
			vga->memory[to & (VGA_MEMORY - 1)] = byte;
		if (planes >> (2 + (at & 1)) & 1)
			vga->memory[(to + 2) & (VGA_MEMORY - 1)] = byte;
		return;
	}
	value = planar_value(vga, byte, &bits);
	put_planes(vga, at + bank(vga) / 4, (value & bits) | (vga->latch & ~bits), spread(planes));
}

static uint64_t window_read(void *ctx, uint64_t offset, unsigned size)
{
	struct vga *vga = ctx;
	uint64_t value = 0;

	mutex_assert_held(&vga->lock);
	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)window_read_byte(vga, offset + i) << (8 * i);
	return value;
}

static void window_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct vga *vga = ctx;

	mutex_assert_held(&vga->lock);
	for (unsigned i = 0; i < size; i++)
		window_write_byte(vga, offset + i, value >> (8 * i));
}

const struct bus_ops vga_window_ops = {.read = window_read, .write = window_write};
