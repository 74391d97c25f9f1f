/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/firmware/cmos.h"

#include "machine/memory.h"

#define EQUIPMENT 0x14 /* a coprocessor */
#define BASE_KIB 0x15
#define EXTENDED_KIB 0x17   /* above 1 MiB */
#define EXTENDED_KIB_2 0x30 /* again */
#define ABOVE_16M 0x34      /* in 64 KiB */
#define ABOVE_4G 0x5b       /* in 64 KiB, three bytes */
#define BOOT_1 0x38         /* upper half: what is third; bit 0: no look for a floppy's signature */
#define BOOT_2 0x3d         /* halves: what is first, second */
#define FURTHER_CPUS 0x5f

#define KIB 1024ull
#define UNIT (64 * KIB)
#define MIB (1024 * KIB)

static void put(uint8_t *cmos, unsigned at, unsigned bytes, uint64_t value, uint64_t max)
{
	if (value > max)
		value = max;
	for (unsigned i = 0; i < bytes; i++)
		cmos[at + i] = value >> (8 * i);
}

static uint64_t beyond(uint64_t size, uint64_t start)
{
	return size > start ? size - start : 0;
}

static unsigned boot_number(char letter)
{
	switch (letter) {
	case 'c':
		return 2;
	case 'd':
		return 3;
	case 'n':
		return 4;
	default:
		return 0;
	}
}

/* Three half bytes, the first one lowest. */
static unsigned boot_order(const char *letters)
{
	unsigned order = 0;

	for (unsigned n = 0; *letters && n < 3; letters++)
		if (boot_number(*letters))
			order |= boot_number(*letters) << (4 * n++);
	return order;
}

void cmos_fill(const struct board *board, uint8_t cmos[128])
{
	const struct memory *mem = board->memory;
	uint64_t low;
	unsigned order;

	if (!board->firmware)
		return;
	low = memory_low_end(mem);
	order = boot_order(board->firmware->boot);
	cmos[EQUIPMENT] = 0x02;
	put(cmos, BASE_KIB, 2, 640, 640);
	put(cmos, EXTENDED_KIB, 2, beyond(low, MIB) / KIB, 0xffff);
	put(cmos, EXTENDED_KIB_2, 2, beyond(low, MIB) / KIB, 0xffff);
	put(cmos, ABOVE_16M, 2, beyond(low, 16 * MIB) / UNIT, 0xffff);
	put(cmos, ABOVE_4G, 3, (mem->size + mem->room - mem->low) / UNIT, 0xffffff);
	cmos[BOOT_1] = (order >> 8) << 4 | 1;
	cmos[BOOT_2] = order & 0xff;
	cmos[FURTHER_CPUS] = board->firmware->vcpus - 1;
}
