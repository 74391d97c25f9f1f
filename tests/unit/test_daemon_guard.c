/* SPDX-License-Identifier: Apache-2.0 */
/* What keeps a monitor that was taken over from the daemon's time and disk, and from living on unseen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/monitor.h"
#include "daemon/process.h"

#define MORE 15 /* than what it may say at once */

static char folder[] = "/tmp/dach-guard-XXXXXX";

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

static long size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) ? -1 : (long)st.st_size;
}

/* Two files of a MiB, however much is said. */
static void test_the_log_is_bounded(void **state)
{
	struct log log;
	char path[64], old[80], word[500];

	memset(word, 'x', sizeof word - 1);
	word[sizeof word - 1] = 0;
	snprintf(path, sizeof path, "%s/log", folder);
	snprintf(old, sizeof old, "%s.1", path);
	log_init(&log, -1);
	assert_int_equal(log_to_file(&log, path), 0);
	for (unsigned n = 0; n < 3 * LOG_FILE_MAX / sizeof word; n++)
		log_add(&log, "%s", word);
	assert_in_range(size_of(path), 0, LOG_FILE_MAX);
	assert_in_range(size_of(old), LOG_FILE_MAX, LOG_FILE_MAX + 2 * LOG_LINE_MAX);
	log_free(&log);
}

/* A loop that runs until a time has come. */
struct told {
	struct loop *loop;
	unsigned events, answers;
	bool gone;
};

static void count_event(void *ctx, const struct monitor_event *event)
{
	((struct told *)ctx)->events++;
}

static void count_answer(void *ctx, int r, json_t *answer, const char *text)
{
	((struct told *)ctx)->answers += !r;
}

static void note_gone(void *ctx, const char *why)
{
	((struct told *)ctx)->gone = true;
}

static void stop(void *ctx)
{
	loop_stop(ctx);
}

static void run_for(struct loop *loop, unsigned ms)
{
	struct loop_timer timer;

	loop_timer_init(&timer, loop, stop, loop);
	loop_timer_arm(&timer, clock_now() + ms * 1000000ull);
	loop_run(loop);
}

static void test_a_monitor_says_only_so_much(void **state)
{
	static const char line[] = "{\"event\": \"paused\"}\n",
			  answer[] = "{\"id\": 1, \"ok\": true}\n";
	struct told told = {.events = 0};
	const struct monitor_client client = {&told, count_event, note_gone};
	struct monitor *monitor;
	uint64_t begin;
	int pair[2];

	assert_int_equal(loop_create(&told.loop, NULL), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(monitor_create(told.loop, pair[0], &client, &monitor, NULL), 0);
	monitor_call(monitor, &(struct monitor_request){.verb = REQUEST_INFO}, -1, 0, count_answer,
		&told);
	begin = clock_now();
	for (unsigned n = 0; n < MONITOR_TOLD_MAX + MORE; n++)
		assert_int_equal(send(pair[1], line, sizeof line - 1, 0), sizeof line - 1);
	assert_int_equal(send(pair[1], answer, sizeof answer - 1, 0), sizeof answer - 1);
	run_for(told.loop, 100);
	assert_in_range(told.events, MONITOR_TOLD_MAX,
		MONITOR_TOLD_MAX + 1 + (clock_now() - begin) / (1000000000 / MONITOR_TOLD_RATE));
	/* It is not given up, only slow: all is read in its time, and the answer behind it. */
	while (!told.answers && !told.gone)
		run_for(told.loop, 100);
	assert_false(told.gone);
	assert_int_equal(told.events, MONITOR_TOLD_MAX + MORE);
	assert_true(clock_now() - begin > (MORE - 2) * (1000000000ull / MONITOR_TOLD_RATE));
	monitor_close(monitor);
	close(pair[1]);
	loop_destroy(told.loop);
}

static struct guest *make_guest(struct daemon *daemon)
{
	struct domain_config config;

	assert_int_equal(domain_config_init(&config), 0);
	return guest_new(daemon, &config);
}

static pid_t sleeper(void)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setsid();
		pause();
		_exit(0);
	}
	return pid;
}

/* A number counts only with the time at which its process began. */
static void test_a_process_is_known_again(void **state)
{
	struct daemon daemon = {0};
	struct guest *guest = make_guest(&daemon);
	pid_t pid = sleeper();
	uint64_t start = process_start(pid);

	assert_true(start);
	process_open(guest, pid, start + 1);
	assert_false(process_left(guest));
	assert_false(process_kill(guest));
	process_open(guest, pid, start);
	assert_true(process_left(guest));
	assert_true(process_kill(guest));
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_false(process_left(guest));
	assert_int_equal(process_start(pid), 0);
	process_open(guest, pid, start);
	assert_false(process_runs(guest));
	guest_free(guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_log_is_bounded),
		cmocka_unit_test(test_a_monitor_says_only_so_much),
		cmocka_unit_test(test_a_process_is_known_again),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
