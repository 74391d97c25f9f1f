/* SPDX-License-Identifier: Apache-2.0 */
/* Layers of a container's image as one root, and archives that somebody made up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image/flatten.h"
#include "image/tar.h"

#define LAYERS 3

static int layer[LAYERS];
static struct error err;

static int set_up(void **state)
{
	for (unsigned i = 0; i < LAYERS; i++)
		layer[i] = memfd_create("layer", 0);
	return 0;
}

static int tear_down(void **state)
{
	for (unsigned i = 0; i < LAYERS; i++)
		close(layer[i]);
	return 0;
}

static void add(unsigned n, enum tar_kind kind, const char *path, const char *text)
{
	static struct tar_entry entry;
	const bool links = kind == TAR_SYMLINK || kind == TAR_LINK;

	entry = (struct tar_entry){.kind = kind,
		.mode = 0755,
		.uid = 7,
		.gid = 8,
		.size = kind == TAR_FILE ? strlen(text) : 0};
	snprintf(entry.path, sizeof entry.path, "%s", path);
	snprintf(entry.link, sizeof entry.link, "%s", links ? text : "");
	assert_int_equal(tar_write_entry(layer[n], &entry, &err), 0);
	assert_int_equal(tar_write_data(layer[n], text, entry.size, &err), 0);
	assert_int_equal(tar_write_padding(layer[n], entry.size, &err), 0);
}

static int flatten(unsigned layers, int out)
{
	char name[LAYERS][32];
	const char *names[LAYERS];
	const struct flatten what = {names, layers, true, 1 << 20};

	err.text[0] = 0;
	for (unsigned i = 0; i < LAYERS; i++) {
		snprintf(name[i], sizeof name[i], "/proc/self/fd/%d", layer[i]);
		names[i] = name[i];
	}
	return flatten_write(&what, out, &err);
}

/* What came out, a line each: "f ./a=text". */
static const char *result(unsigned layers)
{
	static char text[16384];
	static struct tar_entry entry;
	struct tar_input *tar;
	int out = memfd_create("root", 0), r;
	char data[64];

	*text = 0;
	if (flatten(layers, out))
		fail_msg("%s", err.text);
	assert_int_equal(lseek(out, 0, SEEK_SET), 0);
	assert_int_equal(tar_open(out, "root", &tar, &err), 0);
	while ((r = tar_next(tar, &entry, &err)) > 0) {
		ssize_t n = tar_read(tar, data, sizeof data, &err);

		assert_true(n >= 0);
		snprintf(text + strlen(text), sizeof text - strlen(text), "%c %s%s%.*s%s\n",
			"fdsl?"[entry.kind], entry.path, entry.kind == TAR_FOLDER ? "" : "=",
			(int)n, data, entry.link);
		assert_int_equal(entry.uid, 7);
		assert_int_equal(entry.mode, 0755);
	}
	assert_int_equal(r, 0);
	tar_close(tar);
	return text;
}

static void test_layers(void **state)
{
	add(0, TAR_FOLDER, "etc/", "");
	add(0, TAR_FILE, "etc/a", "old");
	add(0, TAR_FILE, "etc/b", "stays");
	add(0, TAR_FILE, "etc/gone", "x");
	add(0, TAR_FOLDER, "var", "");
	add(0, TAR_FILE, "var/x", "x");
	add(0, TAR_FILE, "turns/x", "x");
	add(1, TAR_FILE, "./etc/a", "new");
	add(1, TAR_FILE, "etc/.wh.gone", "");
	add(1, TAR_FOLDER, "var", "");
	add(1, TAR_FILE, "var/y", "y");
	add(1, TAR_FILE, "var/.wh..wh..opq", "");
	add(1, TAR_FILE, "turns", "a file");
	add(2, TAR_OTHER, "dev/null", "");
	add(2, TAR_FILE, "etc/.wh.never", "");
	assert_string_equal(result(3),
		"d ./etc\nf ./etc/b=stays\nf ./etc/a=new\nd ./var\nf ./var/y=y\nf ./turns=a file\n");
}

/* The last file's bytes are there, and nothing behind them. */
static void test_end(void **state)
{
	add(0, TAR_FILE, "a", "1");
	add(0, TAR_FILE, "b", "text");
	assert_int_equal(ftruncate(layer[0], 3 * 512 + 4), 0);
	assert_string_equal(result(1), "f ./a=1\nf ./b=text\n");
	assert_int_equal(ftruncate(layer[0], 3 * 512 + 3), 0);
	assert_int_equal(flatten(1, -1), -EINVAL);
	assert_non_null(strstr(err.text, "cut off"));
	assert_int_equal(ftruncate(layer[0], 2 * 512 + 100), 0);
	assert_int_equal(flatten(1, -1), -EINVAL);
}

/* Folders that are links are gone through as the root's own system would, and never out of it. */
static void test_links(void **state)
{
	add(0, TAR_FOLDER, "usr/lib", "");
	add(0, TAR_SYMLINK, "lib", "usr/lib");
	add(0, TAR_SYMLINK, "up", "../../../../usr");
	add(0, TAR_SYMLINK, "abs", "/usr/lib");
	add(1, TAR_FILE, "lib/a", "1");
	add(1, TAR_FILE, "up/lib/b", "2");
	add(1, TAR_FILE, "abs/../c", "3");
	add(1, TAR_FILE, "lib/.wh.none", "");
	assert_int_equal(flatten(2, -1), -EINVAL); /* abs/.. would be the archive's own way up */
	assert_int_equal(ftruncate(layer[1], 0), 0);
	assert_int_equal(lseek(layer[1], 0, SEEK_SET), 0);
	add(1, TAR_FILE, "lib/a", "1");
	add(1, TAR_FILE, "up/lib/b", "2");
	add(1, TAR_FILE, "abs/c", "3");
	assert_string_equal(result(2),
		"d ./usr/lib\ns ./lib=usr/lib\ns ./up=../../../../usr\ns ./abs=/usr/lib\n"
		"f ./usr/lib/a=1\nf ./usr/lib/b=2\nf ./usr/lib/c=3\n");
}

/* A hard link keeps what its file was, also when that has become another. */
static void test_hard_links(void **state)
{
	add(0, TAR_FILE, "a", "one");
	add(0, TAR_LINK, "b", "a");
	add(0, TAR_LINK, "c", "./b");
	add(0, TAR_FILE, "d", "two");
	add(0, TAR_LINK, "e", "d");
	add(1, TAR_FILE, "a", "other");
	assert_string_equal(result(2), "f ./b=one\nl ./c=./b\nf ./d=two\nl ./e=./d\nf ./a=other\n");
}

static void test_long(void **state)
{
	char path[600], expected[1500];

	for (unsigned i = 0; i < sizeof path - 1; i++)
		path[i] = i % 100 == 99 ? '/' : 'x';
	path[sizeof path - 1] = 0;
	add(0, TAR_FILE, path, "text");
	add(0, TAR_SYMLINK, "s", path);
	snprintf(expected, sizeof expected, "f ./%s=text\ns ./s=%s\n", path, path);
	assert_string_equal(result(1), expected);
}

static void refused(enum tar_kind kind, const char *path, const char *text)
{
	assert_int_equal(ftruncate(layer[0], 0), 0);
	assert_int_equal(lseek(layer[0], 0, SEEK_SET), 0);
	add(0, TAR_SYMLINK, "loop", "loop2");
	add(0, TAR_SYMLINK, "loop2", "loop");
	add(0, kind, path, text);
	if (!flatten(1, -1) || !*err.text)
		fail_msg("'%s' was taken", path);
}

static void test_hostile(void **state)
{
	static char bytes[1536];

	refused(TAR_FILE, "../out", "x");
	refused(TAR_FILE, "a/../../out", "x");
	refused(TAR_FILE, "loop/x", "x");
	refused(TAR_LINK, "l", "nothing");
	refused(TAR_LINK, "l", "../../etc/passwd");
	refused(TAR_LINK, "l", "loop");
	refused(TAR_FILE, ".wh.", "");
	refused(TAR_FILE, ".wh...", "");
	/* Absolute names are the root's. */
	assert_int_equal(ftruncate(layer[0], 0), 0);
	assert_int_equal(lseek(layer[0], 0, SEEK_SET), 0);
	add(0, TAR_FILE, "/abs", "x");
	assert_string_equal(result(1), "f ./abs=x\n");
	/* More than the disk has room for. */
	assert_int_equal(tar_write_entry(layer[0],
				 &(struct tar_entry){.kind = TAR_FILE,
					 .path = "big",
					 .size = INT64_MAX},
				 &err),
		0);
	assert_int_equal(flatten(1, -1), -EFBIG);
	/* Each byte of a header is another once, and each length. */
	assert_int_equal(ftruncate(layer[0], 0), 0);
	assert_int_equal(lseek(layer[0], 0, SEEK_SET), 0);
	add(0, TAR_FILE, "file", "text");
	assert_int_equal(pread(layer[0], bytes, 1024, 0), 1024);
	for (unsigned i = 0; i < 512; i++) {
		char was = bytes[i], changed = (char)(was ^ 0x41);

		assert_int_equal(pwrite(layer[0], &changed, 1, i), 1);
		if (!flatten(1, -1))
			fail_msg("byte %u", i);
		assert_int_equal(pwrite(layer[0], &was, 1, i), 1);
	}
	for (unsigned len = 1023; len; len--) {
		assert_int_equal(ftruncate(layer[0], len), 0);
		if (!flatten(1, -1))
			fail_msg("cut at %u", len);
	}
}

/* A file's capabilities, which are bytes of any kind, come through; what is none of them does not. */
static void test_capabilities(void **state)
{
	static const uint8_t capability[TAR_CAPABILITY] = {1, 0, 0, 2, 0, 0x20, '\n', '='};
	static struct tar_entry entry;
	struct tar_input *tar;
	int out = memfd_create("root", 0);

	for (unsigned i = 0; i < 2; i++) {
		entry = (struct tar_entry){.kind = i ? TAR_FOLDER : TAR_FILE,
			.mode = 0755,
			.capable = true};
		snprintf(entry.path, sizeof entry.path, i ? "./folder" : "./ping");
		memcpy(entry.capability, capability, sizeof capability);
		assert_int_equal(tar_write_entry(layer[0], &entry, &err), 0);
	}
	add(0, TAR_FILE, "./plain", "x");
	assert_int_equal(tar_write_end(layer[0], &err), 0);
	if (flatten(1, out))
		fail_msg("%s", err.text);
	lseek(out, 0, SEEK_SET);
	assert_int_equal(tar_open(out, "root", &tar, &err), 0);
	for (unsigned i = 0; tar_next(tar, &entry, &err) > 0; i++) {
		assert_int_equal(entry.capable, !strcmp(entry.path, "./ping"));
		if (entry.capable)
			assert_memory_equal(entry.capability, capability, sizeof capability);
	}
	tar_close(tar);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_layers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_links, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_hard_links, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_capabilities, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_long, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_hostile, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
