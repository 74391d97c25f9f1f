/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flash memory for a firmware's variables: memory to be read, a chip to be written to, whose bits only become zeros
 * until a block is erased; its file, which has what it has; garbage from a guest; and all of it in a saved state.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "machine/board.h"
#include "machine/firmware/flash.h"
#include "machine/memory.h"
#include "machine/pci/root.h"
#include "protocol/nvram.h"
#include "bytes.h"

#define ROM_SIZE 0x21000u
#define SIZE (3 * FLASH_BLOCK)
#define FLASH (0x100000000ull - ROM_SIZE - SIZE)

static struct board board;
static struct memory mem;
static struct board_firmware firmware;
static unsigned remaps;

static void on_remap(void *ctx)
{
	struct error err = {""};

	remaps++;
	assert_int_equal(board_remap(&board, &err), 0);
}

static void on_irq(void *ctx, unsigned irq, bool level)
{
}

static const struct board_owner owner = {.irq = on_irq, .remap = on_remap};

static int make_file(uint32_t size, uint8_t byte)
{
	int fd = memfd_create("file", 0);
	uint8_t *bytes = malloc(size);

	memset(bytes, byte, size);
	assert_int_equal(write(fd, bytes, size), size);
	free(bytes);
	return fd;
}

static void make_board(void)
{
	struct error err = {""};

	assert_int_equal(memory_create(&mem, 2u << 20, 0, false, &err), 0);
	board = (struct board){.owner = &owner, .memory = &mem, .firmware = &firmware};
	board_init(&board);
	assert_int_equal(board_add(&board, &pci_root_device, &err), 0);
	assert_int_equal(board_add(&board, &flash_device, &err), 0);
}

static void end_board(void)
{
	board_destroy(&board);
	memory_destroy(&mem);
}

static int set_up(void **state)
{
	firmware = (struct board_firmware){.fd = make_file(ROM_SIZE, 0x90),
		.name = "rom",
		.vcpus = 1,
		.boot = "",
		.variables = make_file(SIZE, 0xa5),
		.variables_name = "variables"};
	make_board();
	remaps = 0;
	return 0;
}

static int tear_down(void **state)
{
	end_board();
	close(firmware.fd);
	close(firmware.variables);
	return 0;
}

static void tell(uint64_t at, uint8_t value)
{
	bus_write(&board.mmio, FLASH + at, 1, value);
}

/* As a processor reads: memory where there is some, else the device. */
static uint8_t see(uint64_t at)
{
	const uint8_t *p = memory_ptr_read(&mem, FLASH + at, 1);

	return p ? *p : bus_read(&board.mmio, FLASH + at, 1);
}

static uint8_t in_file(uint64_t at)
{
	uint8_t byte;

	assert_int_equal(pread(firmware.variables, &byte, 1, at), 1);
	return byte;
}

static bool is_memory(void)
{
	assert_null(memory_ptr(&mem, FLASH, 1));
	return memory_ptr_read(&mem, FLASH, SIZE);
}

static void program(uint64_t at, uint8_t value)
{
	tell(at, FLASH_PROGRAM_2);
	tell(at, value);
}

/* OVMF's way to find out what it has there. */
static void is_found(void **state)
{
	assert_true(is_memory());
	assert_int_equal(see(0x10), 0xa5);
	tell(0x10, FLASH_CLEAR_STATUS);
	assert_int_equal(see(0x10), 0xa5);
	tell(0x10, FLASH_READ_STATUS);
	assert_false(is_memory());
	assert_int_equal(see(0x10), 0);
	tell(0x10, FLASH_READ_ARRAY);
	assert_true(is_memory());
	assert_int_equal(see(0x10), 0xa5);
	assert_int_equal(remaps, 2);
}

static void programs_and_erases(void **state)
{
	program(SIZE - 1, 0xf0);
	assert_int_equal(see(5), FLASH_STATUS_READY);
	tell(0, FLASH_READ_ARRAY);
	assert_int_equal(see(SIZE - 1), 0xa0);
	assert_int_equal(in_file(SIZE - 1), 0xa0);
	tell(FLASH_BLOCK + 77, FLASH_ERASE);
	tell(FLASH_BLOCK + 77, FLASH_CONFIRM);
	assert_int_equal(see(0), FLASH_STATUS_READY);
	program(FLASH_BLOCK, 0x42);
	tell(0, FLASH_READ_ARRAY);
	assert_int_equal(see(FLASH_BLOCK), 0x42);
	assert_int_equal(see(FLASH_BLOCK + 1), 0xff);
	assert_int_equal(see(2 * FLASH_BLOCK - 1), 0xff);
	assert_int_equal(see(FLASH_BLOCK - 1), 0xa5);
	assert_int_equal(see(2 * FLASH_BLOCK), 0xa5);
	assert_int_equal(in_file(FLASH_BLOCK), 0x42);
	assert_int_equal(in_file(2 * FLASH_BLOCK - 1), 0xff);
	assert_int_equal(in_file(2 * FLASH_BLOCK), 0xa5);
}

static void says_what_it_is(void **state)
{
	tell(0, FLASH_READ_QUERY);
	assert_int_equal(see(0x10), 'Q');
	assert_int_equal(see(0x11), 'R');
	assert_int_equal(see(0x12), 'Y');
	assert_int_equal(1 + (see(0x2d) | see(0x2e) << 8), SIZE / FLASH_BLOCK);
	assert_int_equal((see(0x2f) | see(0x30) << 8) << 8, FLASH_BLOCK);
	assert_int_equal(see(see(0x15) | see(0x16) << 8), 'P');
	assert_int_equal(see(SIZE - 1), 0);
	tell(0, FLASH_READ_IDENTIFIER);
	assert_int_equal(see(0), 0x89);
	tell(0, FLASH_READ_ARRAY);
	assert_int_equal(see(0), 0xa5);
}

/* Sequences that are none, other widths, and a lock, which nothing is behind. */
static void takes_garbage(void **state)
{
	tell(0, FLASH_ERASE);
	tell(0, FLASH_READ_ARRAY);
	assert_int_equal(see(0), FLASH_STATUS_READY | FLASH_STATUS_ERROR);
	tell(0, FLASH_LOCK);
	tell(0, 0x01);
	tell(0, 0x33);
	assert_true(is_memory());
	for (uint64_t at = 0; at < SIZE; at += FLASH_BLOCK / 2)
		assert_int_equal(see(at), 0xa5);
	/* Bytes, lowest first: the second one is programmed. */
	bus_write(&board.mmio, FLASH + 8, 4, 0x00000040);
	bus_write(&board.mmio, FLASH + SIZE - 1, 8, ~0ull);
	bus_read(&board.mmio, FLASH + SIZE - 1, 8);
	tell(0, FLASH_READ_ARRAY);
	assert_int_equal(see(9), 0);
	assert_int_equal(see(8), 0xa5);
	for (unsigned i = 0; i < 512; i++)
		tell(i % SIZE, i * 31);
	board_reset(&board);
	assert_true(is_memory());
}

static int pass(struct bytes *bytes, bool load)
{
	struct error err = {""};
	struct state *s;
	int r = load ? state_load(BYTES_FROM(bytes), "flash", &s, &err)
		     : state_save(BYTES_TO(bytes), "flash", &s, &err);

	assert_int_equal(r, 0);
	flash_device.describe(board_find(&board, &flash_device), s);
	r = state_finish(s);
	state_destroy(s);
	return r;
}

static void again(uint32_t size)
{
	end_board();
	close(firmware.variables);
	firmware.variables = make_file(size, 0xff);
	make_board();
}

static void is_saved(void **state)
{
	struct bytes bytes = {0};

	program(3, 0x24);
	tell(0, FLASH_ERASE);
	assert_int_equal(pass(&bytes, false), 0);
	again(SIZE);
	assert_int_equal(pass(&bytes, true), 0);
	assert_false(is_memory());
	assert_int_equal(see(0), FLASH_STATUS_READY);
	assert_int_equal(in_file(3), 0x24);
	assert_int_equal(in_file(4), 0xa5);
	tell(FLASH_BLOCK, FLASH_CONFIRM);
	tell(0, FLASH_READ_ARRAY);
	assert_int_equal(see(FLASH_BLOCK), 0xff);
	assert_int_equal(see(4), 0xa5);
	/* Into one of another size: nothing has changed. */
	again(SIZE - FLASH_BLOCK);
	bytes.at = 0;
	assert_int_not_equal(pass(&bytes, true), 0);
	assert_int_equal(in_file(3), 0xff);
	free(bytes.data);
}

static void bad_files(void **state)
{
	static const uint32_t sizes[] = {0, 1, FLASH_BLOCK - 1, FLASH_BLOCK + 1, 0x101000};
	struct board_firmware bad = firmware;
	struct error err;

	for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct board other = {.owner = &owner, .firmware = &bad};
		struct memory other_memory;

		bad.variables = make_file(sizes[i], 0);
		assert_int_equal(memory_create(&other_memory, 2u << 20, 0, false, &err), 0);
		other.memory = &other_memory;
		board_init(&other);
		assert_int_equal(board_add(&other, &pci_root_device, &err), 0);
		err.text[0] = 0;
		assert_int_equal(board_add(&other, &flash_device, &err), -EINVAL);
		assert_non_null(strstr(err.text, "variables: not a firmware's variables"));
		board_destroy(&other);
		memory_destroy(&other_memory);
		close(bad.variables);
	}
}

/* The file: made of a template, kept as it is, one guest's at a time. */
static void a_file_of_its_own(void **state)
{
	char folder[] = "/tmp/dach-nvram-XXXXXX", template[64], path[64];
	struct error err = {""};
	int fd, other, one;
	char byte = 'x';

	assert_non_null(mkdtemp(folder));
	snprintf(template, sizeof template, "%s/template", folder);
	snprintf(path, sizeof path, "%s/guest", folder);
	assert_int_equal(nvram_open(path, template, &fd, &err), -ENOENT);
	assert_int_equal(access(path, F_OK), -1);
	one = open(template, O_RDWR | O_CREAT, 0600);
	assert_int_equal(write(one, "abc", 3), 3);
	assert_int_equal(nvram_open(path, template, &fd, &err), 0);
	assert_int_equal(pwrite(fd, &byte, 1, 1), 1);
	assert_int_equal(nvram_open(path, template, &other, &err), -EBUSY);
	assert_int_equal(other, -1);
	close(fd);
	assert_int_equal(nvram_open(path, template, &fd, &err), 0);
	assert_int_equal(pread(fd, &byte, 1, 1), 1);
	assert_int_equal(byte, 'x');
	close(fd);
	/* Another firmware's, which stay what they are. */
	assert_int_equal(write(one, "d", 1), 1);
	err.text[0] = 0;
	assert_int_equal(nvram_open(path, template, &fd, &err), -EINVAL);
	assert_non_null(strstr(err.text, "has 3 bytes and not 4"));
	assert_int_equal(nvram_open(folder, template, &fd, &err), -EISDIR);
	assert_int_equal(nvram_open("/dev/null", template, &fd, &err), -EINVAL);
	/* In memory. */
	assert_int_equal(nvram_open(NULL, template, &fd, &err), 0);
	assert_int_equal(pread(fd, &byte, 1, 3), 1);
	assert_int_equal(byte, 'd');
	close(fd);
	close(one);
	unlink(template);
	unlink(path);
	rmdir(folder);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(is_found),
		TEST(programs_and_erases),
		TEST(says_what_it_is),
		TEST(takes_garbage),
		TEST(is_saved),
		TEST(bad_files),
		cmocka_unit_test(a_file_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
