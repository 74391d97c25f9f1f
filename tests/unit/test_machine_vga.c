/* SPDX-License-Identifier: Apache-2.0 */
/* The VGA: what a guest does to its registers and its memory, and the picture that becomes of it in each mode. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bytes.h"
#include "machine/pci/bus.h"
#include "machine/vga/picture.h"
#include "machine/vga/vga.h"

#define MIB 0x100000u
#define CONFIG(reg) (0x80000000u | vga_slot(rig->vga) << 11 | (reg))

struct rig {
	struct bus io, mmio;
	struct pci_bus pci;
	struct memory memory;
	struct memory_region region;
	struct vga *vga;
	const uint8_t *shared;
	unsigned moves;
	uint64_t bar;
	struct vga_picture picture;
};

static uint8_t glyphs[VGA_GLYPHS];

static void moved(void *ctx)
{
	((struct rig *)ctx)->moves++;
}

static int setup(void **state)
{
	static const uint8_t rom[3000] = {0x55, 0xaa};
	const struct pci_owner owner = {.ctx = NULL};
	struct rig *rig = calloc(1, sizeof *rig);
	struct vga_config config = {.region = &rig->region,
		.pci = &rig->pci,
		.io = &rig->io,
		.mmio = &rig->mmio,
		.memory = &rig->memory,
		.rom = rom,
		.rom_size = sizeof rom,
		.glyphs = glyphs,
		.moved = moved,
		.ctx = rig};
	struct error err = {0};
	int fd;

	memset(glyphs, 0, sizeof glyphs);
	memset(glyphs + 16 * 'A', 0x81, 16);
	memset(glyphs + 16 * 0xc4, 0x01, 16);
	bus_init(&rig->io);
	bus_init(&rig->mmio);
	assert_int_equal(memory_create(&rig->memory, 2 * MIB, 0, false, &err), 0);
	assert_int_equal(pci_bus_init(&rig->pci, &rig->io, &rig->mmio, &owner, &err), 0);
	assert_int_equal(vga_memory_create(&rig->region, &err), 0);
	assert_int_equal(vga_create(&config, &rig->vga, &err), 0);
	fd = vga_memory_reader(&rig->region);
	assert_true(fd >= 0);
	assert_true(
		mmap(NULL, VGA_MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
	rig->shared = mmap(NULL, VGA_MEMORY + VGA_PAGE, PROT_READ, MAP_SHARED, fd, 0);
	assert_true(rig->shared != MAP_FAILED);
	close(fd);
	rig->picture.pixels = calloc(VGA_PICTURE_MAX, 4);
	rig->bar = 0xc0000000;
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	munmap((void *)(uintptr_t)rig->shared, VGA_MEMORY + VGA_PAGE);
	vga_destroy(rig->vga);
	memory_region_destroy(&rig->region);
	pci_bus_destroy(&rig->pci);
	memory_destroy(&rig->memory);
	bus_destroy(&rig->mmio);
	bus_destroy(&rig->io);
	free(rig->picture.pixels);
	free(rig);
	return 0;
}

static uint8_t in(struct rig *rig, unsigned port)
{
	return bus_read(&rig->io, port, 1);
}

static void out(struct rig *rig, unsigned port, uint8_t value)
{
	bus_write(&rig->io, port, 1, value);
}

/* An index and its value, as drivers write them. */
static void set(struct rig *rig, unsigned port, uint8_t index, uint8_t value)
{
	bus_write(&rig->io, port, 2, index | value << 8);
}

static void set_attribute(struct rig *rig, uint8_t index, uint8_t value)
{
	in(rig, 0x3da);
	out(rig, 0x3c0, index);
	out(rig, 0x3c0, value);
	out(rig, 0x3c0, 0x20);
}

static void vbe(struct rig *rig, uint16_t index, uint16_t value)
{
	bus_write(&rig->io, 0x1ce, 2, index);
	bus_write(&rig->io, 0x1cf, 2, value);
}

static uint16_t vbe_get(struct rig *rig, uint16_t index)
{
	bus_write(&rig->io, 0x1ce, 2, index);
	return bus_read(&rig->io, 0x1cf, 2);
}

static void poke(struct rig *rig, uint32_t at, uint8_t value)
{
	bus_write(&rig->mmio, at, 1, value);
}

static uint8_t peek(struct rig *rig, uint32_t at)
{
	return bus_read(&rig->mmio, at, 1);
}

static void draw(struct rig *rig, unsigned width, unsigned height)
{
	struct vga_registers copy;

	memcpy(&copy, rig->shared + VGA_MEMORY, sizeof copy);
	vga_picture_draw(&copy, rig->shared, &rig->picture);
	assert_int_equal(rig->picture.width, width);
	assert_int_equal(rig->picture.height, height);
}

static uint32_t pixel(const struct rig *rig, unsigned x, unsigned y)
{
	return rig->picture.pixels[(size_t)y * rig->picture.width + x];
}

static void *frame_buffer(struct rig *rig)
{
	return memory_ptr(&rig->memory, rig->bar, VGA_MEMORY);
}

static void registers_are_kept(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(in(rig, 0x3cc), 0x67);
	set(rig, 0x3ce, 8, 0x5a);
	assert_int_equal(in(rig, 0x3cf), 0x5a);
	set(rig, 0x3d4, 0, 0x11); /* protected */
	assert_int_equal(in(rig, 0x3d5), 0x5f);
	set(rig, 0x3d4, 0x11, 0x0e);
	set(rig, 0x3d4, 0, 0x11);
	assert_int_equal(in(rig, 0x3d5), 0x11);
	assert_int_equal(in(rig, 0x3b5), 0xff); /* the other place */
	out(rig, 0x3c2, 0x66);
	assert_int_equal(in(rig, 0x3d5), 0xff);
	assert_int_equal(in(rig, 0x3b5), 0x11);
	out(rig, 0x3c2, 0x67);
	out(rig, 0x3c8, 7);
	for (unsigned i = 1; i <= 6; i++)
		out(rig, 0x3c9, 0xc0 | i);
	out(rig, 0x3c7, 7);
	for (unsigned i = 1; i <= 6; i++)
		assert_int_equal(in(rig, 0x3c9), i);
	in(rig, 0x3da);
	out(rig, 0x3c0, 0x10);
	out(rig, 0x3c0, 0x41);
	assert_int_equal(in(rig, 0x3c1), 0x41);
	assert_int_not_equal(in(rig, 0x3da) & 8, in(rig, 0x3da) & 8);
}

static void text_is_drawn(void **state)
{
	struct rig *rig = *state;
	static uint8_t cells[VGA_TEXT_MAX][2];
	unsigned lines, columns;

	draw(rig, 720, 400);
	assert_int_equal(pixel(rig, 100, 100), 0);
	poke(rig, 0xb8000 + 2 * 81, 'A');
	poke(rig, 0xb8000 + 2 * 81 + 1, 0x1e);
	poke(rig, 0xb8000 + 2 * 82, 0xc4);
	assert_int_equal(bus_read(&rig->mmio, 0xb8000 + 2 * 81, 4), 0x07c41e41);
	set(rig, 0x3d4, 0x0f, 3);
	draw(rig, 720, 400);
	assert_int_equal(pixel(rig, 9, 16), 0xffff55);
	assert_int_equal(pixel(rig, 10, 16), 0x0000aa);
	assert_int_equal(pixel(rig, 16, 31), 0xffff55);
	assert_int_equal(pixel(rig, 17, 31), 0x0000aa);
	assert_int_equal(pixel(rig, 24, 16), 0);
	assert_int_equal(pixel(rig, 25, 16), 0xaaaaaa);
	assert_int_equal(pixel(rig, 26, 16), 0xaaaaaa); /* a line goes on to its neighbour */
	assert_int_equal(pixel(rig, 27, 12), 0);
	assert_int_equal(pixel(rig, 27, 13), 0xaaaaaa); /* the cursor */
	assert_int_equal(pixel(rig, 27, 15), 0);
	columns = vga_text((const void *)(rig->shared + VGA_MEMORY), rig->shared, cells, &lines);
	assert_int_equal(columns, 80);
	assert_int_equal(lines, 25);
	assert_int_equal(cells[81][0], 'A');
	assert_int_equal(cells[81][1], 0x1e);
	/* Further down in memory, eight dots wide, without a cursor. */
	set(rig, 0x3d4, 0x0d, 80);
	set(rig, 0x3c4, 1, 1);
	set(rig, 0x3d4, 0x0a, 0x20);
	draw(rig, 640, 400);
	assert_int_equal(pixel(rig, 8, 0), 0xffff55);
	/* Blank while the processor has the palette. */
	in(rig, 0x3da);
	out(rig, 0x3c0, 0);
	draw(rig, 640, 400);
	assert_int_equal(pixel(rig, 8, 0), 0);
}

static void graphics(struct rig *rig)
{
	set(rig, 0x3c4, 2, 0x0f);
	set(rig, 0x3c4, 4, 6);
	set(rig, 0x3c4, 1, 1);
	set(rig, 0x3ce, 5, 0);
	set(rig, 0x3ce, 6, 5);
	set(rig, 0x3ce, 7, 0x0f);
	set(rig, 0x3d4, 0x11, 0);
	set(rig, 0x3d4, 0x07, 0x3e); /* line 480 */
	set(rig, 0x3d4, 0x12, 0xdf);
	set(rig, 0x3d4, 0x09, 0x40);
	set(rig, 0x3d4, 0x17, 0xe3);
}

static void planar_is_written_and_drawn(void **state)
{
	struct rig *rig = *state;

	graphics(rig);
	set_attribute(rig, 0x12, 0x0f);
	for (unsigned i = 0; i < 80 * 480; i++)
		poke(rig, 0xa0000 + i, 0);
	set(rig, 0x3c4, 2, 5);
	poke(rig, 0xa0000 + 80, 0x81);
	set(rig, 0x3c4, 2, 0x0f);
	/* Colour by set/reset, some bits alone. */
	set(rig, 0x3ce, 0, 0x0a);
	set(rig, 0x3ce, 1, 0x0f);
	set(rig, 0x3ce, 8, 0x40);
	peek(rig, 0xa0000 + 80);
	poke(rig, 0xa0000 + 80, 0xff);
	draw(rig, 640, 480);
	assert_int_equal(pixel(rig, 0, 1), 0xaa00aa); /* 5 */
	assert_int_equal(pixel(rig, 1, 1), 0x55ff55); /* 10 */
	assert_int_equal(pixel(rig, 2, 1), 0);
	assert_int_equal(pixel(rig, 7, 1), 0xaa00aa);
	assert_int_equal(pixel(rig, 0, 0), 0);
	/* Reads: a plane, and a comparison of colours. */
	set(rig, 0x3ce, 4, 1);
	assert_int_equal(peek(rig, 0xa0000 + 80), 0x40);
	set(rig, 0x3ce, 4, 0);
	assert_int_equal(peek(rig, 0xa0000 + 80), 0x81);
	set(rig, 0x3ce, 5, 8);
	set(rig, 0x3ce, 2, 5);
	assert_int_equal(peek(rig, 0xa0000 + 80), 0x81);
	set(rig, 0x3ce, 7, 0); /* no plane counts */
	assert_int_equal(peek(rig, 0xa0000 + 80), 0xff);
	/* Mode 1 copies, mode 2 has colours, mode 3 masks set/reset; then a function. */
	set(rig, 0x3ce, 8, 0xff);
	set(rig, 0x3ce, 5, 1);
	peek(rig, 0xa0000 + 80);
	poke(rig, 0xa0000 + 160, 0);
	set(rig, 0x3ce, 5, 2);
	set(rig, 0x3ce, 8, 0x10);
	peek(rig, 0xa0000 + 160);
	poke(rig, 0xa0000 + 160, 0x0c);
	set(rig, 0x3ce, 8, 0xff);
	set(rig, 0x3ce, 5, 3);
	peek(rig, 0xa0000 + 160);
	poke(rig, 0xa0000 + 160, 0x04);
	set(rig, 0x3ce, 5, 0);
	set(rig, 0x3ce, 1, 0);
	set(rig, 0x3ce, 3, 0x18); /* exclusive or */
	peek(rig, 0xa0000 + 160);
	poke(rig, 0xa0000 + 160, 0x01);
	draw(rig, 640, 480);
	assert_int_equal(pixel(rig, 0, 2), 0xaa00aa);
	assert_int_equal(pixel(rig, 1, 2), 0x55ff55);
	assert_int_equal(pixel(rig, 3, 2), 0xff5555); /* 12 */
	assert_int_equal(pixel(rig, 5, 2), 0x55ff55); /* 10 */
	assert_int_equal(pixel(rig, 7, 2), 0x55ff55); /* 5 ^ 15 */
	/* Below the line of comparison memory begins anew. */
	set(rig, 0x3d4, 0x18, 99);
	set(rig, 0x3d4, 0x07, 0x2e);
	set(rig, 0x3d4, 0x09, 0);
	draw(rig, 640, 480);
	assert_int_equal(pixel(rig, 0, 101), 0xaa00aa);
}

static void bytes_are_written_and_drawn(void **state)
{
	struct rig *rig = *state;

	memset(frame_buffer(rig), 0, VGA_MEMORY);

	graphics(rig);
	set(rig, 0x3c4, 4, 0x0e);
	set(rig, 0x3ce, 5, 0x40);
	set(rig, 0x3d4, 0x12, 0x8f);
	set(rig, 0x3d4, 0x07, 0x1f);
	set(rig, 0x3d4, 0x09, 0x41);
	set(rig, 0x3d4, 0x13, 40);
	out(rig, 0x3c8, 200);
	out(rig, 0x3c9, 63);
	out(rig, 0x3c9, 32);
	out(rig, 0x3c9, 1);
	bus_write(&rig->mmio, 0xa0000 + 320, 4, 0xc8000000);
	draw(rig, 640, 400);
	assert_int_equal(pixel(rig, 6, 2), 0xff8204);
	assert_int_equal(pixel(rig, 7, 3), 0xff8204);
	assert_int_equal(pixel(rig, 8, 2), 0);
	assert_int_equal(pixel(rig, 6, 4), 0);
	assert_int_equal(peek(rig, 0xa0000 + 323), 200);
	/* Unchained: four pages. */
	set(rig, 0x3c4, 4, 6);
	set(rig, 0x3c4, 2, 2);
	poke(rig, 0xa0000, 200);
	draw(rig, 640, 400);
	assert_int_equal(pixel(rig, 2, 0), 0xff8204);
	assert_int_equal(pixel(rig, 4, 0), 0);
}

/* As BIOS mode 4: lines in turns from two halves of memory. */
static void four_colours_are_drawn(void **state)
{
	static const uint32_t colours[4] = {0, 0xaa, 0xaa00, 0xaaaa};
	struct rig *rig = *state;

	set(rig, 0x3c4, 1, 9);
	set(rig, 0x3ce, 5, 0x30);
	set(rig, 0x3ce, 6, 0x0f);
	set(rig, 0x3d4, 0x11, 0);
	set(rig, 0x3d4, 0x01, 39);
	set(rig, 0x3d4, 0x09, 0xc1);
	set(rig, 0x3d4, 0x13, 20);
	set(rig, 0x3d4, 0x17, 0xa2);
	set_attribute(rig, 0x12, 3);
	for (unsigned i = 0; i < 0x4000; i++)
		poke(rig, 0xb8000 + i, 0);
	poke(rig, 0xb8000, 0x1b);
	poke(rig, 0xba000 + 1, 0xc0);
	draw(rig, 640, 400);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pixel(rig, 2 * i, 1), colours[i]);
	assert_int_equal(pixel(rig, 8, 2), 0x00aaaa);
	assert_int_equal(pixel(rig, 0, 2), 0);
	assert_int_equal(pixel(rig, 8, 4), 0);
}

static void vbe_mode(struct rig *rig, unsigned bits)
{
	vbe(rig, 4, 0);
	vbe(rig, 1, 640);
	vbe(rig, 2, 480);
	vbe(rig, 3, bits);
	vbe(rig, 4, 0x41);
}

static void linear_modes_are_drawn(void **state)
{
	struct rig *rig = *state;
	uint8_t *memory = frame_buffer(rig);

	assert_non_null(memory);
	assert_int_equal(vbe_get(rig, 0), 0xb0c5);
	vbe(rig, 4, 2);
	assert_int_equal(vbe_get(rig, 1), VBE_WIDTH_MAX);
	assert_int_equal(vbe_get(rig, 10), 256);
	vbe_mode(rig, 32);
	draw(rig, 640, 480);
	assert_int_equal(pixel(rig, 0, 0), 0);
	memcpy(memory + 4 * (640 * 479 + 639), "\x33\x22\x11\xff", 4);
	draw(rig, 640, 480);
	assert_int_equal(pixel(rig, 639, 479), 0x112233);
	vbe_mode(rig, 24);
	memcpy(memory + 3 * 641, "\x33\x22\x11", 3);
	draw(rig, 640, 480);
	assert_int_equal(pixel(rig, 1, 1), 0x112233);
	vbe_mode(rig, 16);
	memcpy(memory, "\x00\xf8\xe0\x07", 4);
	draw(rig, 640, 480);
	assert_int_equal(pixel(rig, 0, 0), 0xff0000);
	assert_int_equal(pixel(rig, 1, 0), 0x00ff00);
	vbe_mode(rig, 15);
	memcpy(memory, "\x00\x7c\xe0\x03", 4);
	draw(rig, 640, 480);
	assert_int_equal(pixel(rig, 0, 0), 0xff0000);
	assert_int_equal(pixel(rig, 1, 0), 0x00ff00);
	vbe_mode(rig, 8);
	memory[0x10000] = 4;
	vbe(rig, 5, 1); /* by the window, in banks */
	assert_int_equal(peek(rig, 0xa0000), 4);
	poke(rig, 0xa0001, 2);
	draw(rig, 640, 480);
	assert_int_equal(pixel(rig, 0x10000 % 640, 0x10000 / 640), 0xaa0000);
	assert_int_equal(pixel(rig, 0x10001 % 640, 0x10001 / 640), 0x00aa00);
	vbe_mode(rig, 4);
	memory[4 * 80] = 0x80;
	draw(rig, 640, 480);
	assert_int_equal(pixel(rig, 0, 1), 0x0000aa);
	/* Within a wider and higher one. */
	vbe_mode(rig, 32);
	vbe(rig, 6, 800);
	vbe(rig, 8, 100);
	vbe(rig, 9, 200);
	memcpy(memory + 4 * (800 * 201 + 102), "\x03\x02\x01", 3);
	draw(rig, 640, 480);
	assert_int_equal(pixel(rig, 2, 1), 0x010203);
}

static void modes_beyond_reason_are_none(void **state)
{
	struct rig *rig = *state;

	vbe(rig, 1, 0xffff);
	vbe(rig, 2, 0xffff);
	vbe(rig, 3, 77);
	vbe(rig, 4, 0x41);
	draw(rig, VBE_WIDTH_MAX, VBE_HEIGHT_MAX);
	vbe(rig, 8, 0xffff);
	vbe(rig, 9, 0xffff);
	vbe(rig, 6, 0xffff);
	draw(rig, VBE_WIDTH_MAX, VBE_HEIGHT_MAX);
	vbe(rig, 1, 0);
	vbe(rig, 2, 0);
	draw(rig, 8, 1);
	vbe(rig, 4, 0);
	graphics(rig);
	for (unsigned i = 0; i <= 0x18; i++)
		set(rig, 0x3d4, i, 0xff);
	for (unsigned i = 0; i < 9; i++)
		set(rig, 0x3ce, i, 0xff);
	set(rig, 0x3c4, 1, 0xff);
	set(rig, 0x3ce, 5, 0x1f);
	draw(rig, 4096, 1024);
	set(rig, 0x3ce, 6, 0);
	draw(rig, 256 * 8, 1024 / 32 * 32);
	bus_write(&rig->mmio, 0xbffff, 1, 1);
	set(rig, 0x3ce, 6, 0);
	poke(rig, 0xbffff, 1);
	peek(rig, 0xbffff);
}

static void frame_buffer_moves(void **state)
{
	struct rig *rig = *state;
	uint8_t *memory = frame_buffer(rig);

	memory[5] = 0x77;
	assert_int_equal(peek(rig, rig->bar + 5), 0x77); /* the device's own way to it */
	rig->moves = 0;
	bus_write(&rig->io, 0xcf8, 4, CONFIG(0x10));
	bus_write(&rig->io, 0xcfc, 4, UINT32_MAX);
	assert_int_equal(bus_read(&rig->io, 0xcfc, 4), 0xff000008);
	bus_write(&rig->io, 0xcfc, 4, 0xe0000000);
	assert_true(rig->moves);
	assert_int_equal(peek(rig, 0xe0000005), 0x77);
	assert_null(memory_ptr(&rig->memory, 0xe0000000, 1));
	vga_place(rig->vga);
	assert_null(frame_buffer(rig));
	rig->bar = 0xe0000000;
	assert_ptr_equal(frame_buffer(rig), memory);
	/* Low memory is not RAM where the window is, and is beside it. */
	assert_null(memory_ptr(&rig->memory, 0xa0000, 1));
	assert_null(memory_ptr(&rig->memory, 0xbffff, 1));
	assert_non_null(memory_ptr(&rig->memory, 0x9ffff, 1));
	assert_non_null(memory_ptr(&rig->memory, 0xc0000, 1));
}

static void registers_are_in_a_bar(void **state)
{
	struct rig *rig = *state;
	uint32_t bar;

	bus_write(&rig->io, 0xcf8, 4, CONFIG(0x18));
	bar = bus_read(&rig->io, 0xcfc, 4);
	assert_int_equal(bus_read(&rig->mmio, bar + 0x500, 2), 0xb0c5);
	bus_write(&rig->mmio, bar + 0x502, 2, 1024);
	assert_int_equal(vbe_get(rig, 1), 1024);
	bus_write(&rig->mmio, bar + 0x40e, 2, 0x1208);
	assert_int_equal(in(rig, 0x3cf), 0x12);
	assert_int_equal(bus_read(&rig->mmio, bar + 0x41f, 4), 0xff);
	bus_write(&rig->mmio, bar + 0x514, 4, UINT32_MAX);
	bus_write(&rig->mmio, bar + 0xffc, 4, UINT32_MAX);
	/* The ROM. */
	bus_write(&rig->io, 0xcf8, 4, CONFIG(0x30));
	bus_write(&rig->io, 0xcfc, 4, bus_read(&rig->io, 0xcfc, 4) | 1);
	bar = bus_read(&rig->io, 0xcfc, 4) & ~1u;
	assert_int_equal(bus_read(&rig->mmio, bar, 2), 0xaa55);
}

static int describe(struct rig *rig, struct bytes *bytes, bool load)
{
	struct error err = {0};
	struct state *s;
	int r;

	assert_int_equal(load ? state_load(BYTES_FROM(bytes), "test", &s, &err)
			      : state_save(BYTES_TO(bytes), "test", &s, &err),
		0);
	pci_bus_describe(&rig->pci, s);
	r = state_finish(s);
	state_destroy(s);
	return r;
}

static void all_is_saved(void **state)
{
	struct rig *rig = *state;
	struct bytes bytes = {0};
	uint8_t *memory = frame_buffer(rig);

	vbe_mode(rig, 32);
	memory[VGA_MEMORY - 1] = 0x55;
	memory[4 * 640] = 0xaa;
	assert_int_equal(describe(rig, &bytes, false), 0);
	assert_true(bytes.len < 4 * 0x10000);
	pci_bus_reset(&rig->pci);
	assert_int_equal(memory[VGA_MEMORY - 1], 0);
	draw(rig, 720, 400);
	assert_int_equal(describe(rig, &bytes, true), 0);
	assert_int_equal(memory[VGA_MEMORY - 1], 0x55);
	draw(rig, 640, 480);
	assert_int_equal(pixel(rig, 0, 1), 0xaa);
	free(bytes.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(registers_are_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(text_is_drawn, setup, teardown),
		cmocka_unit_test_setup_teardown(planar_is_written_and_drawn, setup, teardown),
		cmocka_unit_test_setup_teardown(bytes_are_written_and_drawn, setup, teardown),
		cmocka_unit_test_setup_teardown(four_colours_are_drawn, setup, teardown),
		cmocka_unit_test_setup_teardown(linear_modes_are_drawn, setup, teardown),
		cmocka_unit_test_setup_teardown(modes_beyond_reason_are_none, setup, teardown),
		cmocka_unit_test_setup_teardown(frame_buffer_moves, setup, teardown),
		cmocka_unit_test_setup_teardown(registers_are_in_a_bar, setup, teardown),
		cmocka_unit_test_setup_teardown(all_is_saved, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
