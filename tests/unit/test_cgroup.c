/* SPDX-License-Identifier: Apache-2.0 */
/* What is written to control groups' files; a folder plays the hierarchies. What the kernel makes
 * of it is tests/guest/cgroup.sh's to see. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/cgroup.h"

static char folder[] = "/tmp/dach-test-cgroup-XXXXXX";

static void put(const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	for (char *c = path + 1; (c = strchr(c, '/')); *c++ = '/') {
		*c = 0;
		mkdir(path, 0700);
	}
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

/* Kernel files take each write as a whole; these here keep what was longer before. */
static void holds(const char *name, const char *text)
{
	char path[256], got[64] = "";
	FILE *file;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	file = fopen(path, "r");
	if (!file)
		fail_msg("%s is not there", path);
	fgets(got, sizeof got, file);
	fclose(file);
	assert_string_equal(got, text);
	put(name, "");
}

static int set_up(void **state)
{
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
	char command[64];

	snprintf(command, sizeof command, "rm -rf %s", folder);
	return system(command);
}

static void proc(const char *mounts, const char *groups)
{
	char text[2048];

	snprintf(text, sizeof text, mounts, folder, folder, folder);
	put("proc/self/mountinfo", text);
	put("proc/self/cgroup", groups);
}

static struct cgroup *open_groups(void)
{
	struct cgroup *cgroup;
	struct error err = {""};
	char path[256];

	snprintf(path, sizeof path, "%s/proc", folder);
	assert_int_equal(cgroup_open(path, "dach", &cgroup, &err), 0);
	return cgroup;
}

static void test_v1(void **state)
{
	static const struct cgroup_limits some = {.weight = 512,
						  .cap = 150,
						  .memory = 1 << 20,
						  .pids = 7,
						  .io_weight = 50},
					  none = {.weight = 256};
	struct cgroup_count memory, pids;
	struct cgroup_usage usage;
	struct error err = {""};
	struct cgroup *cgroup;
	unsigned skipped;

	/* cpu and cpuacct as one; a part of the hierarchy only; lines that are none of ours. */
	proc("junk\n\n1 2 3\n22 1 0:1 / /proc rw - proc proc rw\n"
	     "30 1 0:30 / %s/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
	     "31 1 0:31 /part %s/memory rw - cgroup cgroup rw,memory\n"
	     "33 1 0:32 / %s/blkio rw - cgroup cgroup rw,blkio\n",
		"4:memory:/part/me\n2:cpu,cpuacct:/\n3:blkio:/../x\njunk\n");
	put("cpu/dach/g/cpu.shares", "");
	put("cpu/dach/g/cpu.cfs_quota_us", "");
	put("cpu/dach/g/cpu.cfs_period_us", "");
	put("cpu/dach/g/cgroup.procs", "");
	put("cpu/dach/g/cpu.stat", "nr_periods 9\nnr_throttled 4\n");
	put("cpu/dach/g/cpuacct.usage", "123456\n");
	put("memory/dach/g/memory.limit_in_bytes", "");
	put("memory/dach/g/cgroup.procs", "");
	put("memory/dach/g/memory.usage_in_bytes", "4096\n");
	put("memory/dach/g/memory.max_usage_in_bytes", "8192\n");
	put("memory/dach/g/memory.limit_in_bytes", "16384\n");
	put("memory/dach/g/memory.failcnt", "3\n");
	put("blkio/dach/g/blkio.bfq.weight", "");
	put("blkio/dach/g/cgroup.procs", "");
	cgroup = open_groups();
	assert_string_equal(cgroup_version(cgroup), "v1");
	assert_int_equal(cgroup_controllers(cgroup),
		1 << CGROUP_CPU | 1 << CGROUP_CPUACCT | 1 << CGROUP_MEMORY | 1 << CGROUP_IO);
	cgroup_count(cgroup, "g", "below", &memory, &pids);
	assert_int_equal(memory.held, 4096);
	assert_int_equal(memory.peak, 8192);
	assert_int_equal(memory.limit, 16384);
	assert_int_equal(memory.failures, 3);
	assert_true(pids.limit == UINT64_MAX && !pids.held && !pids.failures);
	cgroup_count(cgroup, "../g", "below", &memory, &pids);
	assert_int_equal(memory.held, 0);
	assert_int_equal(cgroup_create(cgroup, "g", &err), 0);
	assert_int_equal(cgroup_add(cgroup, "g", 42, &err), 0);
	holds("cpu/dach/g/cgroup.procs", "42");
	holds("memory/dach/g/cgroup.procs", "42");
	assert_int_equal(cgroup_set(cgroup, "g", &some, &skipped, &err), 0);
	assert_int_equal(skipped, 1 << CGROUP_PIDS);
	holds("cpu/dach/g/cpu.shares", "2048");
	holds("cpu/dach/g/cpu.cfs_quota_us", "150000");
	holds("cpu/dach/g/cpu.cfs_period_us", "100000");
	holds("memory/dach/g/memory.limit_in_bytes", "1048576");
	holds("blkio/dach/g/blkio.bfq.weight", "50");
	assert_int_equal(cgroup_set(cgroup, "g", &none, &skipped, &err), 0);
	assert_int_equal(skipped, 0);
	holds("cpu/dach/g/cpu.shares", "1024");
	holds("cpu/dach/g/cpu.cfs_quota_us", "-1");
	holds("memory/dach/g/memory.limit_in_bytes", "-1");
	cgroup_read(cgroup, "g", &usage);
	assert_int_equal(usage.cpu, 123456);
	assert_int_equal(usage.throttled, 4);
	assert_int_equal(usage.memory, 4096);
	cgroup_read(cgroup, "../g", &usage);
	assert_int_equal(usage.cpu, 0);
	cgroup_close(cgroup);
}

static void test_v2(void **state)
{
	static const struct cgroup_limits some = {.weight = 512,
						  .cap = 150,
						  .memory = 1 << 20,
						  .pids = 7,
						  .io_weight = 50,
						  .groups = 99,
						  .depth = 5},
					  none = {.weight = 256}, most = {.weight = 65535};
	struct cgroup_usage usage;
	struct error err = {""};
	struct cgroup *cgroup;
	unsigned skipped;

	proc("30 1 0:30 / %s/new rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n", "0::/user/me\n");
	put("new/cgroup.controllers", "cpuset cpu io memory pids\n");
	put("new/cgroup.subtree_control", "");
	/* What the kernel shows once they are on; the front is for what is written to switch them. */
	put("new/dach/cgroup.subtree_control", "xxxxxxxx cpu io memory\n");
	put("new/dach/g/cpu.weight", "");
	put("new/dach/g/cpu.max", "");
	put("new/dach/g/memory.max", "");
	put("new/dach/g/io.weight", "");
	put("new/dach/g/cgroup.max.depth", "");
	put("new/dach/g/cgroup.max.descendants", "");
	put("new/dach/g/cpu.stat", "usage_usec 12\nuser_usec 5\nnr_throttled 3\n");
	cgroup = open_groups();
	assert_string_equal(cgroup_version(cgroup), "v2");
	assert_int_equal(cgroup_controllers(cgroup),
		1 << CGROUP_MEMORY | 1 << CGROUP_CPU | 1 << CGROUP_IO);
	assert_int_equal(cgroup_set(cgroup, "g", &some, &skipped, &err), 0);
	assert_int_equal(skipped, 1 << CGROUP_PIDS);
	holds("new/dach/g/io.weight", "default 50");
	holds("new/dach/g/cpu.weight", "200");
	holds("new/dach/g/cpu.max", "150000 100000");
	holds("new/dach/g/memory.max", "1048576");
	holds("new/dach/g/cgroup.max.depth", "5");
	holds("new/dach/g/cgroup.max.descendants", "99");
	assert_int_equal(cgroup_set(cgroup, "g", &none, &skipped, &err), 0);
	assert_int_equal(skipped, 0);
	holds("new/dach/g/cpu.weight", "100");
	holds("new/dach/g/cpu.max", "max 100000");
	holds("new/dach/g/memory.max", "max");
	holds("new/dach/g/cgroup.max.depth", "max");
	holds("new/dach/g/cgroup.max.descendants", "max");
	assert_int_equal(cgroup_set(cgroup, "g", &most, NULL, &err), 0);
	holds("new/dach/g/cpu.weight", "10000");
	cgroup_read(cgroup, "g", &usage);
	assert_int_equal(usage.cpu, 12000);
	assert_int_equal(usage.throttled, 3);
	cgroup_close(cgroup);
}

/* A second daemon ends, and takes the group of all guests along, in which there was none. */
static void test_another_daemon_ends(void **state)
{
	struct cgroup *cgroup, *other;
	struct error err = {""};
	char path[256];

	proc("30 1 0:30 / %s/old rw - cgroup cgroup rw,cpu\n", "2:cpu:/\n");
	snprintf(path, sizeof path, "%s/old", folder);
	assert_int_equal(mkdir(path, 0755), 0);
	cgroup = open_groups();
	other = open_groups();
	cgroup_close(other);
	snprintf(path, sizeof path, "%s/old/dach", folder);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(cgroup_create(cgroup, "g", &err), 0);
	snprintf(path, sizeof path, "%s/old/dach/g", folder);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(cgroup_remove(cgroup, "g", &err), 0);
	cgroup_close(cgroup);
}

static pid_t sleeper(void)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
		_exit(0);
	}
	return pid;
}

/* Where there is no cgroup.kill: what is listed, after it can have no more children. */
static void test_kill(void **state)
{
	pid_t listed = sleeper(), other = sleeper();
	struct cgroup *cgroup;
	char text[64];
	int status;

	proc("30 1 0:30 / %s/killed rw - cgroup cgroup rw,pids\n", "2:pids:/\n");
	put("killed/dach/g/pids.max", "");
	put("killed/dach/g/cgroup.procs", "");
	cgroup = open_groups();
	assert_false(cgroup_kill(cgroup, "g"));
	assert_false(cgroup_kill(cgroup, "../g"));
	/* A line that is not whole is none: 4 could be the beginning of anything. */
	snprintf(text, sizeof text, "%d\n%d", listed, other);
	put("killed/dach/g/cgroup.procs", text);
	assert_true(cgroup_kill(cgroup, "g"));
	holds("killed/dach/g/pids.max", "0");
	assert_int_equal(waitpid(listed, &status, 0), listed);
	assert_int_equal(WTERMSIG(status), SIGKILL);
	assert_int_equal(waitpid(other, &status, WNOHANG), 0);
	kill(other, SIGKILL);
	assert_int_equal(waitpid(other, &status, 0), other);
	cgroup_close(cgroup);
}

static void take_away(const char *name)
{
	char path[256];

	snprintf(path, sizeof path, "%s/%s", folder, name);
	assert_int_equal(unlink(path), 0);
}

static bool is_there(const char *name)
{
	char path[256];

	snprintf(path, sizeof path, "%s/%s", folder, name);
	return !access(path, F_OK);
}

/* As deep as no path can name; in the last there is that list. */
static void make_folders(const char *name, unsigned depth, const char *processes)
{
	static const char word[] = "a-name-with-some-letters-in-it";
	char path[256];
	int at, below;

	snprintf(path, sizeof path, "%s/%s/x", folder, name);
	for (char *c = path + 1; (c = strchr(c, '/')); *c++ = '/') {
		*c = 0;
		mkdir(path, 0700);
	}
	*strrchr(path, '/') = 0;
	at = open(path, O_RDONLY | O_DIRECTORY);
	while (depth--) {
		assert_int_equal(mkdirat(at, word, 0700), 0);
		below = openat(at, word, O_RDONLY | O_DIRECTORY);
		close(at);
		at = below;
	}
	if (processes) {
		below = openat(at, "cgroup.procs", O_WRONLY | O_CREAT, 0600);
		assert_int_equal(write(below, processes, strlen(processes)), strlen(processes));
		close(below);
	}
	close(at);
}

/* A container's processes are in groups below the guest's, some of which it has made itself. */
static void test_below(void **state)
{
	pid_t deep = sleeper();
	struct cgroup *cgroup;
	struct error err = {""};
	char text[64], proc_path[256];
	int status;

	proc("30 1 0:30 / %s/below rw - cgroup cgroup rw,pids\n"
	     "31 1 0:31 / %s/named rw - cgroup cgroup rw,name=systemd\n",
		"2:pids:/\n1:name=systemd:/\n");
	put("below/dach/g/a/b/cgroup.procs", "");
	snprintf(text, sizeof text, "%d\n", deep);
	put("below/dach/g/a/b/cgroup.procs", text);
	cgroup = open_groups();
	assert_true(cgroup_kill(cgroup, "g"));
	assert_int_equal(waitpid(deep, &status, 0), deep);
	assert_int_equal(WTERMSIG(status), SIGKILL);
	/* Here a file keeps a folder, as a process would a group. */
	assert_true(cgroup_remove(cgroup, "g", &err) < 0);
	take_away("below/dach/g/a/b/cgroup.procs");
	make_folders("below/dach/g", 300, NULL);
	make_folders("named/dach/g", 3, NULL);
	make_folders("named/dach/other", 3, NULL);
	assert_int_equal(cgroup_remove(cgroup, "g", &err), 0);
	assert_false(is_there("below/dach/g"));
	assert_true(is_there("named/dach/g"));
	snprintf(proc_path, sizeof proc_path, "%s/proc", folder);
	cgroup_sweep(proc_path, "dach", "g");
	assert_false(is_there("named/dach/g"));
	assert_true(is_there("named/dach/other"));
	cgroup_close(cgroup);
}

/* Where no path leads to, behind groups that take more than one call. */
static void test_hidden(void **state)
{
	pid_t deep = sleeper();
	struct cgroup *cgroup;
	char text[64], path[64];
	int status;

	proc("30 1 0:30 / %s/hidden rw - cgroup cgroup rw,pids\n", "2:pids:/\n");
	put("hidden/dach/g/pids.max", "");
	for (unsigned n = 0; n < 1100; n++) {
		snprintf(path, sizeof path, "hidden/dach/g/many/%u", n);
		make_folders(path, 0, NULL);
	}
	snprintf(text, sizeof text, "%d\n", deep);
	make_folders("hidden/dach/g", 300, text);
	cgroup = open_groups();
	for (unsigned n = 0; n < 3; n++)
		assert_true(cgroup_kill(cgroup, "g"));
	assert_int_equal(waitpid(deep, &status, 0), deep);
	assert_int_equal(WTERMSIG(status), SIGKILL);
	assert_false(is_there("hidden/dach/g/many"));
	cgroup_close(cgroup);
}

/* One word, where the kernel knows it. */
static void test_kill_at_once(void **state)
{
	struct cgroup *cgroup;

	proc("30 1 0:30 / %s/once rw - cgroup2 cgroup2 rw\n", "0::/\n");
	put("once/cgroup.controllers", "cpu pids\n");
	put("once/cgroup.subtree_control", "");
	put("once/dach/cgroup.subtree_control", "xxxxxxxx cpu pids\n");
	put("once/dach/g/cgroup.kill", "");
	put("once/dach/g/pids.max", "");
	put("once/dach/g/cgroup.events", "populated 1\nfrozen 0\n");
	cgroup = open_groups();
	assert_true(cgroup_kill(cgroup, "g"));
	holds("once/dach/g/cgroup.kill", "1");
	put("once/dach/g/cgroup.events", "populated 0\nfrozen 0\n");
	assert_false(cgroup_kill(cgroup, "g"));
	holds("once/dach/g/cgroup.kill", "1");
	cgroup_close(cgroup);
}

static void test_none(void **state)
{
	static const struct cgroup_limits some = {.weight = 512, .pids = 7};
	struct cgroup *cgroup;
	struct error err = {""};
	unsigned skipped;

	/* Mounted, but all controllers are elsewhere. */
	proc("30 1 0:30 / %s/none rw,relatime - cgroup2 cgroup2 rw\n", "0::/\n");
	put("none/cgroup.controllers", "\n");
	cgroup = open_groups();
	assert_string_equal(cgroup_version(cgroup), "none");
	assert_int_equal(cgroup_create(cgroup, "g", &err), 0);
	assert_int_equal(cgroup_set(cgroup, "g", &some, &skipped, &err), 0);
	assert_int_equal(skipped, 1 << CGROUP_CPU | 1 << CGROUP_PIDS);
	assert_int_equal(cgroup_remove(cgroup, "g", &err), 0);
	assert_int_equal(cgroup_create(cgroup, "a/b", &err), -EINVAL);
	assert_int_equal(cgroup_create(cgroup, ".", &err), -EINVAL);
	cgroup_close(cgroup);
	cgroup_close(NULL);
	assert_int_equal(cgroup_open("/nonexistent", "dach", &cgroup, &err), 0);
	assert_int_equal(cgroup_controllers(cgroup), 0);
	cgroup_close(cgroup);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_v1),
		cmocka_unit_test(test_v2),
		cmocka_unit_test(test_another_daemon_ends),
		cmocka_unit_test(test_kill),
		cmocka_unit_test(test_kill_at_once),
		cmocka_unit_test(test_below),
		cmocka_unit_test(test_hidden),
		cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
