/* SPDX-License-Identifier: Apache-2.0 */
#include "hostile.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA 0xcfc
#define WINDOW 0xe0000000u /* where we put BARs: within the machine's 32-bit window */

static uint32_t next = WINDOW;

uint32_t pci_read(unsigned device, unsigned offset)
{
	out32(CONFIG_ADDRESS, 0x80000000u | device << 11 | (offset & 0xfc));
	return in32(CONFIG_DATA);
}

void pci_write(unsigned device, unsigned offset, uint32_t value)
{
	out32(CONFIG_ADDRESS, 0x80000000u | device << 11 | (offset & 0xfc));
	out32(CONFIG_DATA, value);
}

/* Sizes the BARs and puts them where 32-bit code reaches them, 64-bit ones too. */
static void place_bars(struct function *f)
{
	pci_write(f->device, 4, 0);
	for (unsigned i = 0; i < 6; i++) {
		uint32_t old = pci_read(f->device, 0x10 + 4 * i), mask;

		pci_write(f->device, 0x10 + 4 * i, 0xffffffff);
		mask = pci_read(f->device, 0x10 + 4 * i);
		pci_write(f->device, 0x10 + 4 * i, old);
		if (!(mask & ~0xfu) || (mask & 1))
			continue;
		f->bar_size[i] = -(mask & ~0xfu);
		next = (next + f->bar_size[i] - 1) & -f->bar_size[i];
		f->bar[i] = next;
		next += f->bar_size[i] < 4096 ? 4096 : f->bar_size[i];
		pci_write(f->device, 0x10 + 4 * i, f->bar[i]);
		if ((mask & 6) == 4)
			pci_write(f->device, 0x10 + 4 * ++i, 0);
	}
	pci_write(f->device, 4, 6);
}

static void find_msix(struct function *f)
{
	unsigned at = pci_read(f->device, 0x34) & 0xfc;

	f->msix_bar = 6;
	for (unsigned n = 0; at && n < 48; n++) {
		uint32_t head = pci_read(f->device, at);

		if ((head & 0xff) == 0x11) {
			uint32_t table = pci_read(f->device, at + 4);

			f->msix_bar = table & 7;
			f->msix_offset = table & ~7u;
			f->msix_vectors = ((head >> 16) & 0x7ff) + 1;
			pci_write(f->device, at, head | 0x80000000u);
		}
		at = (head >> 8) & 0xfc;
	}
	if (f->msix_bar < 6 && !f->bar_size[f->msix_bar])
		f->msix_bar = 6;
}

unsigned pci_find(struct function *functions, unsigned max)
{
	unsigned count = 0;

	for (unsigned device = 0; device < 32 && count < max; device++) {
		uint32_t id = pci_read(device, 0);
		struct function *f = &functions[count];

		if (id == 0xffffffff)
			continue;
		f->device = device;
		f->vendor = id;
		f->id = id >> 16;
		place_bars(f);
		find_msix(f);
		count++;
	}
	return count;
}

/* Noise to configuration space, at every width; then all is put back. */
void pci_attack(struct function *functions, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		unsigned device = functions[i].device;
		uint32_t saved[64];

		for (unsigned k = 0; k < 64; k++)
			saved[k] = pci_read(device, 4 * k);
		for (unsigned n = 0; n < 3000; n++) {
			out32(CONFIG_ADDRESS, 0x80000000u | device << 11 | noise_below(256));
			switch (noise_below(6)) {
			case 0:
				out8(CONFIG_DATA + noise_below(4), noise_value());
				break;
			case 1:
				out16(CONFIG_DATA + noise_below(4), noise_value());
				break;
			case 2:
				out32(CONFIG_DATA + noise_below(4), noise_value());
				break;
			case 3:
				in32(CONFIG_DATA + noise_below(4));
				break;
			case 4:
				in8(CONFIG_DATA + noise_below(4));
				break;
			case 5:
				out32(CONFIG_ADDRESS, noise());
				in16(CONFIG_DATA);
				break;
			}
		}
		pci_write(device, 4, 0);
		for (unsigned k = 2; k < 64; k++)
			pci_write(device, 4 * k, saved[k]);
		pci_write(device, 4, saved[1]);
	}
}

/*
 * Entries that send interrupts of any kind to anybody, or to no processor at
 * all: half of them stay away from INIT and start-up, so that something is left
 * that goes on.
 */
void msix_attack(const struct function *f)
{
	uint32_t table = f->bar[f->msix_bar] + f->msix_offset;

	for (unsigned n = 0; n < 400; n++) {
		uint32_t entry = table + 16 * noise_below(f->msix_vectors + 2);

		switch (noise_below(5)) {
		case 0:
			poke(entry, 4, noise_below(2) ? 0xfee00000u | (noise() & 0xff00c) : noise_value());
			break;
		case 1:
			poke(entry + 4, 4, noise_below(4) ? 0 : noise_value());
			break;
		case 2:
			poke(entry + 8, 4, noise() & 0xf0ff); /* fixed delivery */
			break;
		case 3:
			poke(entry + 12, 4, noise_value());
			break;
		case 4:
			poke(entry + noise_below(16), 1u << noise_below(3), noise_value());
			break;
		}
	}
}

void bar_attack(const struct function *f)
{
	for (unsigned i = 0; i < 6; i++) {
		for (unsigned n = 0; f->bar_size[i] && n < 2000; n++) {
			uint32_t addr = f->bar[i] + noise_below(f->bar_size[i]);

			if (noise_below(2))
				poke(addr, 1u << noise_below(3), noise_value());
			else
				peek(addr, 1u << noise_below(3));
		}
	}
}
