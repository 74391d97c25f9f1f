/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's monitor with a guest that is no machine: at a terminal and as a daemon's it is started,
 * asked, paused and ended, and so are its jobs. Each monitor is a process of its own, since it locks
 * itself in.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "socket_rig.h"
#include "toy_rig.h"

#define PATIENCE_MS 30000

/* A monitor as its daemon, or the person at its terminal, sees it. */
struct outside {
	pid_t pid;
	int report;           /* a file: how it says that it ended */
	int control, console; /* connected; or the terminal's two ends */
	char line[65536];     /* from control, not looked at yet */
	size_t len;
	json_int_t id;
	unsigned events[EVENT_KINDS];
	struct monitor_event last_job;
};

static struct toy *make_toy(const struct toy *kind)
{
	struct toy *toy = malloc(sizeof *toy);

	assert_non_null(toy);
	*toy = *kind;
	return toy;
}

/* The last words of the child, in the file; its exit status follows. */
static _Noreturn void leave(int report, const struct end_report *end)
{
	char *line = end_report_write(end);

	if (write(report, line, strlen(line)) < 0)
		_exit(99);
	_exit(end->status);
}

static void launch(struct outside *outside, const struct toy *kind, bool paused)
{
	struct launch_spec spec = {.name = "toy",
		.uuid = "u",
		.domid = 7,
		.paused = paused,
		.lock = -1,
		.status = -1};

	*outside = (struct outside){.report = memfd_create("report", MFD_CLOEXEC)};
	spec.control = make_socket(&outside->control);
	spec.console = make_socket(&outside->console);
	outside->pid = fork();
	if (!outside->pid) {
		struct end_report end;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(outside->control);
		close(outside->console);
		monitor_launched(&toy_ops, make_toy(kind), &spec, &end);
		leave(outside->report, &end);
	}
	close(spec.control);
	close(spec.console);
}

static void save_toy(void *ctx)
{
	struct toy *toy = ctx;

	monitor_output(toy->monitor, (const uint8_t *)"saved\n", 6);
}

static const struct guest_ops *ops = &toy_ops; /* of the next one in the foreground */

static void start_foreground(struct outside *outside, const struct toy *kind)
{
	const struct foreground config = {.save = save_toy};
	int in[2], out[2];

	*outside = (struct outside){.report = memfd_create("report", MFD_CLOEXEC)};
	assert_int_equal(pipe(in) | pipe(out), 0);
	outside->pid = fork();
	if (!outside->pid) {
		struct end_report end;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		close(in[1]);
		monitor_foreground(ops, make_toy(kind), &config, &end);
		leave(outside->report, &end);
	}
	close(in[0]);
	close(out[1]);
	outside->control = in[1];
	outside->console = out[0];
}

/* Reads until the text has come. */
static void see(struct outside *outside, const char *text)
{
	char seen[4096] = "";
	size_t len = 0;

	while (!strstr(seen, text)) {
		struct pollfd wait = {outside->console, POLLIN, 0};
		ssize_t n;

		if (poll(&wait, 1, PATIENCE_MS) != 1)
			fail_msg("not '%s' but '%s'", text, seen);
		n = read(outside->console, seen + len, sizeof seen - 1 - len);
		assert_true(n > 0);
		len += n;
		seen[len] = 0;
	}
}

/* How it ended; err may be NULL. */
static enum end_reason finish(struct outside *outside, struct error *err)
{
	char text[END_REPORT_MAX];
	struct end_report report;
	ssize_t len;
	int status;

	assert_int_equal(waitpid(outside->pid, &status, 0), outside->pid);
	if (!WIFEXITED(status))
		fail_msg("killed by signal %d", WTERMSIG(status));
	len = pread(outside->report, text, sizeof text, 0);
	assert_int_equal(end_report_read(text, len < 0 ? 0 : len, &report), 0);
	assert_int_equal(report.status, WEXITSTATUS(status));
	if (err)
		*err = report.error;
	close(outside->report);
	close(outside->control);
	close(outside->console);
	return report.reason;
}

/* The next line from the control socket; NULL: it is closed. */
static json_t *hear(struct outside *outside)
{
	char *end;
	json_t *json;

	while (!(end = memchr(outside->line, '\n', outside->len))) {
		struct pollfd wait = {outside->control, POLLIN, 0};
		ssize_t n;

		assert_int_equal(poll(&wait, 1, PATIENCE_MS), 1);
		n = read(outside->control, outside->line + outside->len,
			sizeof outside->line - outside->len);
		if (n <= 0)
			return NULL;
		outside->len += n;
	}
	json = json_loadb(outside->line, end - outside->line, 0, NULL);
	assert_non_null(json);
	outside->len -= end + 1 - outside->line;
	memmove(outside->line, end + 1, outside->len);
	return json;
}

static void note(struct outside *outside, json_t *json)
{
	struct monitor_event event;

	assert_int_equal(event_read(json, &event), 0);
	outside->events[event.kind]++;
	if (event.kind == EVENT_JOB)
		outside->last_job = event;
	json_decref(json);
}

static void await_event(struct outside *outside, enum event_kind kind)
{
	while (!outside->events[kind]) {
		json_t *json = hear(outside);

		assert_non_null(json);
		note(outside, json);
	}
}

/* Asks; fd is sent along unless it is -1. Returns the request's number. */
static json_int_t send_request(struct outside *outside, struct monitor_request request, int fd)
{
	char room[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
	json_t *json;
	char *text;
	struct iovec iov[2];
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = 2};

	request.id = ++outside->id;
	json = request_write(&request);
	text = json_dumps(json, JSON_COMPACT);
	iov[0] = (struct iovec){text, strlen(text)};
	iov[1] = (struct iovec){"\n", 1};
	if (fd >= 0) {
		message.msg_control = room;
		message.msg_controllen = sizeof room;
		*CMSG_FIRSTHDR(&message) =
			(struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &fd, sizeof fd);
	}
	assert_int_equal(sendmsg(outside->control, &message, MSG_NOSIGNAL), iov[0].iov_len + 1);
	free(text);
	json_decref(json);
	return request.id;
}

/* The answer to that request; events before it are noted. */
static json_t *answer_to(struct outside *outside, json_int_t id)
{
	json_t *json;

	while ((json = hear(outside)) && !json_object_get(json, "id"))
		note(outside, json);
	assert_non_null(json);
	assert_int_equal(json_integer_value(json_object_get(json, "id")), id);
	return json;
}

/* What it answers; 0 or its errno. answer may be NULL. */
static int ask(struct outside *outside, struct monitor_request request, json_t **answer)
{
	json_t *json = answer_to(outside, send_request(outside, request, -1));
	int code = json_integer_value(json_object_get(json, "errno"));

	assert_int_equal(!code, json_is_true(json_object_get(json, "ok")));
	if (answer)
		*answer = json;
	else
		json_decref(json);
	return code;
}

static int ask_verb(struct outside *outside, enum request_verb verb)
{
	return ask(outside, (struct monitor_request){.verb = verb}, NULL);
}

static uint64_t counted(struct outside *outside)
{
	json_int_t count;
	json_t *info;

	assert_int_equal(ask(outside, (struct monitor_request){.verb = REQUEST_INFO}, &info), 0);
	count = json_integer_value(json_object_get(info, "count"));
	json_decref(info);
	return count;
}

static void wait_ms(unsigned ms)
{
	poll(NULL, 0, ms);
}

/* It counts on, or not. */
static bool goes_on(struct outside *outside)
{
	uint64_t count = counted(outside);

	for (unsigned i = 0; i < 50; i++) {
		wait_ms(10);
		if (counted(outside) != count)
			return true;
	}
	return false;
}

/* As a daemon's */

static void lives_with_a_daemon(void **state)
{
	struct outside outside;
	json_t *info;

	launch(&outside, &(struct toy){.deaf = false}, false);
	see(&outside, "up");
	assert_int_equal(write(outside.console, "word", 4), 4);
	see(&outside, "word");
	assert_true(goes_on(&outside));
	assert_int_equal(ask_verb(&outside, REQUEST_PAUSE), 0);
	assert_int_equal(outside.events[EVENT_PAUSED], 1);
	assert_false(goes_on(&outside));
	assert_int_equal(ask(&outside, (struct monitor_request){.verb = REQUEST_INFO}, &info), 0);
	assert_string_equal(json_string_value(json_object_get(info, "name")), "toy");
	assert_string_equal(json_string_value(json_object_get(info, "state")), "paused");
	assert_int_equal(json_integer_value(json_object_get(info, "pid")), outside.pid);
	json_decref(info);
	assert_int_equal(ask_verb(&outside, REQUEST_UNPAUSE), 0);
	assert_true(goes_on(&outside));
	/* What is not this kind's. */
	assert_int_equal(ask(&outside, (struct monitor_request){.verb = REQUEST_SYSRQ, .key = "h"},
				 NULL),
		ENOSYS);
	assert_int_equal(ask_verb(&outside, REQUEST_SHUTDOWN), 0);
	await_event(&outside, EVENT_ENDED);
	assert_int_equal(finish(&outside, NULL), END_POWEROFF);
}

static void starts_paused(void **state)
{
	struct outside outside;

	launch(&outside, &(struct toy){.deaf = true}, true);
	assert_false(goes_on(&outside));
	assert_int_equal(ask_verb(&outside, REQUEST_UNPAUSE), 0);
	assert_true(goes_on(&outside));
	/* One that does not listen is still there, and can be ended. */
	assert_int_equal(ask_verb(&outside, REQUEST_SHUTDOWN), 0);
	assert_true(goes_on(&outside));
	assert_int_equal(ask_verb(&outside, REQUEST_DESTROY), 0);
	assert_int_equal(finish(&outside, NULL), END_KILLED);
}

/* What all kinds of guest call a reboot is a shutdown that is told as one. */
static void tells_a_reboot(void **state)
{
	struct outside outside;

	launch(&outside, &(struct toy){.deaf = false}, false);
	assert_int_equal(ask_verb(&outside, REQUEST_REBOOT), 0);
	assert_int_equal(finish(&outside, NULL), END_REBOOT);
}

static void keeps_a_crash(void **state)
{
	struct outside outside;
	struct error err;
	json_t *info;

	launch(&outside, &(struct toy){.keeps = true}, false);
	assert_int_equal(write(outside.console, "!", 1), 1);
	await_event(&outside, EVENT_KEPT);
	assert_int_equal(ask(&outside, (struct monitor_request){.verb = REQUEST_INFO}, &info), 0);
	assert_string_equal(json_string_value(json_object_get(info, "state")), "ended");
	assert_string_equal(json_string_value(json_object_get(info, "reason")), "crash");
	json_decref(info);
	assert_int_equal(ask_verb(&outside, REQUEST_UNPAUSE), EINVAL);
	assert_int_equal(ask_verb(&outside, REQUEST_SHUTDOWN), EINVAL);
	assert_int_equal(ask_verb(&outside, REQUEST_DESTROY), 0);
	assert_int_equal(finish(&outside, &err), END_CRASH);
	assert_string_equal(err.text, "the toy is broken");
}

static void says_why_it_cannot_start(void **state)
{
	struct outside outside;
	struct error err;

	launch(&outside, &(struct toy){.impossible = true}, false);
	assert_int_equal(finish(&outside, &err), END_ERROR);
	assert_string_equal(err.text, "this toy cannot be");
	start_foreground(&outside, &(struct toy){.impossible = true});
	assert_int_equal(finish(&outside, &err), END_ERROR);
	assert_string_equal(err.text, "this toy cannot be");
}

/* Jobs */

/* Starts one that writes into a pipe; *pipe_fd is the other end. */
static json_int_t start_job(struct outside *outside, bool live, int *pipe_fd)
{
	int fd[2];
	json_int_t id;

	assert_int_equal(pipe(fd), 0);
	id = send_request(outside,
		(struct monitor_request){.verb = REQUEST_DUMP_CORE, .live = live}, fd[1]);
	close(fd[1]);
	*pipe_fd = fd[0];
	return id;
}

static uint64_t only_job(struct outside *outside, struct job_report *report)
{
	json_t *json, *list;
	size_t count;

	assert_int_equal(ask(outside, (struct monitor_request){.verb = REQUEST_JOBS}, &json), 0);
	list = json_object_get(json, "jobs");
	count = json_array_size(list);
	if (count == 1)
		assert_int_equal(fields_read(job_report_fields, json_array_get(list, 0), report, "",
					 NULL),
			0);
	json_decref(json);
	return count;
}

static void finishes_a_job(void **state)
{
	static uint8_t buf[65536];
	struct outside outside;
	json_int_t id;
	json_t *json;
	ssize_t n;
	int fd;

	launch(&outside, &(struct toy){.deaf = false}, false);
	id = start_job(&outside, true, &fd);
	while ((n = read(fd, buf, sizeof buf)) > 0)
		;
	assert_int_equal(n, 0);
	json = answer_to(&outside, id);
	assert_int_equal(json_integer_value(json_object_get(json, "blocks")), TOY_BLOCKS);
	json_decref(json);
	assert_true(outside.events[EVENT_JOB] >= 2);
	assert_int_equal(outside.last_job.job.state, JOB_DONE);
	assert_string_equal(outside.last_job.job.job, "dump-core");
	assert_int_equal(ask_verb(&outside, REQUEST_DESTROY), 0);
	finish(&outside, NULL);
	close(fd);
}

static void cancels_a_job(void **state)
{
	struct outside outside;
	struct job_report report;
	json_int_t id, cancel;
	json_t *json;
	int fd, other;

	launch(&outside, &(struct toy){.deaf = false}, false);
	id = start_job(&outside, false, &fd);
	/* It pauses the guest, and no second one begins meanwhile. */
	assert_false(goes_on(&outside));
	json = answer_to(&outside, start_job(&outside, false, &other));
	assert_int_equal(json_integer_value(json_object_get(json, "errno")), EBUSY);
	json_decref(json);
	close(other);
	assert_int_equal(only_job(&outside, &report), 1);
	assert_int_equal(report.state, JOB_RUNNING);
	assert_int_equal(report.total, TOY_BLOCKS * 65536);
	assert_true(report.done < report.total);
	/* How far it is is told by itself. */
	outside.events[EVENT_JOB] = 0;
	await_event(&outside, EVENT_JOB);
	assert_int_equal(ask(&outside,
				 (struct monitor_request){.verb = REQUEST_CANCEL,
					 .job = report.id + 1},
				 NULL),
		ESRCH);
	cancel = send_request(&outside,
		(struct monitor_request){.verb = REQUEST_CANCEL, .job = report.id}, -1);
	json_decref(answer_to(&outside, cancel));
	json = answer_to(&outside, id);
	assert_int_equal(json_integer_value(json_object_get(json, "errno")), ECANCELED);
	assert_string_equal(json_string_value(json_object_get(json, "error")),
		"dump-core: cancelled");
	json_decref(json);
	assert_int_equal(outside.last_job.job.state, JOB_CANCELLED);
	assert_int_equal(only_job(&outside, &report), 0);
	assert_true(goes_on(&outside));
	assert_int_equal(ask_verb(&outside, REQUEST_DESTROY), 0);
	finish(&outside, NULL);
	close(fd);
}

/* What cannot be undone is told as done. */
static void cancels_a_job_too_late(void **state)
{
	struct outside outside;
	struct job_report report;
	json_int_t id, cancel;
	json_t *json;
	int fd;

	launch(&outside, &(struct toy){.commits = true}, false);
	id = start_job(&outside, true, &fd);
	assert_int_equal(only_job(&outside, &report), 1);
	cancel = send_request(&outside,
		(struct monitor_request){.verb = REQUEST_CANCEL, .job = report.id}, -1);
	json_decref(answer_to(&outside, cancel));
	json = answer_to(&outside, id);
	assert_int_equal(json_integer_value(json_object_get(json, "blocks")), TOY_BLOCKS);
	json_decref(json);
	assert_int_equal(outside.last_job.job.state, JOB_DONE);
	assert_int_equal(ask_verb(&outside, REQUEST_DESTROY), 0);
	finish(&outside, NULL);
	close(fd);
}

/* Who ends the guest need not wait for what is done to it. */
static void ends_with_a_job(void **state)
{
	struct outside outside;
	uint64_t start = clock_now();
	json_int_t id;
	json_t *json;
	int fd;

	launch(&outside, &(struct toy){.deaf = false}, false);
	id = start_job(&outside, true, &fd);
	assert_int_equal(ask_verb(&outside, REQUEST_DESTROY), 0);
	json = answer_to(&outside, id);
	assert_string_equal(json_string_value(json_object_get(json, "error")),
		"dump-core: the guest has gone");
	json_decref(json);
	assert_int_equal(finish(&outside, NULL), END_KILLED);
	assert_true(clock_now() - start < JOBS_END_SECONDS * 1000000000ull);
	close(fd);
}

/* Not even where it cannot be cancelled. */
/* One that has no time to lose, at a terminal; what is typed to it is the last that its loop takes. */
static void start_hasty(struct outside *outside, const struct toy *kind)
{
	static struct guest_ops hasty;

	hasty = toy_ops;
	hasty.patience = 300000000;
	ops = &hasty;
	start_foreground(outside, kind);
	ops = &toy_ops;
	see(outside, "up");
}

static int status_of(struct outside *outside)
{
	int status = 0;

	assert_int_equal(waitpid(outside->pid, &status, 0), outside->pid);
	close(outside->control);
	close(outside->console);
	close(outside->report);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Whatever its threads do: the loop's, which takes no signal any more, or one of the guest's. */
static void ends_whatever_its_threads_do(void **state)
{
	struct outside outside;

	start_hasty(&outside, &(struct toy){.hangs = true});
	assert_int_equal(write(outside.control, "x", 1), 1);
	see(&outside, "x");
	assert_int_equal(kill(outside.pid, SIGTERM), 0);
	assert_int_equal(status_of(&outside), end_info(END_KILLED)->status);
	start_hasty(&outside, &(struct toy){.immortal = true});
	assert_int_equal(kill(outside.pid, SIGTERM), 0);
	assert_int_equal(status_of(&outside), end_info(END_POWEROFF)->status);
}

static void ends_with_a_stuck_job(void **state)
{
	struct outside outside;
	uint64_t start = clock_now();
	int fd;

	launch(&outside, &(struct toy){.stuck = true}, false);
	start_job(&outside, true, &fd);
	assert_int_equal(ask_verb(&outside, REQUEST_DESTROY), 0);
	assert_int_equal(finish(&outside, NULL), END_KILLED);
	assert_true(clock_now() - start > JOBS_END_SECONDS * 1000000000ull);
	close(fd);
}

/* At a terminal */

static void lives_in_the_foreground(void **state)
{
	struct outside outside;

	start_foreground(&outside, &(struct toy){.deaf = true});
	see(&outside, "up");
	assert_int_equal(write(outside.control, "word", 4), 4);
	see(&outside, "word");
	kill(outside.pid, SIGUSR2);
	see(&outside, "saved");
	kill(outside.pid, SIGTERM);
	wait_ms(300); /* else it would be the same, sent twice */
	assert_int_equal(write(outside.control, "more", 4), 4);
	see(&outside, "more");
	kill(outside.pid, SIGTERM);
	assert_int_equal(finish(&outside, NULL), END_KILLED);
}

static void ends_in_the_foreground(void **state)
{
	struct outside outside;
	struct error err;

	start_foreground(&outside, &(struct toy){.deaf = false});
	see(&outside, "up");
	kill(outside.pid, SIGTERM);
	assert_int_equal(finish(&outside, NULL), END_POWEROFF);
	start_foreground(&outside, &(struct toy){.deaf = false});
	assert_int_equal(write(outside.control, "!", 1), 1);
	assert_int_equal(finish(&outside, &err), END_CRASH);
	assert_string_equal(err.text, "the toy is broken");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lives_with_a_daemon),
		cmocka_unit_test(starts_paused),
		cmocka_unit_test(tells_a_reboot),
		cmocka_unit_test(keeps_a_crash),
		cmocka_unit_test(says_why_it_cannot_start),
		cmocka_unit_test(finishes_a_job),
		cmocka_unit_test(cancels_a_job),
		cmocka_unit_test(cancels_a_job_too_late),
		cmocka_unit_test(ends_with_a_job),
		cmocka_unit_test(ends_whatever_its_threads_do),
		cmocka_unit_test(ends_with_a_stuck_job),
		cmocka_unit_test(lives_in_the_foreground),
		cmocka_unit_test(ends_in_the_foreground),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
