/* SPDX-License-Identifier: Apache-2.0 */
/* The VGA's own registers. */
#include <string.h>

#include "machine/vga/internal.h"

#define PORTS 0x3b0
#define CRTC_PROTECT 0x80u   /* registers 0 to 7, but for bit 4 of the last */
#define PALETTE_SCREEN 0x20u /* the palette is the screen's, not the processor's */
#define STATUS_BLANK 0x01u
#define STATUS_RETRACE 0x08u
#define SENSE 0x10u

enum {
	MONO_CRTC_INDEX = 0x3b4 - PORTS,
	MONO_CRTC_DATA = 0x3b5 - PORTS,
	MONO_STATUS = 0x3ba - PORTS,
	ATTRIBUTE = 0x3c0 - PORTS,
	ATTRIBUTE_READ = 0x3c1 - PORTS,
	MISC_WRITE = 0x3c2 - PORTS,
	SEQ_INDEX = 0x3c4 - PORTS,
	SEQ_DATA = 0x3c5 - PORTS,
	DAC_MASK = 0x3c6 - PORTS,
	DAC_READ = 0x3c7 - PORTS,
	DAC_WRITE = 0x3c8 - PORTS,
	DAC_DATA = 0x3c9 - PORTS,
	FEATURE_READ = 0x3ca - PORTS,
	MISC_READ = 0x3cc - PORTS,
	GRAPHICS_INDEX = 0x3ce - PORTS,
	GRAPHICS_DATA = 0x3cf - PORTS,
	CRTC_INDEX = 0x3d4 - PORTS,
	CRTC_DATA = 0x3d5 - PORTS,
	STATUS = 0x3da - PORTS,
};

/* The CRT controller is at one of two places. -1: at the other one. */
static int place_of(const struct vga *vga, unsigned offset) REQUIRES(vga->lock)
{
	bool colour = vga->r->misc & VGA_MISC_COLOUR;

	if (offset < ATTRIBUTE)
		return colour ? -1 : (int)(offset + CRTC_INDEX - MONO_CRTC_INDEX);
	if (offset >= CRTC_INDEX - 4)
		return colour ? (int)offset : -1;
	return offset;
}

static uint8_t read_dac(struct vga *vga) REQUIRES(vga->lock)
{
	uint8_t value = vga->r->dac[vga->dac_read][vga->dac_part];

	if (++vga->dac_part == 3) {
		vga->dac_part = 0;
		vga->dac_read++;
	}
	return value;
}

static void write_dac(struct vga *vga, uint8_t value) REQUIRES(vga->lock)
{
	bool wide = vga->r->vbe[VBE_ENABLE] & VBE_8_BIT_DAC;

	vga->r->dac[vga->dac_write][vga->dac_part] = wide ? value : value & 63;
	if (++vga->dac_part == 3) {
		vga->dac_part = 0;
		vga->dac_write++;
	}
}

/* Nothing is drawn on a screen: it is in its retrace whenever that is waited for. */
static uint8_t read_status(struct vga *vga) REQUIRES(vga->lock)
{
	vga->attribute_data = false;
	vga->status ^= STATUS_BLANK | STATUS_RETRACE;
	return vga->status;
}

uint8_t vga_port_read(struct vga *vga, unsigned offset)
{
	const struct vga_registers *r = vga->r;

	mutex_assert_held(&vga->lock);
	switch (place_of(vga, offset)) {
	case ATTRIBUTE:
		return vga->attribute_data
			? 0
			: vga->attribute_index | (r->palette_off ? 0 : PALETTE_SCREEN);
	case ATTRIBUTE_READ:
		return r->attribute[vga->attribute_index];
	case MISC_WRITE:
		return SENSE;
	case SEQ_INDEX:
		return vga->seq_index;
	case SEQ_DATA:
		return r->seq[vga->seq_index];
	case DAC_MASK:
		return r->dac_mask;
	case DAC_READ:
		return vga->dac_reads ? 3 : 0;
	case DAC_WRITE:
		return vga->dac_write;
	case DAC_DATA:
		return read_dac(vga);
	case FEATURE_READ:
		return vga->feature;
	case MISC_READ:
		return r->misc;
	case GRAPHICS_INDEX:
		return vga->graphics_index;
	case GRAPHICS_DATA:
		return r->graphics[vga->graphics_index];
	case CRTC_INDEX:
		return vga->crtc_index;
	case CRTC_DATA:
		return r->crtc[vga->crtc_index];
	case STATUS:
		return read_status(vga);
	}
	return 0xff;
}

static void write_attribute(struct vga *vga, uint8_t value) REQUIRES(vga->lock)
{
	static const uint8_t mask[ATTRIBUTE_COUNT] = {0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
		0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0xef, 0xff, 0x3f, 0x0f, 0x0f};

	if (vga->attribute_data) {
		vga->r->attribute[vga->attribute_index] = value & mask[vga->attribute_index];
	} else {
		vga->attribute_index = value % ATTRIBUTE_COUNT;
		vga->r->palette_off = !(value & PALETTE_SCREEN);
	}
	vga->attribute_data = !vga->attribute_data;
}

static void write_seq(struct vga *vga, uint8_t value) REQUIRES(vga->lock)
{
	static const uint8_t mask[SEQ_COUNT] = {0x03, 0x3d, 0x0f, 0x3f, 0x0e};

	vga->r->seq[vga->seq_index] = value & mask[vga->seq_index];
}

static void write_graphics(struct vga *vga, uint8_t value) REQUIRES(vga->lock)
{
	static const uint8_t mask[GRAPHICS_COUNT] = {0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f,
		0xff};

	vga->r->graphics[vga->graphics_index] = value & mask[vga->graphics_index];
}

static void write_crtc(struct vga *vga, uint8_t value) REQUIRES(vga->lock)
{
	uint8_t *crtc = vga->r->crtc, index = vga->crtc_index;

	if (index > CRTC_LINE_COMPARE)
		return;
	if (index <= CRTC_OVERFLOW && (crtc[CRTC_SYNC_END] & CRTC_PROTECT)) {
		if (index == CRTC_OVERFLOW)
			crtc[index] = (crtc[index] & ~0x10u) | (value & 0x10);
		return;
	}
	crtc[index] = value;
}

void vga_port_write(struct vga *vga, unsigned offset, uint8_t value)
{
	mutex_assert_held(&vga->lock);
	switch (place_of(vga, offset)) {
	case ATTRIBUTE:
		write_attribute(vga, value);
		break;
	case MISC_WRITE:
		vga->r->misc = value & ~0x10u;
		break;
	case SEQ_INDEX:
		vga->seq_index = value % SEQ_COUNT;
		break;
	case SEQ_DATA:
		write_seq(vga, value);
		break;
	case DAC_MASK:
		vga->r->dac_mask = value;
		break;
	case DAC_READ:
		vga->dac_read = value;
		vga->dac_part = 0;
		vga->dac_reads = true;
		break;
	case DAC_WRITE:
		vga->dac_write = value;
		vga->dac_part = 0;
		vga->dac_reads = false;
		break;
	case DAC_DATA:
		write_dac(vga, value);
		break;
	case GRAPHICS_INDEX:
		vga->graphics_index = value % GRAPHICS_COUNT;
		break;
	case GRAPHICS_DATA:
		write_graphics(vga, value);
		break;
	case CRTC_INDEX:
		vga->crtc_index = value % CRTC_COUNT;
		break;
	case CRTC_DATA:
		write_crtc(vga, value);
		break;
	case STATUS:
		vga->feature = value & 0x10;
		break;
	}
}

static uint64_t port_read(void *ctx, uint64_t offset, unsigned size)
{
	return vga_port_read(ctx, offset);
}

static void port_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	vga_port_write(ctx, offset, value);
}

const struct bus_ops vga_port_ops = {port_read, port_write, 1, false};

/* Mode 3 of a VGA BIOS (IBM PS/2 and PC BIOS Interface Technical Reference, "Interrupt 10h"). */
void vga_text_mode(struct vga *vga)
{
	static const uint8_t seq[] = {0x03, 0x00, 0x03, 0x00, 0x02};
	static const uint8_t graphics[] = {0, 0, 0, 0, 0, 0x10, 0x0e, 0x0f, 0xff};
	static const uint8_t crtc[] = {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f,
		0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3,
		0xff};
	static const uint8_t attribute[] = {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38,
		0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0x00, 0x0f, 0x08, 0x00};
	struct vga_registers *r = vga->r;

	mutex_assert_held(&vga->lock);
	memset(r, 0, sizeof *r);
	r->misc = 0x67;
	r->dac_mask = 0xff;
	memcpy(r->seq, seq, sizeof seq);
	memcpy(r->graphics, graphics, sizeof graphics);
	memcpy(r->crtc, crtc, sizeof crtc);
	memcpy(r->attribute, attribute, sizeof attribute);
	/* The 64 colours of an EGA: two bits for each of red, green and blue, the weaker ones in front. */
	for (unsigned i = 0; i < 64; i++)
		for (unsigned c = 0; c < 3; c++)
			r->dac[i][c] = (i >> (2 - c) & 1) * 42 + (i >> (5 - c) & 1) * 21;
	for (unsigned cell = 0; cell < 0x8000 / 2; cell++) {
		vga->memory[4 * cell] = ' ';
		vga->memory[4 * cell + 1] = 7;
	}
	for (unsigned glyph = 0; glyph < 256; glyph++)
		for (unsigned line = 0; line < 16; line++)
			vga->memory[4 * (32 * glyph + line) + 2] = vga->glyphs[16 * glyph + line];
}
