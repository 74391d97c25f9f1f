/* SPDX-License-Identifier: Apache-2.0 */
/* Disks whose sectors tell who wrote them, held against a twin in memory: for tests of what is copied of a disk in use. */
#ifndef DACH_TESTS_COPY_RIG_H
#define DACH_TESTS_COPY_RIG_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <string.h>
#include <unistd.h>

#include "block/copy.h"
#include "block/create.h"
#include "block_rig.h"

#define SIZE (8u << 20)
#define SECTORS (SIZE / 512)
#define HOLD (60 * 1000000000ull)

static uint64_t dice_state;

static uint32_t dice(uint32_t below)
{
	dice_state = dice_state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(dice_state >> 33) % below;
}

static int make_file(const char *name)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	return fd;
}

static void make_image(const char *name, const char *base, const char *format)
{
	const struct qcow2_make make = {.size = SIZE, .backing = base, .backing_format = format};
	struct error err = {""};
	int fd = make_file(name);

	assert_int_equal(qcow2_create(fd, name, &make, &err), 0);
	close(fd);
}

/* Each sector begins with the number of who wrote it; 0: nobody. */
struct op {
	uint32_t number, first, count;
	bool zero;
};

static struct op next_op(uint32_t number)
{
	struct op op = {.number = number, .zero = dice(8) == 0};

	op.count = 1 + dice(dice(4) ? 16 : 256);
	op.first = dice(SECTORS - op.count);
	return op;
}

static int do_op(struct block_device *block, const struct op *op)
{
	static _Thread_local uint32_t bytes[256 * 128];

	for (uint32_t i = 0; i < op->count; i++)
		bytes[i * 128] = op->number;
	return rig_block_run(block, op->zero ? BLOCK_WRITE_ZEROES : BLOCK_WRITE, op->first * 512ull,
		op->zero ? NULL : bytes, op->count * 512ull);
}

static void do_twin(uint32_t *twin, const struct op *op)
{
	for (uint32_t i = 0; i < op->count; i++)
		twin[op->first + i] = op->zero ? 0 : op->number;
}

static void read_all(struct block_device *block, uint32_t *sectors)
{
	static uint32_t bytes[SIZE / 4];

	assert_int_equal(rig_block_run(block, BLOCK_READ, 0, bytes, SIZE), 0);
	for (uint32_t i = 0; i < SECTORS; i++)
		sectors[i] = bytes[i * 128];
}

static void compare(struct block_device *block, const uint32_t *twin, const char *what)
{
	static uint32_t seen[SECTORS];

	read_all(block, seen);
	for (uint32_t i = 0; i < SECTORS; i++)
		if (seen[i] != twin[i])
			fail_msg("%s: sector %u has %u instead of %u", what, i, seen[i], twin[i]);
}

static void compare_file(const char *words, const uint32_t *twin)
{
	struct block_device *block = rig_disk(words);
	struct block_faults faults = {0};
	struct error err = {""};

	compare(block, twin, words);
	if (strstr(words, "qcow2") && !strstr(words, ",ro")) {
		assert_int_equal(block_check(block, &faults, &err), 0);
		assert_int_equal(faults.errors, 0);
	}
	block_close(block);
}

#endif
