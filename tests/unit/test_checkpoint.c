/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints of disks: whatever is written is marked, over lives, layers and sizes, or the checkpoint is lost; backups
 * of what is marked, each on the one before, are the disk. DACH_SEED says where the dice begin.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "block/checkpoint.h"
#include "block/copy.h"
#include "block/create.h"
#include "block/layer.h"
#include "block_rig.h"

#define SIZE ((24u << 20) + 512)
#define CLUSTER 65536u
#define HOLD (60 * 1000000000ull)

static char dir[] = "/tmp/test_checkpoint.XXXXXX";
static unsigned seed = 1;
static uint8_t twin[SIZE];

static int enter_dir(void **state)
{
	if (getenv("DACH_SEED"))
		seed = (unsigned)atoi(getenv("DACH_SEED"));
	srand(seed);
	return !mkdtemp(dir) || chdir(dir);
}

static int leave_dir(void **state)
{
	return chdir("/") || rmdir(dir);
}

static void make(const char *name, const char *backing, const char *format)
{
	const struct qcow2_make like = {SIZE, backing, format};
	struct error err = {""};
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(qcow2_create(fd, name, &like, &err), 0);
	close(fd);
}

static void make_empty(const char *name)
{
	memset(twin, 0, sizeof twin);
	make(name, NULL, NULL);
}

static void scribble(struct block_device *block, unsigned times)
{
	static uint8_t bytes[128 * 512];

	for (unsigned i = 0; i < times; i++) {
		uint64_t length = 512ull * (1 + (unsigned)rand() % (i % 4 ? 16 : 128));
		uint64_t offset = 512ull * ((unsigned)rand() % ((SIZE - length) / 512 + 1));
		bool zero = rand() % 5 == 0;

		memset(bytes, zero ? 0 : rand() | 1, length);
		assert_int_equal(rig_block_run(block, zero ? BLOCK_WRITE_ZEROES : BLOCK_WRITE,
					 offset, zero ? NULL : bytes, length),
			0);
		memcpy(twin + offset, bytes, length);
	}
}

static void assert_twin(const char *words)
{
	static uint8_t bytes[SIZE];
	struct block_device *block = rig_disk(words);

	assert_int_equal(rig_block_run(block, BLOCK_READ, 0, bytes, SIZE), 0);
	assert_memory_equal(bytes, twin, SIZE);
	block_close(block);
}

static struct block_faults faults_of(const char *name)
{
	struct block_device *block = rig_disk(name);
	struct block_faults faults;
	struct error err = {""};

	assert_int_equal(block_check(block, &faults, &err), 0);
	block_close(block);
	return faults;
}

static void assert_sound(const char *name)
{
	const struct block_faults faults = faults_of(name);

	assert_int_equal(faults.errors + faults.leaks, 0);
}

static void add(struct block_device *block, const char *name)
{
	struct error err = {""};

	if (block_checkpoint_create(block, name, HOLD, &err))
		fail_msg("%s", err.text);
}

struct found {
	const char *name;
	bool there, lost;
	uint64_t dirty;
	unsigned all;
};

static int look(void *ctx, const struct block_checkpoint_info *info)
{
	struct found *found = ctx;

	found->all++;
	if (!strcmp(info->name, found->name)) {
		found->there = true;
		found->lost = info->lost;
		found->dirty = info->dirty;
	}
	return 0;
}

static struct found find(struct block_device *block, const char *name)
{
	struct found found = {.name = name};

	assert_int_equal(block_checkpoints(block, look, &found), 0);
	return found;
}

static struct found find_in(const char *words, const char *name)
{
	struct block_device *block = rig_disk(words);
	struct found found = find(block, name);

	block_close(block);
	return found;
}

static int begin(struct block_device *block, enum block_copy_kind kind, const char *target,
	const char *since, const char *checkpoint, struct block_copy **copy, struct error *err)
{
	struct disk_file file = {.format = kind == BLOCK_EXPORT ? DISK_RAW : DISK_QCOW2,
		.fd = open(target, O_RDWR | O_CREAT, 0600),
		.name = (char *)(uintptr_t)target};
	const struct block_copy_points points = {since, checkpoint};

	if (kind == BLOCK_EXPORT)
		assert_int_equal(ftruncate(file.fd, SIZE), 0);
	return block_copy_begin(block, kind, &file, &points, HOLD, copy, err);
}

/* The guest goes on meanwhile. */
static void back_up(struct block_device *block, const char *target, const char *since,
	const char *checkpoint)
{
	static uint8_t then[SIZE], now[SIZE];
	struct error err = {""};
	struct block_copy *copy;
	int more = 1;

	if (begin(block, BLOCK_BACKUP, target, since, checkpoint, &copy, &err))
		fail_msg("%s", err.text);
	memcpy(then, twin, SIZE);
	while (more > 0) {
		scribble(block, 3);
		more = block_copy_step(copy, &err);
	}
	assert_int_equal(more, 0);
	assert_int_equal(block_copy_finish(copy, &err), 0);
	block_copy_close(copy);
	memcpy(now, twin, SIZE);
	memcpy(twin, then, SIZE);
	assert_twin(target);
	memcpy(twin, now, SIZE);
}

/* What is marked is neither too little nor all. */
static void test_backups(void **state)
{
	struct block_device *block;
	struct found found;
	uint64_t moved;

	make_empty("disk.qcow2");
	block = rig_disk("disk.qcow2");
	scribble(block, 100);
	make("0.qcow2", NULL, NULL);
	back_up(block, "0.qcow2", NULL, "zero");
	for (unsigned n = 1; n < 5; n++) {
		char names[4][16];

		snprintf(names[0], 16, "%u.qcow2", n - 1);
		snprintf(names[1], 16, "%u.qcow2", n);
		snprintf(names[2], 16, "point%u", n - 1);
		snprintf(names[3], 16, "point%u", n);
		/* Over a life's end, and without. */
		if (n % 2) {
			block_close(block);
			assert_sound("disk.qcow2");
			block = rig_disk("disk.qcow2");
		}
		scribble(block, 20);
		make(names[1], names[0], "qcow2");
		back_up(block, names[1], n > 1 ? names[2] : "zero", names[3]);
		found = find(block, "zero");
		assert_true(found.there && !found.lost && found.all == n + 1);
		moved = find(block, names[3]).dirty;
		assert_true(moved && moved < SIZE && moved <= found.dirty);
	}
	block_close(block);
	assert_twin("disk.qcow2");
	assert_sound("disk.qcow2");
	for (unsigned n = 0; n < 5; n++) {
		char name[16];

		snprintf(name, sizeof name, "%u.qcow2", n);
		unlink(name);
	}
	unlink("disk.qcow2");
}

/* Nothing is written: nothing is marked, however often it is opened. One that is deleted is not there again. */
static void test_lives(void **state)
{
	struct error err = {""};
	struct block_device *block;

	make_empty("disk.qcow2");
	block = rig_disk("disk.qcow2");
	scribble(block, 30);
	add(block, "a");
	add(block, "b");
	block_close(block);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(find_in("disk.qcow2", "a").there);
		assert_int_equal(find_in("disk.qcow2,ro", "a").dirty, 0);
		assert_sound("disk.qcow2");
	}
	block = rig_disk("disk.qcow2");
	assert_int_equal(rig_block_run(block, BLOCK_WRITE, SIZE - 512, twin, 512), 0);
	assert_int_equal(block_checkpoint_delete(block, "b", HOLD, &err), 0);
	assert_int_equal(block_checkpoint_delete(block, "b", HOLD, &err), -ENOENT);
	block_close(block);
	assert_int_equal(find_in("disk.qcow2", "a").dirty, CLUSTER);
	assert_false(find_in("disk.qcow2", "b").there);
	/* The last one goes too, and leaves nothing. */
	block = rig_disk("disk.qcow2");
	assert_int_equal(block_checkpoint_delete(block, "a", HOLD, &err), 0);
	block_close(block);
	assert_int_equal(find_in("disk.qcow2", "a").all, 0);
	assert_sound("disk.qcow2");
	unlink("disk.qcow2");
}

/* Killed at any moment: it is not there, or lost, or was stored and is whole. */
static void test_kills(void **state)
{
	struct error err = {""};
	struct block_copy *copy;
	struct block_device *block;
	struct found found;

	for (unsigned i = 0; i < 4; i++) {
		pid_t pid;
		int ends[2];
		char byte;

		make_empty("disk.qcow2");
		block = rig_disk("disk.qcow2");
		add(block, "old");
		block_close(block);
		assert_int_equal(pipe(ends), 0);
		pid = fork();
		if (!pid) {
			block = rig_disk("disk.qcow2");
			add(block, "new");
			scribble(block, i * 7);
			if (i % 2)
				rig_block_run(block, BLOCK_FLUSH, 0, NULL, 0);
			if (write(ends[1], "", 1) != 1)
				_exit(1);
			if (i == 3)
				block_close(block);
			pause();
		}
		assert_int_equal(read(ends[0], &byte, 1), 1);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		close(ends[0]);
		close(ends[1]);
		block = rig_disk("disk.qcow2");
		found = find(block, "new");
		assert_true(!found.there || i == 3);
		found = find(block, "old");
		assert_true(found.there && (found.lost || i == 3));
		make("backup", NULL, NULL);
		if (found.lost) {
			assert_int_equal(begin(block, BLOCK_BACKUP, "backup", "old", NULL, &copy,
						 &err),
				-EINVAL);
			assert_non_null(strstr(err.text, "full backup"));
		}
		block_close(block);
		/* So it stays, until it is deleted. */
		block = rig_disk("disk.qcow2");
		assert_int_equal(find(block, "old").lost, found.lost);
		assert_int_equal(block_checkpoint_delete(block, "old", HOLD, &err), 0);
		block_close(block);
		/* Space that a kill has lost is lost. */
		assert_int_equal(faults_of("disk.qcow2").errors, 0);
		unlink("backup");
	}
	unlink("disk.qcow2");
}

static void put_layer(struct block_device *block, const char *name)
{
	struct disk_file file = {.format = DISK_QCOW2,
		.fd = open(name, O_RDWR),
		.name = (char *)(uintptr_t)name};
	struct block_layer *layer;
	struct error err = {""};

	assert_int_equal(block_layer_open(block, &file, &layer, &err), 0);
	assert_int_equal(block_layers_hold(&layer, 1, HOLD, &err), 0);
	block_layers_put(&layer, 1);
}

/* It is the disk's: it goes on in a new top, and comes back to the base by a commit; and it knows a larger size. */
static void test_layers(void **state)
{
	struct disk_file base = {.format = DISK_QCOW2, .name = (char *)"base.qcow2"};
	struct error err = {""};
	struct block_device *block;
	struct block_copy *copy;
	uint64_t dirty;

	make_empty("base.qcow2");
	make("top.qcow2", "base.qcow2", "qcow2");
	block = rig_disk("base.qcow2");
	add(block, "a");
	scribble(block, 5);
	block_close(block);
	block = rig_disk("base.qcow2");
	put_layer(block, "top.qcow2");
	dirty = find(block, "a").dirty;
	assert_true(dirty);
	scribble(block, 5);
	block_close(block);
	assert_false(find_in("base.qcow2,ro", "a").there);
	block = rig_disk("top.qcow2");
	assert_true(find(block, "a").dirty > dirty && !find(block, "a").lost);
	base.fd = open("base.qcow2", O_RDWR);
	assert_int_equal(block_copy_begin(block, BLOCK_COMMIT, &base, NULL, HOLD, &copy, &err), 0);
	while (block_copy_step(copy, &err) > 0)
		;
	assert_int_equal(block_copy_finish(copy, &err), 0);
	block_copy_close(copy);
	dirty = find(block, "a").dirty;
	assert_int_equal(block_grow(block, SIZE + CLUSTER, HOLD, &err), 0);
	/* And what of the last bit was not the disk's before. */
	assert_in_range(find(block, "a").dirty, dirty + CLUSTER, dirty + 2 * CLUSTER);
	dirty = find(block, "a").dirty;
	block_close(block);
	assert_int_equal(find_in("base.qcow2", "a").dirty, dirty);
	assert_sound("base.qcow2");
	unlink("base.qcow2");
	unlink("top.qcow2");
}

/* Of a raw image it lasts as long as that is open. An export tells what has changed. */
static void test_export(void **state)
{
	struct error err = {""};
	struct block_device *block;
	struct block_copy *copy;
	uint64_t length = SIZE;
	int fd = open("disk", O_RDWR | O_CREAT, 0600);

	assert_int_equal(ftruncate(fd, SIZE), 0);
	close(fd);
	block = rig_disk("disk");
	add(block, "a");
	assert_int_equal(rig_block_run(block, BLOCK_WRITE, 5 * CLUSTER, twin, 512), 0);
	assert_int_equal(begin(block, BLOCK_EXPORT, "scratch", "a", "b", &copy, &err), 0);
	assert_int_equal(rig_block_run(block, BLOCK_WRITE, 7 * CLUSTER, twin, 512), 0);
	assert_false(block_copy_changed(copy, 0, &length));
	assert_int_equal(length, 5 * CLUSTER);
	length = SIZE - 5 * CLUSTER;
	assert_true(block_copy_changed(copy, 5 * CLUSTER, &length));
	assert_int_equal(length, CLUSTER);
	length = SIZE - 6 * CLUSTER;
	assert_false(block_copy_changed(copy, 6 * CLUSTER, &length));
	assert_int_equal(length, SIZE - 6 * CLUSTER);
	block_copy_close(copy);
	assert_int_equal(find(block, "b").dirty, CLUSTER);
	block_close(block);
	assert_int_equal(find_in("disk", "a").all, 0);
	unlink("disk");
	unlink("scratch");
}

static void refuse(struct block_device *block, const char *name, int code)
{
	struct error err = {""};

	assert_int_equal(block_checkpoint_create(block, name, HOLD, &err), -code);
	assert_null(strchr(err.text, '\n'));
}

static void test_refusals(void **state)
{
	struct error err = {""};
	struct block_device *block;
	struct block_copy *copy;
	char name[80];

	make_empty("disk.qcow2");
	block = rig_disk("disk.qcow2");
	add(block, "a");
	refuse(block, "a", EEXIST);
	refuse(block, "", EINVAL);
	refuse(block, "-a", EINVAL);
	refuse(block, "a/b", EINVAL);
	memset(name, 'x', sizeof name);
	name[CHECKPOINT_NAME_MAX + 1] = 0;
	refuse(block, name, EINVAL);
	name[CHECKPOINT_NAME_MAX] = 0;
	add(block, name);
	make("backup", NULL, NULL);
	assert_int_equal(begin(block, BLOCK_BACKUP, "backup", "none", "b", &copy, &err), -ENOENT);
	assert_int_equal(begin(block, BLOCK_BACKUP, "backup", NULL, "a", &copy, &err), -EEXIST);
	/* One that is given up leaves no checkpoint. */
	assert_int_equal(begin(block, BLOCK_BACKUP, "backup", NULL, "b", &copy, &err), 0);
	block_copy_close(copy);
	assert_int_equal(find(block, "b").all, 2);
	for (unsigned i = 2; i < CHECKPOINTS_MAX; i++) {
		snprintf(name, sizeof name, "n%u", i);
		add(block, name);
	}
	refuse(block, "more", ENOSPC);
	block_close(block);
	assert_int_equal(find_in("disk.qcow2", "n2").all, CHECKPOINTS_MAX);
	block = rig_disk("disk.qcow2,ro");
	refuse(block, "b", EINVAL);
	block_close(block);
	unlink("backup");
	unlink("disk.qcow2");
}

static void poke(uint64_t offset, unsigned size, uint64_t value)
{
	uint8_t bytes[8];
	int fd = open("disk.qcow2", O_RDWR);

	qcow2_put(bytes, size, value);
	assert_int_equal(pwrite(fd, bytes, size, (off_t)offset), size);
	close(fd);
}

/* What an image says of its bitmaps, made up: then they are none or lost, and the disk is as it was. */
static void test_hostile(void **state)
{
	/* Of the header's extension (112 on), the directory and the table; in each the place, the size and the lie. */
	enum { HEADER, DIRECTORY, TABLE };
	static const struct {
		unsigned where, at, size;
		uint64_t value;
		bool there;
	} lies[] = {
		{HEADER, 88, 8, 0, false},
		{HEADER, 120, 4, 2, false},
		{HEADER, 120, 4, ~0u, false},
		{HEADER, 128, 8, 1ull << 40, false},
		{HEADER, 136, 8, 1ull << 40, false},
		{HEADER, 136, 8, CLUSTER, false},
		{HEADER, 136, 8, 3 * CLUSTER, false},
		{DIRECTORY, 0, 8, 3 * CLUSTER, false},
		{DIRECTORY, 0, 8, 1ull << 50, false},
		{DIRECTORY, 0, 8, 17, false},
		{DIRECTORY, 8, 4, 2, true},
		{DIRECTORY, 8, 4, ~0u, false},
		{DIRECTORY, 12, 4, 3, true},
		{DIRECTORY, 12, 4, 0, true},
		{DIRECTORY, 12, 4, 0xff00, true},
		{DIRECTORY, 16, 1, 2, true},
		{DIRECTORY, 17, 1, 63, true},
		{DIRECTORY, 18, 2, 0xffff, false},
		{DIRECTORY, 20, 4, ~0u, false},
		{DIRECTORY, 24, 1, '/', false},
		{TABLE, 0, 8, 3 * CLUSTER, false},
		{TABLE, 0, 8, 1ull << 50, true},
		{TABLE, 0, 8, 1ull << 50 | 512, false},
	};

	for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
		uint64_t bases[3] = {0}, value;
		struct block_device *block;
		struct found found;
		uint8_t bytes[8];
		int fd;

		make_empty("disk.qcow2");
		block = rig_disk("disk.qcow2");
		add(block, "a");
		scribble(block, 10);
		block_close(block);
		fd = open("disk.qcow2", O_RDWR);
		assert_int_equal(pread(fd, bytes, 8, 136), 8);
		bases[DIRECTORY] = qcow2_get(bytes, 8);
		assert_int_equal(pread(fd, bytes, 8, (off_t)bases[DIRECTORY]), 8);
		bases[TABLE] = qcow2_get(bytes, 8);
		close(fd);
		value = lies[i].value;
		poke(bases[lies[i].where] + lies[i].at, lies[i].size, value);
		found = find_in("disk.qcow2", "a");
		if (found.there != lies[i].there || found.lost != lies[i].there)
			fail_msg("lie %zu: there %d, lost %d", i, found.there, found.lost);
		assert_twin("disk.qcow2");
		block = rig_disk("disk.qcow2");
		scribble(block, 10);
		add(block, "b");
		block_close(block);
		assert_twin("disk.qcow2");
		assert_true(find_in("disk.qcow2", "b").there);
		unlink("disk.qcow2");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_backups),
		cmocka_unit_test(test_lives),
		cmocka_unit_test(test_kills),
		cmocka_unit_test(test_layers),
		cmocka_unit_test(test_export),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, enter_dir, leave_dir);
}
