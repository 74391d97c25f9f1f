/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of a VGA decides what is seen: its registers by their indices (IBM PS/2 Hardware Interface Technical
 * Reference, 1990, "Video Subsystem"), and those of Bochs' VBE interface (Bochs, "VBE DISPI
 * extensions"). They are in memory that who shows the picture reads while the guest writes.
 *
 * Video memory has the four planes side by side: byte p of plane p at address a is number 4 * a + p.
 */
#ifndef DACH_MACHINE_VGA_REGISTERS_H
#define DACH_MACHINE_VGA_REGISTERS_H

#include <stdint.h>

#define VGA_MEMORY (16u << 20)
#define VGA_PAGE 4096u /* behind the memory, in the same file: struct vga_registers */

#define VGA_MISC_COLOUR 0x01u

enum { SEQ_CLOCKING = 1, SEQ_MAP_MASK, SEQ_FONT, SEQ_MEMORY, SEQ_COUNT = 8 };
#define SEQ_CLOCKING_8_DOTS 0x01u
#define SEQ_CLOCKING_HALF 0x08u
#define SEQ_MEMORY_LINEAR 0x04u /* bit 0 of an address is not the plane's */
#define SEQ_MEMORY_CHAIN_4 0x08u

enum {
	GRAPHICS_SET_RESET,
	GRAPHICS_ENABLE_SET_RESET,
	GRAPHICS_COMPARE,
	GRAPHICS_ROTATE,
	GRAPHICS_READ_MAP,
	GRAPHICS_MODE,
	GRAPHICS_MISC,
	GRAPHICS_DO_NOT_CARE,
	GRAPHICS_BIT_MASK,
	GRAPHICS_COUNT = 16,
};
#define GRAPHICS_MODE_COMPARE 0x08u
#define GRAPHICS_MISC_GRAPHICS 0x01u

enum {
	CRTC_WIDTH = 1,
	CRTC_OVERFLOW = 7,
	CRTC_SCAN = 9,
	CRTC_CURSOR_START,
	CRTC_CURSOR_END,
	CRTC_START_HIGH,
	CRTC_START_LOW,
	CRTC_CURSOR_HIGH,
	CRTC_CURSOR_LOW,
	CRTC_SYNC_END = 0x11,
	CRTC_HEIGHT = 0x12,
	CRTC_OFFSET = 0x13,
	CRTC_MODE = 0x17,
	CRTC_LINE_COMPARE = 0x18,
	CRTC_COUNT = 32,
};

enum {
	ATTRIBUTE_MODE = 0x10,
	ATTRIBUTE_PLANES = 0x12,
	ATTRIBUTE_COLOUR = 0x14,
	ATTRIBUTE_COUNT = 32
};

enum {
	VBE_ID,
	VBE_WIDTH,
	VBE_HEIGHT,
	VBE_BITS, /* a pixel */
	VBE_ENABLE,
	VBE_BANK, /* of 64 KiB, at 0xa0000 */
	VBE_VIRTUAL_WIDTH,
	VBE_VIRTUAL_HEIGHT,
	VBE_X,
	VBE_Y,
	VBE_MEMORY, /* in 64 KiB */
	VBE_COUNT,
};
#define VBE_ENABLED 0x01u
#define VBE_GET_CAPABILITIES 0x02u
#define VBE_8_BIT_DAC 0x20u
#define VBE_LINEAR 0x40u
#define VBE_NO_CLEAR 0x80u
#define VBE_WIDTH_MAX 2560u
#define VBE_HEIGHT_MAX 1600u

struct vga_registers {
	uint8_t misc;
	uint8_t palette_off; /* the attribute controller's palette is the processor's: the screen is blank */
	uint8_t dac_mask;
	uint8_t seq[SEQ_COUNT], graphics[GRAPHICS_COUNT], crtc[CRTC_COUNT],
		attribute[ATTRIBUTE_COUNT];
	uint8_t dac[256][3]; /* red, green, blue; 6 bits, or 8 if VBE_8_BIT_DAC */
	uint16_t vbe[VBE_COUNT];
};

_Static_assert(sizeof(struct vga_registers) <= VGA_PAGE, "more than its page");

#endif
