/* SPDX-License-Identifier: Apache-2.0 */
/* The ROMs of network cards: who starts without where the host has none, and who does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/boot_rom.h"

static ssize_t rom_size; /* of the files; negative: there are none */

/* In libc's place. */
int open(const char *path, int flags, ...)
{
	int fd;

	if (strncmp(path, "/usr/lib/ipxe/", 14))
		return openat(AT_FDCWD, path, flags);
	if (rom_size < 0) {
		errno = ENOENT;
		return -1;
	}
	fd = memfd_create("rom", 0);
	assert_int_equal(ftruncate(fd, rom_size), 0);
	return fd;
}

/* With both kinds of card. */
static int read_roms(const char *boot, bool restores, struct nic_rom rom[NET_MODELS],
	struct error *err)
{
	struct vmm_config config = {.firmware = FIRMWARE_BIOS,
		.boot = boot,
		.restore_from = restores ? "a state" : NULL,
		.nets = 2,
		.net = {{.kind = NET_USER, .model = NET_VIRTIO},
			{.kind = NET_USER, .model = NET_E1000}}};

	memset(rom, 0, NET_MODELS * sizeof *rom);
	err->text[0] = 0;
	return boot_rom_read(&config, rom, err);
}

static void there(void **state)
{
	struct nic_rom rom[NET_MODELS];
	struct error err;

	(void)state;
	rom_size = 3000;
	assert_int_equal(read_roms("cdn", false, rom, &err), 0);
	for (unsigned i = 0; i < NET_MODELS; i++) {
		assert_non_null(rom[i].data);
		assert_int_equal(rom[i].size, 4096);
		free(rom[i].data);
	}
	assert_int_equal(read_roms("cd", false, rom, &err), 0);
	assert_null(rom[NET_VIRTIO].data);
}

static void missing(void **state)
{
	static const struct {
		const char *boot;
		bool restores, starts;
	} rows[] = {{"n", false, false}, {"nc", false, false}, {"n", true, true},
		{"cdn", false, true}, {"cn", true, true}};
	static const ssize_t sizes[] = {-1, 100}; /* none, and what is no ROM */
	struct nic_rom rom[NET_MODELS];
	struct error err;

	(void)state;
	for (unsigned i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
		const unsigned row = i / 2;

		rom_size = sizes[i % 2];
		assert_int_equal(!read_roms(rows[row].boot, rows[row].restores, rom, &err),
			rows[row].starts);
		assert_int_equal(!*err.text, rows[row].starts);
		if (!rows[row].starts)
			assert_non_null(strstr(err.text, i % 2 ? "not a ROM" : "ipxe-qemu"));
		for (unsigned k = 0; k < NET_MODELS; k++)
			assert_true(!rom[k].data && !rom[k].size);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there),
		cmocka_unit_test(missing),
	};

	return cmocka_run_group_tests_name("boot_rom", tests, NULL, NULL);
}
