/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images below the top of a disk in use that become one: whatever happens meanwhile, the disk and each of its images are what they
 * were. DACH_SEED says where the dice begin, DACH_KILLS how many kills there are.
 */
#include "copy_rig.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "chain/qcow2_header.h"

#define IMAGES 5u
#define TOP (IMAGES - 1)

static const char *const names[IMAGES] = {"base", "1.qcow2", "2.qcow2", "3.qcow2", "top.qcow2"};
static char dir[] = "/tmp/test_block_merge.XXXXXX";
static uint32_t was[IMAGES][SECTORS]; /* what the images read as */

static int enter_dir(void **state)
{
	dice_state = getenv("DACH_SEED") ? (unsigned)atoi(getenv("DACH_SEED")) : 1;
	return !mkdtemp(dir) || chdir(dir);
}

static int leave_dir(void **state)
{
	return chdir("/") || rmdir(dir);
}

/* Each with something of its own. */
static void make_line(bool raw)
{
	uint32_t number = 1;

	for (unsigned n = 0; n < IMAGES; n++) {
		char words[40];
		struct block_device *block;

		if (n || !raw) {
			make_image(names[n], n ? names[n - 1] : NULL,
				!n                      ? NULL
					: n > 1 || !raw ? "qcow2"
							: "raw");
		} else {
			int fd = make_file("base");

			assert_int_equal(ftruncate(fd, SIZE), 0);
			close(fd);
		}
		if (n)
			memcpy(was[n], was[n - 1], sizeof *was);
		else
			memset(was[n], 0, sizeof *was);
		snprintf(words, sizeof words, "%s%s", names[n], n || !raw ? ",format=qcow2" : "");
		block = rig_disk(words);
		for (unsigned i = 0; i < 60; i++) {
			struct op op = next_op(number++);

			assert_int_equal(do_op(block, &op), 0);
			do_twin(was[n], &op);
		}
		block_close(block);
	}
}

static void remove_line(void)
{
	for (unsigned n = 0; n < IMAGES; n++)
		unlink(names[n]);
}

static int begin(struct block_device *block, const char *name, struct block_copy **copy,
	struct error *err)
{
	const struct disk_file file = {.format = DISK_QCOW2,
		.fd = open(name, O_RDWR),
		.name = (char *)(uintptr_t)name};

	assert_true(file.fd >= 0);
	return block_copy_begin(block, BLOCK_MERGE, &file, NULL, HOLD, copy, err);
}

struct job {
	struct block_copy *copy;
	int result;
	bool stop, over; /* atomic */
};

static void *work(void *ctx)
{
	struct job *job = ctx;
	struct error err = {""};
	int r;

	do {
		r = block_copy_step(job->copy, &err);
	} while (r > 0 && !__atomic_load_n(&job->stop, __ATOMIC_ACQUIRE));
	if (!r)
		r = block_copy_finish(job->copy, &err);
	if (r < 0)
		fprintf(stderr, "%s\n", err.text);
	job->result = r;
	__atomic_store_n(&job->over, true, __ATOMIC_RELEASE);
	return NULL;
}

/* Beside who writes to the disk. What came of it. */
static int merge(struct block_device *block, bool cancels)
{
	static uint32_t number = 1000000;
	struct error err = {""};
	struct job job = {.copy = NULL};
	pthread_t thread;

	if (begin(block, "3.qcow2", &job.copy, &err))
		fail_msg("%s", err.text);
	assert_int_equal(pthread_create(&thread, NULL, work, &job), 0);
	for (unsigned i = 0; i < 50 || !__atomic_load_n(&job.over, __ATOMIC_ACQUIRE); i++) {
		struct op op = next_op(number++);

		assert_int_equal(do_op(block, &op), 0);
		do_twin(was[TOP], &op);
		if (i % 32 == 0)
			compare(block, was[TOP], "meanwhile");
		if (cancels && i == 5)
			__atomic_store_n(&job.stop, true, __ATOMIC_RELEASE);
	}
	pthread_join(thread, NULL);
	block_copy_close(job.copy);
	compare(block, was[TOP], "afterwards");
	assert_true(!job.result || (cancels && job.result == 1));
	return job.result;
}

static void run_one(bool raw, bool cancels)
{
	struct block_device *block;
	unsigned merged = 0;

	make_line(raw);
	block = rig_disk(names[TOP]);
	for (unsigned lower = 2; lower > 0 && !merge(block, cancels); lower--, merged++)
		assert_int_equal(unlink(names[lower]), 0);
	block_close(block);
	assert_true(cancels || merged == 2);
	compare_file("top.qcow2,format=qcow2", was[TOP]);
	compare_file("3.qcow2,format=qcow2", was[3]);
	compare_file(raw ? "base" : "base,format=qcow2", was[0]);
	remove_line();
}

static void test_random(void **state)
{
	for (unsigned i = 0; i < 6; i++)
		run_one(i % 2, i >= 4);
}

/* Until it is killed. */
static void child(int tell)
{
	struct block_device *block = rig_disk(names[TOP]);

	for (unsigned n = 0; n < 2; n++) {
		struct job job = {.copy = NULL};
		struct error err = {""};

		if (begin(block, "3.qcow2", &job.copy, &err) || write(tell, "", 1) != 1)
			_exit(1);
		work(&job);
		block_copy_close(job.copy);
		if (job.result)
			_exit(1);
	}
	if (write(tell, "", 1) != 1)
		_exit(1);
	pause();
	_exit(0);
}

static void test_kills(void **state)
{
	const unsigned kills = getenv("DACH_KILLS") ? (unsigned)atoi(getenv("DACH_KILLS")) : 8;

	for (unsigned i = 0; i < kills; i++) {
		const unsigned begun = 1 + dice(2);
		int ends[2];
		pid_t pid;
		char byte;

		make_line(i % 2);
		assert_int_equal(pipe(ends), 0);
		pid = fork();
		if (!pid) {
			close(ends[0]);
			child(ends[1]);
		}
		close(ends[1]);
		for (unsigned n = 0; n < begun; n++)
			assert_int_equal(read(ends[0], &byte, 1), 1);
		nanosleep(&(struct timespec){.tv_nsec = dice(8) * 1000000}, NULL);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		close(ends[0]);
		for (unsigned n = IMAGES; n-- > 0;) {
			char words[40];

			snprintf(words, sizeof words, "%s%s", names[n],
				n || i % 2 == 0 ? ",format=qcow2" : "");
			compare_file(words, was[n]);
		}
		remove_line();
	}
}

static void refuse(struct block_device *block, const char *name, int code, const char *says)
{
	struct block_copy *copy;
	struct error err = {""};

	assert_int_equal(begin(block, name, &copy, &err), -code);
	if (!strstr(err.text, says))
		fail_msg("'%s' does not say '%s'", err.text, says);
}

static void test_refusals(void **state)
{
	struct block_device *block, *other;
	struct block_copy *copy;
	struct error err = {""};

	make_line(true);
	make_image("other.qcow2", NULL, NULL);
	block = rig_disk(names[TOP]);
	refuse(block, "top.qcow2", EINVAL, "is no image of the disk");
	refuse(block, "1.qcow2", EINVAL, "is no image of the disk");
	refuse(block, "base", EINVAL, "is no image of the disk");
	refuse(block, "other.qcow2", EINVAL, "is no image of the disk");
	/* Somebody else stands on it. */
	other = rig_disk("3.qcow2,ro");
	refuse(block, "3.qcow2", EBUSY, "in use");
	block_close(other);
	assert_int_equal(begin(block, "3.qcow2", &copy, &err), 0);
	refuse(block, "2.qcow2", EBUSY, "already");
	/* It is only read again afterwards. */
	block_copy_close(copy);
	other = rig_disk("3.qcow2,ro");
	block_close(other);
	compare(block, was[TOP], "as before");
	block_close(block);
	unlink("other.qcow2");
	remove_line();
}

/* A header is given another base as often as there is room, and is sound each time; a damaged one is refused or sound. */
static void test_header(void **state)
{
	static uint8_t bytes[4096], damaged[4096];
	struct qcow2_header header;
	char name[QCOW2_BACKING_MAX + 2];
	struct error err = {""};
	size_t at;
	int fd;

	make_image("one.qcow2", "first", "raw");
	fd = open("one.qcow2", O_RDONLY);
	assert_int_equal(read(fd, bytes, sizeof bytes), sizeof bytes);
	close(fd);
	unlink("one.qcow2");
	for (unsigned i = 0; i < 200; i++) {
		const size_t length = 1 + dice(QCOW2_BACKING_MAX);
		const char *format = dice(2) ? "raw" : "qcow2";
		int r;

		memset(name, 'a' + dice(26), length);
		name[length] = 0;
		r = qcow2_header_rebase(bytes, sizeof bytes, name, format, &at);
		assert_true(!r || r == -ENOSPC);
		if (r)
			continue;
		assert_int_equal(qcow2_header_parse(bytes, sizeof bytes, "it", &header, &err), 0);
		assert_string_equal(header.backing, name);
		assert_string_equal(header.backing_format, format);
		for (unsigned k = 0; k < 200; k++) {
			memcpy(damaged, bytes, sizeof damaged);
			damaged[4 + dice(160)] ^= 1 + dice(255);
			damaged[4 + dice(160)] ^= 1 + dice(255);
			if (qcow2_header_rebase(damaged, 512u << dice(4), "other", "raw", &at))
				continue;
			assert_true(at + 5 <= sizeof damaged);
		}
	}
	memset(name, 'x', sizeof name - 1);
	name[sizeof name - 1] = 0;
	assert_int_equal(qcow2_header_rebase(bytes, sizeof bytes, name, "raw", &at), -EINVAL);
	assert_int_equal(qcow2_header_rebase(bytes, sizeof bytes, "", "raw", &at), -EINVAL);
	assert_int_equal(qcow2_header_rebase(bytes, sizeof bytes, "b", "", &at), -EINVAL);
	assert_int_equal(qcow2_header_rebase(bytes, sizeof bytes, "b", "ninebytes", &at), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_kills),
	};

	return cmocka_run_group_tests(tests, enter_dir, leave_dir);
}
