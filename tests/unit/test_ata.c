/* SPDX-License-Identifier: Apache-2.0 */
/* IDE: disks and CD drives by the data port and by the bus master; what a driver may get wrong; saved states. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bytes.h"
#include "ide_rig.h"

#define BM 0xc000u
#define TABLE 0x1000u
#define DATA 0x8000u

static struct ide_world world;
static atomic_uint flushes;

/* In libc's place: how often the images have been made stable. */
int fdatasync(int fd)
{
	(void)fd;
	flushes++;
	return 0;
}

static int set_up(void **state)
{
	ide_world_open(&world);
	return 0;
}

static int tear_down(void **state)
{
	ide_world_close(&world);
	return 0;
}

static unsigned base(unsigned drive)
{
	return drive / 2 ? 0x170 : 0x1f0;
}

static void out(unsigned drive, unsigned reg, uint8_t value)
{
	bus_write(&world.io, base(drive) + reg, 1, value);
}

static uint8_t in(unsigned drive, unsigned reg)
{
	return bus_read(&world.io, base(drive) + reg, 1);
}

/* A command with a 28-bit address; the status when nothing is under way any more. */
static uint8_t order(unsigned drive, uint8_t command, uint32_t lba, uint8_t count)
{
	out(drive, 6, 0xe0 | drive % 2 << 4 | (lba >> 24 & 15));
	out(drive, 2, count);
	out(drive, 3, lba);
	out(drive, 4, lba >> 8);
	out(drive, 5, lba >> 16);
	out(drive, 7, command);
	ide_world_wait(&world);
	return bus_read(&world.io, base(drive) + 0x206, 1);
}

static void read_words(unsigned drive, void *to, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i += 2) {
		uint16_t word = bus_read(&world.io, base(drive), 2);

		memcpy((uint8_t *)to + i, &word, 2);
		ide_world_wait(&world);
	}
}

static void write_words(unsigned drive, const void *from, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i += 2) {
		uint16_t word;

		memcpy(&word, (const uint8_t *)from + i, 2);
		bus_write(&world.io, base(drive), 2, word);
		ide_world_wait(&world);
	}
}

static void check_bytes(const uint8_t *bytes, uint32_t at, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(bytes[i], ide_byte(at + i));
}

static void identities(void **state)
{
	uint16_t w[256];

	assert_int_equal(in(0, 4) | in(0, 5), 0);
	assert_int_equal(order(0, 0xec, 0, 0), 0x58);
	read_words(0, w, sizeof w);
	assert_int_equal(in(0, 7), 0x50);
	assert_int_equal(w[60], IDE_DISK / 512);
	assert_int_equal(w[100], IDE_DISK / 512);
	assert_memory_equal((char *)w + 20, "idks", 4);
	/* A CD drive says that it is none of those, then who it is. */
	assert_int_equal(order(1, 0xec, 0, 0), 0x51);
	assert_int_equal(in(1, 4) | in(1, 5) << 8, 0xeb14);
	assert_int_equal(order(1, 0xa1, 0, 0), 0x58);
	read_words(1, w, sizeof w);
	assert_int_equal(w[0], 0x85c0);
}

static void by_port(void **state)
{
	static uint8_t bytes[512 * 300];

	world.count = 0;
	assert_int_equal(order(0, 0x20, 7, 3), 0x58);
	read_words(0, bytes, 3 * 512);
	check_bytes(bytes, 7 * 512, 3 * 512);
	assert_int_equal(world.count, 1); /* nobody has read the status between them */
	assert_int_equal(in(0, 7), 0x50);
	assert_int_equal(world.irqs, 0);
	/* A count of 0 is 256, more than the buffer at once with 48 bits. */
	assert_int_equal(order(0, 0x20, 1, 0), 0x58);
	read_words(0, bytes, 256 * 512);
	check_bytes(bytes, 512, 256 * 512);
	out(0, 2, 1);
	out(0, 3, 0);
	out(0, 4, 0);
	out(0, 5, 0);
	assert_int_equal(order(0, 0x24, 2, 300 - 256), 0x58);
	read_words(0, bytes, 300 * 512);
	check_bytes(bytes, 1024, 300 * 512);
	assert_int_equal(in(0, 7), 0x50);
	/* Written, and read by blocks of several sectors. */
	memset(bytes, 0xa5, sizeof bytes);
	assert_int_equal(order(0, 0x30, 100, 2), 0x58);
	write_words(0, bytes, 1024);
	assert_int_equal(in(0, 7), 0x50);
	assert_int_equal(order(0, 0xe7, 0, 0), 0x50);
	assert_int_equal(order(0, 0xc4, 99, 4), 0x51);
	assert_int_equal(order(0, 0xc6, 0, 8), 0x50);
	assert_int_equal(order(0, 0xc4, 99, 4), 0x58);
	read_words(0, bytes, 2048);
	check_bytes(bytes, 99 * 512, 512);
	assert_int_equal(bytes[512], 0xa5);
	assert_int_equal(bytes[1535], 0xa5);
	check_bytes(bytes + 1536, 102 * 512, 512);
	/* By cylinder, head and sector: 0/1/1 is sector 63. */
	out(0, 6, 0xa1);
	out(0, 2, 1);
	out(0, 3, 1);
	out(0, 4, 0);
	out(0, 5, 0);
	out(0, 7, 0x20);
	ide_world_wait(&world);
	read_words(0, bytes, 512);
	check_bytes(bytes, 63 * 512, 512);
}

static void prd(unsigned n, uint32_t address, uint32_t size, bool last)
{
	const uint32_t entry[2] = {address, (size & 0xffff) | (uint32_t)last << 31};

	memory_write(&world.memory, TABLE + 8 * n, entry, sizeof entry);
}

/* The status of the bus master at the end. */
static uint8_t master(unsigned drive, bool to_memory)
{
	unsigned at = BM + 8 * (drive / 2);

	bus_write(&world.io, at + 2, 1, 6);
	bus_write(&world.io, at + 4, 4, TABLE);
	bus_write(&world.io, at, 1, 1 | to_memory << 3);
	ide_world_wait(&world);
	bus_write(&world.io, at, 1, to_memory << 3);
	return bus_read(&world.io, at + 2, 1);
}

static void by_bus_master(void **state)
{
	const uint8_t *memory = memory_ptr(&world.memory, 0, IDE_MEMORY);

	prd(0, DATA, 1000, false);
	prd(1, DATA + 0x2000, 0, true); /* 64 KiB */
	assert_int_equal(order(0, 0xc8, 5, 4), 0x58);
	assert_int_equal(master(0, true), 4);
	assert_int_equal(in(0, 7), 0x50);
	check_bytes(memory + DATA, 5 * 512, 1000);
	check_bytes(memory + DATA + 0x2000, 5 * 512 + 1000, 2048 - 1000);
	memset(memory_ptr(&world.memory, DATA, 512), 0x77, 512);
	prd(0, DATA, 512, true);
	assert_int_equal(order(0, 0xca, 9, 1), 0x58);
	assert_int_equal(master(0, false), 4);
	prd(0, DATA + 0x4000, 1024, true);
	assert_int_equal(order(0, 0xc8, 8, 2), 0x58);
	assert_int_equal(master(0, true), 4);
	check_bytes(memory + DATA + 0x4000, 8 * 512, 512);
	assert_int_equal(memory[DATA + 0x4000 + 512], 0x77);
	/* A table that is too short, one that is nowhere, and memory that is not there. */
	prd(0, DATA, 512, true);
	order(0, 0xc8, 8, 2);
	assert_int_equal(master(0, true), 6);
	assert_int_equal(in(0, 7), 0x51);
	prd(0, IDE_MEMORY - 256, 512, true);
	order(0, 0xc8, 8, 1);
	assert_int_equal(master(0, true), 6);
	order(0, 0xca, 8, 1);
	assert_int_equal(master(0, false), 6);
	bus_write(&world.io, BM + 4, 4, 0xfffffff8);
	order(0, 0xc8, 8, 1);
	bus_write(&world.io, BM, 1, 9);
	ide_world_wait(&world);
	assert_int_equal(bus_read(&world.io, BM + 2, 1) & 2, 2);
}

static void refused(void **state)
{
	const uint32_t last = IDE_DISK / 512;

	assert_int_equal(order(0, 0x20, last, 1), 0x51);
	assert_int_equal(in(0, 1), 0x10);
	assert_int_equal(order(0, 0x20, last - 1, 2), 0x51);
	assert_int_equal(order(0, 0x20, 0xfffffff, 0), 0x51);
	assert_int_equal(order(0, 0x20, last - 1, 1), 0x58);
	assert_int_equal(order(2, 0x30, 0, 1), 0x51); /* read-only */
	assert_int_equal(order(2, 0xca, 0, 1), 0x51);
	assert_int_equal(order(2, 0xe7, 0, 1), 0x50);
	assert_int_equal(order(0, 0x00, 0, 0), 0x51);
	assert_int_equal(order(0, 0xa0, 0, 0), 0x51);
	assert_int_equal(order(0, 0xc6, 0, 3), 0x51);
	assert_int_equal(order(0, 0x91, 0, 0), 0x51);
	/* The other drive is chosen while this one's data are read: they stay this one's. */
	assert_int_equal(order(0, 0x20, 0, 2), 0x58);
	out(0, 6, 0xf0);
	for (unsigned i = 0; i < 512; i++)
		bus_read(&world.io, 0x1f0, 2);
	ide_world_wait(&world);
	out(0, 6, 0xe0);
	assert_int_equal(in(0, 7), 0x50);
}

/* What a packet gives: bytes, or -1 and the sense key. */
static int packet(unsigned drive, const char *bytes, unsigned limit, uint8_t *to, uint8_t *key)
{
	uint8_t cdb[12] = {0};
	int got = 0;

	memcpy(cdb, bytes, 10);
	out(drive, 6, 0xa0 | drive % 2 << 4);
	out(drive, 1, 0);
	out(drive, 4, limit);
	out(drive, 5, limit >> 8);
	out(drive, 7, 0xa0);
	assert_int_equal(in(drive, 2), 1);
	write_words(drive, cdb, 12);
	while (in(drive, 7) & 8) {
		unsigned size = in(drive, 4) | in(drive, 5) << 8;

		assert_int_equal(in(drive, 2), 2);
		assert_in_range(size, 1, limit);
		read_words(drive, to + got, size);
		got += size;
	}
	assert_int_equal(in(drive, 2), 3);
	*key = in(drive, 1) >> 4;
	return in(drive, 7) & 1 ? -1 : got;
}

static void packets(void **state)
{
	static uint8_t bytes[2048 * 80];
	uint8_t key;

	assert_int_equal(packet(1, "\x12\0\0\0\x24\0\0\0\0\0", 512, bytes, &key), 36);
	assert_int_equal(bytes[0], 5);
	assert_int_equal(packet(1, "\x25\0\0\0\0\0\0\0\0\0", 512, bytes, &key), 8);
	assert_memory_equal(bytes, "\0\0\1\xff\0\0\x08\0", 8);
	/* Blocks 3 and 4, a piece at a time; then more than the buffer. */
	assert_int_equal(packet(1, "\x28\0\0\0\0\3\0\0\2\0", 1000, bytes, &key), 4096);
	check_bytes(bytes, 3 * 2048, 4096);
	assert_int_equal(packet(1, "\x28\0\0\0\0\0\0\0\x50\0", 0xfffe, bytes, &key), 2048 * 80);
	check_bytes(bytes, 0, 2048 * 80);
	assert_int_equal(packet(1, "\x43\0\0\0\0\0\0\0\x40\0", 512, bytes, &key), 20);
	assert_memory_equal(bytes, "\0\x12\1\1\0\x14\1\0\0\0\0\0\0\x14\xaa\0\0\0\2\0", 20);
	assert_int_equal(packet(1, "\x5a\0\x2a\0\0\0\0\0\x40\0", 512, bytes, &key), 28);
	/* Where there is nothing, and what nobody knows. */
	assert_int_equal(packet(1, "\x28\0\0\0\1\xff\0\0\2\0", 512, bytes, &key), -1);
	assert_int_equal(key, 5);
	assert_int_equal(packet(1, "\x28\0\xff\xff\xff\xff\0\xff\xff\0", 512, bytes, &key), -1);
	assert_int_equal(packet(1, "\xff\0\0\0\0\0\0\0\0\0", 512, bytes, &key), -1);
	assert_int_equal(packet(1, "\x03\0\0\0\x12\0\0\0\0\0", 512, bytes, &key), 18);
	assert_int_equal(bytes[2], 5);
	assert_int_equal(bytes[12], 0x20);
	assert_int_equal(packet(1, "\x28\0\0\0\0\0\0\0\0\0", 512, bytes, &key), 0);
	/* An empty drive. */
	assert_int_equal(packet(3, "\0\0\0\0\0\0\0\0\0\0", 512, bytes, &key), -1);
	assert_int_equal(key, 2);
	assert_int_equal(packet(3, "\x28\0\0\0\0\0\0\0\1\0", 512, bytes, &key), -1);
	assert_int_equal(packet(3, "\x12\0\0\0\x05\0\0\0\0\0", 512, bytes, &key), 5);
	/* By the bus master. */
	prd(0, DATA, 2048, true);
	out(1, 6, 0xb0);
	out(1, 1, 1);
	out(1, 7, 0xa0);
	write_words(1, "\x28\0\0\0\0\x9\0\0\1\0\0\0", 12);
	assert_int_equal(master(1, true), 4);
	check_bytes(memory_ptr(&world.memory, DATA, 2048), 9 * 2048, 2048);
}

#define IS_READY "\0\0\0\0\0\0\0\0\0\0"
#define SENSE "\x03\0\0\0\x12\0\0\0\0\0"
#define EVENT "\x4a\1\0\0\x10\0\0\0\x8\0"
#define LOCK "\x1e\0\0\0\1\0\0\0\0\0"
#define UNLOCK "\x1e\0\0\0\0\0\0\0\0\0"
#define OPEN "\x1b\0\0\0\2\0\0\0\0\0"
#define CLOSE "\x1b\0\0\0\3\0\0\0\0\0"

/* The sense key with which the drive refuses the packet; 0: it does not. */
static unsigned refusal(unsigned drive, const char *bytes)
{
	uint8_t to[2048], key;

	return packet(drive, bytes, 512, to, &key) < 0 ? key : 0;
}

/* What it has to tell of its medium: the event, and whether there is one and the tray is open. */
static void tells(unsigned drive, uint8_t event, uint8_t status)
{
	uint8_t to[512], key;

	assert_int_equal(packet(drive, EVENT, 512, to, &key), 8);
	assert_int_equal(to[4], event);
	assert_int_equal(to[5], status);
}

static void media(void **state)
{
	struct ata_drive *cd = ide_drive(world.ide, 3);
	uint8_t bytes[2048], key;

	assert_int_equal(refusal(3, IS_READY), 2);
	tells(3, 0, 0);
	/* One comes: the guest is told, once, before anything is read. */
	drive_set_medium(cd, world.image[1]);
	assert_int_equal(refusal(3, IS_READY), 6);
	assert_int_equal(packet(3, SENSE, 512, bytes, &key), 18);
	assert_int_equal(bytes[2] << 8 | bytes[12], 0x628);
	assert_int_equal(refusal(3, IS_READY), 0);
	tells(3, 2, 2);
	tells(3, 0, 2);
	assert_int_equal(packet(3, "\x28\0\0\0\0\3\0\0\1\0", 0xfffe, bytes, &key), 2048);
	check_bytes(bytes, 3 * 2048, 2048);
	/* Who asks for what is wrong hears of it, too. */
	drive_set_medium(cd, world.image[1]);
	assert_int_equal(refusal(3, "\x1b\0\0\0\0\0\0\0\0\0"), 0);
	assert_int_equal(packet(3, SENSE, 512, bytes, &key), 18);
	assert_int_equal(bytes[2] << 8 | bytes[12], 0x628);
	assert_int_equal(refusal(3, IS_READY), 0);
	/* One that is locked is asked for. */
	assert_true(drive_lets_go(cd));
	assert_int_equal(refusal(3, LOCK), 0);
	assert_false(drive_lets_go(cd));
	drive_press_button(cd);
	tells(3, 1, 2);
	assert_int_equal(refusal(3, OPEN), 5);
	assert_int_equal(refusal(3, UNLOCK), 0);
	assert_int_equal(refusal(3, OPEN), 0);
	tells(3, 3, 1);
	assert_int_equal(refusal(3, IS_READY), 2);
	assert_int_equal(refusal(3, CLOSE), 0);
	tells(3, 2, 2);
	assert_int_equal(refusal(3, IS_READY), 6);
	/* It goes in the middle of a command. */
	out(3, 6, 0xb0);
	out(3, 1, 0);
	out(3, 4, 0xfe);
	out(3, 5, 0xff);
	out(3, 7, 0xa0);
	write_words(3, "\x28\0\0\0\0\0\0\0\x50\0\0\0", 12);
	read_words(3, bytes, 2048);
	drive_set_medium(cd, NULL);
	while (in(3, 7) & 8)
		read_words(3, bytes, 2);
	assert_int_equal(in(3, 1) >> 4, 2);
	tells(3, 3, 0);
}

static void resets(void **state)
{
	order(0, 0x20, 0, 2);
	bus_write(&world.io, 0x3f6, 1, 4);
	bus_write(&world.io, 0x3f6, 1, 2);
	assert_int_equal(in(0, 7), 0x50);
	assert_int_equal(in(0, 2) | in(0, 3) << 8 | in(0, 4) << 16 | in(0, 5) << 24, 0x101);
	out(0, 6, 0xb0);
	assert_int_equal(in(0, 4) | in(0, 5) << 8, 0xeb14);
	/* Without interrupts. */
	world.count = 0;
	order(0, 0xe7, 0, 0);
	assert_int_equal(world.count, 0);
	pci_bus_reset(&world.pci);
	assert_int_equal(bus_read(&world.io, 0x3f6, 1), 0x50);
}

static void save(struct bytes *b)
{
	struct error err = {""};
	struct state *s;

	assert_int_equal(state_save(BYTES_TO(b), "saved", &s, &err), 0);
	world.ide->pci.ops->describe(&world.ide->pci, s);
	assert_int_equal(state_finish(s), 0);
	state_destroy(s);
}

static int load(struct bytes *b, struct error *err)
{
	struct state *s;
	int r;

	b->at = 0;
	assert_int_equal(state_load(BYTES_FROM(b), "saved", &s, err), 0);
	world.ide->pci.ops->describe(&world.ide->pci, s);
	r = state_finish(s);
	state_destroy(s);
	return r;
}

/* In the middle of a sector, and before the bus master has been started. */
static void saved(void **state)
{
	struct bytes b = {0};
	struct error err = {""};
	uint8_t bytes[1024];

	/* Commands that have ended leave nothing that speaks against it. */
	order(0, 0x20, 0, 2);
	read_words(0, bytes, 1024);
	save(&b);
	assert_int_equal(load(&b, &err), 0);
	free(b.data);
	b = (struct bytes){0};
	order(0, 0x20, 3, 2);
	read_words(0, bytes, 300);
	order(2, 0xc8, 6, 1);
	save(&b);
	tear_down(NULL);
	set_up(NULL);
	assert_int_equal(load(&b, &err), 0);
	assert_int_equal(world.ide->channel[0].line, 1);
	read_words(0, bytes + 300, 724);
	check_bytes(bytes, 3 * 512, 1024);
	prd(0, DATA, 512, true);
	assert_int_equal(master(2, true), 4);
	check_bytes(memory_ptr(&world.memory, DATA, 512), 6 * 512, 512);
	free(b.data);
}

/* A tray that is open, and news that nobody has heard. */
static void saved_tray(void **state)
{
	struct bytes b = {0};
	struct error err = {""};

	refusal(1, LOCK);
	refusal(3, OPEN);
	drive_set_medium(ide_drive(world.ide, 1), world.image[1]);
	save(&b);
	tear_down(NULL);
	set_up(NULL);
	assert_int_equal(load(&b, &err), 0);
	assert_false(drive_lets_go(ide_drive(world.ide, 1)));
	tells(3, 3, 1);
	tells(1, 2, 2);
	assert_int_equal(refusal(1, IS_READY), 6);
	free(b.data);
	b = (struct bytes){0};
	ide_drive(world.ide, 1)->event = CD_EVENTS;
	save(&b);
	assert_int_not_equal(load(&b, &err), 0);
	assert_non_null(strstr(err.text, "news that no drive has"));
	free(b.data);
}

static void save_and_load(void)
{
	struct bytes b = {0};
	struct error err = {""};

	save(&b);
	tear_down(NULL);
	set_up(NULL);
	assert_int_equal(load(&b, &err), 0);
	free(b.data);
}

/* The bus master leaves its place elsewhere than the data port has left the end of its block. */
static void saved_after_dma(void **state)
{
	uint8_t bytes[512];

	order(0, 0xec, 0, 0);
	read_words(0, bytes, 512);
	prd(0, DATA, 4096, true);
	order(0, 0xc8, 0, 8);
	assert_int_equal(master(0, true), 4);
	save_and_load();
	/* Half of the data have come when memory ends. */
	order(0, 0xec, 0, 0);
	read_words(0, bytes, 512);
	prd(0, DATA, 1024, true);
	order(0, 0xc8, 0, 4);
	assert_int_equal(master(0, true), 6);
	save_and_load();
	/* The second part of a command cannot be read. */
	order(0, 0x20, 0, 0);
	world.ide->channel[0].port.left++;
	for (unsigned i = 0; i < 256; i++) {
		read_words(0, bytes, 512);
		if (i == 254) /* what comes next is beyond the image */
			world.ide->channel[0].port.at = IDE_DISK / 512;
	}
	assert_int_equal(in(0, 7), 0x51);
	save_and_load();
	assert_int_equal(in(0, 7), 0x51);
}

/* One sector by the data port, one by the bus master: how often the image was made stable. */
static unsigned flushes_of_writes(void)
{
	const unsigned before = flushes;
	const uint8_t bytes[512] = {1};

	assert_int_equal(order(0, 0x30, 0, 1), 0x58);
	write_words(0, bytes, 512);
	assert_int_equal(in(0, 7), 0x50);
	prd(0, DATA, 512, true);
	order(0, 0xca, 1, 1);
	assert_int_equal(master(0, false), 4);
	assert_int_equal(in(0, 7), 0x50);
	return flushes - before;
}

static bool says_cache(void)
{
	uint16_t w[256];

	order(0, 0xec, 0, 0);
	read_words(0, w, sizeof w);
	return w[85] & 0x20;
}

/* Without a write cache a write has ended when it is stable, also in who goes on from a saved state. */
static void write_cache(void **state)
{
	assert_true(says_cache());
	assert_int_equal(flushes_of_writes(), 0);
	out(0, 1, 0x82);
	assert_int_equal(order(0, 0xef, 0, 0), 0x50);
	assert_false(says_cache());
	assert_int_equal(flushes_of_writes(), 2);
	bus_write(&world.io, 0x3f6, 1, 4); /* a reset of the drives changes nothing in that */
	bus_write(&world.io, 0x3f6, 1, 0);
	save_and_load();
	assert_int_equal(flushes_of_writes(), 2);
	out(0, 1, 0x02);
	assert_int_equal(order(0, 0xef, 0, 0), 0x50);
	assert_int_equal(flushes_of_writes(), 0);
	out(0, 1, 0x82);
	order(0, 0xef, 0, 0);
	pci_bus_reset(&world.pci);
	assert_true(says_cache());
}

/* States that somebody has made up do no harm, whatever a driver does then. */
static void hostile_states(void **state)
{
	struct error err;
	uint32_t x = 1;

	for (unsigned i = 0; i < 300; i++) {
		struct ide_channel *c = &world.ide->channel[i % 2];
		struct bytes b = {0};
		uint8_t junk[64];

		for (unsigned k = 0; k < sizeof junk; k++)
			junk[k] = (x = x * 1664525 + 1013904223) >> 24;
		c->port.current = junk[0] & 1;
		c->port.select = junk[1];
		c->port.phase = junk[2] % 4;
		c->port.dma = junk[3] & 1;
		c->port.writes = junk[4] & 1;
		c->port.packet = junk[5] & 1;
		c->waits = junk[6] & 1;
		memcpy(&c->port.at, junk + 8, junk[7] & 1 ? 8 : 1);
		c->port.left = junk[16];
		c->port.now = junk[17] % (c->port.left + 1);
		c->port.block = 1 + junk[18];
		c->port.filled = junk[19] * 512u;
		c->port.end = c->port.filled ? junk[20] % c->port.filled : 0;
		c->port.pos = c->port.end ? junk[21] % c->port.end : 0;
		c->bm_status = junk[22];
		memcpy(&c->bm_table, junk + 23, 4);
		c->bm_left = junk[27];
		save(&b);
		err.text[0] = 0;
		load(&b, &err);
		for (unsigned k = 0; k < 40; k++) {
			bus_write(&world.io, 0x1f0, 2, k);
			bus_write(&world.io, 0x170, 4, k);
			bus_read(&world.io, 0x1f0, 4);
			bus_read(&world.io, 0x170, 2);
			bus_write(&world.io, BM + 8 * (k % 2), 1, k / 2);
			ide_world_wait(&world);
		}
		free(b.data);
	}
}

/* Writes under way that no disk takes: the state is refused, and who goes on all the same gets an error. */
static void hostile_writes(void **state)
{
	static const struct {
		unsigned drive, filled;
	} rows[] = {{2, 512}, {0, 510}};

	for (unsigned i = 0; i < 2; i++) {
		struct ata_port *p = &world.ide->channel[rows[i].drive / 2].port;
		struct error err = {""};
		struct bytes b = {0};

		order(rows[i].drive, 0xc6, 0, 0);
		p->phase = ATA_TO_DRIVE;
		p->writes = true;
		p->left = p->now = 1;
		p->block = p->filled = p->end = rows[i].filled;
		p->pos = 0;
		save(&b);
		assert_int_not_equal(load(&b, &err), 0);
		assert_non_null(strstr(err.text, "a write that the disk does not take"));
		for (unsigned k = 0; k < rows[i].filled; k += 2)
			bus_write(&world.io, base(rows[i].drive), 2, 0);
		ide_world_wait(&world);
		assert_int_equal(in(rows[i].drive, 7), 0x51);
		free(b.data);
	}
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(identities),
		TEST(by_port),
		TEST(by_bus_master),
		TEST(refused),
		TEST(packets),
		TEST(media),
		TEST(resets),
		TEST(saved),
		TEST(saved_tray),
		TEST(saved_after_dma),
		TEST(write_cache),
		TEST(hostile_states),
		TEST(hostile_writes),
	};

	return cmocka_run_group_tests_name("ata", tests, NULL, NULL);
}
