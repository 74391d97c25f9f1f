/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor's sockets: lines and answers on one, the console's bytes on the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "monitor/console.h"
#include "monitor/control.h"

struct fixture {
	struct loop *loop;
	pthread_t thread;
	struct sockaddr_un address;
	int door;
	struct control *control;
	struct console *console;
	int passed;    /* bytes that came through descriptors */
	unsigned with; /* requests that had one; the last of them: */
	enum request_verb with_verb;
	char typed[64]; /* by the guest; the loop's thread */
	size_t typed_len, room;
};

static void handle(void *ctx, const struct control_asker *asker,
	const struct monitor_request *request, int fd)
{
	struct fixture *f = ctx;
	struct error err = {""};
	char byte;

	if (fd >= 0) {
		f->with++;
		f->with_verb = request->verb;
		f->passed += read(fd, &byte, 1) == 1 ? byte : 0;
		close(fd);
	}
	if (request->verb == REQUEST_PAUSE)
		control_event(f->control, &(struct monitor_event){.kind = EVENT_PAUSED});
	if (request->verb == REQUEST_SYSRQ)
		control_refuse(f->control, asker, error_set(&err, EBUSY, "not now"), &err);
	else
		control_answer(f->control, asker, json_pack("{s:i}", "verb", (int)request->verb));
}

static size_t type(void *ctx, const uint8_t *data, size_t len)
{
	struct fixture *f = ctx;

	len = len < f->room ? len : f->room;
	memcpy(f->typed + f->typed_len, data, len);
	f->typed_len += len;
	f->room -= len;
	return len;
}

static void *serve(void *ctx)
{
	loop_run(((struct fixture *)ctx)->loop);
	return NULL;
}

static int set_up(void **state, bool console)
{
	const struct control_handler handler = {NULL, handle, NULL};
	struct fixture *f = calloc(1, sizeof *f);
	struct control_handler own = handler;
	struct error err;

	own.ctx = f;
	f->room = sizeof f->typed;
	f->address.sun_family = AF_UNIX;
	/* Without a name in the file system. */
	snprintf(f->address.sun_path + 1, sizeof f->address.sun_path - 1, "dach-doors-%d",
		(int)getpid());
	f->door = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(f->door, (struct sockaddr *)&f->address, sizeof f->address), 0);
	assert_int_equal(listen(f->door, 32), 0);
	assert_int_equal(loop_create(&f->loop, &err), 0);
	if (console)
		assert_int_equal(console_create(f->loop, f->door, type, f, &f->console, &err), 0);
	else
		assert_int_equal(control_create(f->loop, f->door, &own, &f->control, &err), 0);
	assert_int_equal(pthread_create(&f->thread, NULL, serve, f), 0);
	*state = f;
	return 0;
}

static int set_up_control(void **state)
{
	return set_up(state, false);
}

static int set_up_console(void **state)
{
	return set_up(state, true);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	loop_stop(f->loop);
	pthread_join(f->thread, NULL);
	control_destroy(f->control);
	console_destroy(f->console);
	loop_destroy(f->loop);
	close(f->door);
	free(f);
	return 0;
}

static int come(struct fixture *f)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&f->address, sizeof f->address), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Up to len bytes, or the end; how many. Waits for five seconds at most. */
static size_t hear(int fd, char *text, size_t len)
{
	struct pollfd wait = {fd, POLLIN, 0};
	size_t have = 0;

	while (have < len && poll(&wait, 1, 5000) == 1) {
		ssize_t n = read(fd, text + have, len - have);

		if (n <= 0)
			break;
		have += n;
	}
	text[have] = 0;
	return have;
}

static void hear_line(int fd, char *text, size_t len)
{
	size_t have = 0;

	while (have + 1 < len && hear(fd, text + have, 1) == 1 && text[have] != '\n')
		have++;
	text[have] = 0;
}

static void expect(int fd, const char *part)
{
	char line[1024];

	hear_line(fd, line, sizeof line);
	if (!strstr(line, part))
		fail_msg("'%s' is not in: %s", part, line);
}

static void answers_lines(void **state)
{
	struct fixture *f = *state;
	int a = come(f), b = come(f);

	/* In pieces, several at once, an empty one between. */
	say(a, "{\"id\": 7, \"do\":");
	say(a, " \"info\"}\n\n{\"id\": 8, \"do\": \"sysrq\", \"key\": \"h\"}\n");
	expect(a, "\"id\":7");
	expect(a, "\"error\":\"not now\",\"errno\":16,\"id\":8");
	say(b, "rubbish\n{\"id\": 9, \"do\": \"info\", \"x\": 1}\n");
	expect(b, "\"errno\":22,\"id\":0");
	expect(b, "\"id\":9");
	/* All hear what happens. */
	say(a, "{\"do\": \"pause\"}\n");
	expect(a, "\"event\":\"paused\"");
	expect(b, "\"event\":\"paused\"");
	expect(a, "\"ok\":true");
	close(a);
	say(b, "{\"do\": \"info\"}\n");
	expect(b, "\"ok\":true");
	close(b);
}

static void refuses_long_lines(void **state)
{
	struct fixture *f = *state;
	int a = come(f);
	char *text = malloc(REQUEST_MAX + 2);

	memset(text, 'x', REQUEST_MAX + 1);
	text[REQUEST_MAX + 1] = 0;
	say(a, text);
	expect(a, "more than 4096 bytes");
	assert_int_equal(hear(a, text, 1), 0);
	free(text);
	close(a);
}

static void bounds_the_crowd(void **state)
{
	struct fixture *f = *state;
	int fd[CONTROL_PEERS + 1];
	char byte[2];

	for (unsigned i = 0; i < CONTROL_PEERS; i++) {
		fd[i] = come(f);
		say(fd[i], "{\"do\": \"info\"}\n");
		expect(fd[i], "\"ok\":true");
	}
	fd[CONTROL_PEERS] = come(f);
	assert_int_equal(hear(fd[CONTROL_PEERS], byte, 1), 0);
	close(fd[0]);
	for (unsigned i = 1; i <= CONTROL_PEERS; i++)
		close(fd[i]);
}

/* The line, with one or two descriptors. */
static void pass(int fd, const char *line, const int *passed, unsigned count)
{
	char room[CMSG_SPACE(2 * sizeof(int))] __attribute__((aligned(8))) = {0};
	struct iovec iov = {(char *)line, strlen(line)};
	struct msghdr message = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = room,
		.msg_controllen = CMSG_SPACE(count * sizeof(int))};
	struct cmsghdr *part = CMSG_FIRSTHDR(&message);

	*part = (struct cmsghdr){CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(part), passed, count * sizeof(int));
	assert_int_equal(sendmsg(fd, &message, 0), strlen(line));
}

/* Nobody has the writing end open any more. */
static bool all_gone(int reading)
{
	char text[2];
	struct pollfd wait = {reading, POLLIN, 0};

	return poll(&wait, 1, 5000) == 1 && read(reading, text, 1) == 0;
}

/* One that came with a refused line is closed, and is not the next line's. */
static void drops_descriptors_of_refused_lines(void **state)
{
	static const char *const refused[] = {"rubbish\n", "{\"do\": \"fly\"}\n",
		"{\"do\": \"dump-core\", \"live\": 1}\n",
		"{\"do\": \"dump-core\", \"x\": 1}\n{\"do\": \"dump-core\"}\n"};
	struct fixture *f = *state;
	int a = come(f), ends[2];

	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		assert_int_equal(pipe(ends), 0);
		pass(a, refused[i], &ends[1], 1);
		close(ends[1]);
		expect(a, "\"error\"");
		if (!all_gone(ends[0]))
			fail_msg("still open after %s", refused[i]);
		close(ends[0]);
	}
	expect(a, "\"ok\":true");
	/* That was without: none came with it. */
	assert_int_equal(f->with, 0);
	close(a);
}

/* Requests may be read together with the one before: a descriptor is whose verb takes one. */
static void gives_descriptors_to_whom_they_belong(void **state)
{
	struct fixture *f = *state;
	int a = come(f), ends[2];

	assert_int_equal(pipe(ends), 0);
	pass(a, "{\"do\": \"info\"}\n{\"do\": \"pause\", \"x\": 1}\n{\"do\": \"dump-core\"}\n",
		&ends[1], 1);
	expect(a, "\"ok\":true");
	expect(a, "\"error\"");
	expect(a, "\"ok\":true");
	assert_int_equal(f->with, 1);
	assert_int_equal(f->with_verb, REQUEST_DUMP_CORE);
	/* No verb that takes it: closed. */
	pass(a, "{\"do\": \"info\"}\n", &ends[1], 1);
	expect(a, "\"ok\":true");
	close(ends[1]);
	assert_true(all_gone(ends[0]));
	assert_int_equal(f->with, 1);
	close(ends[0]);
	close(a);
}

static void takes_descriptors(void **state)
{
	struct fixture *f = *state;
	int a = come(f), first[2], second[2];

	assert_int_equal(pipe(first) | pipe(second), 0);
	assert_int_equal(write(first[1], "\1", 1) + write(second[1], "\2", 1), 2);
	pass(a, "{\"do\": \"dump-core\"}\n", (int[]){first[0], second[0]}, 2);
	expect(a, "\"ok\":true");
	assert_int_equal(f->passed, 2);
	/* Neither is open over there any more. */
	close(first[0]);
	close(second[0]);
	assert_int_equal(send(a, "{\"do\": \"info\"}\n", 15, 0), 15);
	expect(a, "\"ok\":true");
	assert_int_equal(f->passed, 2);
	for (unsigned i = 1; i < 2; i++) {
		close(first[i]);
		close(second[i]);
	}
	close(a);
}

static void shows_history(void **state)
{
	struct fixture *f = *state;
	char *text = malloc(2 * CONSOLE_HISTORY), *seen = malloc(2 * CONSOLE_HISTORY);
	int a, b;

	for (unsigned i = 0; i < CONSOLE_HISTORY + 1000; i++)
		text[i] = 'a' + i % 26;
	console_output(f->console, (uint8_t *)text, CONSOLE_HISTORY + 1000);
	a = come(f);
	assert_int_equal(hear(a, seen, CONSOLE_HISTORY), CONSOLE_HISTORY);
	assert_memory_equal(seen, text + 1000, CONSOLE_HISTORY);
	console_output(f->console, (const uint8_t *)"more", 4);
	assert_int_equal(hear(a, seen, 4), 4);
	b = come(f);
	assert_int_equal(hear(b, seen, CONSOLE_HISTORY), CONSOLE_HISTORY);
	assert_memory_equal(seen + CONSOLE_HISTORY - 4, "more", 4);
	close(a);
	console_output(f->console, (const uint8_t *)"!", 1);
	assert_int_equal(hear(b, seen, 1), 1);
	close(b);
	free(text);
	free(seen);
}

/* One that never reads holds the guest up for a moment only; one that reads misses nothing. */
static void bears_the_slow(void **state)
{
	struct fixture *f = *state;
	char line[64], seen[64];
	int slow = come(f), quick = come(f);

	console_output(f->console, (const uint8_t *)"begin\n", 6);
	hear_line(quick, seen, sizeof seen);
	for (unsigned i = 0; i < 60000; i++) {
		int len = snprintf(line, sizeof line, "line %u of the guest\n", i);

		console_output(f->console, (uint8_t *)line, len);
		if (i % 500 == 499) {
			for (unsigned k = i - 499; k <= i; k++) {
				hear_line(quick, seen, sizeof seen);
				snprintf(line, sizeof line, "line %u of the guest", k);
				assert_string_equal(seen, line);
			}
		}
	}
	close(slow);
	close(quick);
}

static void passes_input_on(void **state)
{
	struct fixture *f = *state;
	char seen[8];
	int a = come(f);

	console_output(f->console, (const uint8_t *)"?", 1);
	assert_int_equal(hear(a, seen, 1), 1);
	f->room = 3;
	say(a, "hello");
	close(a);
	for (unsigned i = 0; i < 500 && __atomic_load_n(&f->typed_len, __ATOMIC_SEQ_CST) < 3; i++)
		usleep(10000);
	__atomic_store_n(&f->room, 8, __ATOMIC_SEQ_CST);
	console_room(f->console);
	for (unsigned i = 0; i < 500 && __atomic_load_n(&f->typed_len, __ATOMIC_SEQ_CST) < 5; i++)
		usleep(10000);
	assert_memory_equal(f->typed, "hello", 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(answers_lines, set_up_control, tear_down),
		cmocka_unit_test_setup_teardown(refuses_long_lines, set_up_control, tear_down),
		cmocka_unit_test_setup_teardown(bounds_the_crowd, set_up_control, tear_down),
		cmocka_unit_test_setup_teardown(drops_descriptors_of_refused_lines, set_up_control,
			tear_down),
		cmocka_unit_test_setup_teardown(gives_descriptors_to_whom_they_belong,
			set_up_control, tear_down),
		cmocka_unit_test_setup_teardown(takes_descriptors, set_up_control, tear_down),
		cmocka_unit_test_setup_teardown(shows_history, set_up_console, tear_down),
		cmocka_unit_test_setup_teardown(bears_the_slow, set_up_console, tear_down),
		cmocka_unit_test_setup_teardown(passes_input_on, set_up_console, tear_down),
	};

	signal(SIGPIPE, SIG_IGN); /* as signals_start() does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
