/* SPDX-License-Identifier: Apache-2.0 */
/* qcow2 images: what is refused, and what of them qemu-img has no tool to make (tests/peer/qcow2.py). */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <string.h>
#include <unistd.h>

#include "block/create.h"
#include "block/qcow2/set.h"
#include "block/reader.h"
#include "block_rig.h"
#include "protocol/limits.h"

#define CLUSTER 65536u
#define SIZE (64ull << 20)

static char dir[] = "/tmp/test_qcow2.XXXXXX";

static int enter_dir(void **state)
{
	return !mkdtemp(dir) || chdir(dir);
}

static int leave_dir(void **state)
{
	return chdir("/") || rmdir(dir);
}

static void make(const char *name, uint64_t size, const char *backing, const char *format)
{
	const struct qcow2_make made = {size, backing, format};
	struct error err = {""};
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(qcow2_create(fd, name, &made, &err), 0);
	close(fd);
}

/* A number in the file, big-endian. */
static void poke(const char *name, uint64_t offset, unsigned size, uint64_t value)
{
	uint8_t bytes[8];
	int fd = open(name, O_RDWR);

	qcow2_put(bytes, size, value);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, size, (off_t)offset), size);
	close(fd);
}

static uint64_t peek(const char *name, uint64_t offset, unsigned size)
{
	uint8_t bytes[8];
	int fd = open(name, O_RDONLY);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, bytes, size, (off_t)offset), size);
	close(fd);
	return qcow2_get(bytes, size);
}

static void refuse(const char *spec, const char *words)
{
	struct block_device *block = NULL;
	struct error err = {""};

	assert_true(rig_block_open(spec, &block, &err) < 0);
	if (!strstr(err.text, words))
		fail_msg("'%s' does not say '%s'", err.text, words);
	assert_null(strchr(err.text, '\n'));
}

static void assert_sound(struct block_device *block)
{
	struct block_faults faults;
	struct error err = {""};

	if (block_check(block, &faults, &err))
		fail_msg("%s", err.text);
	assert_int_equal(faults.errors, 0);
	assert_int_equal(faults.leaks, 0);
}

static void test_set(void **state)
{
	struct set set = {.slot = NULL};

	assert_false(set_has(&set, 1));
	for (uint64_t i = 0; i < 1000; i++)
		assert_int_equal(set_add(&set, i * 64), 0);
	assert_int_equal(set_add(&set, 640), -EEXIST);
	for (uint64_t i = 0; i < 1000; i += 2)
		set_remove(&set, i * 64);
	for (uint64_t i = 0; i < 1000; i++)
		assert_int_equal(set_has(&set, i * 64), i % 2);
	set_free(&set);
}

/* Fields of the header, each with a value that cannot be. */
static void test_headers(void **state)
{
	static const struct {
		unsigned at, size;
		uint64_t value;
		const char *says;
	} bad[] = {
		{0, 4, 0, "not a qcow2 image"},
		{4, 4, 1, "version 1"},
		{4, 4, 4, "version 4"},
		{8, 8, 104, "backing file"},
		{8, 8, ~0ull, "backing file"},
		{20, 4, 8, "clusters"},
		{20, 4, 22, "clusters"},
		{24, 8, 0, "empty"},
		{24, 8, 1000, "512"},
		{24, 8, 1ull << 60, "size"},
		{32, 4, 1, "AES"},
		{32, 4, 2, "LUKS"},
		{36, 4, 0, "L1"},
		{36, 4, ~0u, "L1"},
		{40, 8, 512, "L1"},
		{40, 8, 1ull << 55, "cut off"},
		{48, 8, 0, "reference counts"},
		{48, 8, 3 * CLUSTER, "two of its tables"},
		{48, 8, 100 * CLUSTER, "cut off"},
		{56, 4, 0, "reference counts"},
		{56, 4, 1 << 20, "reference counts"},
		{60, 4, ~0u, "snapshots"},
		{60, 4, 1, "snapshots"},
		{72, 8, 2, "marked as damaged"},
		{72, 8, 4, "external data file"},
		{72, 8, 8, "compression"},
		{72, 8, 1ull << 40, "feature 40"},
		{96, 4, 7, "wider"},
		{100, 4, 96, "length"},
		{100, 4, CLUSTER + 8, "length"},
		{104, 1, 1, "compression"},
		{112, 8, 0x2385287500000001, "bitmaps"},
		{112, 8, 0x12345678fffffff0, "extension"},
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		make("bad.qcow2", SIZE, NULL, NULL);
		poke("bad.qcow2", bad[i].at, bad[i].size, bad[i].value);
		refuse("bad.qcow2", bad[i].says);
	}
	unlink("bad.qcow2");
}

/* Entries that point to where nothing of a guest may be; offsets are in clusters. */
static void test_hostile_tables(void **state)
{
	static const uint64_t places[] = {0, 1, 2, 3, 4, 1000, 1 << 30};
	char sector[512] = {1};

	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		struct block_device *block;

		make("bad.qcow2", SIZE, NULL, NULL);
		block = rig_disk("bad.qcow2");
		assert_int_equal(rig_block_run(block, BLOCK_WRITE, 0, sector, 512), 0);
		block_close(block);
		/* The L2 table is cluster 4, the data cluster 5. */
		assert_int_equal(peek("bad.qcow2", 4 * CLUSTER, 8), 5 * CLUSTER | 1ull << 63);
		poke("bad.qcow2", 4 * CLUSTER, 8, places[i] * CLUSTER | 1ull << 63);
		block = rig_disk("bad.qcow2");
		assert_int_equal(rig_block_run(block, BLOCK_WRITE, 0, sector, 512), i ? -EIO : 0);
		assert_int_equal(rig_block_run(block, BLOCK_READ, 0, sector, 512), i ? -EIO : 0);
		block_close(block);
		poke("bad.qcow2", 4 * CLUSTER, 8, 5 * CLUSTER | 1ull << 63 | 512);
		block = rig_disk("bad.qcow2");
		assert_int_equal(rig_block_run(block, BLOCK_READ, 0, sector, 512), -EIO);
		assert_int_equal(rig_block_run(block, BLOCK_READ, CLUSTER, sector, 512), 0);
		block_close(block);
		/* The table itself. */
		poke("bad.qcow2", 3 * CLUSTER, 8, places[i] * CLUSTER | 1ull << 63);
		if (i && places[i] != 4)
			refuse("bad.qcow2", places[i] < 4 ? "two of its tables" : "cut off");
	}
	/* A count that says free of what is a table is not believed. */
	make("bad.qcow2", SIZE, NULL, NULL);
	poke("bad.qcow2", 2 * CLUSTER + 2 * 3, 2, 0);
	struct block_device *block = rig_disk("bad.qcow2");

	assert_int_equal(rig_block_run(block, BLOCK_WRITE, 0, sector, 512), -EIO);
	block_close(block);
	unlink("bad.qcow2");
}

static void test_packed_lies(void **state)
{
	/* Beyond the file; then over the header; then of what is not packed at all. */
	static const uint64_t words[] = {1ull << 62 | 1ull << 40, 1ull << 62 | 512,
		1ull << 62 | 5 * CLUSTER};
	struct block_device *block;
	char sector[512] = {1};

	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		make("bad.qcow2", SIZE, NULL, NULL);
		block = rig_disk("bad.qcow2");
		assert_int_equal(rig_block_run(block, BLOCK_WRITE, 0, sector, 512), 0);
		block_close(block);
		poke("bad.qcow2", 4 * CLUSTER, 8, words[i]);
		block = rig_disk("bad.qcow2");
		assert_int_equal(rig_block_run(block, BLOCK_READ, 0, sector, 512), -EIO);
		block_close(block);
	}
	unlink("bad.qcow2");
}

static void test_autoclear(void **state)
{
	make("auto.qcow2", SIZE, NULL, NULL);
	poke("auto.qcow2", QCOW2_AT_AUTOCLEAR, 8, 0x8000000000000001);
	block_close(rig_disk("auto.qcow2,ro"));
	assert_int_equal(peek("auto.qcow2", QCOW2_AT_AUTOCLEAR, 8), 0x8000000000000001);
	block_close(rig_disk("auto.qcow2"));
	assert_int_equal(peek("auto.qcow2", QCOW2_AT_AUTOCLEAR, 8), 0);
	unlink("auto.qcow2");
}

/* A dirty image's counts are made anew, and a damaged one is only read. */
static void test_repair(void **state)
{
	struct block_device *block;
	char sector[512] = {7};

	make("dirty.qcow2", SIZE, NULL, NULL);
	block = rig_disk("dirty.qcow2");
	assert_int_equal(rig_block_run(block, BLOCK_WRITE, 0, sector, 512), 0);
	block_close(block);
	poke("dirty.qcow2", 2 * CLUSTER + 2 * 5, 2, 0);
	poke("dirty.qcow2", 2 * CLUSTER + 2 * 9, 2, 3);
	poke("dirty.qcow2", QCOW2_AT_INCOMPATIBLE, 8, QCOW2_DIRTY);
	block = rig_disk("dirty.qcow2");
	assert_sound(block);
	assert_int_equal(rig_block_run(block, BLOCK_WRITE, CLUSTER, sector, 512), 0);
	assert_sound(block);
	block_close(block);
	assert_int_equal(peek("dirty.qcow2", QCOW2_AT_INCOMPATIBLE, 8), 0);
	poke("dirty.qcow2", QCOW2_AT_INCOMPATIBLE, 8, QCOW2_CORRUPT);
	block = rig_disk("dirty.qcow2,ro");
	assert_int_equal(rig_block_run(block, BLOCK_READ, 0, sector, 512), 0);
	assert_int_equal(sector[0], 7);
	block_close(block);
	unlink("dirty.qcow2");
}

static void test_chain(void **state)
{
	struct block_device *block, *other;
	char sector[512], name[32];

	make("base.qcow2", SIZE, NULL, NULL);
	block = rig_disk("base.qcow2");
	memset(sector, 5, sizeof sector);
	assert_int_equal(rig_block_run(block, BLOCK_WRITE, 512, sector, 512), 0);
	block_close(block);
	make("top.qcow2", 2 * SIZE, "base.qcow2", "qcow2");
	block = rig_disk("top.qcow2");
	assert_int_equal(rig_block_run(block, BLOCK_READ, 512, sector, 512), 0);
	assert_int_equal(sector[511], 5);
	assert_int_equal(rig_block_run(block, BLOCK_READ, SIZE, sector, 512), 0);
	assert_int_equal(sector[0], 0);
	memset(sector, 6, sizeof sector);
	assert_int_equal(rig_block_run(block, BLOCK_WRITE, 0, sector, 512), 0);
	assert_int_equal(rig_block_run(block, BLOCK_READ, 512, sector, 512), 0);
	assert_int_equal(sector[0], 5);
	/* What is below somebody's disk is not written to, but may be below another's. */
	refuse("base.qcow2", "in use");
	make("twin.qcow2", SIZE, "base.qcow2", "qcow2");
	other = rig_disk("twin.qcow2");
	block_close(other);
	block_close(block);
	make("top.qcow2", SIZE, "missing.raw", "raw");
	refuse("top.qcow2", "missing.raw");
	for (unsigned i = 0; i <= LIMIT_CHAIN; i++) {
		char below[32];

		snprintf(name, sizeof name, "n%u.qcow2", i);
		snprintf(below, sizeof below, "n%u.qcow2", i + 1);
		make(name, SIZE, i < LIMIT_CHAIN ? below : NULL, "qcow2");
	}
	refuse("n0.qcow2", "more than 16 files");
	block_close(rig_disk("n1.qcow2"));
	for (unsigned i = 0; i <= LIMIT_CHAIN; i++) {
		snprintf(name, sizeof name, "n%u.qcow2", i);
		unlink(name);
	}
	unlink("top.qcow2");
	unlink("twin.qcow2");
	unlink("base.qcow2");
}

/* Past the page cache, from memory and in lengths that no disk takes as they are. */
static void test_direct(void **state)
{
	struct block_device *block = NULL;
	struct error err = {""};
	char *bytes = malloc(1 << 20), *back = malloc(1 << 20);

	make("direct.qcow2", SIZE, NULL, NULL);
	if (rig_block_open("direct.qcow2,cache=none", &block, &err)) {
		assert_non_null(strstr(err.text, "cache=none"));
		goto out;
	}
	for (size_t i = 0; i < 1 << 20; i++)
		bytes[i] = (char)(i >> 9 ^ i);
	assert_int_equal(rig_block_run(block, BLOCK_WRITE, 1536, bytes + 1, 512), 0);
	assert_int_equal(rig_block_run(block, BLOCK_WRITE, 4096, bytes + 3, 512 * 301), 0);
	assert_int_equal(rig_block_run(block, BLOCK_READ, 1536, back + 5, 512), 0);
	assert_memory_equal(back + 5, bytes + 1, 512);
	assert_int_equal(rig_block_run(block, BLOCK_READ, 4096, back + 7, 512 * 301), 0);
	assert_memory_equal(back + 7, bytes + 3, 512 * 301);
	assert_int_equal(rig_block_run(block, BLOCK_WRITE_ZEROES, 4608, NULL, 512), 0);
	assert_int_equal(rig_block_run(block, BLOCK_READ, 4096, back, 1536), 0);
	assert_memory_equal(back, bytes + 3, 512);
	assert_int_equal(back[512], 0);
	assert_memory_equal(back + 1024, bytes + 3 + 1024, 512);
	assert_sound(block);
	block_close(block);
out:
	unlink("direct.qcow2");
	free(bytes);
	free(back);
}

/* Another process of ours sees what has been settled, though the guest has not flushed. */
static void test_reader(void **state)
{
	struct block_device *block;
	struct block_image *reader;
	struct disk_spec spec;
	struct error err = {""};
	char sector[512], bytes[3];
	int fd;

	make("read.qcow2", SIZE, NULL, NULL);
	block = rig_disk("read.qcow2");
	memset(sector, 9, sizeof sector);
	assert_int_equal(rig_block_run(block, BLOCK_WRITE, 512, sector, 512), 0);
	assert_int_equal(block_settle(block), 0);
	assert_int_equal(disk_spec_parse("read.qcow2", &spec, &err), 0);
	fd = open("read.qcow2", O_RDONLY);
	assert_int_equal(block_reader_open(&spec, &fd, &reader, &err), 0);
	assert_true(block_reader_size(reader) == SIZE);
	assert_int_equal(block_reader_read(reader, 511, bytes, 3), 0);
	assert_memory_equal(bytes, "\0\x09\x09", 3);
	assert_int_equal(block_reader_read(reader, SIZE - 1, bytes, 3), -EINVAL);
	block_reader_close(reader);
	/* The descriptor stayed ours. */
	assert_int_equal(pread(fd, bytes, 3, 0), 3);
	close(fd);
	disk_spec_free(&spec);
	block_close(block);
	unlink("read.qcow2");
}

static int see(void *ctx, const struct block_snapshot_info *info)
{
	assert_string_equal(info->name, "first");
	assert_string_equal(info->id, "1");
	++*(int *)ctx;
	return 0;
}

static void test_snapshots(void **state)
{
	struct block_device *block;
	struct error err = {""};
	char sector[512];
	int count = 0;

	make("snap.qcow2", SIZE, NULL, NULL);
	block = rig_disk("snap.qcow2");
	memset(sector, 1, sizeof sector);
	assert_int_equal(rig_block_run(block, BLOCK_WRITE, 0, sector, 512), 0);
	assert_int_equal(block_snapshot(block, BLOCK_SNAPSHOT_CREATE, "first", &err), 0);
	assert_int_equal(block_snapshot(block, BLOCK_SNAPSHOT_CREATE, "first", &err), -EEXIST);
	memset(sector, 2, sizeof sector);
	assert_int_equal(rig_block_run(block, BLOCK_WRITE, 0, sector, 512), 0);
	assert_int_equal(block_snapshots(block, see, &count, &err), 0);
	assert_int_equal(count, 1);
	assert_sound(block);
	assert_int_equal(block_snapshot(block, BLOCK_SNAPSHOT_APPLY, "1", &err), 0);
	assert_int_equal(rig_block_run(block, BLOCK_READ, 0, sector, 512), 0);
	assert_int_equal(sector[0], 1);
	assert_int_equal(block_snapshot(block, BLOCK_SNAPSHOT_DELETE, "first", &err), 0);
	assert_int_equal(block_snapshot(block, BLOCK_SNAPSHOT_DELETE, "first", &err), -ENOENT);
	assert_sound(block);
	block_close(block);
	unlink("snap.qcow2");
}

static void test_resize(void **state)
{
	struct block_device *block;
	struct error err = {""};
	char sector[512] = {3};

	make("size.qcow2", SIZE, NULL, NULL);
	block = rig_disk("size.qcow2");
	assert_int_equal(rig_block_run(block, BLOCK_WRITE, SIZE - 512, sector, 512), 0);
	assert_int_equal(block_resize(block, SIZE / 2, false, &err), -EINVAL);
	/* So large that its L1 table moves. */
	assert_int_equal(block_resize(block, 8ull << 40, false, &err), 0);
	assert_int_equal(rig_block_run(block, BLOCK_WRITE, (8ull << 40) - 512, sector, 512), 0);
	assert_sound(block);
	assert_int_equal(block_resize(block, SIZE - 512, true, &err), 0);
	assert_int_equal(block_resize(block, SIZE, false, &err), 0);
	assert_int_equal(rig_block_run(block, BLOCK_READ, SIZE - 512, sector, 512), 0);
	assert_int_equal(sector[0], 0);
	assert_sound(block);
	block_close(block);
	block_close(rig_disk("size.qcow2"));
	unlink("size.qcow2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_hostile_tables),
		cmocka_unit_test(test_packed_lies),
		cmocka_unit_test(test_autoclear),
		cmocka_unit_test(test_repair),
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_direct),
		cmocka_unit_test(test_reader),
		cmocka_unit_test(test_snapshots),
		cmocka_unit_test(test_resize),
	};

	return cmocka_run_group_tests(tests, enter_dir, leave_dir);
}
