/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor's side of a container. */
#include "container/container.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "container/calls.h"
#include "container/internal.h"
#include "container/keeper.h"

/* For the keeper: a process that cannot be frozen waits for a disk. Less than the daemon waits for us, or what it has given up would be done. */
#define ANSWER_MS 7000
#define CONSOLE_PIECE 16384

struct container {
	struct guest_monitor *monitor;
	const struct launch_spec *spec;
	pid_t keeper_pid;       /* 0: none */
	struct loop_fd keeper;  /* the socket; fd -1: none, or gone */
	struct loop_fd console; /* the terminal's end that is ours; likewise */
	uint32_t asked;         /* how often it was asked for what it answers */
	bool begun, over;
	bool killed; /* somebody ended it: what is told of its end is no news */
	struct end_report end;
};

static void stop_watching(struct container *container, struct loop_fd *watch)
{
	if (watch->ready)
		loop_fd_remove(monitor_loop(container->monitor), watch);
	if (watch->fd >= 0)
		close(watch->fd);
	*watch = (struct loop_fd){.fd = -1};
}

/* It is over: the loop ends. The first to say so knows best. */
static void finish(struct container *container, const struct end_report *end)
{
	if (container->over)
		return;
	container->over = true;
	container->end = *end;
	if (container->killed)
		container->end = (struct end_report){.reason = END_KILLED,
			.status = end_info(END_KILLED)->status};
	loop_stop(monitor_loop(container->monitor));
}

/* The keeper */

static void lost(struct container *container)
{
	struct end_report end = {.reason = END_CRASH, .status = end_info(END_CRASH)->status};

	error_set(&end.error, EIO, "the process that kept the container was killed or failed");
	finish(container, &end);
	stop_watching(container, &container->keeper);
}

static void take_end(struct container *container, const struct keeper_message *message)
{
	struct end_report end = {.reason = message->reason, .status = message->status};

	if (!end.reason || end.reason >= END_REASONS)
		end.reason = END_ERROR;
	memcpy(end.error.text, message->text, sizeof end.error.text);
	finish(container, &end);
}

/* One message: its word; KEEPER_ENDED also where the keeper is gone. */
static enum keeper_word take_message(struct container *container, struct keeper_message *message)
{
	int fd, r = keeper_receive(container->keeper.fd, message, &fd);

	if (fd >= 0)
		close(fd);
	if (r) {
		lost(container);
		return KEEPER_ENDED;
	}
	if (message->word == KEEPER_ENDED)
		take_end(container, message);
	return message->word;
}

static void keeper_ready(void *ctx, short revents)
{
	struct keeper_message message;

	take_message(ctx, &message);
}

static void tell(struct container *container, enum keeper_word word)
{
	const struct keeper_message message = {.word = word};

	if (container->keeper.fd >= 0)
		keeper_send(container->keeper.fd, &message, -1);
}

/* What it has not done in time, and may do yet, is undone then. */
static void take_back(struct container *container, const struct keeper_message *asked)
{
	struct keeper_message message = *asked;

	if (asked->word == KEEPER_FREEZE)
		message.word = KEEPER_THAW;
	else if (asked->word == KEEPER_FOLDER)
		message.word = KEEPER_NO_FOLDER;
	else
		return;
	message.number = ++container->asked;
	keeper_send(container->keeper.fd, &message, -1);
}

/* Asks, and waits: nothing else of the guest happens meanwhile. What an earlier question is answered late is nobody's. */
static int ask(struct container *container, const struct keeper_message *asked, int fd,
	struct error *err)
{
	struct pollfd wait = {container->keeper.fd, POLLIN, 0};
	const uint64_t end = clock_now() + ANSWER_MS * 1000000ull;
	struct keeper_message message = *asked;
	const uint32_t number = ++container->asked;

	message.number = number;
	if (container->keeper.fd >= 0)
		keeper_send(container->keeper.fd, &message, fd);
	while (!container->over && clock_now() < end) {
		if (poll(&wait, 1, 1000) <= 0 || take_message(container, &message) != KEEPER_DONE ||
			message.number != number)
			continue;
		return message.status ? error_set(err, -message.status, "%s", message.text) : 0;
	}
	if (container->over)
		return error_set(err, EPIPE, "the container has ended");
	take_back(container, asked);
	return error_set(err, ETIMEDOUT, "the container's keeper does not answer");
}

static void ask_to(struct container *container, enum keeper_word word)
{
	struct error err = {""};

	if (ask(container, &(struct keeper_message){.word = word}, -1, &err))
		fprintf(stderr, "%s\n", err.text);
}

/* The console */

static void console_ready(void *ctx, short revents)
{
	struct container *container = ctx;
	uint8_t bytes[CONSOLE_PIECE];
	ssize_t n = read(container->console.fd, bytes, sizeof bytes);

	if (n > 0) {
		monitor_output(container->monitor, bytes, (size_t)n);
	} else if (!n || (errno != EAGAIN && errno != EINTR && errno != EIO)) {
		stop_watching(container, &container->console);
	}
	if (revents & POLLOUT) {
		container->console.events = POLLIN;
		monitor_room(container->monitor);
	}
}

static size_t input(void *ctx, const uint8_t *data, size_t len)
{
	struct container *container = ctx;
	ssize_t n =
		container->console.fd < 0 ? (ssize_t)len : write(container->console.fd, data, len);

	if (n == (ssize_t)len)
		return len;
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return len; /* nobody takes it */
	container->console.events = POLLIN | POLLOUT;
	return n > 0 ? (size_t)n : 0;
}

/*
 * A terminal whose other end liblxc opens by its name, and shows what the container's own console says. We keep that end
 * open, too: without anybody there, ours would only say so.
 */
static int open_console(struct container *container, char *name, size_t size, struct error *err)
{
	int ours = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK), theirs = -1;
	struct termios raw;

	container->console.fd = ours;
	if (ours < 0 || grantpt(ours) || unlockpt(ours) || ptsname_r(ours, name, size))
		return error_set(err, errno, "no terminal for the console: %s", strerror(errno));
	theirs = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (theirs < 0 || tcgetattr(theirs, &raw))
		return error_set(err, errno, "%s: %s", name, strerror(errno));
	cfmakeraw(&raw);
	return tcsetattr(theirs, TCSANOW, &raw)
		? error_set(err, errno, "%s: %s", name, strerror(errno))
		: 0;
}

/* Life */

static void watch(struct container *container, struct loop_fd *watched,
	void (*ready)(void *ctx, short revents))
{
	watched->events = POLLIN;
	watched->ready = ready;
	watched->ctx = container;
	loop_fd_add(monitor_loop(container->monitor), watched);
}

static int start_keeper(struct container *container, const char *console, struct error *err)
{
	int ends[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return error_set(err, errno, "no socket for the keeper: %s", strerror(errno));
	pid = fork();
	if (!pid) {
		close(ends[0]);
		close(container->console.fd);
		keeper_run(container->spec, ends[1], console);
	}
	close(ends[1]);
	container->keeper.fd = ends[0];
	container->keeper_pid = pid > 0 ? pid : 0;
	return pid < 0 ? error_set(err, errno, "no process for the keeper: %s", strerror(errno))
		       : 0;
}

/* What cannot be made is told before the guest counts as one that is up. */
static int await(struct container *container, enum keeper_word word, struct error *err)
{
	struct keeper_message message;

	while (!container->over)
		if (take_message(container, &message) == word)
			return 0;
	/* One that has ended by itself already has been up. */
	if (container->end.reason == END_POWEROFF || container->end.reason == END_REBOOT)
		return 0;
	return error_set(err, EIO, "%s", container->end.error.text);
}

static void begin(struct container *container)
{
	container->begun = true;
	tell(container, KEEPER_START);
}

static int create(void *ctx, struct guest_monitor *monitor, struct error *err)
{
	struct container *container = ctx;
	char console[64];
	int r;

	container->monitor = monitor;
	if (container->spec->root.fd < 0)
		return error_set(err, EINVAL, "configuration: root: is missing");
	if (geteuid() && !users_own(container->spec))
		return error_set(err, EPERM, "only root's daemon has IDs of the host's to give");
	r = open_console(container, console, sizeof console, err);
	if (!r)
		r = start_keeper(container, console, err);
	if (!r)
		r = await(container, KEEPER_DONE, err);
	/* It comes up while we put up our walls, which it is not within; without them it is ended. */
	if (!r && !container->spec->paused)
		begin(container);
	if (!r)
		r = monitor_restrict(monitor, false, false, err);
	if (!r && container->begun)
		r = await(container, KEEPER_RUNS, err);
	if (r)
		return r;
	watch(container, &container->keeper, keeper_ready);
	watch(container, &container->console, console_ready);
	return 0;
}

static void run(void *ctx, struct end_report *end)
{
	struct container *container = ctx;

	if (!container->begun && !monitor_stands(container->monitor))
		begin(container);
	if (!container->over)
		loop_run(monitor_loop(container->monitor));
	*end = container->end;
}

static void destroy(void *ctx)
{
	struct container *container = ctx;

	stop_watching(container, &container->console);
	/* Which tells it to end what there is. */
	stop_watching(container, &container->keeper);
	if (container->keeper_pid)
		waitpid(container->keeper_pid, NULL, 0);
	free(container);
}

/* One that is to be paused from the first is only begun when it may run. */
static void pause_guest(void *ctx)
{
	struct container *container = ctx;

	if (container->begun)
		ask_to(container, KEEPER_FREEZE);
}

/* A freezer that is not this user's, or a process that waits for a disk. */
static int try_pause(void *ctx, struct error *err)
{
	struct container *container = ctx;

	if (!container->begun)
		return 0;
	if (users_own(container->spec) && !container->spec->group)
		return error_set(err, ENOTSUP,
			"the container cannot be paused: this host gives the daemon no control groups (systemd: Delegate=yes)");
	return ask(container, &(struct keeper_message){.word = KEEPER_FREEZE}, -1, err);
}

static void resume(void *ctx)
{
	struct container *container = ctx;

	if (container->begun)
		ask_to(container, KEEPER_THAW);
	else
		begin(container);
}

static void ask_to_end(void *ctx)
{
	struct container *container = ctx;

	if (container->begun)
		tell(container, KEEPER_ASK);
	else
		finish(container, &(struct end_report){.reason = END_POWEROFF});
}

static void end_guest(void *ctx)
{
	struct container *container = ctx;

	container->killed = true;
	tell(container, KEEPER_END);
}

static void describe(void *ctx, json_t *info)
{
	json_object_set_new(info, "engine", json_string("lxc"));
}

/* What comes or goes: the keeper's word for it. KEEPER_DONE: nothing of the kind. */
static enum keeper_word change_word(enum request_verb verb)
{
	switch (verb) {
	case REQUEST_NET_ATTACH:
		return KEEPER_LINK;
	case REQUEST_SHARE_ATTACH:
		return KEEPER_FOLDER;
	case REQUEST_SHARE_DETACH:
		return KEEPER_NO_FOLDER;
	default:
		return KEEPER_DONE;
	}
}

static int change(struct container *container, const struct monitor_request *request, int fd,
	struct error *err)
{
	struct keeper_message message = {.word = change_word(request->verb)};
	const char *text = message.word == KEEPER_LINK ? request->link : request->name;

	message.status =
		message.word == KEEPER_LINK ? (int32_t)request->network : request->readonly;
	if (!*text || strlen(text) >= sizeof message.text)
		return error_set(err, EINVAL, "%s: the name is missing, or too long",
			request_word(request->verb));
	if (message.word == KEEPER_FOLDER && fd < 0)
		return error_set(err, EBADF, "share-attach: no folder came with the request");
	strcpy(message.text, text);
	return ask(container, &message, fd, err);
}

static int request(void *ctx, const struct control_asker *asker,
	const struct monitor_request *request, int fd, json_t **fields, struct error *err)
{
	struct container *container = ctx;
	const struct keeper_message message = {.word = KEEPER_EXEC};
	const bool changes = change_word(request->verb) != KEEPER_DONE;
	int r = 0;

	if (request->verb != REQUEST_EXEC && !changes)
		r = error_set(err, ENOTSUP, "a container cannot do that (%s): machines can",
			request_word(request->verb));
	else if (!container->begun || monitor_stands(container->monitor))
		r = error_set(err, EBUSY, "the container is paused");
	else if (changes)
		r = change(container, request, fd, err);
	else if (fd < 0)
		r = error_set(err, EBADF, "exec: no socket came with the request");
	else
		r = keeper_send(container->keeper.fd, &message, fd);
	if (fd >= 0)
		close(fd);
	return r;
}

static const struct guest_ops container_ops = {
	.create = create,
	.run = run,
	.destroy = destroy,
	.pause = pause_guest,
	.try_pause = try_pause,
	.resume = resume,
	.ask = ask_to_end,
	.end = end_guest,
	.input = input,
	.describe = describe,
	.request = request,
	.calls = container_calls,
};

void container_run_launched(const struct launch_spec *spec, struct end_report *end)
{
	struct container *container = calloc(1, sizeof *container);

	if (!container) {
		*end = (struct end_report){END_ERROR, END_STATUS_SETUP, {"out of memory"}};
		return;
	}
	container->spec = spec;
	container->keeper.fd = container->console.fd = -1;
	monitor_launched(&container_ops, container, spec, end);
}
