/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/peer_line.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/descriptors.h"
#include "base/folder.h"
#include "base/io.h"
#include "daemon/child.h"
#include "daemon/daemon.h"
#include "daemon/peers.h"
#include "protocol/walls.h"

#define PROGRAM "dach-peer"
#define TEXT_MAX (PEER_LINE_MAX + PEER_FINGERPRINT_LEN + PEER_HOST_MAX + 4)
#define STRANGERS_MAX \
	16 /* who call, and have not said yet who they are: for one more, one of them ends */
/* Longer than a dach-peer has patience for. */
#define PATIENCE_NS 300000000000ull

struct peer_line {
	struct peer_line *next;
	struct daemon *daemon;
	struct loop_fd control;
	struct loop_timer late;
	bool called, asked; /* by the other side; and it has said what it wants */
	bool speaking;      /* out is on its way, and what is carried */
	uint64_t network;   /* called: from where (network_of()) */
	peer_line_done *done;
	void *ctx;
	/* What has come, and the answer, as far as it has not gone yet. */
	char *text, *out;
	size_t len, room, out_from, out_len;
	int carried; /* given behind out; -1: nothing */
	json_t *answer;
};

struct daemon *peer_line_daemon(const struct peer_line *line)
{
	return line->daemon;
}

void peer_line_end(struct peer_line *line)
{
	struct peer_line **at = &line->daemon->peer_lines;

	while (*at != line)
		at = &(*at)->next;
	*at = line->next;
	loop_timer_cancel(&line->late);
	loop_fd_remove(line->daemon->loop, &line->control);
	close(line->control.fd);
	if (line->carried >= 0)
		close(line->carried);
	free(line->text);
	free(line->out);
	json_decref(line->answer);
	free(line);
}

void peer_lines_end(struct daemon *daemon)
{
	while (daemon->peer_lines)
		peer_line_end(daemon->peer_lines);
}

/* The process */

/* The order with this host's key, in memory; -errno. */
static int write_order(const json_t *order, const char *pem)
{
	char *text = order ? json_dumps(order, JSON_COMPACT) : NULL;
	int fd = text ? memfd_create("order", MFD_CLOEXEC) : -1;
	int r = fd < 0 ? text ? -errno : -ENOMEM : io_write_all(fd, text, strlen(text));

	if (!r)
		r = io_write_all(fd, "\n", 1);
	if (!r)
		r = io_write_all(fd, pem, strlen(pem));
	if (!r && lseek(fd, 0, SEEK_SET))
		r = -errno;
	if (r && fd >= 0)
		close(fd);
	free(text);
	return r ? r : fd;
}

/* *control: ours, to speak with it. order is taken; socket stays the caller's. */
static int start(struct daemon *daemon, json_t *order, int socket, int *control, struct error *err)
{
	char program[PATH_MAX];
	const char *pem, *fingerprint;
	int ends[2] = {-1, -1}, file = -1, r = peers_identity(daemon, &pem, &fingerprint, err);
	pid_t pid;

	if (!r && folder_program(PROGRAM, "../libexec/dach/" PROGRAM, program, sizeof program))
		r = error_set(err, ENOENT,
			PROGRAM " is neither beside this program nor in ../libexec/dach");
	if (!r) {
		json_object_set_new(order, "walls", walls_to_json(daemon->policy.walls));
		file = write_order(order, pem);
		if (file < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
			r = error_set(err, file < 0 ? -file : errno, PROGRAM ": %s",
				strerror(file < 0 ? -file : errno));
	}
	pid = r ? -1 : fork();
	if (!pid)
		child_become(program, PROGRAM, (int[]){ends[1], file, socket},
			PEER_DESCRIPTORS - PEER_CONTROL);
	if (!r && pid < 0)
		r = error_set(err, errno, PROGRAM ": %s", strerror(errno));
	json_decref(order);
	if (file >= 0)
		close(file);
	if (ends[1] >= 0)
		close(ends[1]);
	if (r && ends[0] >= 0)
		close(ends[0]);
	*control = ends[0];
	return r;
}

/* What it says */

/* It has nothing to say any more, or should not have said that. */
static void fail(struct peer_line *line, int r, const char *why)
{
	peer_line_done *done = line->done;
	void *ctx = line->ctx;

	if (line->called && !line->asked)
		log_add(&line->daemon->log, "another host: %s", why);
	if (done)
		done(ctx, NULL, r, NULL, why);
	peer_line_end(line);
}

static void answered(struct peer_line *line, size_t len)
{
	peer_line_done *done = line->done;
	struct error err = {""};
	int r = peer_answer_read(line->text, len, &line->answer, &err);

	if (r) {
		fail(line, r, err.text);
		return;
	}
	line->done = NULL;
	loop_timer_cancel(&line->late);
	/* From now on it only waits for what it is to carry. */
	line->control.events = 0;
	done(line->ctx, line, 0, line->answer, "");
}

/* "FINGERPRINT ADDRESS" and, behind it, what is asked. */
static void was_asked(struct peer_line *line, char *who, char *what, size_t len)
{
	char *from = strchr(who, ' ');

	if (!from) {
		fail(line, -EPROTO, PROGRAM " does not say who it is");
		return;
	}
	*from++ = 0;
	line->asked = true;
	loop_timer_cancel(&line->late);
	line->control.events = 0;
	peer_asked(line, who, from, what, len);
}

/* Whole lines of what has come. */
static void look(struct peer_line *line)
{
	char *end = memchr(line->text, '\n', line->len), *next;
	struct error err = {""};

	if (!end)
		return;
	*end = 0;
	if (*line->text == '!') {
		error_set(&err, EPIPE, "%s", line->text + 1);
		fail(line, -EPIPE, err.text);
	} else if (!line->called) {
		answered(line, (size_t)(end - line->text));
	} else {
		next = memchr(end + 1, '\n', line->len - (size_t)(end + 1 - line->text));
		if (next)
			was_asked(line, line->text, end + 1, (size_t)(next - end - 1));
		else
			*end = '\n';
	}
}

static void flush(struct peer_line *line);

static void ready(void *ctx, short revents)
{
	struct peer_line *line = ctx;
	ssize_t n;

	if (line->speaking) {
		flush(line);
		return;
	}
	if (line->len == line->room) {
		size_t room = line->room ? line->room * 2 : 4096;
		char *text = room > 2 * TEXT_MAX ? NULL : realloc(line->text, room);

		if (!text) {
			fail(line, -EFBIG, "what it says is too long");
			return;
		}
		line->text = text;
		line->room = room;
	}
	n = read(line->control.fd, line->text + line->len, line->room - line->len);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		fail(line, -EPIPE, PROGRAM " has ended");
		return;
	}
	line->len += (size_t)n;
	look(line);
}

static void late(void *ctx)
{
	fail(ctx, -ETIMEDOUT, PROGRAM " does not answer");
}

static struct peer_line *line_new(struct daemon *daemon, int control)
{
	struct peer_line *line = calloc(1, sizeof *line);

	if (!line) {
		close(control);
		return NULL;
	}
	fcntl(control, F_SETFL, fcntl(control, F_GETFL) | O_NONBLOCK);
	line->daemon = daemon;
	line->carried = -1;
	line->control =
		(struct loop_fd){.fd = control, .events = POLLIN, .ready = ready, .ctx = line};
	line->next = daemon->peer_lines;
	daemon->peer_lines = line;
	loop_fd_add(daemon->loop, &line->control);
	loop_timer_init(&line->late, daemon->loop, late, line);
	loop_timer_arm(&line->late, clock_now() + PATIENCE_NS);
	return line;
}

int peer_line_call(struct daemon *daemon, const char *address, const char *fingerprint, json_t *ask,
	peer_line_done *done, void *ctx, struct error *err)
{
	char *text = ask ? json_dumps(ask, JSON_COMPACT) : NULL;
	json_t *order = text ? json_pack("{s:s, s:s, s:s}", "address", address, "fingerprint",
				       fingerprint, "ask", text)
			     : NULL;
	struct peer_line *line = NULL;
	int control, r = 0;

	json_decref(ask);
	if (!order)
		r = error_nomem(err);
	else if (strlen(text) > PEER_LINE_MAX)
		r = error_set(err, EFBIG, "what the other host is to know is too long");
	free(text);
	if (r)
		json_decref(order);
	else
		r = start(daemon, order, -1, &control, err);
	if (!r) {
		line = line_new(daemon, control);
		r = line ? 0 : error_nomem(err);
	}
	if (r)
		return r;
	line->done = done;
	line->ctx = ctx;
	return 0;
}

/* What one who calls may have all the addresses of: one of IPv4, or a /64 of IPv6. */
static uint64_t network_of(int socket)
{
	struct sockaddr_in6 from = {.sin6_family = AF_UNSPEC};
	struct sockaddr_in from4;
	uint64_t network;
	uint32_t mapped;

	getpeername(socket, (struct sockaddr *)&from, &(socklen_t){sizeof from});
	memcpy(&from4, &from, sizeof from4);
	memcpy(&network, &from.sin6_addr, sizeof network);
	memcpy(&mapped, &from.sin6_addr.s6_addr[12], sizeof mapped);
	if (from.sin6_family == AF_INET)
		return from4.sin_addr.s_addr;
	return IN6_IS_ADDR_V4MAPPED(&from.sin6_addr) ? mapped : network;
}

static bool is_stranger(const struct peer_line *line)
{
	return line->called && !line->asked;
}

static unsigned strangers_of(const struct daemon *daemon, uint64_t network)
{
	unsigned count = 0;

	for (const struct peer_line *at = daemon->peer_lines; at; at = at->next)
		count += is_stranger(at) && at->network == network;
	return count;
}

/*
 * From where most say nothing, who has said nothing for longest makes way: so nobody holds others up, nor do many connections of one
 * end those of others.
 */
static void make_way(struct daemon *daemon)
{
	struct peer_line *oldest = NULL;
	unsigned strangers = 0, most = 0;

	/* The newest is the first. */
	for (struct peer_line *at = daemon->peer_lines; at; at = at->next) {
		const unsigned count = is_stranger(at) ? strangers_of(daemon, at->network) : 0;

		strangers += is_stranger(at);
		if (count && count >= most) {
			most = count;
			oldest = at;
		}
	}
	if (strangers >= STRANGERS_MAX) {
		if (!daemon->peers_crowded)
			log_add(&daemon->log,
				"%u call at once and do not say who they are: the oldest make way",
				strangers);
		peer_line_end(oldest);
	}
	/* Told once until there is nobody of them. */
	daemon->peers_crowded = strangers && (daemon->peers_crowded || strangers >= STRANGERS_MAX);
}

void peer_line_take(struct daemon *daemon, int socket)
{
	struct error err = {""};
	struct peer_line *line;
	int control, r;

	make_way(daemon);
	r = start(daemon, json_pack("{s:o}", "known", peers_fingerprints(daemon)), socket, &control,
		&err);
	line = r ? NULL : line_new(daemon, control);
	if (line) {
		line->called = true;
		line->network = network_of(socket);
	}
	if (r)
		log_add(&daemon->log, "another host has called in vain: %s", err.text);
	close(socket);
}

/* What the daemon says */

static void flush(struct peer_line *line)
{
	line->speaking = true;
	line->control.events = POLLOUT;
	while (line->out_from < line->out_len) {
		ssize_t n = send(line->control.fd, line->out + line->out_from,
			line->out_len - line->out_from, MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0)
			break;
		line->out_from += (size_t)n;
	}
	if (line->out_from == line->out_len && line->carried >= 0 &&
		descriptors_send(line->control.fd, &line->carried, 1) == -EAGAIN)
		return;
	peer_line_end(line);
}

void peer_line_answer(struct peer_line *line, json_t *answer, int fd)
{
	char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
	int n = text ? asprintf(&line->out, "%s\n", text) : -1;

	free(text);
	json_decref(answer);
	line->carried = fd;
	if (n < 0) {
		line->out = NULL;
		peer_line_end(line);
		return;
	}
	line->out_len = (size_t)n;
	flush(line);
}

void peer_line_carry(struct peer_line *line, int fd)
{
	line->carried = fd;
	flush(line);
}
