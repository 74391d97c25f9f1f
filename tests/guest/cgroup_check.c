/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What control groups do to processes, on this host or, as a static program, in a guest:
 * cgroup_check VERSION. Says "ok NAME" or "not ok NAME", or "none" when there is nothing to see.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "host/cgroup.h"
#include "host/cpuset.h"

#define MIB (1ull << 20)

static const struct cgroup_limits even = {.weight = 256};
static const char *version;
static int failures;

static void check(const char *name, bool good, struct error *err)
{
	printf("%s %s: %s\n", good ? "ok" : "not ok", version, name);
	if (!good && err->text[0])
		printf("  %s\n", err->text);
	failures += !good;
	err->text[0] = 0;
}

static void sleep_ms(unsigned ms)
{
	struct timespec left = {ms / 1000, ms % 1000 * 1000000};

	while (nanosleep(&left, &left) && errno == EINTR)
		;
}

/* A child that waits until it is in its group, and then does that. */
static pid_t child(struct cgroup *cgroup, const char *guest, int (*what)(void), struct error *err)
{
	int gate[2];
	char byte;
	pid_t pid;

	if (pipe(gate))
		return -1;
	fflush(stdout);
	pid = fork();
	if (!pid) {
		close(gate[1]);
		if (read(gate[0], &byte, 1) != 1)
			_exit(99);
		_exit(what());
	}
	close(gate[0]);
	if (cgroup_add(cgroup, guest, pid, err) || write(gate[1], "x", 1) != 1)
		kill(pid, SIGKILL);
	close(gate[1]);
	return pid;
}

static int end(pid_t pid, int signal)
{
	int status = 0;

	if (signal)
		kill(pid, signal);
	waitpid(pid, &status, 0);
	return status;
}

static int spin(void)
{
	for (volatile unsigned long n = 0;; n++)
		;
	return 0;
}

static int eat(void)
{
	for (unsigned n = 0; n < 64; n++) {
		char *some = malloc(MIB);

		if (!some)
			return 1;
		memset(some, n + 1, MIB);
	}
	return 0;
}

/* How many children it may have; they wait for it to go. */
static int multiply(void)
{
	int hold[2], count = 0;
	char byte;

	if (pipe(hold))
		return 99;
	while (count < 20) {
		pid_t pid = fork();

		if (pid < 0)
			break;
		if (!pid) {
			close(hold[1]);
			_exit((int)read(hold[0], &byte, 1));
		}
		count++;
	}
	close(hold[1]);
	while (wait(NULL) > 0)
		;
	return count;
}

static void check_cap(struct cgroup *cgroup, struct error *err)
{
	struct cgroup_limits limits = {.weight = 256, .cap = 10};
	struct cgroup_usage usage;
	bool good = !cgroup_set(cgroup, "a", &limits, NULL, err);
	pid_t pid = child(cgroup, "a", spin, err);

	sleep_ms(1000);
	cgroup_read(cgroup, "a", &usage);
	check("a cap of 10% holds", good && usage.cpu > 10000000 && usage.cpu < 300000000, err);
	check("and is counted", usage.throttled >= 1, err);
	check("one process is there", usage.pids == 1, err);
	check("a group with a process stays", cgroup_remove(cgroup, "a", err) == -EBUSY, err);
	end(pid, SIGKILL);
	check("the cap is lifted", !cgroup_set(cgroup, "a", &even, NULL, err), err);
}

static void check_weight(struct cgroup *cgroup, struct error *err)
{
	struct cgroup_limits heavy = {.weight = 1024};
	struct cgroup_usage before[2], after[2];
	struct cpuset_host host;
	cpu_set_t one, now;
	double ratio;
	pid_t pid[2];
	bool good = !cgroup_set(cgroup, "b", &heavy, NULL, err);

	good &= !cpuset_host_read("/sys", &host, err) && !cpuset_parse("0", &host, &one, err);
	pid[0] = child(cgroup, "a", spin, err);
	pid[1] = child(cgroup, "b", spin, err);
	good &= !cpuset_pin(pid[0], &one, err) && !cpuset_pin(pid[1], &one, err);
	good &= !cpuset_of(pid[1], &now, err) && CPU_EQUAL(&one, &now);
	check("two are pinned to processor 0", good, err);
	sleep_ms(300);
	cgroup_read(cgroup, "a", &before[0]);
	cgroup_read(cgroup, "b", &before[1]);
	sleep_ms(1500);
	cgroup_read(cgroup, "a", &after[0]);
	cgroup_read(cgroup, "b", &after[1]);
	end(pid[0], SIGKILL);
	end(pid[1], SIGKILL);
	ratio = (double)(after[1].cpu - before[1].cpu) / (after[0].cpu - before[0].cpu + 1);
	printf("# four times the weight: %.2f times the time\n", ratio);
	check("four times the weight is about four times the time", ratio > 2 && ratio < 8, err);
	check("a thread that has ended", cpuset_pin(pid[0], &one, err) == -ESRCH, err);
}

static void check_memory(struct cgroup *cgroup, struct error *err)
{
	struct cgroup_limits limits = {.weight = 256, .memory = 24 * MIB};
	bool good = !cgroup_set(cgroup, "a", &limits, NULL, err);
	int status = end(child(cgroup, "a", eat, err), 0);

	check("more memory than the limit: killed",
		good && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, err);
	limits.memory = 0;
	good = !cgroup_set(cgroup, "a", &limits, NULL, err);
	status = end(child(cgroup, "a", eat, err), 0);
	check("without a limit: not", good && !status, err);
}

static void check_pids(struct cgroup *cgroup, struct error *err)
{
	struct cgroup_limits limits = {.weight = 256, .pids = 5};
	bool good = !cgroup_set(cgroup, "a", &limits, NULL, err);
	int status = end(child(cgroup, "a", multiply, err), 0);

	check("five processes at most", good && WIFEXITED(status) && WEXITSTATUS(status) == 4, err);
	good = !cgroup_set(cgroup, "a", &even, NULL, err);
	status = end(child(cgroup, "a", multiply, err), 0);
	check("without a limit: more", good && WEXITSTATUS(status) == 20, err);
}

static void check_rest(struct cgroup *cgroup, struct error *err)
{
	struct cgroup_limits limits = {.weight = 65535, .cap = 51200, .io_weight = 200};
	unsigned skipped = 0, have = cgroup_controllers(cgroup);

	check("the largest of all is taken", !cgroup_set(cgroup, "a", &limits, &skipped, err), err);
	for (unsigned n = 0; n < CGROUP_CONTROLLERS; n++)
		if ((have & ~skipped) >> n & 1)
			printf("# %s: can be had\n", cgroup_controller_name(n));
	limits = (struct cgroup_limits){.weight = 1, .cap = 1, .io_weight = 1};
	check("and the smallest", !cgroup_set(cgroup, "a", &limits, &skipped, err), err);
	limits.weight = 0;
	check("no weight is none", cgroup_set(cgroup, "a", &limits, NULL, err) == -EINVAL, err);
	check("nor is that a name", cgroup_create(cgroup, "../a", err) == -EINVAL, err);
	check("no group, no member", cgroup_add(cgroup, "none", getpid(), err) == -ENOENT, err);
	check("a group is made but once", !cgroup_create(cgroup, "a", err), err);
}

/* As a container is: nobody in the guest's group itself, processes in some below it, of which there may be two. */
static void check_below(struct cgroup *cgroup, struct error *err)
{
	static const char *const below[] = {"x", "y", "z"};
	const struct cgroup_limits two = {.weight = 256, .groups = 2, .depth = 1};
	const bool limited = !strcmp(version, "v2");
	bool good = !cgroup_create(cgroup, "c", err) && !cgroup_set(cgroup, "c", &two, NULL, err);
	unsigned added = 0, killed = 0;
	pid_t pid[3];

	for (unsigned n = 0; n < 3; n++) {
		fflush(stdout);
		pid[n] = fork();
		if (!pid[n]) {
			pause();
			_exit(0);
		}
		added += !cgroup_add_below(cgroup, "c", below[n], pid[n], err);
	}
	check("so many groups below it", good && added == (limited ? 2 : 3), err);
	if (limited)
		end(pid[2], SIGKILL);
	check("all below it are killed", cgroup_kill(cgroup, "c"), err);
	for (unsigned n = 0; n < added; n++)
		killed += end(pid[n], 0) == SIGKILL;
	check("by the signal", killed == added, err);
	check("then there is nobody", !cgroup_kill(cgroup, "c"), err);
	check("and it goes with them", !cgroup_remove(cgroup, "c", err), err);
}

int main(int argc, char **argv)
{
	struct cgroup *cgroup;
	struct error err = {""};
	unsigned have;
	char name[32];

	version = argc > 1 ? argv[1] : "";
	snprintf(name, sizeof name, "dach-test-%d", (int)getpid());
	if (cgroup_open("/proc", name, &cgroup, &err)) {
		printf("not ok %s\n", err.text);
		return 1;
	}
	have = cgroup_controllers(cgroup);
	if (argc < 2 && !have) {
		printf("none\n");
		return 0;
	}
	if (argc < 2)
		version = cgroup_version(cgroup);
	check("the version", !strcmp(cgroup_version(cgroup), version), &err);
	check("processors, memory and processes can be limited",
		(have | 1u << CGROUP_CPUACCT | 1u << CGROUP_IO) == (1u << CGROUP_CONTROLLERS) - 1,
		&err);
	check("groups are made",
		!cgroup_create(cgroup, "a", &err) && !cgroup_create(cgroup, "b", &err), &err);
	check_cap(cgroup, &err);
	check_weight(cgroup, &err);
	check_memory(cgroup, &err);
	check_pids(cgroup, &err);
	check_rest(cgroup, &err);
	check_below(cgroup, &err);
	check("groups are taken away",
		!cgroup_remove(cgroup, "a", &err) && !cgroup_remove(cgroup, "b", &err), &err);
	check("twice is no harm", !cgroup_remove(cgroup, "a", &err), &err);
	cgroup_close(cgroup);
	return failures ? 1 : 0;
}
