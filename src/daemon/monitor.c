/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define OUT_MAX (1u << 20)
#define TOLD_NS (1000000000ull / MONITOR_TOLD_RATE)

struct call {
	struct call *next;
	struct monitor *monitor;
	json_int_t id;
	monitor_done *done;
	void *ctx;
	struct loop_timer timer;
	bool failed;
};

struct monitor {
	struct loop *loop;
	struct loop_fd watch;
	struct monitor_client client;
	struct call *calls;
	json_int_t last_id;
	unsigned open_calls;
	char *in, *out;
	size_t in_used, out_used;
	/* Descriptors go with the first byte of their own request: one waits until out is empty. */
	int pass_fd;
	size_t pass_at;
	/* What it may say unasked: how many lines, as of then. */
	unsigned told_left;
	uint64_t told_at;
	struct loop_timer told_timer; /* armed: nothing is read until it may say something again */
	bool busy, closed, gone;
	struct loop_work work; /* tells of calls that failed at once, and of the end */
	const char *why;
};

static void monitor_free(struct monitor *monitor)
{
	free(monitor->in);
	free(monitor->out);
	free(monitor);
}

static void call_done(struct call *call, int r, json_t *answer, const char *text)
{
	struct monitor *monitor = call->monitor;

	for (struct call **at = &monitor->calls; *at; at = &(*at)->next) {
		if (*at == call) {
			*at = call->next;
			break;
		}
	}
	monitor->open_calls--;
	loop_timer_cancel(&call->timer);
	if (call->done)
		call->done(call->ctx, r, answer, text);
	free(call);
}

static void call_late(void *ctx)
{
	struct call *call = ctx;
	struct monitor *monitor = call->monitor;
	bool busy = monitor->busy;

	monitor->busy = true;
	call_done(call, -ETIMEDOUT, NULL, "the guest's monitor does not answer");
	monitor->busy = busy;
	if (!busy && monitor->closed && !monitor->work.posted)
		monitor_free(monitor);
}

/* Takes the connection out of the loop; work tells who waits. */
static void end(struct monitor *monitor, const char *why)
{
	if (monitor->gone || monitor->closed)
		return;
	monitor->gone = true;
	monitor->why = why;
	loop_fd_remove(monitor->loop, &monitor->watch);
	loop_timer_cancel(&monitor->told_timer);
	close(monitor->watch.fd);
	monitor->watch.fd = -1;
	loop_post(monitor->loop, &monitor->work);
}

static void tell(void *ctx)
{
	struct monitor *monitor = ctx;
	struct call *call, *next;

	if (monitor->closed) {
		monitor_free(monitor);
		return;
	}
	monitor->busy = true;
	for (call = monitor->calls; call && !monitor->closed; call = next) {
		next = call->next;
		if (monitor->gone || call->failed) {
			call_done(call, -EPIPE, NULL, "the guest's monitor has gone");
			next = monitor->calls; /* done may have ended others */
		}
	}
	if (monitor->gone && !monitor->closed)
		monitor->client.gone(monitor->client.ctx, monitor->why);
	monitor->busy = false;
	/* Who heard of one call's end may have asked for something else, which is told of next. */
	if (monitor->closed && !monitor->work.posted)
		monitor_free(monitor);
}

/* What it may say has grown with time. */
static void refill(struct monitor *monitor)
{
	uint64_t more = (clock_now() - monitor->told_at) / TOLD_NS;

	monitor->told_at += more * TOLD_NS;
	more += monitor->told_left;
	monitor->told_left = more < MONITOR_TOLD_MAX ? more : MONITOR_TOLD_MAX;
}

/* Whether it was an answer to something. */
static bool answer(struct monitor *monitor, json_t *id, json_t *message)
{
	struct call *call = monitor->calls;
	const char *text = json_string_value(json_object_get(message, "error"));
	json_int_t code = json_integer_value(json_object_get(message, "errno"));

	while (call && (call->failed || call->id != json_integer_value(id)))
		call = call->next;
	if (!call)
		return false;
	if (!text)
		call_done(call, 0, message, "");
	else
		call_done(call, code > 0 && code < 4096 ? -code : -EIO, NULL, text);
	return true;
}

/* One line. false: no JSON object. */
static bool message(struct monitor *monitor, const char *line, size_t len)
{
	json_t *object = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL), *id;
	bool sound = json_is_object(object), asked = false;
	struct monitor_event event;

	id = json_object_get(object, "id");
	if (sound && json_is_integer(id))
		asked = answer(monitor, id, object);
	else if (sound && !event_read(object, &event))
		monitor->client.event(monitor->client.ctx, &event);
	if (!asked)
		monitor->told_left--;
	json_decref(object);
	return sound;
}

static void lines(struct monitor *monitor)
{
	size_t start = 0;
	char *newline;

	refill(monitor);
	while (!monitor->closed && !monitor->gone && monitor->told_left &&
		(newline = memchr(monitor->in + start, '\n', monitor->in_used - start))) {
		size_t from = start;

		start = newline + 1 - monitor->in;
		if (!message(monitor, monitor->in + from, newline - monitor->in - from))
			end(monitor, "its monitor says what is not a JSON object");
	}
	if (start) {
		monitor->in_used -= start;
		memmove(monitor->in, monitor->in + start, monitor->in_used);
	}
	if (monitor->closed || monitor->gone)
		return;
	if (!monitor->told_left) {
		monitor->watch.events &= ~POLLIN;
		loop_timer_arm(&monitor->told_timer, monitor->told_at + TOLD_NS);
	} else if (monitor->in_used == MONITOR_LINE_MAX) {
		end(monitor, "its monitor says a line that is too long");
	}
}

/* It may say something again. */
static void go_on(void *ctx)
{
	struct monitor *monitor = ctx;

	monitor->watch.events |= POLLIN;
	monitor->busy = true;
	lines(monitor);
	monitor->busy = false;
	if (monitor->closed && !monitor->work.posted)
		monitor_free(monitor);
}

static void input(struct monitor *monitor)
{
	ssize_t n = recv(monitor->watch.fd, monitor->in + monitor->in_used,
		MONITOR_LINE_MAX - monitor->in_used, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		end(monitor, "its monitor has gone");
		return;
	}
	monitor->in_used += n;
	lines(monitor);
}

static ssize_t send_some(struct monitor *monitor)
{
	char space[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
	bool pass = monitor->pass_fd >= 0 && !monitor->pass_at;
	struct iovec data = {monitor->out, monitor->out_used};
	struct msghdr msg = {.msg_iov = &data, .msg_iovlen = 1};

	/* What stands before the request with the descriptor goes alone. */
	if (monitor->pass_fd >= 0 && monitor->pass_at)
		data.iov_len = monitor->pass_at;
	if (pass) {
		struct cmsghdr *head;

		msg.msg_control = space;
		msg.msg_controllen = sizeof space;
		head = CMSG_FIRSTHDR(&msg);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(head), &monitor->pass_fd, sizeof(int));
	}
	return sendmsg(monitor->watch.fd, &msg, MSG_NOSIGNAL);
}

static void output(struct monitor *monitor)
{
	while (monitor->out_used && !monitor->gone) {
		ssize_t n = send_some(monitor);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n < 0) {
			end(monitor, "its monitor has gone");
			return;
		}
		if (monitor->pass_fd >= 0 && !monitor->pass_at) {
			close(monitor->pass_fd);
			monitor->pass_fd = -1;
		} else if (monitor->pass_fd >= 0) {
			monitor->pass_at -= n;
		}
		monitor->out_used -= n;
		memmove(monitor->out, monitor->out + n, monitor->out_used);
	}
	monitor->watch.events &= POLLIN;
	monitor->watch.events |= monitor->out_used ? POLLOUT : 0;
}

static void ready(void *ctx, short revents)
{
	struct monitor *monitor = ctx;

	monitor->busy = true;
	if (revents & POLLOUT)
		output(monitor);
	if (!monitor->gone && monitor->told_left && revents & (POLLIN | POLLHUP | POLLERR))
		input(monitor);
	monitor->busy = false;
	if (monitor->closed && !monitor->work.posted)
		monitor_free(monitor);
}

int monitor_create(struct loop *loop, int fd, const struct monitor_client *client,
	struct monitor **out, struct error *err)
{
	struct monitor *monitor = calloc(1, sizeof *monitor);

	*out = NULL;
	if (monitor)
		monitor->in = malloc(MONITOR_LINE_MAX);
	if (!monitor || !monitor->in || fcntl(fd, F_SETFL, O_NONBLOCK)) {
		free(monitor);
		close(fd);
		return error_nomem(err);
	}
	monitor->loop = loop;
	monitor->client = *client;
	monitor->pass_fd = -1;
	monitor->told_left = MONITOR_TOLD_MAX;
	monitor->told_at = clock_now();
	loop_timer_init(&monitor->told_timer, loop, go_on, monitor);
	monitor->watch =
		(struct loop_fd){.fd = fd, .events = POLLIN, .ready = ready, .ctx = monitor};
	monitor->work = (struct loop_work){.run = tell, .ctx = monitor};
	loop_fd_add(loop, &monitor->watch);
	*out = monitor;
	return 0;
}

void monitor_set_client(struct monitor *monitor, const struct monitor_client *client)
{
	monitor->client = *client;
}

void monitor_close(struct monitor *monitor)
{
	if (!monitor)
		return;
	if (!monitor->gone) {
		loop_fd_remove(monitor->loop, &monitor->watch);
		loop_timer_cancel(&monitor->told_timer);
		close(monitor->watch.fd);
	}
	if (monitor->pass_fd >= 0)
		close(monitor->pass_fd);
	monitor->pass_fd = -1;
	monitor->closed = true;
	while (monitor->calls)
		call_done(monitor->calls, -ECANCELED, NULL, "the guest's monitor has gone");
	if (!monitor->busy && !monitor->work.posted)
		monitor_free(monitor);
}

bool monitor_is_closed(const struct monitor *monitor)
{
	return monitor->closed;
}

static bool queue(struct monitor *monitor, const struct monitor_request *request, int pass_fd)
{
	json_t *json = request_write(request);
	char *text = json_dumps(json, JSON_COMPACT), *more;
	size_t len = text ? strlen(text) : 0;

	json_decref(json);
	if (!text || monitor->out_used + len + 1 > OUT_MAX ||
		(pass_fd >= 0 && monitor->pass_fd >= 0)) {
		free(text);
		return false;
	}
	more = realloc(monitor->out, monitor->out_used + len + 1);
	if (!more) {
		free(text);
		return false;
	}
	monitor->out = more;
	if (pass_fd >= 0) {
		monitor->pass_fd = fcntl(pass_fd, F_DUPFD_CLOEXEC, 0);
		monitor->pass_at = monitor->out_used;
	}
	memcpy(more + monitor->out_used, text, len);
	more[monitor->out_used + len] = '\n';
	monitor->out_used += len + 1;
	free(text);
	return pass_fd < 0 || monitor->pass_fd >= 0;
}

void monitor_call(struct monitor *monitor, const struct monitor_request *request, int pass_fd,
	unsigned timeout_ms, monitor_done *done, void *ctx)
{
	struct monitor_request own = *request;
	struct call *call = calloc(1, sizeof *call), **last = &monitor->calls;

	if (!call) {
		end(monitor, "the daemon is out of memory");
		return;
	}
	*call = (struct call){.monitor = monitor,
		.id = ++monitor->last_id,
		.done = done,
		.ctx = ctx};
	loop_timer_init(&call->timer, monitor->loop, call_late, call);
	while (*last)
		last = &(*last)->next;
	*last = call;
	own.id = call->id;
	call->failed = monitor->open_calls++ >= MONITOR_CALLS_MAX || monitor->gone ||
		!queue(monitor, &own, pass_fd);
	if (call->failed) {
		loop_post(monitor->loop, &monitor->work);
		return;
	}
	if (timeout_ms)
		loop_timer_arm(&call->timer, clock_now() + timeout_ms * 1000000ull);
	output(monitor);
}
