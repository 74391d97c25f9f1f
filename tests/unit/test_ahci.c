/* SPDX-License-Identifier: Apache-2.0 */
/* AHCI: disks and CD drives by command lists; what a driver may get wrong; resets; saved states. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ahci_rig.h"
#include "bytes.h"

#define LISTS 0x1000u  /* of the ports, 1 KiB each */
#define FISES 0x4000u  /* likewise, 256 bytes each */
#define TABLES 0x8000u /* of slots of whatever port, 1 KiB each */
#define DATA 0x20000u

static struct ahci_world world;
static atomic_bool stuck; /* the host's storage does not answer */

/* In libc's place. */
ssize_t preadv(int fd, const struct iovec *iov, int count, off_t offset)
{
	while (stuck)
		usleep(1000);
	return preadv2(fd, iov, count, offset, 0);
}

static uint32_t reg(unsigned port, unsigned at)
{
	return bus_read(&world.mmio, AHCI_BAR + 0x100 + port * 0x80 + at, 4);
}

static void set(unsigned port, unsigned at, uint32_t value)
{
	bus_write(&world.mmio, AHCI_BAR + 0x100 + port * 0x80 + at, 4, value);
}

static void start(void)
{
	bus_write(&world.mmio, AHCI_BAR + 4, 4, 2);
	for (unsigned i = 0; i < AHCI_PORTS; i++) {
		set(i, PORT_LIST, LISTS + i * 0x400);
		set(i, PORT_FIS, FISES + i * 0x100);
		set(i, PORT_ENABLE, 0xffffffff);
		set(i, PORT_COMMAND, PORT_RECEIVE);
		set(i, PORT_COMMAND, PORT_RECEIVE | PORT_START);
	}
}

static int set_up(void **state)
{
	ahci_world_open(&world);
	start();
	return 0;
}

static int tear_down(void **state)
{
	ahci_world_close(&world);
	return 0;
}

static void *at(uint64_t gpa)
{
	return memory_ptr(&world.memory, gpa, 0x1000);
}

/* The slot's entry in its list, and a FIS with a command for a 48-bit address. */
static uint8_t *prepare(unsigned port, unsigned slot, unsigned pieces, uint8_t command,
	uint64_t lba, uint16_t count)
{
	uint32_t *header = (uint32_t *)((uint8_t *)at(LISTS + port * 0x400) + slot * 32);
	uint8_t *table = at(TABLES + slot * 0x400);

	memset(header, 0, 32);
	header[0] = 5 | pieces << 16;
	header[1] = 0xdeadbeef;
	header[2] = TABLES + slot * 0x400;
	memset(table, 0, 0x80);
	table[0] = 0x27;
	table[1] = 0x80;
	table[2] = command;
	table[7] = 0x40;
	for (unsigned i = 0; i < 3; i++) {
		table[4 + i] = lba >> (8 * i);
		table[8 + i] = lba >> (8 * i + 24);
	}
	table[12] = count & 0xff;
	table[13] = count >> 8;
	return table;
}

static void piece(unsigned slot, unsigned n, uint64_t gpa, uint32_t bytes, bool told)
{
	uint32_t *entry = (uint32_t *)((uint8_t *)at(TABLES + slot * 0x400) + 0x80 + n * 16);

	entry[0] = gpa & 0xffffffff;
	entry[1] = gpa >> 32;
	entry[2] = 0;
	entry[3] = (bytes - 1) | (told ? 0x80000000u : 0);
}

/* Issues the slots and gives what the port has to tell, which is then cleared. */
static uint32_t issue(unsigned port, uint32_t slots)
{
	uint32_t status;

	set(port, PORT_ISSUE, slots);
	ahci_world_wait(&world);
	status = reg(port, PORT_STATUS);
	set(port, PORT_STATUS, status);
	return status;
}

static uint32_t moved(unsigned port, unsigned slot)
{
	return ((uint32_t *)((uint8_t *)at(LISTS + port * 0x400) + slot * 32))[1];
}

static uint32_t order(unsigned port, uint8_t command, uint64_t lba, uint16_t count, uint32_t bytes)
{
	prepare(port, 0, bytes ? 1 : 0, command, lba, count);
	piece(0, 0, DATA, bytes ? bytes : 1, false);
	return issue(port, 1);
}

/* After a failure. */
static void restart(unsigned port)
{
	set(port, PORT_COMMAND, PORT_RECEIVE);
	set(port, PORT_COMMAND, PORT_RECEIVE | PORT_START);
}

static void check_bytes(const uint8_t *bytes, uint32_t from, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(bytes[i], ide_byte(from + i));
}

static uint32_t packet(unsigned port, const char *bytes, unsigned count, uint32_t room)
{
	uint8_t *table = prepare(port, 0, 1, 0xa0, 0, 0);

	table[3] = 1;
	memcpy(table + 0x40, bytes, count);
	memset(table + 0x40 + count, 0, 16 - count);
	piece(0, 0, DATA, room, false);
	return issue(port, 1);
}

static void identities(void **state)
{
	const uint16_t *w = at(DATA);
	const uint8_t *fis = at(FISES);

	assert_int_equal(bus_read(&world.mmio, AHCI_BAR + 0xc, 4), 0x3f);
	assert_int_equal(reg(0, PORT_SIGNATURE), 0x101);
	assert_int_equal(reg(1, PORT_SIGNATURE), 0xeb140101);
	assert_int_equal(reg(4, PORT_SIGNATURE), 0xffffffff);
	assert_int_equal(reg(0, PORT_SATA_STATUS), 0x123);
	assert_int_equal(reg(4, PORT_SATA_STATUS), 0);
	assert_int_equal(reg(0, PORT_TASK_FILE), 0x150);
	/* By PIO: its setup is the last word. */
	assert_int_equal(order(0, 0xec, 0, 0, 512), PORT_GOT_PIO_SETUP);
	assert_int_equal(moved(0, 0), 512);
	assert_int_equal(fis[0x20], 0x5f);
	assert_int_equal(fis[0x22], 0x58);
	assert_int_equal(fis[0x2f], 0x50);
	assert_int_equal(w[100], IDE_DISK / 512);
	assert_int_equal(w[93], 0);
	assert_int_equal(w[76], 6);
	assert_int_equal(reg(0, PORT_TASK_FILE), 0x50);
	assert_int_equal(order(1, 0xa1, 0, 0, 512), PORT_GOT_PIO_SETUP);
	assert_int_equal(w[0], 0x85c0);
	/* Where nobody is nothing happens. */
	set(4, PORT_ISSUE, 1);
	assert_int_equal(reg(4, PORT_ISSUE), 1);
}

static void reads_and_writes(void **state)
{
	const uint8_t *fis = at(FISES + 0x40);
	uint8_t *bytes = at(DATA);

	world.count = 0;
	assert_int_equal(order(0, 0x25, 7, 300, 300 * 512), PORT_GOT_REGISTERS);
	assert_int_equal(world.count, 1);
	assert_int_equal(reg(0, PORT_ISSUE), 0);
	assert_int_equal(moved(0, 0), 300 * 512);
	check_bytes(memory_ptr(&world.memory, DATA, 300 * 512), 7 * 512, 300 * 512);
	assert_int_equal(fis[0], 0x34);
	assert_int_equal(fis[1], 0x40);
	assert_int_equal(fis[2], 0x50);
	/* In pieces, the second of which says when it is full. */
	prepare(0, 3, 3, 0x25, 1, 2);
	piece(3, 0, DATA + 1, 510, false);
	piece(3, 1, DATA + 0x10000, 2, true);
	piece(3, 2, DATA + 0x8000, 512, false);
	assert_int_equal(issue(0, 8), PORT_GOT_REGISTERS | PORT_PIECE_DONE);
	check_bytes(bytes + 1, 512, 510);
	check_bytes(at(DATA + 0x10000), 512 + 510, 2);
	check_bytes(at(DATA + 0x8000), 1024, 512);
	/* There and back: by DMA, and by PIO of many parts. */
	memset(bytes, 0xa5, 4096);
	assert_int_equal(order(0, 0x35, 100, 8, 4096), PORT_GOT_REGISTERS);
	assert_int_equal(order(0, 0x34, 108, 8, 4096), PORT_GOT_REGISTERS);
	memset(bytes, 0, 8192);
	assert_int_equal(order(0, 0x24, 100, 16, 8192), PORT_GOT_PIO_SETUP);
	for (unsigned i = 0; i < 8192; i++)
		assert_int_equal(((uint8_t *)memory_ptr(&world.memory, DATA, 8192))[i], 0xa5);
	assert_int_equal(order(0, 0xea, 0, 0, 0), PORT_GOT_REGISTERS);
	/* Many at once, from the one behind the last. */
	for (unsigned slot = 0; slot < 32; slot++) {
		prepare(0, slot, 1, 0xc8, 200 + slot, 1);
		piece(slot, 0, DATA + slot * 512, 512, false);
	}
	assert_int_equal(issue(0, 0xffffffff), PORT_GOT_REGISTERS);
	check_bytes(memory_ptr(&world.memory, DATA, 32 * 512), 200 * 512, 32 * 512);
}

static void refused(void **state)
{
	const uint32_t failed = PORT_GOT_REGISTERS | PORT_TASK_FILE_ERROR;

	/* Beyond the end: the port is stuck until it is stopped. */
	assert_int_equal(order(0, 0x25, IDE_DISK / 512, 1, 512), failed);
	assert_int_equal(reg(0, PORT_TASK_FILE), 0x1051);
	assert_int_equal(reg(0, PORT_ISSUE), 1);
	assert_int_equal(issue(0, 2), 0);
	restart(0);
	assert_int_equal(reg(0, PORT_ISSUE), 0);
	assert_int_equal(order(0, 0x25, 0, 1, 512), PORT_GOT_REGISTERS);
	assert_int_equal(order(2, 0x35, 0, 1, 512), failed);
	restart(2);
	assert_int_equal(order(0, 0xa1, 0, 0, 512), failed);
	restart(0);
	/* A table that is too short loses what was read, and ends a write. */
	assert_int_equal(order(0, 0x25, 0, 2, 512), PORT_GOT_REGISTERS | PORT_OVERFLOW);
	assert_int_equal(order(0, 0x35, 0, 2, 512), PORT_BUS_FATAL | PORT_OVERFLOW);
	restart(0);
	/* Memory that is not there: data, the table, the list. */
	prepare(0, 0, 1, 0x25, 0, 1);
	piece(0, 0, AHCI_MEMORY - 256, 512, false);
	assert_int_equal(issue(0, 1), PORT_BUS_FATAL);
	restart(0);
	prepare(0, 0, 1, 0x25, 0, 1);
	((uint32_t *)at(LISTS))[3] = 0x10;
	assert_int_equal(issue(0, 1), PORT_BUS_FATAL);
	restart(0);
	set(0, PORT_LIST, 0xfffffc00);
	assert_int_equal(issue(0, 1), PORT_BUS_FATAL);
	restart(0);
	set(0, PORT_LIST, LISTS);
	/* No FIS that a drive knows. */
	prepare(0, 0, 0, 0xec, 0, 0)[0] = 0x34;
	assert_int_equal(issue(0, 1), PORT_FIS_BAD);
	restart(0);
	/* FISes to nowhere are lost. */
	set(0, PORT_FIS, 0xffffff00);
	assert_int_equal(order(0, 0x25, 0, 1, 512), PORT_GOT_REGISTERS);
}

static void packets(void **state)
{
	const uint8_t *bytes = at(DATA);

	assert_int_equal(packet(1, "\x28\0\0\0\0\x9\0\0\2\0", 10, 4096), PORT_GOT_REGISTERS);
	assert_int_equal(moved(1, 0), 4096);
	check_bytes(bytes, 9 * 2048, 4096);
	assert_int_equal(packet(1, "\x12\0\0\0\x24\0", 6, 36), PORT_GOT_REGISTERS);
	assert_memory_equal(bytes + 8, "dach", 4);
	assert_int_equal(packet(3, "\x25\0\0\0\0\0\0\0\0\0", 10, 8),
		PORT_GOT_REGISTERS | PORT_TASK_FILE_ERROR);
	restart(3);
	assert_int_equal(packet(3, "\x03\0\0\0\x12\0", 6, 18), PORT_GOT_REGISTERS);
	assert_int_equal(bytes[2], 2);
	assert_int_equal(bytes[12], 0x3a);
}

static void resets(void **state)
{
	uint8_t *table;

	/* By software: who it is comes with the end of it. */
	table = prepare(1, 0, 0, 0, 0, 0);
	table[1] = 0;
	table[15] = 4;
	assert_int_equal(issue(1, 1), 0);
	assert_int_equal(reg(1, PORT_ISSUE), 0);
	table[15] = 0;
	assert_int_equal(issue(1, 1), 0);
	assert_int_equal(reg(1, PORT_TASK_FILE), 0x100);
	/* By the line. */
	set(0, PORT_SATA_CONTROL, 1);
	assert_int_equal(reg(0, PORT_SATA_STATUS), 0);
	assert_int_equal(reg(0, PORT_TASK_FILE) & 0x80, 0x80);
	set(0, PORT_SATA_CONTROL, 0);
	assert_int_equal(reg(0, PORT_SATA_STATUS), 0x123);
	assert_int_equal(reg(0, PORT_TASK_FILE), 0x150);
	assert_int_equal(reg(0, PORT_STATUS), PORT_CONNECTED);
	set(0, PORT_STATUS, PORT_CONNECTED);
	assert_int_equal(reg(0, PORT_STATUS), PORT_CONNECTED);
	set(0, PORT_SATA_ERROR, 0xffffffff);
	assert_int_equal(reg(0, PORT_STATUS), 0);
	/* Of a drive's own. */
	assert_int_equal(order(1, 0x08, 0, 0, 0), PORT_GOT_REGISTERS);
	assert_int_equal(order(0, 0x90, 0, 0, 0), PORT_GOT_REGISTERS);
	/* All of it, with a command under way. */
	prepare(0, 0, 1, 0x25, 0, 2);
	piece(0, 0, DATA, 1024, false);
	set(0, PORT_ISSUE, 1);
	bus_write(&world.mmio, AHCI_BAR + 4, 4, 1);
	ahci_world_wait(&world);
	assert_int_equal(bus_read(&world.mmio, AHCI_BAR + 4, 4), 0x80000000);
	assert_int_equal(reg(0, PORT_LIST) | reg(0, PORT_ISSUE) | reg(0, PORT_STATUS), 0);
	assert_false(world.line);
	start();
	assert_int_equal(order(0, 0x25, 3, 1, 512), PORT_GOT_REGISTERS);
	check_bytes(at(DATA), 3 * 512, 512);
}

/* A read that does not end. */
static void get_stuck(void)
{
	start();
	stuck = true;
	prepare(0, 0, 1, 0x25, 0, 2);
	piece(0, 0, DATA, 1024, false);
	set(0, PORT_ISSUE, 3);
	assert_int_equal(reg(0, PORT_TASK_FILE) & 0x80, 0x80);
}

static void go_on(void)
{
	stuck = false;
	ahci_world_wait(&world);
}

/* While the host's storage does not answer no vCPU waits for it: registers say that it is not done yet. */
static void resets_later(void **state)
{
	get_stuck();
	set(0, PORT_COMMAND, PORT_RECEIVE);
	assert_int_equal(reg(0, PORT_COMMAND) & (PORT_RUNS | PORT_START), PORT_RUNS);
	set(0, PORT_COMMAND, PORT_RECEIVE | PORT_START);
	assert_int_equal(reg(0, PORT_COMMAND) & (PORT_RUNS | PORT_START), PORT_RUNS);
	go_on();
	assert_int_equal(reg(0, PORT_COMMAND) & (PORT_RUNS | PORT_START), 0);
	assert_int_equal(reg(0, PORT_ISSUE), 0);
	/* The line. */
	get_stuck();
	set(0, PORT_SATA_CONTROL, 1);
	set(0, PORT_SATA_CONTROL, 0);
	assert_int_equal(reg(0, PORT_SATA_STATUS), 0);
	world.count = 0;
	stuck = false;
	world.ahci->pci.ops->quiesce(&world.ahci->pci, true);
	assert_int_equal(reg(0, PORT_SATA_STATUS), 0x123);
	assert_int_equal(reg(0, PORT_TASK_FILE), 0x150);
	assert_int_equal(reg(0, PORT_STATUS) & PORT_CONNECTED, PORT_CONNECTED);
	assert_true(world.line);
	world.ahci->pci.ops->quiesce(&world.ahci->pci, false);
	/* All. */
	get_stuck();
	bus_write(&world.mmio, AHCI_BAR + 4, 4, 1);
	assert_int_equal(bus_read(&world.mmio, AHCI_BAR + 4, 4), 0x80000001);
	set(0, PORT_COMMAND, PORT_RECEIVE | PORT_START);
	go_on();
	assert_int_equal(bus_read(&world.mmio, AHCI_BAR + 4, 4), 0x80000000);
	assert_int_equal(reg(0, PORT_LIST) | reg(0, PORT_ISSUE), 0);
	assert_int_equal(reg(0, PORT_COMMAND) & (PORT_RUNS | PORT_START), 0);
	start();
	assert_int_equal(order(0, 0x25, 3, 1, 512), PORT_GOT_REGISTERS);
	check_bytes(at(DATA), 3 * 512, 512);
}

static void save(struct bytes *b)
{
	struct error err = {""};
	struct state *s;

	assert_int_equal(state_save(BYTES_TO(b), "saved", &s, &err), 0);
	world.ahci->pci.ops->quiesce(&world.ahci->pci, true);
	world.ahci->pci.ops->describe(&world.ahci->pci, s);
	assert_int_equal(state_finish(s), 0);
	state_destroy(s);
}

static int load(struct bytes *b, struct error *err)
{
	struct state *s;
	int r;

	b->at = 0;
	assert_int_equal(state_load(BYTES_FROM(b), "saved", &s, err), 0);
	world.ahci->pci.ops->quiesce(&world.ahci->pci, true);
	world.ahci->pci.ops->describe(&world.ahci->pci, s);
	r = state_finish(s);
	state_destroy(s);
	return r;
}

/* What was issued while it stands still begins when it goes on, elsewhere. */
static void saved(void **state)
{
	struct bytes b = {0};
	struct error err = {""};
	void *memory = malloc(AHCI_MEMORY);

	order(1, 0xa1, 0, 0, 512);
	set(0, PORT_ENABLE, PORT_GOT_REGISTERS);
	world.ahci->pci.ops->quiesce(&world.ahci->pci, true);
	prepare(0, 5, 1, 0x25, 11, 2);
	piece(5, 0, DATA, 1024, false);
	set(0, PORT_ISSUE, 1u << 5);
	save(&b);
	assert_int_equal(reg(0, PORT_ISSUE), 1u << 5);
	memcpy(memory, memory_ptr(&world.memory, 0, AHCI_MEMORY), AHCI_MEMORY);
	tear_down(NULL);
	ahci_world_open(&world);
	memcpy(memory_ptr(&world.memory, 0, AHCI_MEMORY), memory, AHCI_MEMORY);
	free(memory);
	assert_int_equal(load(&b, &err), 0);
	ahci_world_wait(&world);
	assert_int_equal(reg(0, PORT_ISSUE), 0);
	assert_int_equal(reg(0, PORT_STATUS), PORT_GOT_REGISTERS);
	assert_true(world.line);
	check_bytes(at(DATA), 11 * 512, 1024);
	free(b.data);
}

/* A transfer that has broken off in the middle leaves nothing that speaks against it. */
static void saved_after_failure(void **state)
{
	struct bytes b = {0};
	struct error err = {""};

	prepare(0, 0, 2, 0x25, 0, 2);
	piece(0, 0, DATA, 512, false);
	piece(0, 1, AHCI_MEMORY - 256, 512, false);
	assert_int_equal(issue(0, 1), PORT_BUS_FATAL);
	save(&b);
	tear_down(NULL);
	ahci_world_open(&world);
	assert_int_equal(load(&b, &err), 0);
	ahci_world_wait(&world);
	assert_int_equal(reg(0, PORT_ISSUE), 1);
	restart(0);
	assert_int_equal(order(0, 0xe7, 0, 0, 0), PORT_GOT_REGISTERS);
	free(b.data);
}

static void takes_no_state(const char *what)
{
	struct bytes b = {0};
	struct error err = {""};

	save(&b);
	assert_int_not_equal(load(&b, &err), 0);
	assert_non_null(strstr(err.text, what));
	free(b.data);
	tear_down(NULL);
	set_up(NULL);
}

static void hostile_states(void **state)
{
	world.ahci->port[2].slot = AHCI_SLOTS;
	takes_no_state("a slot");
	world.ahci->port[0].port.select = 0x10;
	takes_no_state("a slot");
	world.ahci->port[0].port.phase = ATA_TO_HOST;
	world.ahci->port[0].port.block = 512;
	takes_no_state("has not ended");
	world.ahci->port[0].port.left = 4;
	takes_no_state("has not ended");
	world.ahci->port[3].command |= PORT_RUNS;
	takes_no_state("no register");
	world.ahci->control = 0x40;
	takes_no_state("no register");
	world.ahci->port[0].port.drive[0].heads = 0;
	takes_no_state("geometry");
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(identities),
		TEST(reads_and_writes),
		TEST(refused),
		TEST(packets),
		TEST(resets),
		TEST(resets_later),
		TEST(saved),
		TEST(saved_after_failure),
		TEST(hostile_states),
	};

	return cmocka_run_group_tests_name("ahci", tests, NULL, NULL);
}
