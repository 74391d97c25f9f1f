/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver (virtio 1.2, 4.1.4) that gets as far as DRIVER_OK and then gives the
 * device rings full of nonsense.
 */
#include "hostile.h"

#define COMMON 1
#define NOTIFY 2
#define ISR 3
#define DEVICE 4
#define RING 0x10000u /* of the arena for each part of a ring */

struct regions {
	uint32_t at[5]; /* by capability type; 0: none */
	uint32_t length[5];
	uint32_t multiplier;
};

static void find_regions(const struct function *f, struct regions *regions)
{
	unsigned at = pci_read(f->device, 0x34) & 0xfc;

	*regions = (struct regions){.multiplier = 0};
	for (unsigned n = 0; at && n < 48; n++) {
		uint32_t head = pci_read(f->device, at), bar = pci_read(f->device, at + 4) & 0xff;
		unsigned type = head >> 24;

		if ((head & 0xff) == 9 && type >= 1 && type <= 4 && bar < 6 && f->bar_size[bar]) {
			regions->at[type] = f->bar[bar] + pci_read(f->device, at + 8);
			regions->length[type] = pci_read(f->device, at + 12);
			if (type == NOTIFY)
				regions->multiplier = pci_read(f->device, at + 16);
		}
		at = (head >> 8) & 0xfc;
	}
}

/* Where a buffer may be: mostly in the arena, else anywhere but on ourselves. */
static void buffer_address(uint32_t *low, uint32_t *high)
{
	*high = 0;
	switch (noise_below(8)) {
	case 0:
		*low = RAM_END - noise_below(64);
		break;
	case 1:
		*low = 0xc0000000u + noise_below(0x3fffffff);
		break;
	case 2:
		*low = noise();
		*high = noise() | 1;
		break;
	case 3:
		*low = *high = 0xffffffff;
		break;
	default:
		*low = ARENA + noise_below(ARENA_SIZE - 0x10000);
	}
}

static void fill_descriptors(uint32_t table, unsigned size)
{
	for (unsigned i = 0; i < size; i++) {
		uint32_t low, high, length;

		buffer_address(&low, &high);
		length = noise_below(4) ? noise_below(0x10000) : noise_value();
		poke(table + 16 * i, 4, low);
		poke(table + 16 * i + 4, 4, high);
		/* What a device may write to must not be us: long buffers lie far up. */
		if (length > 0x10000 && low < ARENA + ARENA_SIZE && !high)
			poke(table + 16 * i, 4, RAM_END - 16);
		poke(table + 16 * i + 8, 4, length);
		poke(table + 16 * i + 12, 2, noise_below(3) ? noise() & 7 : noise());
		poke(table + 16 * i + 14, 2, noise_below(8) ? noise_below(size) : noise());
	}
}

/* A few requests that begin like real ones, so that the device's own parser gets its share. */
static void plausible(uint32_t table, uint32_t buffer, unsigned size)
{
	for (unsigned i = 0; i + 2 < size; i += 3) {
		uint32_t header = buffer + 64 * i;

		poke(header, 4, noise_below(3) ? noise_below(16) : noise());
		poke(header + 4, 4, noise());
		poke(header + 8, 4, noise_below(2) ? noise_below(200000) : noise());
		poke(header + 12, 4, noise_below(4) ? 0 : noise());
		for (unsigned k = 0; k < 3; k++) {
			uint32_t d = table + 16 * (i + k);

			poke(d, 4,
				k == 0           ? header
					: k == 1 ? buffer + 0x8000 + noise_below(0x1000)
						 : header + 16);
			poke(d + 4, 4, 0);
			poke(d + 8, 4, k == 0 ? 16 : k == 1 ? noise_below(0x2000) : noise_below(3));
			poke(d + 12, 2, (k < 2) | (k == 2 || (k == 1 && noise_below(2)) ? 2 : 0));
			poke(d + 14, 2, i + k + 1);
		}
	}
}

static void set_queue(uint32_t common, unsigned queue, uint32_t base)
{
	unsigned size;

	poke(common + 22, 2, queue);
	size = peek(common + 24, 2);
	if (!noise_below(3))
		size = noise_below(3) ? 1u << noise_below(11) : noise_value();
	poke(common + 24, 2, size);
	poke(common + 26, 2, noise_below(4) ? noise_below(4) : 0xffff);
	for (unsigned part = 0; part < 3; part++) {
		uint32_t low = base + part * RING, high = 0;

		if (!noise_below(12))
			buffer_address(&low, &high);
		else if (!noise_below(12))
			low += noise_below(64);
		poke(common + 32 + 8 * part, 4, low);
		poke(common + 36 + 8 * part, 4, high);
	}
	poke(common + 28, 2, 1);
}

static void start_device(uint32_t common, uint32_t base)
{
	unsigned queues = peek(common + 18, 2);

	poke(common + 20, 1, 0);
	for (unsigned n = 0; n < 1000 && peek(common + 20, 1); n++)
		;
	poke(common + 20, 1, 3);
	for (unsigned word = 0; word < 2; word++) {
		uint32_t offered;

		poke(common + 0, 4, word);
		offered = peek(common + 4, 4);
		poke(common + 8, 4, word);
		poke(common + 12, 4, word || noise_below(2) ? offered : offered & noise());
	}
	poke(common + 20, 1, 11);
	poke(common + 16, 2, noise_below(2) ? 0 : 0xffff);
	for (unsigned queue = 0; queue < queues && queue < 4; queue++)
		set_queue(common, queue, base + queue * 4 * RING);
	poke(common + 20, 1, 15);
}

static void ring(const struct regions *regions, uint32_t base, unsigned queue, unsigned round)
{
	uint32_t table = base + queue * 4 * RING, avail = table + RING;
	unsigned size = 128, index = peek(avail + 2, 2);

	if (round & 1)
		plausible(table, table + 3 * RING, size);
	else
		fill_descriptors(table, size);
	for (unsigned i = 0; i < 16; i++)
		poke(avail + 4 + 2 * ((index + i) % size), 2,
			noise_below(8) ? 3 * noise_below(size / 3) : noise());
	poke(avail, 2, noise_below(4) ? 0 : noise());
	/* Mostly a few more, sometimes more than the ring holds. */
	poke(avail + 2, 2, noise_below(6) ? index + noise_below(16) : noise());
	poke(regions->at[NOTIFY] + regions->multiplier * noise_below(5), 2,
		noise_below(4) ? queue : noise());
}

/* Rounds of: start, rings of nonsense, noise to the registers while it runs. */
void virtio_attack(const struct function *f)
{
	struct regions regions;
	uint32_t base = ARENA + (f->device % 8) * 0x200000u;

	find_regions(f, &regions);
	if (!regions.at[COMMON] || !regions.at[NOTIFY])
		return;
	for (unsigned round = 0; round < 10; round++) {
		start_device(regions.at[COMMON], base);
		for (unsigned n = 0; n < 24; n++) {
			ring(&regions, base, noise_below(4), round + n);
			if (regions.at[DEVICE])
				poke(regions.at[DEVICE] + noise_below(64), 1u << noise_below(3),
					noise_value());
			if (regions.at[ISR])
				peek(regions.at[ISR], 1);
			if (!noise_below(16))
				poke(regions.at[COMMON] + noise_below(64), 1u << noise_below(3),
					noise_value());
			if (!noise_below(32))
				pci_write(f->device, 4, noise() & 0x406);
		}
		pci_write(f->device, 4, 6);
	}
	poke(regions.at[COMMON] + 20, 1, 0);
}
