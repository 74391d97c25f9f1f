/* SPDX-License-Identifier: Apache-2.0 */
/* Trees as streams: what goes comes back; and streams that somebody made up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pack/pack.h"

static char top[64], why[PACK_WHY];

static const char *in_top(const char *name)
{
	static char path[4][256];
	static unsigned turn;
	char *at = path[turn++ % 4];

	snprintf(at, sizeof *path, "%s/%s", top, name);
	return at;
}

static int set_up(void **state)
{
	snprintf(top, sizeof top, "/tmp/dach-test-XXXXXX");
	assert_non_null(mkdtemp(top));
	assert_int_equal(mkdir(in_top("from"), 0755), 0);
	assert_int_equal(mkdir(in_top("to"), 0755), 0);
	return 0;
}

static int tear_down(void **state)
{
	char command[256];

	snprintf(command, sizeof command, "chmod -R u+rwx %s; rm -rf %s", top, top);
	return system(command);
}

static void put_file(const char *name, const char *text, mode_t mode)
{
	int fd = open(in_top(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void has(const char *name, const char *text)
{
	char got[64] = "";
	int fd = open(in_top(name), O_RDONLY | O_NOFOLLOW);

	if (fd < 0)
		fail_msg("%s is not there", name);
	assert_true(read(fd, got, sizeof got - 1) >= 0);
	assert_string_equal(got, text);
	close(fd);
}

static int memory(void)
{
	int fd = memfd_create("stream", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static int unpack(int fd, const char *to, const char *name)
{
	*why = 0;
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return pack_read(fd, in_top(to), name, false, why);
}

static void test_round(void **state)
{
	struct stat st, was;
	char target[16] = "";
	int fd = memory(), hole;

	put_file("from/a", "text", 04751);
	put_file("from/empty", "", 0600);
	assert_int_equal(mkdir(in_top("from/deep"), 0755), 0);
	put_file("from/deep/b", "below", 0644);
	assert_int_equal(chmod(in_top("from/deep"), 0555), 0);
	assert_int_equal(symlink("a", in_top("from/link")), 0);
	assert_int_equal(mkfifo(in_top("from/pipe"), 0600), 0);
	hole = open(in_top("from/hole"), O_WRONLY | O_CREAT, 0600);
	assert_int_equal(pwrite(hole, "end", 3, 100 << 20), 3);
	assert_int_equal(pwrite(hole, "begin", 5, 0), 5);
	assert_int_equal(ftruncate(hole, 200 << 20), 0);
	close(hole);
	assert_int_equal(pack_write(in_top("from"), fd, -1, why), 0);
	assert_int_equal(unpack(fd, "to", "new"), 0);
	has("to/new/a", "text");
	has("to/new/deep/b", "below");
	has("to/new/empty", "");
	assert_int_equal(stat(in_top("to/new/a"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0751); /* no other's rights */
	assert_int_equal(stat(in_top("from/a"), &was), 0);
	assert_int_equal(st.st_mtim.tv_nsec, was.st_mtim.tv_nsec);
	assert_int_equal(stat(in_top("to/new/deep"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0555);
	assert_int_equal(readlink(in_top("to/new/link"), target, sizeof target), 1);
	assert_int_equal(lstat(in_top("to/new/pipe"), &st), -1);
	assert_int_equal(stat(in_top("to/new/hole"), &st), 0);
	assert_int_equal(st.st_size, 200 << 20);
	assert_true(st.st_blocks * 512 < 1 << 20);
	/* Again, over what is there. */
	assert_int_equal(unpack(fd, "to", "new"), geteuid() ? -1 : 0);
	close(fd);
	/* One file: as a new name, and over another. */
	fd = memory();
	assert_int_equal(pack_write(in_top("from/a"), fd, -1, why), 0);
	assert_int_equal(unpack(fd, "to/other", "a"), 0);
	has("to/other", "text");
	put_file("to/a", "what was there", 0600);
	assert_int_equal(unpack(fd, "to", "a"), 0);
	has("to/a", "text");
	assert_int_equal(unpack(fd, "nowhere/other", "a"), -1);
	assert_int_equal(unpack(fd, "nowhere/", "a"), -1);
	close(fd);
}

static void test_streams(void **state)
{
	int in = memory(), fd = memory(), out = memory();
	char got[16] = "";

	assert_int_equal(pwrite(in, "bytes", 5, 0), 5);
	assert_int_equal(pack_write_stream(in, fd, why), 0);
	assert_int_equal(unpack(fd, "to/stream", "-"), 0);
	has("to/stream", "bytes");
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(pack_read_stream(fd, out, why), 0);
	assert_int_equal(pread(out, got, sizeof got, 0), 5);
	assert_string_equal(got, "bytes");
	close(in);
	close(fd);
	close(out);
	/* A folder is none; what is cut off is no file. */
	fd = memory();
	assert_int_equal(pack_write(in_top("from"), fd, -1, why), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(pack_read_stream(fd, STDOUT_FILENO, why), -1);
	close(fd);
	put_file("from/a", "text", 0644);
	put_file("to/a", "what was there", 0600);
	fd = memory();
	assert_int_equal(pack_write(in_top("from/a"), fd, -1, why), 0);
	for (off_t end = lseek(fd, 0, SEEK_END) - 1; end >= 0; end--) {
		assert_int_equal(ftruncate(fd, end), 0);
		assert_int_equal(unpack(fd, "to", "a"), -1);
		has("to/a", "what was there");
	}
	close(fd);
}

/* Records by hand */

static void add(int fd, enum pack_kind kind, const char *path, const char *target, uint64_t size)
{
	const struct pack_entry entry = {.mode = 0644, .size = size};
	const struct pack_header header = {kind,
		sizeof entry + strlen(path) + 1 + (target ? strlen(target) + 1 : 0)};

	assert_int_equal(write(fd, &header, sizeof header), sizeof header);
	assert_int_equal(write(fd, &entry, sizeof entry), sizeof entry);
	assert_int_equal(write(fd, path, strlen(path) + 1), strlen(path) + 1);
	if (target)
		assert_int_equal(write(fd, target, strlen(target) + 1), strlen(target) + 1);
}

static void add_data(int fd, uint64_t offset, const char *text)
{
	const struct pack_header header = {PACK_DATA, sizeof offset + strlen(text)};

	assert_int_equal(write(fd, &header, sizeof header), sizeof header);
	assert_int_equal(write(fd, &offset, sizeof offset), sizeof offset);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void add_end(int fd)
{
	const struct pack_header header = {PACK_END, 0};

	assert_int_equal(write(fd, &header, sizeof header), sizeof header);
}

/* Nothing leaves the folder, by whatever name or link. */
static void test_hostile_paths(void **state)
{
	static const char *const paths[] = {"../out", "a/../../out", "/out", "", ".", "..", "a//b",
		"a/", "./out", "x/out", "a/./b"};
	struct stat st;

	assert_int_equal(symlink("../..", in_top("to/there")), 0);
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		int fd = memory();

		add(fd, PACK_FOLDER, "", NULL, 0);
		add(fd, PACK_FOLDER, "a", NULL, 0);
		add(fd, PACK_FILE, paths[i], NULL, 3);
		add_data(fd, 0, "bad");
		add_end(fd);
		if (!unpack(fd, "to", "new"))
			fail_msg("'%s' was taken", paths[i]);
		close(fd);
	}
	for (unsigned i = 0; i < 3; i++) {
		int fd = memory();

		add(fd, PACK_FOLDER, "", NULL, 0);
		add(fd, PACK_LINK, "link", i == 1 ? top : "../..", 0);
		if (i == 2)
			add(fd, PACK_LEAVE, "link", NULL, 0);
		add(fd, i ? PACK_FILE : PACK_FOLDER, "link/out", NULL, 0);
		add_end(fd);
		assert_int_equal(unpack(fd, "to", "new"), -1);
		close(fd);
	}
	/* A link that was there before is no way either; the whole as a link is replaced, not followed. */
	for (unsigned i = 0; i < 2; i++) {
		int fd = memory();

		add(fd, PACK_FOLDER, "", NULL, 0);
		add(fd, PACK_FILE, "out", NULL, 0);
		add_end(fd);
		assert_int_equal(unpack(fd, "to", "there"), -1);
		close(fd);
	}
	assert_int_equal(lstat(in_top("out"), &st), -1);
	assert_int_equal(lstat("/out", &st), -1);
}

static void test_hostile_records(void **state)
{
	static const struct pack_header bad[] = {{0, 0}, {PACK_END + 1, 0}, {PACK_END, 1},
		{PACK_DATA, PACK_DATA_MAX + 9}, {PACK_FILE, UINT32_MAX}, {PACK_FILE, 4},
		{PACK_DATA, 8}};
	struct stat st;
	int fd;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		static const char zeroes[64];

		fd = memory();
		assert_int_equal(write(fd, &bad[i], sizeof bad[i]), sizeof bad[i]);
		assert_int_equal(write(fd, zeroes, sizeof zeroes), sizeof zeroes);
		assert_int_equal(unpack(fd, "to", "new"), -1);
		close(fd);
	}
	/* More than the file was to have, or further than any goes; data of nothing. */
	for (unsigned i = 0; i < 4; i++) {
		fd = memory();
		add(fd, i < 3 ? PACK_FILE : PACK_FOLDER, "", NULL,
			i == 1           ? PACK_UNKNOWN
				: i == 2 ? INT64_MAX + 1ull
					 : 3);
		add_data(fd, i == 1 ? INT64_MAX - 1 : i ? 0 : 1, "abc");
		add_end(fd);
		assert_int_equal(unpack(fd, "to", "new"), -1);
		if (i < 3)
			assert_int_equal(lstat(in_top("to/new"), &st), -1);
		close(fd);
	}
	/* Two of them, and nothing at all. */
	fd = memory();
	add(fd, PACK_FILE, "", NULL, 0);
	add(fd, PACK_FILE, "", NULL, 0);
	add_end(fd);
	assert_int_equal(unpack(fd, "to", "two"), -1);
	close(fd);
	fd = memory();
	add_end(fd);
	assert_int_equal(unpack(fd, "to", "none"), -1);
	close(fd);
	/* Names of the other side's are shown without what a terminal would obey. */
	fd = memory();
	add(fd, PACK_FOLDER, "", NULL, 0);
	add(fd, PACK_FILE, "x\033]0;bad\007/y", NULL, 0);
	assert_int_equal(unpack(fd, "to", "named"), -1);
	assert_null(strpbrk(why, "\033\007"));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_streams, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_hostile_paths, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_hostile_records, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
