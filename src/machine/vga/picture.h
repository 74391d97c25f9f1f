/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a VGA shows, as a picture. The registers and the memory are the guest's, who may have put anything there:
 * every picture is within VGA_PICTURE_MAX and read from within the memory.
 *
 * The cursor and blinking text are shown as they are while they are seen.
 */
#ifndef DACH_MACHINE_VGA_PICTURE_H
#define DACH_MACHINE_VGA_PICTURE_H

#include "machine/vga/registers.h"

#define VGA_PICTURE_MAX \
	(4096u * 1024u) /* pixels: what the CRT controller can be told to show, or VBE's most */

_Static_assert(VBE_WIDTH_MAX *VBE_HEIGHT_MAX <= VGA_PICTURE_MAX, "no room");

struct vga_picture {
	unsigned width, height;
	uint32_t *pixels; /* 0xrrggbb, lines from the top without gaps */
};

/*
 * Registers are a copy that does not change meanwhile; memory is VGA_MEMORY bytes, pixels has room for VGA_PICTURE_MAX.
 */
void vga_picture_draw(const struct vga_registers *registers, const uint8_t *memory,
	struct vga_picture *picture);
/*
 * The text on the screen, or nothing if it shows graphics: each character's code and attribute as the
 * guest sees them at 0xb8000. Returns how many characters a line has; *lines so many lines; 0 of them are none.
 * cells has room for VGA_TEXT_MAX of them.
 */
#define VGA_TEXT_MAX (256 * 256)
unsigned vga_text(const struct vga_registers *registers, const uint8_t *memory, uint8_t cells[][2],
	unsigned *lines);

#endif
