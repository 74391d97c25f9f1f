/* SPDX-License-Identifier: Apache-2.0 */
/* Files that a user's guests have: where they may be made, and which are removed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/policy.h"

static char top[] = "/tmp/dach-policy-XXXXXX";
static char mine[64],
	there[64]; /* a file in the user's folder, and one that a link there leads to */
static struct caller user;

static int set_up(void **state)
{
	char path[64], target[64];

	if (!mkdtemp(top))
		return -1;
	snprintf(path, sizeof path, "%s/user/", top);
	mkdir(path, 0700);
	user = (struct caller){.uid = geteuid(), .gid = getegid(), .user = true};
	user.rule = json_pack("{s:[s]}", "paths", path);
	snprintf(mine, sizeof mine, "%s/user/file", top);
	snprintf(target, sizeof target, "%s/other", top);
	mkdir(target, 0700);
	snprintf(path, sizeof path, "%s/user/link", top);
	snprintf(there, sizeof there, "%s/other/file", top);
	return symlink(target, path);
}

static int tear_down(void **state)
{
	static const char *const names[] = {"user/link", "user", "other", "."};
	char path[64];

	caller_free(&user);
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/%s", top, names[i]);
		if (i ? rmdir(i == 3 ? top : path) : unlink(path))
			return -1;
	}
	return 0;
}

static void test_made_elsewhere(void **state)
{
	struct error err = {""};
	char path[64];
	int fd;

	snprintf(path, sizeof path, "%s/user/link/file", top);
	assert_int_equal(caller_open(&user, path, O_RDWR | O_CREAT | O_EXCL, 0600, &fd, &err),
		-EACCES);
	assert_int_equal(fd, -1);
	assert_int_equal(access(there, F_OK), -1);
	/* What was there before stays. */
	close(open(there, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(caller_open(&user, path, O_RDWR | O_CREAT | O_EXCL, 0600, &fd, &err),
		-EEXIST);
	assert_int_equal(caller_open(&user, path, O_RDWR, 0, &fd, &err), -EACCES);
	assert_int_equal(unlink(there), 0);
}

static void test_remove(void **state)
{
	struct error err = {""};
	struct stat st;
	char other[64];
	int fd;

	assert_int_equal(caller_open(&user, mine, O_RDWR | O_CREAT | O_EXCL, 0600, &fd, &err), 0);
	assert_int_equal(fstat(fd, &st), 0);
	snprintf(other, sizeof other, "%s/user/other", top);
	assert_int_equal(rename(mine, other), 0);
	assert_int_equal(caller_remove(&user, mine, st.st_dev, st.st_ino), -ENOENT);
	/* A link to it is not it, nor is what has its name now. */
	assert_int_equal(symlink(other, mine), 0);
	assert_int_equal(caller_remove(&user, mine, st.st_dev, st.st_ino), -ESTALE);
	assert_int_equal(unlink(mine), 0);
	close(open(mine, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(caller_remove(&user, mine, st.st_dev, st.st_ino), -ESTALE);
	assert_int_equal(unlink(mine), 0);
	assert_int_equal(caller_remove(&user, other, st.st_dev, st.st_ino), 0);
	assert_int_equal(access(other, F_OK), -1);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_made_elsewhere),
		cmocka_unit_test(test_remove),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
