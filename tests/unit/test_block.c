/* SPDX-License-Identifier: Apache-2.0 */
/* Raw images: what they refuse, what they do, and what a full disk gives. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/device.h"
#include "block_rig.h"

static char dir[] = "/tmp/test_block.XXXXXX";

static int enter_dir(void **state)
{
	return !mkdtemp(dir) || chdir(dir);
}

static int leave_dir(void **state)
{
	return chdir("/") || rmdir(dir);
}

static void make_file(const char *name, off_t size)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}

static int run(struct block_device *block, enum block_op op, uint64_t offset, void *buf,
	uint64_t len)
{
	char *bytes = buf ? buf : "";
	struct iovec iov[3] = {{bytes, len / 3}, {bytes, 0}, {NULL, len - len / 3}};
	struct rig_waiting w = {
		.request = {.op = op,
			.offset = offset,
			.length = len,
			.iov = iov,
			.iov_count = 3,
			.unmap = true,
			.done = rig_done},
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.done = PTHREAD_COND_INITIALIZER,
	};

	if (buf)
		iov[2].iov_base = bytes + len / 3;
	block_submit(block, &w.request);
	return rig_waited(&w);
}

static void refuse(const char *spec, int code, const char *words)
{
	struct block_device *block = NULL;
	struct error err = {0};

	assert_int_equal(rig_block_open(spec, &block, &err), -code);
	if (!strstr(err.text, words))
		fail_msg("'%s' does not say '%s'", err.text, words);
	assert_null(strchr(err.text, '\n'));
}

static void test_refusals(void **state)
{
	refuse("", EINVAL, "FILE");
	refuse(",ro", EINVAL, "FILE");
	refuse("missing.img", ENOENT, "missing.img");
	assert_int_equal(mkdir("folder", 0700), 0);
	refuse("folder", EISDIR, "directory");
	refuse("folder,ro", EISDIR, "directory");
	rmdir("folder");
	make_file("odd.img", 1000);
	refuse("odd.img", EINVAL, "512");
	make_file("odd.img", 0);
	refuse("odd.img", EINVAL, "empty");
	unlink("odd.img");
	assert_int_equal(mkfifo("fifo", 0600), 0);
	refuse("fifo,ro", EINVAL, "neither");
	unlink("fifo");
	refuse("/dev/null", EINVAL, "neither");
}

static void test_read_only_file(void **state)
{
	struct block_device *block;
	struct error err = {0};
	char byte[512];

	make_file("ro.img", 4096);
	chmod("ro.img", 0400);
	if (geteuid() != 0)
		refuse("ro.img", EACCES, "ro.img,ro");
	assert_int_equal(rig_block_open("ro.img,ro", &block, &err), 0);
	assert_true(block_read_only(block));
	assert_false(block_can_discard(block));
	assert_string_equal(block_name(block), "ro.img");
	assert_int_equal(run(block, BLOCK_READ, 0, byte, 512), 0);
	assert_int_equal(run(block, BLOCK_WRITE, 0, byte, 512), -EROFS);
	assert_int_equal(run(block, BLOCK_DISCARD, 0, NULL, 512), -EROFS);
	assert_int_equal(run(block, BLOCK_FLUSH, 0, NULL, 0), 0);
	block_close(block);
	unlink("ro.img");
}

static void test_lock(void **state)
{
	struct block_device *first, *second;
	struct error err = {0};

	make_file("lock.img", 4096);
	assert_int_equal(rig_block_open("lock.img", &first, &err), 0);
	refuse("lock.img", EBUSY, "in use");
	refuse("lock.img,ro", EBUSY, "in use");
	block_close(first);
	assert_int_equal(rig_block_open("lock.img,ro", &first, &err), 0);
	assert_int_equal(rig_block_open("lock.img,ro", &second, &err), 0);
	refuse("lock.img", EBUSY, "in use");
	block_close(first);
	block_close(second);
	block_close(NULL);
	unlink("lock.img");
}

static void test_transfers(void **state)
{
	static uint8_t out[200 << 10], in[200 << 10];
	struct block_device *block;
	struct error err = {0};
	struct stat before, after;

	for (unsigned i = 0; i < sizeof(out); i++)
		out[i] = i * 7 + (i >> 8) + 1;
	make_file("disk.img", 1 << 20);
	assert_int_equal(rig_block_open("disk.img", &block, &err), 0);
	assert_int_equal(block_size(block), 1 << 20);
	for (unsigned len = 512; len <= sizeof(out); len = len * 5 / 512 * 512) {
		assert_int_equal(run(block, BLOCK_WRITE, 1024, out, len), 0);
		memset(in, 0, sizeof(in));
		assert_int_equal(run(block, BLOCK_READ, 1024, in, len), 0);
		assert_memory_equal(in, out, len);
	}
	assert_int_equal(run(block, BLOCK_FLUSH, 0, NULL, 0), 0);
	stat("disk.img", &before);
	assert_int_equal(run(block, BLOCK_WRITE_ZEROES, 8192, NULL, 65536), 0);
	stat("disk.img", &after);
	assert_true(after.st_blocks <= before.st_blocks);
	assert_int_equal(run(block, BLOCK_READ, 8192, in, 65536), 0);
	for (unsigned i = 0; i < 65536; i++)
		assert_int_equal(in[i], 0);
	assert_int_equal(run(block, BLOCK_DISCARD, 0, NULL, 1 << 20), 0);
	assert_int_equal(run(block, BLOCK_READ, (1 << 20) - 512, in, 512), 0);
	/* Outside, or crooked */
	assert_int_equal(run(block, BLOCK_READ, 1 << 20, in, 512), -EINVAL);
	assert_int_equal(run(block, BLOCK_READ, UINT64_MAX - 511, in, 512), -EINVAL);
	assert_int_equal(run(block, BLOCK_WRITE, 1, out, 512), -EINVAL);
	assert_int_equal(run(block, BLOCK_WRITE, 0, out, 100), -EINVAL);
	assert_int_equal(run(block, BLOCK_DISCARD, 512, NULL, 1 << 20), -EINVAL);
	/* Somebody cuts the file off: an error, no zeroes. */
	assert_int_equal(truncate("disk.img", 4096), 0);
	assert_int_equal(run(block, BLOCK_READ, 8192, in, 512), -EIO);
	block_close(block);
	unlink("disk.img");
}

/* What a full disk and a file size limit give: an error for the request, and life goes on. */
static void test_no_space(void **state)
{
	struct rlimit old, limit;
	struct block_device *block;
	struct error err = {0};
	char data[4096] = {1};

	make_file("full.img", 1 << 20);
	getrlimit(RLIMIT_FSIZE, &old);
	limit = old;
	limit.rlim_cur = 512 << 10;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(rig_block_open("full.img", &block, &err), 0);
	assert_int_equal(run(block, BLOCK_WRITE, 0, data, 4096), 0);
	assert_int_equal(run(block, BLOCK_WRITE, 900 << 10, data, 4096), -EFBIG);
	assert_int_equal(run(block, BLOCK_READ, 900 << 10, data, 4096), 0);
	block_close(block);
	setrlimit(RLIMIT_FSIZE, &old);
	unlink("full.img");
}

/* A disk that takes nothing: /dev/full has no size, so a small file system stands in if we may. */
static void test_full_file_system(void **state)
{
	struct block_device *block;
	struct error err = {0};
	static char data[64 << 10];
	int r = 0;

	if (mkdir("small", 0700) || system("mount -t tmpfs -o size=256k none small 2>/dev/null")) {
		rmdir("small");
		skip();
	}
	make_file("small/disk.img", 1 << 20);
	assert_int_equal(rig_block_open("small/disk.img", &block, &err), 0);
	for (unsigned i = 0; i < 16; i++) {
		r = run(block, BLOCK_WRITE, i * sizeof(data), data, sizeof(data));
		if (r)
			break;
	}
	assert_int_equal(r, -ENOSPC);
	assert_int_equal(run(block, BLOCK_READ, 0, data, 512), 0);
	assert_int_equal(run(block, BLOCK_FLUSH, 0, NULL, 0), 0);
	block_close(block);
	assert_int_equal(system("umount small"), 0);
	rmdir("small");
}

struct counter {
	struct block_request request;
	unsigned *left;
	struct iovec iov;
	char data[4096];
};

static void counter_done(struct block_request *request, int result)
{
	struct counter *c = (struct counter *)request;

	assert_int_equal(result, 0);
	__atomic_fetch_sub(c->left, 1, __ATOMIC_SEQ_CST);
}

/* block_close() finishes what was asked for. */
static void test_many_at_once(void **state)
{
	struct counter *c = calloc(500, sizeof(*c));
	struct block_device *block;
	struct error err = {0};
	unsigned left = 500;

	make_file("many.img", 4 << 20);
	assert_int_equal(rig_block_open("many.img", &block, &err), 0);
	for (unsigned i = 0; i < 500; i++) {
		c[i].left = &left;
		c[i].iov = (struct iovec){c[i].data, 4096};
		c[i].request = (struct block_request){.op = i % 3 ? BLOCK_WRITE : BLOCK_READ,
			.offset = 4096 * i,
			.length = 4096,
			.iov = &c[i].iov,
			.iov_count = 1,
			.done = counter_done,
			.background = i & 1};
		block_submit(block, &c[i].request);
	}
	block_close(block);
	assert_int_equal(left, 0);
	free(c);
	unlink("many.img");
}

/* By its descriptor, whose rights count; it is closed with the image, and also where that is refused. */
static void test_descriptor(void **state)
{
	static const struct {
		int flags;
		bool readonly;
		int result;
		const char *says;
	} cases[] = {
		{O_RDWR, false, 0, ""},
		{O_RDWR, true, 0, ""},
		{O_RDONLY, true, 0, ""},
		{O_RDONLY, false, -EACCES, "not open for reading and writing"},
		{O_WRONLY, true, -EACCES, "not open for reading"},
	};

	make_file("fd.img", 4096);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct disk_spec spec;
		struct block_device *block = NULL;
		struct error err = {""};
		int fd = open("fd.img", cases[i].flags);

		assert_int_equal(disk_spec_of_file("a name", cases[i].readonly, &spec, &err), 0);
		spec.file[0].fd = fd;
		assert_int_equal(block_open(&spec, &block, &err), cases[i].result);
		assert_non_null(strstr(err.text, cases[i].says));
		if (block)
			assert_string_equal(block_name(block), "a name");
		block_close(block);
		assert_int_equal(fcntl(fd, F_GETFD), -1);
		disk_spec_free(&spec);
	}
	unlink("fd.img");
}

/* There is no format yet that has anything below it. */
static void test_chain(void **state)
{
	struct disk_spec spec = {0};
	struct block_device *block = NULL;
	struct error err = {""};
	int fd[2];

	make_file("chain.img", 4096);
	assert_int_equal(fields_make_list(disk_spec_fields, "files", &spec, 2), 0);
	for (unsigned i = 0; i < 2; i++)
		fd[i] = spec.file[i].fd = open("chain.img", O_RDWR);
	assert_int_equal(block_open(&spec, &block, &err), -EINVAL);
	assert_non_null(strstr(err.text, "no other below it"));
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(fcntl(fd[i], F_GETFD), -1);
	disk_spec_free(&spec);
	unlink("chain.img");
}

/* Under each cache policy what is written is read, however the buffers lie. */
static void test_caches(void **state)
{
	static const char *const words[] = {"cache.img,cache=writeback",
		"cache.img,cache=writethrough", "cache.img,cache=none"};
	static _Alignas(4096) uint8_t out[600 << 10], in[600 << 10];

	for (unsigned i = 0; i < sizeof out; i++)
		out[i] = i * 5 + (i >> 9);
	for (unsigned n = 0; n < 3; n++) {
		struct block_device *block;
		struct error err = {""};

		make_file("cache.img", 1 << 20);
		if (rig_block_open(words[n], &block, &err)) {
			/* A file system without it; then that is what is said. */
			assert_int_equal(n, 2);
			assert_non_null(strstr(err.text, "cache.img: its "));
			assert_non_null(strstr(err.text, "cache=none"));
			break;
		}
		for (unsigned crooked = 0; crooked < 2; crooked++) {
			for (unsigned len = 512; len <= sizeof out - 4096; len = len * 5) {
				memset(in, 0, sizeof in);
				assert_int_equal(run(block, BLOCK_WRITE, 1536, out + crooked * 3,
							 len),
					0);
				assert_int_equal(run(block, BLOCK_READ, 1536, in + crooked * 5,
							 len),
					0);
				assert_memory_equal(in + crooked * 5, out + crooked * 3, len);
			}
			assert_int_equal(run(block, BLOCK_WRITE_ZEROES, 512, NULL, 100 << 10), 0);
			assert_int_equal(run(block, BLOCK_READ, 512, in, 512), 0);
			for (unsigned i = 0; i < 512; i++)
				assert_int_equal(in[i], 0);
			assert_int_equal(run(block, BLOCK_FLUSH, 0, NULL, 0), 0);
		}
		block_close(block);
	}
	unlink("cache.img");
}

/* What stands behind --disk. */
static void test_disk_words(void **state)
{
	static const struct {
		const char *words, *name;
		bool readonly;
		enum disk_cache cache;
		enum disk_bus bus;
		bool cdrom;
	} good[] = {
		{"a.img", "a.img", false, DISK_WRITEBACK, DISK_VIRTIO, false},
		{"a.img,ro", "a.img", true, DISK_WRITEBACK, DISK_VIRTIO, false},
		{"a,b.img,cache=none", "a,b.img", false, DISK_DIRECT, DISK_VIRTIO, false},
		{"a.img,cache=writethrough,ro", "a.img", true, DISK_WRITETHROUGH, DISK_VIRTIO,
			false},
		{"a.img,ro,cache=writeback", "a.img", true, DISK_WRITEBACK, DISK_VIRTIO, false},
		{"cache=none", "cache=none", false, DISK_WRITEBACK, DISK_VIRTIO, false},
		{"a.img,ide", "a.img", false, DISK_WRITEBACK, DISK_IDE, false},
		{"a.img,ahci,ro", "a.img", true, DISK_WRITEBACK, DISK_AHCI, false},
		{"a.iso,cdrom", "a.iso", true, DISK_WRITEBACK, DISK_IDE, true},
		{"a.iso,ahci,cdrom", "a.iso", true, DISK_WRITEBACK, DISK_AHCI, true},
		{"a.iso,cdrom,ahci", "a.iso", true, DISK_WRITEBACK, DISK_AHCI, true},
	};
	struct disk_spec spec;
	struct error err = {""};

	for (unsigned n = 0; n < sizeof good / sizeof *good; n++) {
		assert_int_equal(disk_spec_parse(good[n].words, &spec, NULL), 0);
		assert_string_equal(spec.file[0].name, good[n].name);
		assert_int_equal(spec.readonly, good[n].readonly);
		assert_int_equal(spec.cache, good[n].cache);
		assert_int_equal(spec.bus, good[n].bus);
		assert_int_equal(spec.cdrom, good[n].cdrom);
		disk_spec_free(&spec);
	}
	assert_int_equal(disk_spec_parse("a.img,cache=some", &spec, &err), -EINVAL);
	assert_string_equal(err.text, "cache=some: there are writeback, writethrough and none");
	assert_int_equal(disk_spec_parse(",cache=none", &spec, NULL), -EINVAL);
	assert_int_equal(disk_spec_parse("a.img,errors=never", &spec, NULL), -EINVAL);
	assert_int_equal(disk_spec_parse("nbd://h/a,errors=wait", &spec, NULL), 0);
	assert_int_equal(spec.errors, DISK_ERRORS_WAIT);
	assert_string_equal(spec.file[0].name, "nbd://h/a");
	disk_spec_free(&spec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_read_only_file),
		cmocka_unit_test(test_lock),
		cmocka_unit_test(test_transfers),
		cmocka_unit_test(test_no_space),
		cmocka_unit_test(test_full_file_system),
		cmocka_unit_test(test_many_at_once),
		cmocka_unit_test(test_descriptor),
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_caches),
		cmocka_unit_test(test_disk_words),
	};

	return cmocka_run_group_tests(tests, enter_dir, leave_dir);
}
