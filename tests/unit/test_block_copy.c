/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks that are copied while they are written to: each is held against a twin in memory, whatever is done to it, and
 * after a kill against what was stable. DACH_SEED says where the dice begin, DACH_KILLS how many kills there are.
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
#include <time.h>
#include <unistd.h>

#include "block/layer.h"
#include "copy_rig.h"

static char dir[] = "/tmp/test_block_copy.XXXXXX";
static unsigned seed = 1, kills = 6;

static int enter_dir(void **state)
{
	if (getenv("DACH_SEED"))
		seed = (unsigned)atoi(getenv("DACH_SEED"));
	if (getenv("DACH_KILLS"))
		kills = (unsigned)atoi(getenv("DACH_KILLS"));
	return !mkdtemp(dir) || chdir(dir);
}

static int leave_dir(void **state)
{
	return chdir("/") || rmdir(dir);
}

/* base (raw or qcow2) <- mid <- top, each with something. The number of the next operation. */
static uint32_t make_chain(uint32_t *twin, bool raw)
{
	static const char *const names[] = {"base", "mid.qcow2", "top.qcow2"};
	uint32_t number = 1;

	memset(twin, 0, SECTORS * sizeof *twin);
	if (raw) {
		int fd = make_file("base");

		assert_int_equal(ftruncate(fd, SIZE), 0);
		close(fd);
	} else {
		make_image("base", NULL, NULL);
	}
	make_image("mid.qcow2", "base", raw ? "raw" : "qcow2");
	make_image("top.qcow2", "mid.qcow2", "qcow2");
	for (unsigned n = 0; n < 3; n++) {
		char words[32];
		struct block_device *block;

		snprintf(words, sizeof words, "%s%s", names[n], n || !raw ? ",format=qcow2" : "");
		block = rig_disk(words);
		for (unsigned i = 0; i < 60; i++) {
			struct op op = next_op(number++);

			assert_int_equal(do_op(block, &op), 0);
			do_twin(twin, &op);
		}
		block_close(block);
	}
	return number;
}

static void remove_chain(void)
{
	unlink("base");
	unlink("mid.qcow2");
	unlink("top.qcow2");
	unlink("backup");
}

/* The worker, beside who writes. */
struct job {
	struct block_copy *copy;
	int result;
	bool stop, over; /* atomic, and the next two */
	bool pledged, stays;
	bool mirrors;
};

static void *work(void *ctx)
{
	struct job *job = ctx;
	struct error err = {""};
	int r;

	do {
		r = block_copy_step(job->copy, &err);
	} while (r > 0 && !__atomic_load_n(&job->stop, __ATOMIC_ACQUIRE));
	if (!r && job->mirrors) {
		r = block_copy_pledge(job->copy, &err);
		__atomic_store_n(&job->pledged, !r, __ATOMIC_RELEASE);
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
		while (__atomic_load_n(&job->stays, __ATOMIC_ACQUIRE))
			nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	}
	if (!r)
		r = block_copy_finish(job->copy, &err);
	if (r < 0)
		fprintf(stderr, "%s\n", err.text);
	job->result = r;
	__atomic_store_n(&job->over, true, __ATOMIC_RELEASE);
	return NULL;
}

static struct block_copy *begin(struct block_device *block, enum block_copy_kind kind, bool raw)
{
	struct disk_file file = {.format = DISK_QCOW2, .fd = -1, .name = (char *)"mid.qcow2"};
	struct block_copy *copy = NULL;
	struct error err = {""};

	if (kind == BLOCK_BACKUP || kind == BLOCK_EXPORT || kind == BLOCK_MIRROR) {
		file.name = (char *)"backup";
		file.format = raw ? DISK_RAW : DISK_QCOW2;
		if (!raw)
			make_image("backup", NULL, NULL);
		file.fd = raw ? make_file("backup") : open("backup", O_RDWR);
		if (raw)
			assert_int_equal(ftruncate(file.fd, SIZE), 0);
	} else if (kind == BLOCK_COMMIT) {
		file.fd = open("mid.qcow2", O_RDWR);
	}
	if (block_copy_begin(block, kind, kind == BLOCK_STREAM ? NULL : &file, NULL, HOLD, &copy,
		    &err))
		fail_msg("%s", err.text);
	return copy;
}

/* Half of them where the worker is about to be. */
static struct op op_near(const struct block_copy *copy, uint32_t number)
{
	struct op op = next_op(number);
	uint64_t done, total;

	block_copy_progress(copy, &done, &total);
	if (dice(2) && done < SIZE) {
		uint32_t first = (uint32_t)(done / 512) + dice(2048);

		op.first = first + op.count < SECTORS ? first : SECTORS - op.count;
	}
	return op;
}

static void run_one(enum block_copy_kind kind, bool raw, bool cancels)
{
	static uint32_t twin[SECTORS], then[SECTORS];
	uint32_t number = make_chain(twin, raw), least = 50 + dice(300);
	struct block_device *block = rig_disk("top.qcow2");
	struct job job = {.copy = begin(block, kind, raw), .mirrors = kind == BLOCK_MIRROR};
	uint64_t done, total;
	pthread_t thread;

	memcpy(then, twin, sizeof then);
	assert_int_equal(pthread_create(&thread, NULL, work, &job), 0);
	for (unsigned i = 0; i < least || !__atomic_load_n(&job.over, __ATOMIC_ACQUIRE); i++) {
		struct op op = op_near(job.copy, number++);

		assert_int_equal(do_op(block, &op), 0);
		do_twin(twin, &op);
		if (i % 64 == 0)
			compare(block, twin, "meanwhile");
		if (cancels && i == 20)
			__atomic_store_n(&job.stop, true, __ATOMIC_RELEASE);
	}
	pthread_join(thread, NULL);
	assert_true(job.result == 0 || (cancels && job.result == 1));
	block_copy_progress(job.copy, &done, &total);
	assert_true(done <= total && total >= SIZE);
	assert_true(job.result || done == total || kind == BLOCK_COMMIT || kind == BLOCK_MIRROR);
	block_copy_close(job.copy);
	compare(block, twin, "afterwards");
	/* And it goes on. */
	for (unsigned i = 0; i < 50; i++) {
		struct op op = next_op(number++);

		assert_int_equal(do_op(block, &op), 0);
		do_twin(twin, &op);
	}
	if (kind == BLOCK_COMMIT && !job.result)
		assert_string_equal(block_name(block), "mid.qcow2");
	block_close(block);
	if (kind == BLOCK_BACKUP && !job.result)
		compare_file(raw ? "backup" : "backup,format=qcow2", then);
	if (kind == BLOCK_STREAM && !job.result) {
		assert_int_equal(unlink("mid.qcow2"), 0);
		assert_int_equal(unlink("base"), 0);
	}
	if (kind == BLOCK_COMMIT && !job.result)
		compare_file("mid.qcow2", twin);
	if (kind == BLOCK_MIRROR && !job.result)
		compare_file(raw ? "backup" : "backup,format=qcow2", twin);
	/* What was the top is the same disk, whatever became of it. */
	else
		compare_file("top.qcow2", twin);
	remove_chain();
}

static void test_random(void **state)
{
	static const enum block_copy_kind kinds[] = {BLOCK_STREAM, BLOCK_COMMIT, BLOCK_BACKUP};

	printf("# seed %u\n", seed);
	dice_state = seed;
	for (unsigned i = 0; i < 12; i++)
		run_one(kinds[i % 3], i / 3 % 2, i / 6 % 4 == 3);
	for (unsigned i = 0; i < 5; i++)
		run_one(BLOCK_MIRROR, i % 2, i == 4);
}

/* Reads the moment over and over, in pieces of any size. */
struct reader {
	struct block_copy *copy;
	const uint32_t *then;
	unsigned seed, rounds;
	bool stop; /* atomic */
};

static void *read_moment(void *ctx)
{
	struct reader *reader = ctx;
	uint32_t *bytes = malloc(SIZE);

	while (!__atomic_load_n(&reader->stop, __ATOMIC_ACQUIRE) || !reader->rounds) {
		for (uint32_t at = 0; at < SECTORS;) {
			uint64_t length = 512ull * (1 + rand_r(&reader->seed) % 700);
			bool zero;

			if (length > SIZE - at * 512ull)
				length = SIZE - at * 512ull;
			assert_int_equal(block_copy_find_zero(reader->copy, at * 512ull, &length,
						 &zero),
				0);
			assert_true(length && length % 512 == 0);
			assert_int_equal(block_copy_read(reader->copy, at * 512ull, length, bytes),
				0);
			for (uint32_t i = 0; i < length / 512; i++, at++)
				if (bytes[i * 128] != reader->then[at] || (zero && bytes[i * 128]))
					fail_msg("sector %u has %u instead of %u", at,
						bytes[i * 128], reader->then[at]);
		}
		reader->rounds++;
	}
	free(bytes);
	return NULL;
}

static void test_export(void **state)
{
	static uint32_t twin[SECTORS], then[SECTORS];
	struct reader reader[2];
	pthread_t thread[2];

	dice_state = seed + 7;
	for (unsigned round = 0; round < 2; round++) {
		uint32_t number = make_chain(twin, round);
		struct block_device *block = rig_disk("top.qcow2");
		struct block_copy *copy = begin(block, BLOCK_EXPORT, true);

		memcpy(then, twin, sizeof then);
		for (unsigned i = 0; i < 2; i++) {
			reader[i] = (struct reader){copy, then, seed + i, 0, false};
			assert_int_equal(pthread_create(&thread[i], NULL, read_moment, &reader[i]),
				0);
		}
		for (unsigned i = 0; i < 300; i++) {
			struct op op = next_op(number++);

			assert_int_equal(do_op(block, &op), 0);
			do_twin(twin, &op);
		}
		for (unsigned i = 0; i < 2; i++)
			__atomic_store_n(&reader[i].stop, true, __ATOMIC_RELEASE);
		for (unsigned i = 0; i < 2; i++)
			pthread_join(thread[i], NULL);
		block_copy_close(copy);
		compare(block, twin, "afterwards");
		block_close(block);
		remove_chain();
	}
}

/* Writes, and tells of each flush, while the copy goes on, until it is killed or all is done. */
static void child(enum block_copy_kind kind, bool raw, uint32_t number, uint64_t dice_at, int tell)
{
	struct block_device *block = rig_disk("top.qcow2");
	const bool mirrors = kind == BLOCK_MIRROR;
	struct job job = {.copy = begin(block, kind, raw), .mirrors = mirrors, .stays = mirrors};
	pthread_t thread;

	dice_state = dice_at;
	pthread_create(&thread, NULL, work, &job);
	for (unsigned i = 1;; i++) {
		struct op op = next_op(number++);

		/* Of a mirror nobody is told of anything before it is in step. */
		const bool counts = !mirrors || __atomic_load_n(&job.pledged, __ATOMIC_ACQUIRE);

		if (do_op(block, &op) ||
			(i % 8 == 0 && counts &&
				(rig_block_run(block, BLOCK_FLUSH, 0, NULL, 0) ||
					write(tell, &op.number, sizeof op.number) !=
						sizeof op.number)))
			_exit(1);
	}
}

static void kill_one(enum block_copy_kind kind, bool raw)
{
	static uint32_t twin[SECTORS], seen[SECTORS];
	uint32_t number = make_chain(twin, raw), stable = number - 1, told;
	const uint32_t wait = dice(60);
	const char *name = "top.qcow2";
	const uint64_t dice_at = dice_state;
	struct block_device *block;
	int ends[2];
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (!pid) {
		close(ends[0]);
		child(kind, raw, number, dice_at, ends[1]);
	}
	close(ends[1]);
	while (stable < number + wait * 8 && read(ends[0], &told, sizeof told) == sizeof told)
		stable = told;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	while (read(ends[0], &told, sizeof told) == sizeof told)
		stable = told;
	close(ends[0]);
	if (kind == BLOCK_MIRROR)
		name = raw ? "backup" : "backup,format=qcow2";
	block = rig_disk(name);
	read_all(block, seen);
	block_close(block);
	dice_state = dice_at;
	/* What was stable is there, or what was written over it since. */
	while (number <= stable) {
		struct op op = next_op(number++);

		do_twin(twin, &op);
	}
	for (unsigned i = 0; i < 4096; i++) {
		struct op op = next_op(number++);

		for (uint32_t s = op.first; s < op.first + op.count; s++)
			if (seen[s] != twin[s] && seen[s] == (op.zero ? 0 : op.number))
				twin[s] = seen[s];
	}
	for (uint32_t i = 0; i < SECTORS; i++)
		if (seen[i] != twin[i])
			fail_msg("kind %d: sector %u has %u instead of %u; stable was %u", kind, i,
				seen[i], twin[i], stable);
	compare_file(name, twin);
	remove_chain();
}

static void test_kills(void **state)
{
	dice_state = seed + 1000;
	for (unsigned i = 0; i < kills; i++)
		kill_one((enum block_copy_kind)(i % 2), i / 2 % 2);
	for (unsigned i = 0; i < kills / 2; i++)
		kill_one(BLOCK_MIRROR, i % 2);
}

static void refuse(struct block_device *block, enum block_copy_kind kind, const char *target,
	int code, const char *says)
{
	struct disk_file file = {.format = DISK_QCOW2, .fd = -1, .name = (char *)(uintptr_t)target};
	struct block_copy *copy;
	struct error err = {""};

	if (target)
		file.fd = open(target, O_RDWR);
	assert_int_equal(block_copy_begin(block, kind, target ? &file : NULL, NULL, HOLD, &copy,
				 &err),
		-code);
	if (!strstr(err.text, says))
		fail_msg("'%s' does not say '%s'", err.text, says);
	/* It is closed, or by now the base's own. */
	if (target && code != EBUSY)
		assert_int_equal(fcntl(file.fd, F_GETFD), -1);
}

/* A copy would go on with an image that is no longer the top. */
static void refuse_layer(struct block_device *block)
{
	struct disk_file file = {.format = DISK_QCOW2, .name = (char *)"new"};
	struct block_layer *layer;
	struct error err = {""};

	make_image("new", "top.qcow2", "qcow2");
	file.fd = open("new", O_RDWR);
	assert_int_equal(block_layer_open(block, &file, &layer, &err), 0);
	assert_int_equal(block_layers_hold(&layer, 1, HOLD, &err), -EBUSY);
	assert_non_null(strstr(err.text, "being copied"));
	block_layer_close(layer);
	unlink("new");
}

static void test_refusals(void **state)
{
	static uint32_t twin[SECTORS];
	struct block_device *block, *other;
	struct block_copy *copy;

	dice_state = seed;
	make_chain(twin, true);
	block = rig_disk("base,ro");
	refuse(block, BLOCK_STREAM, NULL, EINVAL, "only read");
	refuse(block, BLOCK_COMMIT, "mid.qcow2", EINVAL, "only read");
	block_close(block);
	block = rig_disk("base");
	refuse(block, BLOCK_STREAM, NULL, EINVAL, "stands on no other");
	block_close(block);
	block = rig_disk("top.qcow2");
	refuse(block, BLOCK_COMMIT, "base", EINVAL, "not what the disk stands on");
	/* Somebody else stands on it. */
	other = rig_disk("mid.qcow2,ro");
	refuse(block, BLOCK_COMMIT, "mid.qcow2", EBUSY, "in use");
	block_close(other);
	copy = begin(block, BLOCK_COMMIT, true);
	refuse(block, BLOCK_STREAM, NULL, EBUSY, "already");
	refuse_layer(block);
	assert_int_equal(block_grow(block, 2 * SIZE, HOLD, NULL), -EBUSY);
	block_copy_close(copy);
	block_copy_close(NULL);
	make_image("backup", NULL, NULL);
	other = rig_disk("backup,format=qcow2");
	refuse(block, BLOCK_BACKUP, "backup", EBUSY, "in use");
	block_close(other);
	refuse(block, BLOCK_BACKUP, "base", EBUSY, "in use");
	compare(block, twin, "as before");
	block_close(block);
	compare_file("top.qcow2", twin);
	remove_chain();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_export),
		cmocka_unit_test(test_kills),
	};

	return cmocka_run_group_tests(tests, enter_dir, leave_dir);
}
