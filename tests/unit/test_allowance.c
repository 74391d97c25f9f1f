/* SPDX-License-Identifier: Apache-2.0 */
/* What a control group leaves a guest, in files of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/thread.h"
#include "vmm/allowance.h"

static char folder[] = "/tmp/dach-test-XXXXXX", groups[64], root[64];

static void put(const char *name, const char *text)
{
	char path[256];
	int fd;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static int make(void **state)
{
	static const char *const folders[] = {"root", "root/pod", "root/pod/one", "root/memory",
		"root/memory/pod"};
	char path[256];

	if (!mkdtemp(folder))
		return -1;
	snprintf(groups, sizeof groups, "%s/groups", folder);
	snprintf(root, sizeof root, "%s/root", folder);
	for (unsigned i = 0; i < sizeof folders / sizeof *folders; i++) {
		snprintf(path, sizeof path, "%s/%s", folder, folders[i]);
		if (mkdir(path, 0700))
			return -1;
	}
	return 0;
}

static int clean(void **state)
{
	char command[256];

	snprintf(command, sizeof command, "rm -r %s", folder);
	return system(command);
}

static uint64_t allowed(void)
{
	return allowance_memory(groups, root);
}

static void version_2(void **state)
{
	put("groups", "0::/pod/one\n");
	assert_int_equal(allowed(), UINT64_MAX);
	put("root/pod/one/memory.max", "max\n");
	assert_int_equal(allowed(), UINT64_MAX);
	put("root/pod/memory.max", "1073741824\n");
	assert_int_equal(allowed(), 1073741824);
	put("root/pod/one/memory.max", "1000000\n");
	assert_int_equal(allowed(), 1000000);
	/* A container's own, which has another name outside. */
	put("groups", "0::/\n");
	put("root/memory.max", "5000\n");
	assert_int_equal(allowed(), 5000);
	put("groups", "0::/../elsewhere\n");
	assert_int_equal(allowed(), 5000);
	put("root/memory.max", "max\n");
}

static void version_1(void **state)
{
	put("groups", "9:name=systemd:/\n4:memory:/pod\n1:cpu:/\n0::/\n");
	put("root/memory/memory.limit_in_bytes", "9223372036854771712\n");
	assert_int_equal(allowed(), UINT64_MAX);
	put("root/memory/pod/memory.limit_in_bytes", "125829120\n");
	assert_int_equal(allowed(), 125829120);
}

static void what_makes_no_sense(void **state)
{
	static const char *const texts[] = {"", "\n", "x",
		"::", "0:", "0::", "::::\n\n:", "0::pod"};

	for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
		put("groups", texts[i]);
		assert_int_equal(allowed(), UINT64_MAX);
	}
	put("groups", "0::/pod\n");
	put("root/pod/memory.max", "-1\n");
	assert_int_equal(allowed(), UINT64_MAX);
	assert_int_equal(allowance_memory("/nothing", root), UINT64_MAX);
}

static void threads(void **state)
{
	assert_non_null(strstr(thread_error(EAGAIN), "limit of pids"));
	assert_string_equal(thread_error(EPERM), strerror(EPERM));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_2),
		cmocka_unit_test(version_1),
		cmocka_unit_test(what_makes_no_sense),
		cmocka_unit_test(threads),
	};

	return cmocka_run_group_tests(tests, make, clean);
}
