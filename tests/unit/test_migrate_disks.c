/* SPDX-License-Identifier: Apache-2.0 */
/* The disks of a guest that moves: given from one monitor to another, or followed into images that stand there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/copy.h"
#include "block/create.h"
#include "block/handover.h"
#include "block_rig.h"
#include "migrate/wire.h"
#include "vmm/arrive_disks.h"

#define MIB 0x100000ull

static struct error err;

static struct block_device *later(const char *words)
{
	struct block_device *block = NULL;
	struct disk_spec spec;

	assert_int_equal(disk_spec_parse(words, &spec, &err), 0);
	assert_int_equal(block_files_open(&spec, &err), 0);
	spec.later = true;
	assert_int_equal(block_open(&spec, &block, &err), 0);
	disk_spec_free(&spec);
	return block;
}

static void pass_on(const char *words)
{
	uint8_t out[4096], in[4096];
	struct block_device *from = rig_disk(words), *to;

	memset(out, 0x5a, sizeof out);
	assert_int_equal(rig_block_run(from, BLOCK_WRITE, 0, out, sizeof out), 0);
	to = later(words);
	assert_int_equal(block_size(to), block_size(from));
	assert_false(block_read_only(to));
	assert_int_equal(block_lock(to, &err), -EBUSY);
	memset(out, 0xa5, sizeof out);
	assert_int_equal(rig_block_run(from, BLOCK_WRITE, 8192, out, sizeof out), 0);
	/* Given and, since the other does not want it, taken back. */
	assert_int_equal(block_give(from, &err), 0);
	assert_int_equal(block_lock(to, &err), 0);
	assert_int_equal(block_give_back(from, &err), -EBUSY);
	block_close(to);
	assert_int_equal(block_give_back(from, &err), 0);
	assert_int_equal(rig_block_run(from, BLOCK_WRITE, 65536, out, sizeof out), 0);
	/* And for good: what was written after it was opened there is there. */
	to = later(words);
	assert_int_equal(block_give(from, &err), 0);
	assert_int_equal(block_lock(to, &err), 0);
	assert_int_equal(block_take(to, &err), 0);
	block_close(from);
	assert_int_equal(rig_block_run(to, BLOCK_READ, 8192, in, sizeof in), 0);
	assert_memory_equal(in, out, sizeof in);
	assert_int_equal(rig_block_run(to, BLOCK_READ, 65536, in, sizeof in), 0);
	assert_memory_equal(in, out, sizeof in);
	assert_int_equal(rig_block_run(to, BLOCK_WRITE, 0, out, sizeof out), 0);
	assert_int_equal(rig_block_open(words, &from, &err), -EBUSY);
	block_close(to);
	from = rig_disk(words);
	assert_int_equal(rig_block_run(from, BLOCK_READ, 0, in, sizeof in), 0);
	assert_memory_equal(in, out, sizeof in);
	block_close(from);
}

static void test_disk_raw(void **state)
{
	char path[] = "/tmp/dach-migrate-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, MIB), 0);
	close(fd);
	pass_on(path);
	unlink(path);
}

static void test_disk_qcow2(void **state)
{
	const struct qcow2_make like = {.size = MIB};
	char path[] = "/tmp/dach-migrate-XXXXXX", words[80];
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(qcow2_create(fd, path, &like, &err), 0);
	close(fd);
	snprintf(words, sizeof words, "%s,format=qcow2", path);
	pass_on(words);
	unlink(path);
}

/* A disk that is written to all the while is, once that ends, the same elsewhere. */
struct writer {
	struct block_device *disk;
	bool stop; /* atomic */
	unsigned seed;
};

static void *keep_writing(void *ctx)
{
	struct writer *writer = ctx;
	uint8_t bytes[4096];

	while (!__atomic_load_n(&writer->stop, __ATOMIC_RELAXED)) {
		const uint64_t offset = (uint64_t)rand_r(&writer->seed) % (2 * MIB / 512) * 512;
		const enum block_op op =
			rand_r(&writer->seed) % 8 ? BLOCK_WRITE : BLOCK_WRITE_ZEROES;

		memset(bytes, rand_r(&writer->seed), sizeof bytes);
		if (rig_block_run(writer->disk, op, offset, bytes, sizeof bytes))
			abort();
	}
	return NULL;
}

/* Into copy; how much was to be read for it. */
static uint64_t follow(struct block_copy *copying, uint8_t *copy)
{
	static uint8_t bytes[BLOCK_COPY_PIECE];
	uint64_t offset, length, moved = 0;
	bool zero;
	int r;

	while ((r = block_copy_next(copying, &offset, &length, bytes, &zero, &err)) > 0) {
		assert_in_range(length, 1, sizeof bytes);
		if (zero)
			memset(copy + offset, 0, length);
		else
			memcpy(copy + offset, bytes, length);
		moved += zero ? 0 : length;
	}
	assert_int_equal(r, 0);
	return moved;
}

static void follow_disk(const char *words)
{
	const uint64_t size = 4 * MIB + 512;
	struct block_device *disk = rig_disk(words);
	uint8_t *copy = calloc(1, size), *is = calloc(1, size);
	struct writer writer = {.disk = disk, .seed = 5};
	struct block_copy *copying, *another;
	char last[512] = "last";
	uint64_t done, total;
	pthread_t thread;

	assert_int_equal(rig_block_run(disk, BLOCK_WRITE, size - sizeof last, last, sizeof last),
		0);
	assert_int_equal(block_copy_begin(disk, BLOCK_FOLLOW, NULL, NULL, 1ull << 30, &copying,
				 &err),
		0);
	assert_int_equal(block_copy_begin(disk, BLOCK_FOLLOW, NULL, NULL, 1ull << 30, &another,
				 &err),
		-EBUSY);
	assert_int_equal(block_give(disk, &err), -EBUSY);
	assert_int_equal(pthread_create(&thread, NULL, keep_writing, &writer), 0);
	/* What is empty is not read. */
	assert_in_range(follow(copying, copy), 1, 2 * MIB + 65536);
	for (unsigned i = 0; i < 20; i++)
		follow(copying, copy);
	__atomic_store_n(&writer.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	follow(copying, copy);
	block_copy_progress(copying, &done, &total);
	assert_int_equal(done, total);
	assert_int_equal(follow(copying, copy), 0);
	assert_int_equal(rig_block_run(disk, BLOCK_READ, 0, is, size), 0);
	assert_memory_equal(is, copy, size);
	block_copy_close(copying);
	assert_int_equal(block_give(disk, &err), 0);
	block_close(disk);
	free(copy);
	free(is);
}

static void test_follow_raw(void **state)
{
	char path[] = "/tmp/dach-migrate-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 4 * MIB + 512), 0);
	close(fd);
	follow_disk(path);
	unlink(path);
}

static void test_follow_qcow2(void **state)
{
	const struct qcow2_make like = {.size = 4 * MIB + 512};
	char path[] = "/tmp/dach-migrate-XXXXXX", words[80];
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(qcow2_create(fd, path, &like, &err), 0);
	close(fd);
	snprintf(words, sizeof words, "%s,format=qcow2", path);
	follow_disk(words);
	unlink(path);
}

/* What comes is written as a guest's is, and within the disk. */
static void test_write(void **state)
{
	static uint8_t out[8192], in[8192];
	char path[] = "/tmp/dach-migrate-XXXXXX";
	struct block_device *disk;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, MIB), 0);
	close(fd);
	disk = rig_disk(path);
	memset(out, 0x5a, sizeof out);
	assert_int_equal(block_write(disk, 4096, sizeof out, out), 0);
	assert_int_equal(block_write(disk, 8192, 4096, NULL), 0);
	memset(out + 4096, 0, 4096);
	assert_int_equal(rig_block_run(disk, BLOCK_READ, 4096, in, sizeof in), 0);
	assert_memory_equal(in, out, sizeof in);
	assert_int_equal(block_write(disk, MIB - 4096, sizeof out, out), -EINVAL);
	assert_int_equal(block_write(disk, ~0ull - 511, 512, NULL), -EINVAL);
	assert_int_equal(block_write(disk, 0, ~0ull - 511, NULL), -EINVAL);
	assert_int_equal(block_write(disk, 1, 512, out), -EINVAL);
	block_close(disk);
	unlink(path);
}

/* Of two that come by turns, neither has more that is not stable than it may. */
static void test_unstable(void **state)
{
	static uint8_t data[WIRE_PIECE];
	static struct arrive_disks disks;
	char path[2][32] = {"/tmp/dach-migrate-XXXXXX", "/tmp/dach-migrate-XXXXXX"};
	struct wire_disk piece = {.what = WIRE_DISK_DATA, .length = sizeof data};
	struct block_device *disk[2];
	uint64_t sum = 0;

	for (unsigned i = 0; i < 2; i++) {
		int fd = mkstemp(path[i]);

		assert_true(fd >= 0);
		assert_int_equal(ftruncate(fd, MIB), 0);
		close(fd);
		disk[i] = rig_disk(path[i]);
	}
	while (sum < ARRIVE_UNSTABLE_MAX - sizeof data) {
		sum += sizeof data;
		for (piece.disk = 0; piece.disk < 2; piece.disk++) {
			assert_int_equal(arrive_disks_take(&disks, disk[piece.disk], &piece, data),
				0);
			assert_int_equal(disks.unstable[piece.disk], sum);
		}
	}
	piece.disk = 1;
	assert_int_equal(arrive_disks_take(&disks, disk[1], &piece, data), 0);
	assert_int_equal(disks.unstable[0], sum);
	assert_int_equal(disks.unstable[1], 0);
	piece.disk = 0;
	piece.what = WIRE_DISK_STABLE;
	assert_int_equal(arrive_disks_take(&disks, disk[0], &piece, NULL), 0);
	assert_int_equal(disks.unstable[0], 0);
	piece.what = WIRE_DISK_WHOLE;
	assert_int_equal(arrive_disks_take(&disks, disk[0], &piece, NULL), -EPROTO);
	piece.length = MIB;
	assert_int_equal(arrive_disks_take(&disks, disk[0], &piece, NULL), 0);
	assert_true(disks.whole[0] && !disks.whole[1]);
	assert_int_equal(arrive_disks_take(&disks, disk[0], &piece, NULL), -EPROTO);
	for (unsigned i = 0; i < 2; i++) {
		block_close(disk[i]);
		unlink(path[i]);
	}
}
int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_disk_raw),
		cmocka_unit_test(test_disk_qcow2),
		cmocka_unit_test(test_follow_raw),
		cmocka_unit_test(test_follow_qcow2),
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_unstable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
