/* SPDX-License-Identifier: Apache-2.0 */
/* Images that are put on disks in use. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <endian.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/loop.h"
#include "block/create.h"
#include "block/layer.h"
#include "block_rig.h"
#include "protocol/limits.h"

#define SIZE (4u << 20)
#define SECOND 1000000000ull

static char dir[] = "/tmp/test_block_layer.XXXXXX";

static int enter_dir(void **state)
{
	return !mkdtemp(dir) || chdir(dir);
}

static int leave_dir(void **state)
{
	return chdir("/") || rmdir(dir);
}

static void make_raw(const char *name)
{
	int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	close(fd);
}

static int make_top(const char *name, const char *base, const char *format, uint64_t size)
{
	const struct qcow2_make make = {.size = size, .backing = base, .backing_format = format};
	struct error err = {""};
	int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);

	assert_true(fd >= 0);
	assert_int_equal(qcow2_create(fd, name, &make, &err), 0);
	return fd;
}

static struct block_layer *layer(struct block_device *block, const char *name, int fd)
{
	const struct disk_file file = {.format = DISK_QCOW2,
		.fd = fd,
		.name = (char *)(uintptr_t)name};
	struct block_layer *made;
	struct error err = {""};

	if (block_layer_open(block, &file, &made, &err))
		fail_msg("%s", err.text);
	return made;
}

static void refuse(struct block_device *block, enum disk_format format, int fd, int code,
	const char *says)
{
	const struct disk_file file = {.format = format, .fd = fd, .name = "new"};
	struct block_layer *made;
	struct error err = {""};

	assert_int_equal(block_layer_open(block, &file, &made, &err), -code);
	if (!strstr(err.text, says))
		fail_msg("'%s' does not say '%s'", err.text, says);
	assert_int_equal(fcntl(fd, F_GETFD), -1); /* it has been closed */
}

static void test_refusals(void **state)
{
	struct block_device *block;
	uint64_t word = 0;
	int fd;

	make_raw("raw");
	block = rig_disk("raw,ro");
	refuse(block, DISK_QCOW2, make_top("new", "raw", "raw", SIZE), EINVAL, "only read");
	block_close(block);
	block = rig_disk("raw");
	unlink("new");
	refuse(block, DISK_RAW, make_top("new", "raw", "raw", SIZE), EINVAL, "qcow2");
	unlink("new");
	refuse(block, DISK_QCOW2, make_top("new", "raw", "qcow2", SIZE), EINVAL,
		"not made to stand");
	unlink("new");
	refuse(block, DISK_QCOW2, make_top("new", NULL, NULL, SIZE), EINVAL, "not made to stand");
	unlink("new");
	refuse(block, DISK_QCOW2, make_top("new", "raw", "raw", SIZE + 512), EINVAL, "size");
	unlink("new");
	fd = make_top("new", "raw", "raw", SIZE);
	word = htobe64(4ull << 16);
	assert_int_equal(pwrite(fd, &word, 8, 3 << 16), 8);
	assert_int_equal(ftruncate(fd, 5 << 16), 0);
	refuse(block, DISK_QCOW2, fd, EINVAL, "not empty");
	unlink("new");
	refuse(block, DISK_QCOW2, open("raw", O_RDWR), EBUSY, "in use");
	/* The disk is as it was. */
	assert_int_equal(rig_block_run(block, BLOCK_READ, 0, &(char[512]){0}, 512), 0);
	block_close(block);
	unlink("raw");
}

static void test_chain(void **state)
{
	struct block_device *block, *other;
	struct error err = {""};
	char name[32] = "raw", next[32], bytes[512], seen[512];
	struct block_layer *top;

	make_raw("raw");
	block = rig_disk("raw");
	for (unsigned i = 1; i < LIMIT_CHAIN; i++) {
		memset(bytes, (int)i, sizeof bytes);
		assert_int_equal(rig_block_run(block, BLOCK_WRITE, i * 4096, bytes, 512), 0);
		snprintf(next, sizeof next, "top%u", i);
		top = layer(block, next, make_top(next, name, i == 1 ? "raw" : "qcow2", SIZE));
		assert_int_equal(block_layers_hold(&top, 1, SECOND * 60, &err), 0);
		block_layers_put(&top, 1);
		assert_string_equal(block_name(block), next);
		strcpy(name, next);
	}
	refuse(block, DISK_QCOW2, make_top("new", name, "qcow2", SIZE), EINVAL, "the most");
	unlink("new");
	/* What is below may be read by others, and written to by none. */
	assert_int_equal(rig_block_open("raw", &other, &err), -EBUSY);
	other = rig_disk("raw,ro");
	block_close(other);
	for (unsigned turn = 0; turn < 2; turn++) {
		for (unsigned i = 1; i < LIMIT_CHAIN; i++) {
			memset(bytes, (int)i, sizeof bytes);
			assert_int_equal(rig_block_run(block, BLOCK_READ, i * 4096, seen, 512), 0);
			assert_memory_equal(seen, bytes, 512);
		}
		block_close(block);
		/* The same by the names in the images. */
		block = turn ? NULL : rig_disk("top15,format=qcow2");
	}
	other = rig_disk("raw");
	block_close(other);
	unlink("raw");
	for (unsigned i = 1; i < LIMIT_CHAIN; i++) {
		snprintf(next, sizeof next, "top%u", i);
		unlink(next);
	}
}

/* Writes numbers, each to one disk, then to the other, then makes both stable, until it is told to stop. */
struct writer {
	struct block_device *block[2];
	unsigned place;
	uint64_t last; /* atomic: what is on both */
	bool stop;     /* atomic */
};

static void *write_numbers(void *ctx)
{
	struct writer *writer = ctx;
	uint64_t sector[64] = {0};

	while (!__atomic_load_n(&writer->stop, __ATOMIC_ACQUIRE)) {
		sector[0] = writer->last + 1;
		for (unsigned i = 0; i < 2; i++)
			if (rig_block_run(writer->block[i], BLOCK_WRITE, writer->place * 512u,
				    sector, 512))
				abort();
		if (sector[0] % 64 == 0 && rig_block_run(writer->block[0], BLOCK_FLUSH, 0, NULL, 0))
			abort();
		__atomic_store_n(&writer->last, sector[0], __ATOMIC_RELEASE);
	}
	return NULL;
}

static uint64_t number_at(const char *words, unsigned place)
{
	struct block_device *block = rig_disk(words);
	uint64_t sector[64];

	assert_int_equal(rig_block_run(block, BLOCK_READ, place * 512u, sector, 512), 0);
	block_close(block);
	return sector[0];
}

#define WRITERS 3
#define ROUNDS 5

/* What each writer had written when the layers came is in the bases of both, and in one moment. */
static void test_one_moment(void **state)
{
	static const char *const names[2][ROUNDS + 1] = {{"a", "a1", "a2", "a3", "a4", "a5"},
		{"b", "b1", "b2", "b3", "b4", "b5"}};
	struct writer writer[WRITERS] = {{.place = 0}};
	pthread_t thread[WRITERS];
	struct block_device *block[2];
	struct error err = {""};
	char words[64];

	for (unsigned d = 0; d < 2; d++) {
		make_raw(names[d][0]);
		block[d] = rig_disk(names[d][0]);
	}
	for (unsigned w = 0; w < WRITERS; w++) {
		writer[w] = (struct writer){.block = {block[0], block[1]}, .place = w * 1000};
		pthread_create(&thread[w], NULL, write_numbers, &writer[w]);
	}
	for (unsigned n = 1; n <= ROUNDS; n++) {
		struct block_layer *top[2];
		uint64_t before[WRITERS], inside[WRITERS];

		for (unsigned d = 0; d < 2; d++)
			top[d] = layer(block[d], names[d][n],
				make_top(names[d][n], names[d][n - 1], n == 1 ? "raw" : "qcow2",
					SIZE));
		for (unsigned w = 0; w < WRITERS; w++)
			before[w] = __atomic_load_n(&writer[w].last, __ATOMIC_ACQUIRE);
		assert_int_equal(block_layers_hold(top, 2, SECOND * 60, &err), 0);
		/* A hold that comes to nothing changes nothing. */
		if (n == 2) {
			block_layers_release(top, 2);
			assert_int_equal(block_layers_hold(top, 2, SECOND * 60, &err), 0);
		}
		for (unsigned w = 0; w < WRITERS; w++)
			inside[w] = __atomic_load_n(&writer[w].last, __ATOMIC_ACQUIRE);
		block_layers_put(top, 2);
		for (unsigned w = 0; w < WRITERS; w++) {
			uint64_t on[2];

			for (unsigned d = 0; d < 2; d++) {
				snprintf(words, sizeof words, "%s,ro%s", names[d][n - 1],
					n == 1 ? "" : ",format=qcow2");
				on[d] = number_at(words, writer[w].place);
			}
			assert_true(on[0] >= before[w] && on[0] >= inside[w]);
			assert_true(on[1] == on[0] || on[1] + 1 == on[0]);
		}
		/* They all go on. */
		for (unsigned w = 0; w < WRITERS; w++)
			while (__atomic_load_n(&writer[w].last, __ATOMIC_ACQUIRE) < inside[w] + 3)
				sched_yield();
	}
	for (unsigned w = 0; w < WRITERS; w++) {
		__atomic_store_n(&writer[w].stop, true, __ATOMIC_RELEASE);
		pthread_join(thread[w], NULL);
	}
	for (unsigned d = 0; d < 2; d++) {
		block_close(block[d]);
		snprintf(words, sizeof words, "%s,format=qcow2", names[d][ROUNDS]);
		for (unsigned w = 0; w < WRITERS; w++)
			assert_int_equal(number_at(words, writer[w].place), writer[w].last);
	}
	for (unsigned n = 0; n <= ROUNDS; n++)
		for (unsigned d = 0; d < 2; d++)
			unlink(names[d][n]);
}

struct held {
	struct block_request request;
	bool done; /* atomic */
};

static void held_done(struct block_request *request, int result)
{
	assert_int_equal(result, 0);
	__atomic_store_n(&((struct held *)request)->done, true, __ATOMIC_RELEASE);
}

/* A request that comes in the hold waits, for whatever comes after it. */
static void test_hold(void **state)
{
	struct block_device *block;
	struct block_layer *top;
	struct error err = {""};
	char bytes[512] = "written in the hold";
	struct iovec iov = {bytes, sizeof bytes};
	struct held held = {.request = {.op = BLOCK_WRITE,
				    .length = 512,
				    .iov = &iov,
				    .iov_count = 1,
				    .done = held_done}};

	make_raw("raw");
	block = rig_disk("raw");
	top = layer(block, "top", make_top("top", "raw", "raw", SIZE));
	assert_int_equal(block_layers_hold(&top, 1, SECOND * 60, &err), 0);
	block_submit(block, &held.request);
	assert_false(__atomic_load_n(&held.done, __ATOMIC_ACQUIRE));
	block_layers_put(&top, 1);
	assert_int_equal(rig_block_run(block, BLOCK_FLUSH, 0, NULL, 0), 0);
	while (!__atomic_load_n(&held.done, __ATOMIC_ACQUIRE))
		sched_yield();
	assert_int_equal(number_at("raw,ro", 0), 0);
	block_close(block);
	block = rig_disk("top,format=qcow2");
	assert_int_equal(rig_block_run(block, BLOCK_READ, 0, bytes, 512), 0);
	assert_string_equal(bytes, "written in the hold");
	block_close(block);
	/* One that is not put leaves nothing behind. */
	block = rig_disk("raw");
	unlink("top");
	block_layer_close(layer(block, "top", make_top("top", "raw", "raw", SIZE)));
	block_layer_close(NULL);
	block_close(block);
	assert_int_equal(number_at("raw", 0), 0);
	unlink("raw");
	unlink("top");
}

/* Larger while it is in use, up to its new end and not beyond. */
static void test_grow(void **state)
{
	static const char *const words[] = {"raw", "top,format=qcow2"};
	char bytes[512] = "at the end";
	struct error err = {""};

	make_raw("raw");
	close(make_top("top", "raw", "raw", SIZE));
	for (unsigned i = 0; i < 2; i++) {
		struct block_device *block = rig_disk(words[i]);

		assert_int_equal(rig_block_run(block, BLOCK_WRITE, SIZE, bytes, 512), -EINVAL);
		assert_int_equal(block_grow(block, SIZE - 512, SECOND * 60, &err), -EINVAL);
		assert_int_equal(block_grow(block, SIZE + 100, SECOND * 60, &err), -EINVAL);
		if (i == 0) {
			/* The file is not so long yet. */
			assert_int_equal(block_grow(block, 2 * SIZE, SECOND * 60, &err), -ENOSPC);
			assert_int_equal(block_size(block), SIZE);
			assert_int_equal(truncate("raw", 2 * SIZE), 0);
		}
		assert_int_equal(block_grow(block, 2 * SIZE, SECOND * 60, &err), 0);
		assert_int_equal(block_size(block), 2 * SIZE);
		assert_int_equal(rig_block_run(block, BLOCK_WRITE, 2 * SIZE - 512, bytes, 512), 0);
		assert_int_equal(rig_block_run(block, BLOCK_WRITE, 2 * SIZE, bytes, 512), -EINVAL);
		block_close(block);
		block = rig_disk(words[i]);
		assert_int_equal(block_size(block), 2 * SIZE);
		assert_int_equal(rig_block_run(block, BLOCK_READ, 2 * SIZE - 512, bytes, 512), 0);
		assert_string_equal(bytes, "at the end");
		block_close(block);
		if (i == 0) {
			/* What the base has there does not show. */
			block = rig_disk("raw");
			assert_int_equal(rig_block_run(block, BLOCK_WRITE, SIZE, bytes, 512), 0);
			block_close(block);
		} else {
			block = rig_disk(words[i]);
			assert_int_equal(rig_block_run(block, BLOCK_READ, SIZE, bytes, 512), 0);
			assert_string_equal(bytes, "");
			block_close(block);
		}
	}
	unlink("top");
	unlink("raw");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_hold),
		cmocka_unit_test(test_one_moment),
		cmocka_unit_test(test_grow),
	};

	return cmocka_run_group_tests(tests, enter_dir, leave_dir);
}
