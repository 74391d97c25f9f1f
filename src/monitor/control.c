/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/control.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define OUT_MAX (1u << 20) /* a peer that does not read its answers is sent away */

struct control_peer {
	struct control *control;
	struct loop_fd watch;
	struct control_peer *next;
	uint64_t number;
	char in[REQUEST_MAX + 1];
	size_t in_len;
	int passed; /* a descriptor that waits for its line; -1: none */
	char *out;
	size_t out_len, out_room;
	bool gone; /* freed when nobody holds it */
};

struct control {
	struct loop *loop;
	struct loop_fd door;
	struct control_handler handler;
	struct control_peer *peer;
	unsigned peers;
	uint64_t numbers;
};

static void peer_free(struct control_peer *peer)
{
	struct control *control = peer->control;
	struct control_peer **at = &control->peer;

	loop_fd_remove(control->loop, &peer->watch);
	if (control->handler.gone)
		control->handler.gone(control->handler.ctx, peer->number);
	while (*at != peer)
		at = &(*at)->next;
	*at = peer->next;
	control->peers--;
	close(peer->watch.fd);
	if (peer->passed >= 0)
		close(peer->passed);
	free(peer->out);
	free(peer);
}

static void flush(struct control_peer *peer)
{
	size_t done = 0;

	while (done < peer->out_len && !peer->gone) {
		ssize_t n = write(peer->watch.fd, peer->out + done, peer->out_len - done);

		if (n > 0)
			done += n;
		else if (n < 0 && errno == EAGAIN)
			break;
		else if (n == 0 || errno != EINTR)
			peer->gone = true;
	}
	if (done)
		memmove(peer->out, peer->out + done, peer->out_len - done);
	peer->out_len -= done;
	peer->watch.events = POLLIN | (peer->out_len ? POLLOUT : 0);
}

/* A line; peers are freed by those who walk over them, not here. */
static void say(struct control_peer *peer, json_t *message)
{
	char *text = json_dumps(message, JSON_COMPACT | JSON_ENSURE_ASCII);
	size_t len = text ? strlen(text) + 1 : 0;

	if (text)
		text[len - 1] = '\n';
	if (!text || peer->out_len + len > OUT_MAX) {
		peer->gone = true;
	} else if (peer->out_len + len > peer->out_room) {
		char *more = realloc(peer->out, peer->out_len + len);

		peer->gone |= !more;
		peer->out = more ? more : peer->out;
		peer->out_room = more ? peer->out_len + len : peer->out_room;
	}
	if (!peer->gone) {
		memcpy(peer->out + peer->out_len, text, len);
		peer->out_len += len;
		flush(peer);
	}
	/* Who has gone is noticed by the loop. */
	if (peer->gone)
		shutdown(peer->watch.fd, SHUT_RDWR);
	free(text);
}

static void answer(struct control *control, const struct control_asker *asker, json_t *message)
{
	struct control_peer *peer = control->peer;

	json_object_set_new(message, "id", json_integer(asker->id));
	while (peer && peer->number != asker->peer)
		peer = peer->next;
	if (peer && !peer->gone)
		say(peer, message);
	json_decref(message);
}

void control_answer(struct control *control, const struct control_asker *asker, json_t *fields)
{
	if (!fields)
		fields = json_object();
	json_object_set_new(fields, "ok", json_true());
	answer(control, asker, fields);
}

void control_refuse(struct control *control, const struct control_asker *asker, int r,
	const struct error *err)
{
	json_t *message = json_object();
	json_t *sentence = json_string(err->text);

	/* A sentence may quote bytes that are no UTF-8. */
	json_object_set_new(message, "error", sentence ? sentence : json_string(strerror(-r)));
	json_object_set_new(message, "errno", json_integer(-r));
	answer(control, asker, message);
}

void control_event(struct control *control, const struct monitor_event *event)
{
	json_t *message = control ? event_write(event) : NULL;

	for (struct control_peer *peer = control ? control->peer : NULL; peer; peer = peer->next)
		if (!peer->gone)
			say(peer, message);
	json_decref(message);
}

static void handle_line(struct control_peer *peer, const char *line, size_t len)
{
	struct control *control = peer->control;
	struct control_asker asker = {.peer = peer->number};
	struct error err = {""};
	struct monitor_request request;
	int fd = -1, r = request_parse(line, len, &request, &err);

	asker.id = request.id;
	/* Lines before the one that it came with may have been read together with that. */
	if (request.verb == REQUEST_VERBS || request_takes_fd(request.verb)) {
		fd = peer->passed;
		peer->passed = -1;
	}
	if (r) {
		/* What came with it is not the next one's. */
		if (fd >= 0)
			close(fd);
		control_refuse(control, &asker, r, &err);
		return;
	}
	control->handler.handle(control->handler.ctx, &asker, &request, fd);
}

/* One read, with the descriptor that may come with it. */
static ssize_t receive(struct control_peer *peer)
{
	char room[CMSG_SPACE(4 * sizeof(int))] __attribute__((aligned(8)));
	struct iovec iov = {peer->in + peer->in_len, sizeof peer->in - peer->in_len};
	struct msghdr message = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = room,
		.msg_controllen = sizeof room};
	ssize_t n = recvmsg(peer->watch.fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	for (struct cmsghdr *part = n < 0 ? NULL : CMSG_FIRSTHDR(&message); part;
		part = CMSG_NXTHDR(&message, part)) {
		size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		int fd[4];

		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS || count > 4)
			continue;
		memcpy(fd, CMSG_DATA(part), count * sizeof(int));
		/* The last one counts. */
		for (size_t i = 0; i < count; i++) {
			if (peer->passed >= 0)
				close(peer->passed);
			peer->passed = fd[i];
		}
	}
	return n;
}

static void take_lines(struct control_peer *peer)
{
	char *line = peer->in, *end;

	while (!peer->gone && (end = memchr(line, '\n', peer->in + peer->in_len - line))) {
		if (end > line)
			handle_line(peer, line, end - line);
		line = end + 1;
	}
	peer->in_len -= line - peer->in;
	memmove(peer->in, line, peer->in_len);
	/* None of these lines takes it, and no other has begun. */
	if (!peer->in_len && peer->passed >= 0) {
		close(peer->passed);
		peer->passed = -1;
	}
	if (peer->in_len == sizeof peer->in) {
		struct control_asker asker = {.peer = peer->number};
		struct error err = {""};
		int r = error_set(&err, E2BIG, "control: a line of more than %u bytes",
			REQUEST_MAX);

		control_refuse(peer->control, &asker, r, &err);
		peer->gone = true;
	}
}

static void peer_ready(void *ctx, short revents)
{
	struct control_peer *peer = ctx;
	ssize_t n;

	if (revents & POLLOUT)
		flush(peer);
	if (!peer->gone && (revents & ~POLLOUT)) {
		n = receive(peer);
		if (n > 0) {
			peer->in_len += n;
			take_lines(peer);
		} else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
			peer->gone = true;
		}
	}
	if (peer->gone)
		peer_free(peer);
}

static void door_ready(void *ctx, short revents)
{
	struct control *control = ctx;
	int fd = accept4(control->door.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct control_peer *peer = NULL;

	if (fd < 0)
		return;
	if (control->peers < CONTROL_PEERS)
		peer = calloc(1, sizeof *peer);
	if (!peer) {
		close(fd);
		return;
	}
	peer->control = control;
	peer->number = ++control->numbers;
	peer->passed = -1;
	peer->watch =
		(struct loop_fd){.fd = fd, .events = POLLIN, .ready = peer_ready, .ctx = peer};
	peer->next = control->peer;
	control->peer = peer;
	control->peers++;
	loop_fd_add(control->loop, &peer->watch);
}

int control_create(struct loop *loop, int listen_fd, const struct control_handler *handler,
	struct control **out, struct error *err)
{
	struct control *control = calloc(1, sizeof *control);

	*out = NULL;
	if (!control)
		return error_nomem(err);
	control->loop = loop;
	control->handler = *handler;
	control->door = (struct loop_fd){.fd = listen_fd,
		.events = POLLIN,
		.ready = door_ready,
		.ctx = control};
	loop_fd_add(loop, &control->door);
	*out = control;
	return 0;
}

void control_destroy(struct control *control)
{
	if (!control)
		return;
	while (control->peer) {
		flush(control->peer);
		peer_free(control->peer);
	}
	loop_fd_remove(control->loop, &control->door);
	free(control);
}
