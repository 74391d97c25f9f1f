/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/vga/picture.h"

#include <stdbool.h>
#include <string.h>

#define ATTRIBUTE_LINE_GRAPHICS 0x04u
#define ATTRIBUTE_BLINK 0x08u
#define ATTRIBUTE_COLOUR_BITS 0x80u /* bits 4 and 5 are ATTRIBUTE_COLOUR's */
#define CURSOR_OFF 0x20u
#define CRTC_MODE_SCAN_1 \
	0x01u /* a line's number is no part of the address: bit 0 of it, bit 1 of it */
#define CRTC_MODE_SCAN_2 0x02u
#define CRTC_MODE_BYTES 0x40u
#define SCAN_DOUBLE 0x80u
#define SCAN_LINES 0x1fu

/* A register set, memory and where pixels go. */
struct drawing {
	const struct vga_registers *r;
	const uint8_t *memory;
	struct vga_picture *picture;
	uint32_t colour[256]; /* of the DAC */
	uint32_t sixteen[16]; /* by way of the attribute controller */
};

static uint8_t byte_at(const struct drawing *d, uint32_t at)
{
	return d->memory[at & (VGA_MEMORY - 1)];
}

static uint32_t dac_colour(const struct vga_registers *r, unsigned index)
{
	const uint8_t *c = r->dac[index & r->dac_mask];
	bool wide = (r->vbe[VBE_ENABLE] & (VBE_ENABLED | VBE_8_BIT_DAC)) ==
		(VBE_ENABLED | VBE_8_BIT_DAC);
	uint32_t colour = 0;

	for (unsigned i = 0; i < 3; i++)
		colour = colour << 8 | (wide ? c[i] : (c[i] & 63) << 2 | (c[i] & 63) >> 4);
	return colour;
}

static void find_colours(struct drawing *d)
{
	const uint8_t *attribute = d->r->attribute;
	uint8_t select = attribute[ATTRIBUTE_COLOUR];

	for (unsigned i = 0; i < 256; i++)
		d->colour[i] = dac_colour(d->r, i);
	for (unsigned i = 0; i < 16; i++) {
		uint8_t index = attribute[ATTRIBUTE_MODE] & ATTRIBUTE_COLOUR_BITS
			? (select & 15) << 4 | (attribute[i] & 15)
			: (select & 12) << 4 | (attribute[i] & 63);

		d->sixteen[i] = d->colour[index];
	}
}

/* The geometry that the CRT controller makes */

static unsigned shown_lines(const struct vga_registers *r)
{
	uint8_t overflow = r->crtc[CRTC_OVERFLOW];

	return (r->crtc[CRTC_HEIGHT] | (overflow & 2) << 7 | (overflow & 0x40) << 3) + 1;
}

static unsigned line_compare(const struct vga_registers *r)
{
	return r->crtc[CRTC_LINE_COMPARE] | (r->crtc[CRTC_OVERFLOW] & 0x10) << 4 |
		(r->crtc[CRTC_SCAN] & 0x40) << 3;
}

static uint32_t start_address(const struct vga_registers *r)
{
	return r->crtc[CRTC_START_HIGH] << 8 | r->crtc[CRTC_START_LOW];
}

/* Addresses of a plane from one row to the next. */
static uint32_t row_offset(const struct vga_registers *r)
{
	return 2 * r->crtc[CRTC_OFFSET];
}

/* Text */

static bool is_text(const struct vga_registers *r)
{
	return !(r->vbe[VBE_ENABLE] & VBE_ENABLED) &&
		!(r->graphics[GRAPHICS_MISC] & GRAPHICS_MISC_GRAPHICS);
}

struct text_shape {
	unsigned columns, lines, width, height; /* a character's */
};

static struct text_shape text_shape(const struct vga_registers *r)
{
	struct text_shape shape = {.columns = r->crtc[CRTC_WIDTH] + 1,
		.width = r->seq[SEQ_CLOCKING] & SEQ_CLOCKING_8_DOTS ? 8 : 9,
		.height = (r->crtc[CRTC_SCAN] & SCAN_LINES) + 1};

	shape.lines = shown_lines(r) / shape.height;
	shape.lines = shape.lines < 1 ? 1 : shape.lines < 256 ? shape.lines : 256;
	return shape;
}

unsigned vga_text(const struct vga_registers *r, const uint8_t *memory, uint8_t cells[][2],
	unsigned *lines)
{
	struct text_shape shape = text_shape(r);

	*lines = is_text(r) ? shape.lines : 0;
	for (unsigned y = 0; y < *lines; y++)
		for (unsigned x = 0; x < shape.columns; x++) {
			uint32_t at = 4 * (start_address(r) + y * row_offset(r) + x);

			cells[y * shape.columns + x][0] = memory[at & (VGA_MEMORY - 1)];
			cells[y * shape.columns + x][1] = memory[(at + 1) & (VGA_MEMORY - 1)];
		}
	return *lines ? shape.columns : 0;
}

static void draw_character(const struct drawing *d, const struct text_shape *shape, unsigned x,
	unsigned y, uint32_t cell)
{
	const struct vga_registers *r = d->r;
	uint8_t code = byte_at(d, 4 * cell), attribute = byte_at(d, 4 * cell + 1);
	uint8_t select = r->seq[SEQ_FONT];
	unsigned font = attribute & 8 ? (select >> 5 & 1) | (select >> 1 & 6)
				      : (select >> 4 & 1) | (select << 1 & 6);
	bool blink = r->attribute[ATTRIBUTE_MODE] & ATTRIBUTE_BLINK;
	bool joins = (r->attribute[ATTRIBUTE_MODE] & ATTRIBUTE_LINE_GRAPHICS) && code >= 0xc0 &&
		code <= 0xdf;
	uint32_t front = d->sixteen[attribute & 15];
	uint32_t back = d->sixteen[attribute >> 4 & (blink ? 7 : 15)];
	uint32_t *to = d->picture->pixels + (size_t)y * shape->height * d->picture->width +
		(size_t)x * shape->width;
	uint32_t at = cell & 0xffff;
	uint32_t cursor = r->crtc[CRTC_CURSOR_HIGH] << 8 | r->crtc[CRTC_CURSOR_LOW];
	bool has_cursor = at == cursor && !(r->crtc[CRTC_CURSOR_START] & CURSOR_OFF);

	for (unsigned line = 0; line < shape->height; line++, to += d->picture->width) {
		unsigned bits = byte_at(d, 4 * (font * 8192 + code * 32 + line) + 2) << 1;

		bits |= joins ? bits >> 1 & 1 : 0;
		if (has_cursor && line >= (r->crtc[CRTC_CURSOR_START] & SCAN_LINES) &&
			line <= (r->crtc[CRTC_CURSOR_END] & SCAN_LINES))
			bits = 0x1ff;
		for (unsigned i = 0; i < shape->width; i++)
			to[i] = bits >> (8 - i) & 1 ? front : back;
	}
}

static void draw_text(struct drawing *d)
{
	struct text_shape shape = text_shape(d->r);

	d->picture->width = shape.columns * shape.width;
	d->picture->height = shape.lines * shape.height;
	for (unsigned y = 0; y < shape.lines; y++)
		for (unsigned x = 0; x < shape.columns; x++)
			draw_character(d, &shape, x, y,
				start_address(d->r) + y * row_offset(d->r) + x);
}

/* Graphics */

/* Address in a plane at which line y of the screen begins. */
static uint32_t line_address(const struct vga_registers *r, unsigned y)
{
	uint8_t mode = r->crtc[CRTC_MODE];
	unsigned rows = (r->crtc[CRTC_SCAN] & SCAN_LINES) + 1;
	unsigned twice = r->crtc[CRTC_SCAN] & SCAN_DOUBLE ? 1 : 0, scan;
	uint32_t start = start_address(r), at, bit;

	if (y > line_compare(r)) {
		y -= line_compare(r) + 1;
		start = 0;
	}
	scan = y >> twice;
	at = start + scan / rows * row_offset(r);
	scan %= rows;
	bit = mode & CRTC_MODE_BYTES ? 0x2000 : 0x1000;
	if (!(mode & CRTC_MODE_SCAN_1))
		at = (at & ~bit) | (scan & 1 ? bit : 0);
	if (!(mode & CRTC_MODE_SCAN_2))
		at = (at & ~0x2000u) | (scan & 2 ? 0x2000 : 0);
	return at;
}

static unsigned planar_pixel(const struct drawing *d, uint32_t at, unsigned bit)
{
	unsigned pixel = 0;

	for (unsigned plane = 0; plane < 4; plane++)
		pixel |= (byte_at(d, 4 * at + plane) >> bit & 1u) << plane;
	return pixel & d->r->attribute[ATTRIBUTE_PLANES];
}

/* Eight pixels, of one bit in each plane. */
static void draw_planar(const struct drawing *d, uint32_t at, uint32_t *to, unsigned wide)
{
	for (unsigned i = 0; i < 8 * wide; i++)
		to[i] = d->sixteen[planar_pixel(d, at, 7 - i / wide)];
}

/* Eight pixels of two bits, the first four from planes 0 and 2, as a CGA has them. */
static void draw_four_colours(const struct drawing *d, uint32_t at, uint32_t *to, unsigned wide)
{
	for (unsigned i = 0; i < 8 * wide; i++) {
		unsigned n = i / wide, shift = 6 - n % 4 * 2;
		unsigned low = byte_at(d, 4 * at + n / 4) >> shift & 3;
		unsigned high = byte_at(d, 4 * at + 2 + n / 4) >> shift & 3;

		to[i] = d->sixteen[(low | high << 2) & d->r->attribute[ATTRIBUTE_PLANES]];
	}
}

/* Four pixels of a byte, each two wide. */
static void draw_bytes(const struct drawing *d, uint32_t at, uint32_t *to)
{
	for (unsigned i = 0; i < 8; i++)
		to[i] = d->colour[byte_at(d, 4 * at + i / 2)];
}

static void draw_graphics(struct drawing *d)
{
	const struct vga_registers *r = d->r;
	unsigned shift = r->graphics[GRAPHICS_MODE] >> 5 & 3;
	unsigned wide = r->seq[SEQ_CLOCKING] & SEQ_CLOCKING_HALF ? 2 : 1;
	unsigned groups = r->crtc[CRTC_WIDTH] + 1;
	uint32_t *to = d->picture->pixels;

	if (shift >= 2)
		wide = 1;
	d->picture->width = groups * 8 * wide;
	d->picture->height = shown_lines(r);
	for (unsigned y = 0; y < d->picture->height; y++) {
		uint32_t at = line_address(r, y);

		for (unsigned i = 0; i < groups; i++, at++, to += 8 * wide) {
			if (shift >= 2)
				draw_bytes(d, at, to);
			else if (shift)
				draw_four_colours(d, at, to, wide);
			else
				draw_planar(d, at, to, wide);
		}
	}
}

/* Linear frame buffers */

static uint32_t pixel_of(const struct drawing *d, uint32_t at, unsigned bits)
{
	uint32_t v = byte_at(d, at);

	if (bits == 8)
		return d->colour[v];
	v |= byte_at(d, at + 1) << 8;
	if (bits == 15)
		return (v & 0x7c00) << 9 | (v & 0x7000) << 4 | (v & 0x3e0) << 6 | (v & 0x380) << 1 |
			(v & 0x1f) << 3 | (v & 0x1c) >> 2;
	if (bits == 16)
		return (v & 0xf800) << 8 | (v & 0xe000) << 3 | (v & 0x7e0) << 5 | (v & 0x600) >> 1 |
			(v & 0x1f) << 3 | (v & 0x1c) >> 2;
	return v | byte_at(d, at + 2) << 16;
}

static void draw_line(const struct drawing *d, uint32_t at, unsigned bits, uint32_t *to)
{
	unsigned width = d->picture->width, step = (bits + 7) / 8;

	if (bits == 32 && at <= VGA_MEMORY - 4 * width && at % 4 == 0) {
		const uint32_t *from = (const uint32_t *)(const void *)(d->memory + at);

		for (unsigned x = 0; x < width; x++)
			to[x] = from[x] & 0xffffff;
		return;
	}
	for (unsigned x = 0; x < width; x++)
		to[x] = pixel_of(d, at + x * step, bits);
}

static void draw_linear(struct drawing *d)
{
	const uint16_t *vbe = d->r->vbe;
	unsigned bits = vbe[VBE_BITS];
	unsigned width = vbe[VBE_WIDTH] < VBE_WIDTH_MAX ? vbe[VBE_WIDTH] : VBE_WIDTH_MAX;
	unsigned height = vbe[VBE_HEIGHT] < VBE_HEIGHT_MAX ? vbe[VBE_HEIGHT] : VBE_HEIGHT_MAX;
	uint32_t *to = d->picture->pixels;

	d->picture->width = width;
	d->picture->height = height;
	for (unsigned y = 0; y < height; y++, to += width) {
		uint32_t line = vbe[VBE_Y] + y, virtual = vbe[VBE_VIRTUAL_WIDTH];

		if (bits == 4) {
			uint32_t at = line * (virtual / 8) + vbe[VBE_X] / 8;

			for (unsigned x = 0; x < width; x++)
				to[x] = d->sixteen[planar_pixel(d, at + x / 8, 7 - x % 8)];
			continue;
		}
		draw_line(d, ((line * virtual + vbe[VBE_X]) * ((bits + 7) / 8)) & (VGA_MEMORY - 1),
			bits, to);
	}
}

void vga_picture_draw(const struct vga_registers *registers, const uint8_t *memory,
	struct vga_picture *picture)
{
	struct drawing d = {.r = registers, .memory = memory, .picture = picture};

	find_colours(&d);
	if (registers->vbe[VBE_ENABLE] & VBE_ENABLED)
		draw_linear(&d);
	else if (is_text(registers))
		draw_text(&d);
	else
		draw_graphics(&d);
	if (registers->palette_off && !(registers->vbe[VBE_ENABLE] & VBE_ENABLED))
		memset(picture->pixels, 0,
			(size_t)picture->width * picture->height * sizeof *picture->pixels);
}
