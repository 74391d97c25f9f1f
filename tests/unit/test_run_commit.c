/* SPDX-License-Identifier: Apache-2.0 */
/* The image of run --commit: made beside the one it starts from, and taken away again where the machine never starts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/run_commit.h"
#include "image/store.h"
#include "image/tree.h"

static char root[] = "/tmp/dach-test-XXXXXX";

static int set_up(void **state)
{
	char own[64], all[64];

	if (!mkdtemp(root))
		return -1;
	snprintf(own, sizeof own, "%s/own", root);
	snprintf(all, sizeof all, "%s/all", root);
	return setenv("XDG_DATA_HOME", own, 1) || setenv("DACH_IMAGES", all, 1);
}

static int tear_down(void **state)
{
	return tree_remove(root);
}

static void make(const char *store, const char *name)
{
	char dir[128], disk[160];

	snprintf(dir, sizeof dir, "%s/%s/%s", root, store, name);
	assert_int_equal(tree_write(dir, "image.conf", 0644, NULL, "dist bookworm\n"), 0);
	assert_int_equal(tree_write(dir, "disk.raw", 0600, NULL, "%s", ""), 0);
	snprintf(disk, sizeof disk, "%s/disk.raw", dir);
	assert_int_equal(truncate(disk, 1 << 20), 0);
}

static bool is_there(const char *store, const char *name)
{
	char dir[128];

	snprintf(dir, sizeof dir, "%s/%s/%s/image.conf", root, store, name);
	return !access(dir, F_OK);
}

/* One of its name in a store that comes first is another, which nobody may run from or delete. */
static void beside_its_image(void **state)
{
	struct run_commit commit = {.name = "twin", .undoer = -1};
	struct image *image = malloc(sizeof *image);
	struct error err = {""};
	char expected[128];

	make("all", "base");
	make("own/dach/images", "twin");
	if (run_commit_begin(&commit, "base", &err))
		fail_msg("%s", err.text);
	snprintf(expected, sizeof expected, "%s/all/twin", root);
	assert_string_equal(commit.path, expected);
	assert_int_equal(image_find(commit.path, image, &err), 0);
	assert_true(is_there("all", "twin"));
	run_commit_undo(&commit);
	assert_false(is_there("all", "twin"));
	assert_true(is_there("own/dach/images", "twin"));
	close(commit.undoer);
	free(image);
}

/* Who would take it away has been killed: that it stays is said, and is no end of ours. */
static void nobody_undoes_it(void **state)
{
	struct run_commit commit = {.name = "stays", .undoer = -1};
	const int said = memfd_create("said", 0), before = dup(STDERR_FILENO);
	struct error err = {""};
	char text[512] = "";
	int ends[2];

	make("all", "other");
	if (run_commit_begin(&commit, "other", &err))
		fail_msg("%s", err.text);
	close(commit.undoer);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	close(ends[1]);
	commit.undoer = ends[0];
	dup2(said, STDERR_FILENO);
	run_commit_undo(&commit);
	dup2(before, STDERR_FILENO);
	assert_true(pread(said, text, sizeof text - 1, 0) > 0);
	assert_non_null(strstr(text, "the new image stays: 'dach image delete "));
	assert_non_null(strstr(text, "/all/stays' removes it"));
	assert_true(is_there("all", "stays"));
	close(ends[0]);
	close(said);
	close(before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(beside_its_image),
		cmocka_unit_test(nobody_undoes_it),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
