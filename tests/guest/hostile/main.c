/* SPDX-License-Identifier: Apache-2.0 */
#include "hostile.h"

#define FUNCTIONS 16
#define SERIAL 0x3f8
/* Ports that end or reset the guest get their noise last (machine/chipset/pm.h). */
#define PVPANIC 0x505
#define PM1_CONTROL 0x604
#define RESET 0xcf9
#define KEYBOARD 0x64
#define FAST_RESET 0x92

static uint64_t state = 0x853c49e6748fea9bull;

/* xorshift64* (Vigna, 2014) */
uint32_t noise(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (state * 0x2545f4914f6cdd1dull) >> 32;
}

uint32_t noise_below(uint32_t limit)
{
	return ((uint64_t)noise() * limit) >> 32;
}

uint32_t noise_value(void)
{
	switch (noise_below(6)) {
	case 0:
		return noise_below(16);
	case 1:
		return 1u << noise_below(32);
	case 2:
		return 0xffffffff;
	case 3:
		return -noise_below(16);
	case 4:
		return 0;
	default:
		return noise();
	}
}

static void put(char c)
{
	for (unsigned n = 0; n < 1000 && !(in8(SERIAL + 5) & 0x20); n++)
		;
	out8(SERIAL, c);
}

void say(const char *text)
{
	/* The port itself has seen noise: 8 bits, no divisor latch, no loop. */
	out8(SERIAL + 3, 3);
	out8(SERIAL + 4, 3);
	while (*text)
		put(*text++);
}

void say_number(uint32_t number)
{
	char text[11], *at = text + 10;

	*at = 0;
	do {
		*--at = '0' + number % 10;
		number /= 10;
	} while (number);
	say(at);
}

static void power_off(void)
{
	say("HOSTILE-DONE\n");
	for (unsigned n = 0; n < 100; n++) {
		out16(PM1_CONTROL, 0x2000 | 5 << 10);
		asm volatile("cli; pause");
	}
	out8(RESET, 6);
}

void hostile_exception(uint32_t vector)
{
	say("exception ");
	say_number(vector);
	say("\n");
	power_off();
}

/* "seed=N" of the command line. */
static void read_seed(const uint32_t *start_info)
{
	const char *c = (const char *)start_info[6];
	uint32_t seed = 0;

	while (c && *c && !(c[0] == 's' && c[1] == 'e' && c[4] == '='))
		c++;
	if (!c || !*c)
		return;
	for (c += 5; *c >= '0' && *c <= '9'; c++)
		seed = 10 * seed + (*c - '0');
	state ^= (uint64_t)seed << 32 | seed;
	for (unsigned n = 0; n < 16; n++)
		noise();
}

static void one_port(uint16_t port)
{
	switch (noise_below(6)) {
	case 0:
		out8(port, noise_value());
		break;
	case 1:
		out16(port, noise_value());
		break;
	case 2:
		out32(port, noise_value());
		break;
	case 3:
		in8(port);
		break;
	case 4:
		in16(port);
		break;
	case 5:
		in32(port);
		break;
	}
}

/* An access of up to four ports from there on touches one that ends the guest. */
static bool ends(uint16_t port)
{
	static const uint16_t ending[] = {PVPANIC, PM1_CONTROL, PM1_CONTROL + 1, RESET, KEYBOARD,
		FAST_RESET};

	for (unsigned i = 0; i < sizeof ending / sizeof *ending; i++)
		if ((uint16_t)(ending[i] - port) < 4)
			return true;
	return false;
}

static void port_attack(void)
{
	for (uint32_t port = 0; port < 0x10000; port++)
		if (!ends(port))
			one_port(port);
	/* Where devices are, more of it, in any order. */
	for (unsigned n = 0; n < 60000; n++) {
		uint16_t port = noise_below(0x1000);

		if (!ends(port))
			one_port(port);
	}
}

static void chip_attack(uint32_t base, uint32_t size, uint32_t spare)
{
	for (unsigned n = 0; n < 20000; n++) {
		uint32_t offset = noise_below(size);

		if (noise_below(3) == 0)
			peek(base + offset, 1u << noise_below(3));
		else if (!spare || (offset & ~0xfu) != spare)
			poke(base + offset, 1u << noise_below(3), noise_value());
	}
}

static void msr_attack(void)
{
	/* x2APIC and the paravirtual ones may be refused: that is #GP, so only reads of known ones. */
	static const uint32_t known[] = {0x10, 0x1b, 0x277, 0x2ff, 0xc0000080};

	for (unsigned i = 0; i < sizeof known / sizeof *known; i++) {
		uint32_t low, high;

		asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(known[i]));
	}
}

void hostile_main(const uint32_t *start_info)
{
	static struct function functions[FUNCTIONS];
	unsigned count;

	read_seed(start_info);
	say("HOSTILE-UP\n");
	count = pci_find(functions, FUNCTIONS);
	say("devices ");
	say_number(count);
	say("\nconfiguration space\n");
	pci_attack(functions, count);
	say("rings\n");
	for (unsigned i = 0; i < count; i++)
		if (functions[i].vendor == 0x1af4)
			virtio_attack(&functions[i]);
	say("MSI-X\n");
	for (unsigned round = 0; round < 4; round++)
		for (unsigned i = 0; i < count; i++) {
			if (functions[i].msix_bar < 6)
				msix_attack(&functions[i]);
			if (functions[i].vendor == 0x1af4)
				virtio_attack(&functions[i]);
		}
	say("BARs\n");
	for (unsigned i = 0; i < count; i++)
		bar_attack(&functions[i]);
	say("holes\n");
	for (unsigned n = 0; n < 20000; n++)
		poke(0xc0000000u + noise_below(0x20000000u), 1u << noise_below(3), noise());
	say("I/O APIC\n");
	chip_attack(0xfec00000u, 0x1000, 0);
	say("local APIC\n");
	chip_attack(0xfee00000u, 0x1000, 0x300); /* all but the interrupt command */
	msr_attack();
	say("ports\n");
	port_attack();
	say("ends\n");
	/* From here on the guest may go any moment, in any of its ways. */
	chip_attack(0xfee00000u, 0x1000, 0);
	for (unsigned n = 0; n < 2000; n++) {
		/* Anything but a reset, after which all this would begin again. */
		out8(RESET, noise_value() & ~4u);
		out8(KEYBOARD, noise_value() & 0x7f);
		out8(FAST_RESET, noise_value() & ~1u);
		out16(PM1_CONTROL - 4 + noise_below(8), noise_value());
		out8(PVPANIC, noise_below(64) ? 0 : noise_value());
	}
	power_off();
}
