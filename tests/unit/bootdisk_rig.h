/* SPDX-License-Identifier: Apache-2.0 */
/* Disks in files, in a folder of their own, and what kernel is found on them. */
#ifndef DACH_TESTS_BOOTDISK_RIG_H
#define DACH_TESTS_BOOTDISK_RIG_H

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
#include <sys/stat.h>
#include <unistd.h>

#include "bootdisk/bootdisk.h"

#define MIB (1u << 20)

static char folder[64];

static inline int make_folder(void **state)
{
	snprintf(folder, sizeof folder, "/tmp/dach-test-XXXXXX");
	return mkdtemp(folder) && !chdir(folder) ? 0 : -1;
}

static inline int remove_folder(void **state)
{
	char command[128];

	snprintf(command, sizeof command, "rm -rf %s", folder);
	return chdir("/") || system(command);
}

static inline void shell(const char *command)
{
	char whole[2200];

	snprintf(whole, sizeof whole, "set -e; PATH=$PATH:/sbin:/usr/sbin; %s", command);
	assert_int_equal(system(whole), 0);
}

/* A disk that is a file. */
static bool read_file(void *ctx, uint64_t offset, void *buf, size_t len)
{
	return pread(*(int *)ctx, buf, len, (off_t)offset) == (ssize_t)len;
}

#define DISK_SIZE(fd) (uint64_t) lseek(fd, 0, SEEK_END)

/* disk.img's kernel is what starts so; its sentence holds that. */
static inline void boots(const char *kernel, const char *ramdisk, const char *cmdline)
{
	struct bootdisk_found found;
	struct error err = {""};
	char bytes[64] = "";
	int disk = open("disk.img", O_RDONLY);
	int files[2] = {memfd_create("k", 0), memfd_create("r", 0)};

	/* What was there before goes. */
	assert_int_equal(pwrite(files[0], "older and longer", 16, 0), 16);
	if (bootdisk_load(&(struct disk_bytes){read_file, &disk, DISK_SIZE(disk)}, "disk", true,
		    64 * MIB, files[0], files[1], &found, &err))
		fail_msg("%s", err.text);
	assert_true(pread(files[0], bytes, sizeof bytes - 1, 0) >= 0);
	assert_string_equal(bytes, kernel);
	memset(bytes, 0, sizeof bytes);
	assert_true(pread(files[1], bytes, sizeof bytes - 1, 0) >= 0);
	assert_memory_equal(bytes, ramdisk, strlen(ramdisk) + 1);
	assert_int_equal(found.ramdisk_size > 0, *ramdisk != 0);
	assert_string_equal(found.cmdline, cmdline);
	close(disk);
	close(files[0]);
	close(files[1]);
}

static inline void refuses(const char *says)
{
	struct bootdisk_found found;
	struct error err = {""};
	int disk = open("disk.img", O_RDONLY);
	int files[2] = {memfd_create("k", 0), memfd_create("r", 0)};

	assert_int_not_equal(bootdisk_load(&(struct disk_bytes){read_file, &disk, DISK_SIZE(disk)},
				     "disk", true, MIB / 2, files[0], files[1], &found, &err),
		0);
	if (!strstr(err.text, says))
		fail_msg("'%s' is not in: %s", says, err.text);
	close(disk);
	close(files[0]);
	close(files[1]);
}

#endif
