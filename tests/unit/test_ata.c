/* SPDX-License-Identifier: Apache-2.0 */
/* IDE: disks and CD drives by the data port and by the bus master; what a driver may get wrong; saved states. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ide_driver.h"

#define BM 0xc000u
#define TABLE 0x1000u
#define DATA 0x8000u

static atomic_uint flushes;

/* In libc's place: how often the images have been made stable. */
int fdatasync(int fd)
{
	(void)fd;
	flushes++;
	return 0;
}

static atomic_bool stuck; /* the host's storage does not answer */

/* In libc's place. */
ssize_t preadv(int fd, const struct iovec *iov, int count, off_t offset)
{
	while (stuck)
		usleep(1000);
	return preadv2(fd, iov, count, offset, 0);
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

/* While the host's storage does not answer no vCPU waits for it: both drives are busy. */
static void resets_later(void **state)
{
	stuck = true;
	out(0, 6, 0xe0);
	out(0, 2, 1);
	out(0, 7, 0x20);
	bus_write(&world.io, 0x3f6, 1, 4);
	bus_write(&world.io, 0x3f6, 1, 0);
	assert_int_equal(in(0, 7), 0x80);
	out(0, 6, 0xf0);
	assert_int_equal(in(0, 7), 0x80);
	assert_int_equal(bus_read(&world.io, 0x3f6, 1), 0x80);
	stuck = false;
	ide_world_wait(&world);
	assert_int_equal(in(0, 7), 0x50);
	assert_int_equal(in(0, 2) | in(0, 3) << 8 | in(0, 4) << 16 | in(0, 5) << 24, 0x101);
	assert_int_equal(order(0, 0x20, 0, 1), 0x58);
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
		TEST(resets),
		TEST(resets_later),
		TEST(saved),
		TEST(saved_after_dma),
		TEST(write_cache),
		TEST(hostile_states),
		TEST(hostile_writes),
	};

	return cmocka_run_group_tests_name("ata", tests, NULL, NULL);
}
