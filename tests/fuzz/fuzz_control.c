/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket of a monitor: lines, parts of lines, two clients, one of whom may not read. */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "from_fields.h"
#include "monitor/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct control *control;
static unsigned handled;

static void handle(void *ctx, const struct control_asker *asker,
	const struct monitor_request *request, int fd)
{
	struct error err = {"no"};

	if (fd >= 0)
		close(fd);
	if (handled++ % 3 == 0)
		control_refuse(control, asker, -EINVAL, &err);
	else if (handled % 3 == 1)
		control_answer(control, asker, json_pack("{s:i}", "n", (int)handled));
	if (handled % 5 == 0)
		control_event(control, &(struct monitor_event){.kind = EVENT_PAUSED});
}

static void stop(void *ctx)
{
	loop_stop(ctx);
}

static int dial(const struct sockaddr_un *at, socklen_t len)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)at, len))
		abort();
	return fd;
}

/* With a file, as a job's comes, or without. */
static void say(int fd, const uint8_t *data, size_t len, bool file)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} with = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	struct iovec text = {(void *)data, len};
	struct msghdr message = {.msg_iov = &text, .msg_iovlen = 1};

	memcpy(CMSG_DATA(&with.header), &fd, sizeof fd);
	if (file) {
		message.msg_control = &with;
		message.msg_controllen = sizeof with;
	}
	if (sendmsg(fd, &message, MSG_NOSIGNAL) < 0)
		return;
}

/* A line that is a request, with arguments of its kind. */
static void request(int fd, struct from *from)
{
	enum request_verb verb = from_byte(from) % REQUEST_VERBS;
	json_t *line = from_fields(from, request_arguments(verb));
	char *text;

	json_object_set_new(line, "id", json_integer(from_byte(from)));
	json_object_set_new(line, "do", json_string(request_word(verb)));
	text = json_dumps(line, JSON_COMPACT);
	if (text) {
		say(fd, (const uint8_t *)text, strlen(text), from_byte(from) & 1);
		say(fd, (const uint8_t *)"\n", 1, false);
	}
	free(text);
	json_decref(line);
}

/* Pieces of the bytes: a header says how long, to whom, and what else. */
static void converse(struct loop *loop, struct loop_timer *timer, int peers[2], const uint8_t *data,
	size_t size)
{
	while (size > 2) {
		size_t len = data[0] % 64 + (data[1] & 1 ? 4096 : 0);
		unsigned who = data[1] >> 1 & 1;

		data += 2;
		size -= 2;
		len = len < size ? len : size;
		if (data[-1] & 32)
			request(peers[who], &(struct from){data, len, 0});
		else
			say(peers[who], data, len, data[-1] & 4);
		if (data[-1] & 8)
			say(peers[who], (const uint8_t *)"\n", 1, false);
		if (data[-1] & 16) {
			loop_timer_arm(timer, clock_now() + 1);
			loop_run(loop);
		}
		data += len;
		size -= len;
	}
	loop_timer_arm(timer, clock_now() + 100000);
	loop_run(loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct control_handler handler = {.handle = handle};
	static struct loop *loop;
	static struct loop_timer timer;
	static struct sockaddr_un at = {.sun_family = AF_UNIX};
	static socklen_t len = sizeof at;
	static int door = -1;
	int peers[2];
	char bin[4096];

	if (door < 0) {
		signal(SIGPIPE, SIG_IGN);
		door = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (loop_create(&loop, NULL) ||
			bind(door, (struct sockaddr *)&at, sizeof at.sun_family) ||
			getsockname(door, (struct sockaddr *)&at, &len) || listen(door, 8))
			abort();
		loop_timer_init(&timer, loop, stop, loop);
	}
	handled = 0;
	if (control_create(loop, door, &handler, &control, NULL))
		abort();
	peers[0] = dial(&at, len);
	peers[1] = dial(&at, len);
	converse(loop, &timer, peers, data, size);
	while (read(peers[0], bin, sizeof bin) > 0) {
	}
	close(peers[0]);
	loop_timer_arm(&timer, clock_now() + 1);
	loop_run(loop);
	control_destroy(control);
	close(peers[1]);
	return 0;
}
