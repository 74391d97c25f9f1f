/* SPDX-License-Identifier: Apache-2.0 */
/* tests/daemon/fakevmm speaks as a monitor does: each verb, each end, by the tables of protocol/. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/event.h"
#include "protocol/fields.h"
#include "protocol/launch.h"
#include "protocol/request.h"
#include "socket_rig.h"

#define FAKE TEST_SOURCE_DIR "/../daemon/fakevmm"

struct fake {
	pid_t pid;
	int control, status;
	FILE *lines;
};

static void run_fake(const int *fd, unsigned count)
{
	int high[LAUNCH_FDS_MAX + 1];

	/* Whatever becomes of the test. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);

	for (unsigned i = 0; i < count; i++)
		high[i] = fcntl(fd[i], F_DUPFD, 256);
	for (unsigned i = 0; i < count; i++)
		if (dup2(high[i], LAUNCH_FD + i) < 0)
			_exit(127);
	close_range(LAUNCH_FD + count, ~0u, 0);
	execl(FAKE, FAKE, NULL);
	_exit(127);
}

static void start(struct fake *fake, const char *cmdline, unsigned keep)
{
	struct launch_spec spec;
	struct error err = {""};
	int fd[LAUNCH_FDS_MAX + 1], console;
	unsigned count;
	char *text;

	assert_int_equal(launch_init(&spec), 0);
	free(spec.name);
	spec.name = strdup("fake");
	free(spec.cmdline);
	spec.cmdline = strdup(cmdline);
	free(spec.uuid);
	spec.uuid = strdup("01234567-89ab-cdef-0123-456789abcdef");
	spec.domid = 7;
	spec.memory = spec.maxmem = 65536;
	spec.vcpus = 2;
	spec.keep = keep;
	spec.kernel.fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	spec.control = make_socket(&fake->control);
	spec.console = make_socket(&console);
	spec.status = memfd_create("status", MFD_CLOEXEC);
	fake->status = dup(spec.status);
	count = launch_number_fds(&spec, fd + 1) + 1;
	if (launch_write(&spec, &text, &err))
		fail_msg("%s", err.text);
	fd[0] = memfd_create("spec", MFD_CLOEXEC);
	assert_int_equal(pwrite(fd[0], text, strlen(text), 0), strlen(text));
	fake->pid = fork();
	if (!fake->pid)
		run_fake(fd, count);
	for (unsigned i = 0; i < count; i++)
		close(fd[i]);
	close(console);
	fake->lines = fdopen(dup(fake->control), "r");
	free(text);
	launch_free(&spec);
}

/* Its next line; NULL: it has gone. */
static json_t *hear(struct fake *fake)
{
	char *line = NULL;
	size_t size = 0;
	json_t *json = NULL;

	if (getline(&line, &size, fake->lines) > 0) {
		json = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
		if (!json)
			fail_msg("no JSON: %s", line);
	}
	free(line);
	return json;
}

/* Waits for its end; how it says that it was. */
static enum end_reason finish(struct fake *fake)
{
	char text[END_REPORT_MAX];
	struct end_report report;
	ssize_t len;

	assert_int_equal(waitpid(fake->pid, NULL, 0), fake->pid);
	len = pread(fake->status, text, sizeof text, 0);
	if (end_report_read(text, len < 0 ? 0 : len, &report))
		fail_msg("no last words: %.*s", (int)len, text);
	fclose(fake->lines);
	close(fake->control);
	close(fake->status);
	return report.reason;
}

static void ask(struct fake *fake, const struct monitor_request *request)
{
	json_t *json = request_write(request);
	char *text = json_dumps(json, JSON_COMPACT);
	char room[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
	struct iovec iov[] = {{text, strlen(text)}, {"\n", 1}};
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = 2};
	int fd = memfd_create("core", MFD_CLOEXEC);

	if (request_takes_fd(request->verb)) {
		message.msg_control = room;
		message.msg_controllen = sizeof room;
		*CMSG_FIRSTHDR(&message) =
			(struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &fd, sizeof fd);
	}
	assert_int_equal(sendmsg(fake->control, &message, MSG_NOSIGNAL), iov[0].iov_len + 1);
	close(fd);
	free(text);
	json_decref(json);
}

/* The answer to the last question; events before it are counted. */
static json_t *answer(struct fake *fake, unsigned *events)
{
	struct monitor_event event;
	json_t *json;

	while ((json = hear(fake)) && !json_object_get(json, "id")) {
		if (event_read(json, &event))
			fail_msg("no event of the table");
		(*events)++;
		json_decref(json);
	}
	assert_non_null(json);
	if (!json_is_true(json_object_get(json, "ok")))
		fail_msg("refused: %s", json_string_value(json_object_get(json, "error")));
	return json;
}

static void expect_state(struct fake *fake, enum guest_state guest, enum vcpu_state vcpu)
{
	unsigned events = 0;
	json_t *info, *first;

	ask(fake, &(struct monitor_request){.verb = REQUEST_INFO});
	info = answer(fake, &events);
	first = json_array_get(json_object_get(info, "vcpus"), 0);
	assert_string_equal(json_string_value(json_object_get(info, "state")), guest_states[guest]);
	assert_string_equal(json_string_value(json_object_get(first, "state")), vcpu_states[vcpu]);
	if (guest == GUEST_ENDED)
		assert_int_equal(end_find(json_string_value(json_object_get(info, "reason"))),
			END_CRASH);
	json_decref(info);
}

/* Each verb of the table is known to it; what it tells is in the tables. */
static void test_verbs(void **state)
{
	struct fake fake;
	unsigned events = 0;

	start(&fake, "", END_PRESERVABLE);
	expect_state(&fake, GUEST_RUNNING, VCPU_HALTED);
	for (enum request_verb verb = 0; verb < REQUEST_VERBS; verb++) {
		const struct monitor_request request = {.id = 100 + verb,
			.verb = verb,
			.key = "h",
			.memory = 4096,
			.disks = 1,
			.size = 512,
			.name = "/layer",
			.job = 1,
			.then = SAVE_THEN_WAIT};

		if (verb == REQUEST_DESTROY)
			continue;
		ask(&fake, &request);
		json_decref(answer(&fake, &events));
		if (verb == REQUEST_PAUSE)
			expect_state(&fake, GUEST_PAUSED, VCPU_PAUSED);
	}
	/* paused, unpaused, a job, and two ends at which it is kept */
	assert_int_equal(events, 5);
	ask(&fake, &(struct monitor_request){.verb = REQUEST_SYSRQ, .key = "c"});
	json_decref(answer(&fake, &events));
	expect_state(&fake, GUEST_ENDED, VCPU_PAUSED);
	ask(&fake, &(struct monitor_request){.verb = REQUEST_DESTROY});
	json_decref(answer(&fake, &events));
	assert_int_equal(finish(&fake), END_KILLED);
}

static void test_ends(void **state)
{
	for (enum end_reason reason = END_NONE + 1; reason < END_REASONS; reason++) {
		struct fake fake;
		char cmdline[64];

		snprintf(cmdline, sizeof cmdline, "life=0 end=%s", end_word(reason));
		start(&fake, cmdline, 0);
		assert_int_equal(finish(&fake), reason);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verbs),
		cmocka_unit_test(test_ends),
	};

	/* Rather an end than a wait for ever. */
	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
