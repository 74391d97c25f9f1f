/* SPDX-License-Identifier: Apache-2.0 */
/* errors=wait: what waits for a host that fails it, what does not, and what a guest is told. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "block/device.h"
#include "block_rig.h"

static void make_file(const char *name, off_t size)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}

static bool is_finished(struct rig_waiting *w)
{
	bool finished;

	pthread_mutex_lock(&w->lock);
	finished = w->finished;
	pthread_mutex_unlock(&w->lock);
	return finished;
}

/* A file that is cut off under its disk, and whole again: who is patient has his bytes, who is not an error. */
static void test_patience(void **state)
{
	static uint8_t first[4096], second[4096];
	struct rig_waiting w = {.lock = PTHREAD_MUTEX_INITIALIZER,
		.done = PTHREAD_COND_INITIALIZER};
	struct iovec iov[2];
	struct block_device *block;

	make_file("patient", 1 << 20);
	block = rig_disk("patient,errors=wait");
	memset(first, 0x5a, sizeof first);
	assert_int_equal(rig_block_run(block, BLOCK_WRITE, 8192, first, sizeof first), 0);
	assert_int_equal(truncate("patient", 8192 + 2048), 0);
	assert_int_equal(rig_block_run(block, BLOCK_READ, 65536, second, sizeof second), -EIO);

	/* The first part can be read, and is read again with the rest. */
	w.request = (struct block_request){.op = BLOCK_READ,
		.patient = true,
		.offset = 8192,
		.length = 4096,
		.iov = iov,
		.iov_count = 2,
		.done = rig_done};
	iov[0] = (struct iovec){second, 1024};
	iov[1] = (struct iovec){second + 1024, 3072};
	block_submit(block, &w.request);
	sleep(2);
	assert_false(is_finished(&w));
	assert_int_equal(truncate("patient", 1 << 20), 0);
	assert_int_equal(rig_waited(&w), 0);
	memset(first + 2048, 0, 2048);
	assert_memory_equal(first, second, sizeof first);

	/* It does not wait for ever if somebody wants its end, nor does the disk's. */
	assert_int_equal(truncate("patient", 8192), 0);
	for (unsigned i = 0; i < 2; i++) {
		w.finished = false;
		iov[0] = (struct iovec){second, 1024};
		iov[1] = (struct iovec){second + 1024, 3072};
		block_submit(block, &w.request);
		sleep(1);
		assert_false(is_finished(&w));
		if (i) {
			block_close(block);
			assert_int_equal(rig_waited(&w), -EIO);
			break;
		}
		block_give_up_begin(block);
		assert_int_equal(rig_waited(&w), -EIO);
		/* Nor does it begin to then. */
		w.finished = false;
		iov[0] = (struct iovec){second, 1024};
		iov[1] = (struct iovec){second + 1024, 3072};
		block_submit(block, &w.request);
		assert_int_equal(rig_waited(&w), -EIO);
		block_give_up_end(block);
	}
	unlink("patient");
}

static unsigned flushes;

static int fail_once(struct block_image *image, struct block_request *request)
{
	return flushes++ ? 0 : -EIO;
}

/* What a flush could not write is gone: that a second one succeeds says nothing of it. */
static void test_flush_is_not_patient(void **state)
{
	struct rig_waiting w = {.lock = PTHREAD_MUTEX_INITIALIZER,
		.done = PTHREAD_COND_INITIALIZER};
	const struct block_driver *driver;
	struct block_driver failing;
	struct block_device *block;

	make_file("flushed", 1 << 20);
	block = rig_disk("flushed,errors=wait");
	driver = block->image->driver;
	failing = *driver;
	failing.perform = fail_once;
	block->image->driver = &failing;
	w.request = (struct block_request){.op = BLOCK_FLUSH, .patient = true, .done = rig_done};
	block_submit(block, &w.request);
	assert_int_equal(rig_waited(&w), -EIO);
	assert_int_equal(flushes, 1);
	block->image->driver = driver;
	block_close(block);
	unlink("flushed");
}

static unsigned failing; /* atomic: syncs that fail from now on */

/* In libc's place. */
int fdatasync(int fd)
{
	unsigned left = __atomic_load_n(&failing, __ATOMIC_SEQ_CST);

	if (!left)
		return (int)syscall(SYS_fdatasync, fd);
	__atomic_store_n(&failing, left - 1, __ATOMIC_SEQ_CST);
	errno = EIO;
	return -1;
}

static int guest_flush(struct block_device *block)
{
	struct rig_waiting w = {.lock = PTHREAD_MUTEX_INITIALIZER,
		.done = PTHREAD_COND_INITIALIZER};

	w.request = (struct block_request){.op = BLOCK_FLUSH, .patient = true, .done = rig_done};
	block_submit(block, &w.request);
	return rig_waited(&w);
}

/* Nor does a write that was done again until its own flush succeeded. */
static void test_patience_tells_of_a_flush(void **state)
{
	struct rig_waiting w = {.lock = PTHREAD_MUTEX_INITIALIZER,
		.done = PTHREAD_COND_INITIALIZER};
	uint8_t bytes[4096] = {1};
	struct iovec iov = {bytes, sizeof bytes};
	struct block_device *block;

	make_file("through", 1 << 20);
	block = rig_disk("through,cache=writethrough,errors=wait");
	__atomic_store_n(&failing, 1, __ATOMIC_SEQ_CST);
	w.request = (struct block_request){.op = BLOCK_WRITE,
		.patient = true,
		.length = sizeof bytes,
		.iov = &iov,
		.iov_count = 1,
		.done = rig_done};
	block_submit(block, &w.request);
	assert_int_equal(rig_waited(&w), 0);
	assert_int_equal(block_flush(block), -EIO);
	assert_int_equal(guest_flush(block), -EIO);
	assert_int_equal(guest_flush(block), 0);
	assert_int_equal(block_flush(block), 0);
	block_close(block);
	unlink("through");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_patience),
		cmocka_unit_test(test_flush_is_not_patient),
		cmocka_unit_test(test_patience_tells_of_a_flush),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
