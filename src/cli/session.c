/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/session.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/json.h"
#include "base/loop.h"
#include "cli/call.h"
#include "cli/raw.h"
#include "client/client.h"

#define PIECE 4096u            /* a pipe that has room at all takes so much at once (PIPE_BUF) */
#define LAST_NS 10000000000ull /* for a command that was told to end because it took too long */

struct guest_session {
	struct cli *cli;
	const struct session_spec *spec;
	int socket;
	struct raw_terminal raw;
	bool running, over, lost, input_over, left;
	bool unwritten; /* some of its output, and that not because its reader has gone */
	int status;
	uint64_t deadline; /* 0: none */
	bool late;
	uint32_t in_room;
	/* What the command said and is not written yet; dead: nobody reads it. */
	struct {
		char bytes[AGENT_WINDOW];
		size_t used;
		bool dead;
	} out[AGENT_STREAMS];
	/* Frames: what the guest's side has sent, and what it has not taken yet. */
	char in[sizeof(struct agent_header) + AGENT_DATA_MAX];
	size_t in_used;
	char *send;
	size_t send_used, send_room;
};

enum { SOCKET, INPUT, OUTPUT, ERRORS, SIGNALS, WATCHED };

/* To the guest */

static void lose(struct guest_session *session)
{
	session->lost = session->over = true;
	session->status = SESSION_FAILED;
}

static void send_frame(struct guest_session *session, enum agent_frame_type type, unsigned stream,
	const void *payload, size_t size)
{
	const struct agent_header header = {size, 1, type, stream};
	const size_t used = session->send_used + sizeof header + size;

	if (used > session->send_room) {
		char *more = realloc(session->send, 2 * used);

		if (!more) {
			lose(session);
			return;
		}
		session->send = more;
		session->send_room = 2 * used;
	}
	memcpy(session->send + session->send_used, &header, sizeof header);
	if (size)
		memcpy(session->send + session->send_used + sizeof header, payload, size);
	session->send_used = used;
}

static void send_number(struct guest_session *session, enum agent_frame_type type, unsigned stream,
	uint32_t number)
{
	send_frame(session, type, stream, &number, sizeof number);
}

static void flush(struct guest_session *session)
{
	ssize_t n = send(session->socket, session->send, session->send_used,
		MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n > 0) {
		session->send_used -= n;
		memmove(session->send, session->send + n, session->send_used);
	}
	/* What the other side has said last is still to be read. */
	if (n < 0 && errno != EINTR && errno != EAGAIN)
		session->send_used = 0;
}

static void send_size(struct guest_session *session)
{
	struct winsize size;

	if (session->spec->open.terminal && !ioctl(STDIN_FILENO, TIOCGWINSZ, &size))
		send_number(session, AGENT_RESIZE, 0, size.ws_col | (uint32_t)size.ws_row << 16);
}

static void read_input(struct guest_session *session)
{
	char bytes[AGENT_DATA_MAX];
	size_t size = session->in_room < sizeof bytes ? session->in_room : sizeof bytes;
	ssize_t n = read(session->spec->fd[AGENT_STDIN], bytes, size);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n > 0) {
		session->in_room -= n;
		send_frame(session, AGENT_DATA, AGENT_STDIN, bytes, n);
		return;
	}
	session->input_over = true;
	send_frame(session, AGENT_EOF, AGENT_STDIN, NULL, 0);
}

/* From it */

static void write_output(struct guest_session *session, unsigned stream)
{
	char *bytes = session->out[stream].bytes;
	size_t *used = &session->out[stream].used;
	size_t size = *used < PIECE ? *used : PIECE;
	ssize_t n = session->out[stream].dead ? (ssize_t)*used
					      : write(session->spec->fd[stream], bytes, size);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n < 0) { /* as a program is told whose reader has gone */
		session->out[stream].dead = true;
		if (errno != EPIPE && errno != EIO) {
			session->unwritten = true;
			cli_say(session->cli, "the command's output is lost from here on: %s",
				strerror(errno));
		}
		if (!session->over)
			send_number(session, AGENT_SIGNAL, 0, SIGPIPE);
		n = (ssize_t)*used;
	}
	*used -= n;
	memmove(bytes, bytes + n, *used);
	if (n && !session->over)
		send_number(session, AGENT_CREDIT, stream, n);
}

static uint32_t number_of(const char *payload)
{
	uint32_t number;

	memcpy(&number, payload, sizeof number);
	return number;
}

/* What a terminal would obey is none of a sentence's. */
static void make_plain(char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (((unsigned char)text[i] < ' ' && text[i] != '\n' && text[i] != '\t') ||
			text[i] == 127)
			text[i] = '?';
}

static void take_frame(struct guest_session *session, const struct agent_header *header,
	char *payload)
{
	const unsigned stream = header->stream;

	switch (header->type) {
	case AGENT_READY:
		session->running = true;
		break;
	case AGENT_DATA:
		if (header->length > AGENT_WINDOW - session->out[stream].used) {
			lose(session);
			break;
		}
		memcpy(session->out[stream].bytes + session->out[stream].used, payload,
			header->length);
		if (session->spec->plain && stream == AGENT_STDERR)
			make_plain(session->out[stream].bytes + session->out[stream].used,
				header->length);
		session->out[stream].used += header->length;
		break;
	case AGENT_CREDIT:
		if (number_of(payload) <= AGENT_WINDOW - session->in_room)
			session->in_room += number_of(payload);
		break;
	case AGENT_EXIT:
		session->over = true;
		session->status = session->late ? SESSION_LATE : number_of(payload) & 255;
		break;
	case AGENT_FAILED:
		session->over = true;
		session->status = number_of(payload) & 255;
		raw_end(&session->raw, false);
		make_plain(payload + 4, header->length - 4);
		cli_say(session->cli, "%.*s", (int)(header->length - 4), payload + 4);
		break;
	}
}

static void read_frames(struct guest_session *session)
{
	ssize_t n = recv(session->socket, session->in + session->in_used,
		sizeof session->in - session->in_used, MSG_DONTWAIT);
	struct agent_header header;
	size_t at = 0;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		lose(session);
		return;
	}
	session->in_used += n;
	while (!session->over && session->in_used - at >= sizeof header) {
		memcpy(&header, session->in + at, sizeof header);
		if (!agent_header_valid(&header, false) || header.session != 1) {
			lose(session);
			return;
		}
		if (session->in_used - at - sizeof header < header.length)
			break;
		take_frame(session, &header, session->in + at + sizeof header);
		at += sizeof header + header.length;
	}
	session->in_used -= at;
	memmove(session->in, session->in + at, session->in_used);
}

/* The whole */

/* One that has not begun, or is over, has no use for it: we end. */
static void take_signal(struct guest_session *session)
{
	struct signalfd_siginfo info;

	if (read(session->raw.signals, &info, sizeof info) != sizeof info)
		return;
	if (info.ssi_signo == SIGWINCH) {
		send_size(session);
	} else if (info.ssi_signo == SIGHUP || session->spec->leaves || !session->running ||
		session->over) {
		session->left = session->over = true;
		session->status = 128 + (int)info.ssi_signo;
	} else {
		send_number(session, AGENT_SIGNAL, 0, info.ssi_signo);
	}
}

static void take_time(struct guest_session *session)
{
	if (!session->deadline || clock_now() < session->deadline)
		return;
	if (session->late || !session->running) {
		session->left = session->over = true;
		session->status = SESSION_LATE;
		return;
	}
	session->late = true;
	session->deadline = clock_now() + LAST_NS;
	send_number(session, AGENT_SIGNAL, 0, SIGTERM);
}

static bool has_output(const struct guest_session *session)
{
	return session->out[AGENT_STDOUT].used || session->out[AGENT_STDERR].used;
}

static void serve(struct guest_session *session)
{
	const struct session_spec *spec = session->spec;

	while (!session->left && (!session->over || has_output(session))) {
		const bool reads = !session->over && !session->input_over && session->in_room &&
			session->send_used < AGENT_WINDOW;
		struct pollfd fds[WATCHED] = {
			[SOCKET] = {session->over ? -1 : session->socket,
				POLLIN | (session->send_used ? POLLOUT : 0), 0},
			[INPUT] = {reads ? spec->fd[AGENT_STDIN] : -1, POLLIN, 0},
			[SIGNALS] = {session->raw.signals, POLLIN, 0},
		};
		int timeout = -1;

		for (unsigned i = AGENT_STDOUT; i <= AGENT_STDERR; i++)
			fds[OUTPUT - AGENT_STDOUT + i] =
				(struct pollfd){session->out[i].used ? spec->fd[i] : -1, POLLOUT,
					0};
		if (session->deadline)
			timeout = session->deadline > clock_now()
				? (int)((session->deadline - clock_now()) / 1000000 + 1)
				: 0;
		if (poll(fds, WATCHED, timeout) < 0 && errno != EINTR)
			return;
		take_time(session);
		if (fds[SIGNALS].revents)
			take_signal(session);
		if (fds[INPUT].revents)
			read_input(session);
		for (unsigned i = AGENT_STDOUT; i <= AGENT_STDERR; i++)
			if (session->out[i].used &&
				(fds[OUTPUT - AGENT_STDOUT + i].revents || session->out[i].dead))
				write_output(session, i);
		if (fds[SOCKET].revents & POLLOUT)
			flush(session);
		if (fds[SOCKET].revents & ~POLLOUT)
			read_frames(session);
	}
}

static int begin(struct guest_session *session, const char *guest, struct error *err)
{
	struct agent_open open_ = session->spec->open;
	struct winsize window;
	char *payload;
	size_t size;
	json_t *found = NULL;
	int r;

	if (open_.terminal && !ioctl(STDIN_FILENO, TIOCGWINSZ, &window)) {
		open_.columns = window.ws_col;
		open_.rows = window.ws_row;
	}
	payload = agent_open_write(&open_, &size);
	if (!payload)
		return error_set(err, E2BIG,
			"the command and its environment are longer than %u bytes", AGENT_OPEN_MAX);
	send_frame(session, AGENT_OPEN, 0, payload, size);
	free(payload);
	/* First as a guest, for xl's sentence about one that is not there. */
	if (call_guest(session->cli, "GET", guest, "", NULL, &found))
		return -ENOENT;
	r = client_exec(session->cli->client, json_get_text(found, "uuid"), &session->socket, err);
	json_decref(found);
	return r;
}

int session_run(struct cli *cli, const char *guest, const struct session_spec *spec)
{
	struct guest_session *session = calloc(1, sizeof *session);
	struct error err = {""};
	int status;

	if (!session) {
		cli_say(cli, "out of memory");
		return SESSION_FAILED;
	}
	session->cli = cli;
	session->spec = spec;
	session->socket = session->raw.signals = -1;
	session->in_room = AGENT_WINDOW;
	session->status = SESSION_FAILED;
	for (unsigned i = AGENT_STDOUT; i <= AGENT_STDERR; i++)
		session->out[i].dead = spec->fd[i] < 0;
	raw_signals(&session->raw, SIGWINCH);
	if (begin(session, guest, &err)) {
		if (*err.text)
			cli_fail(cli, &err);
	} else if (spec->open.terminal && raw_begin(&session->raw)) {
		cli_say(cli, "the terminal does not go into raw mode: %s", strerror(errno));
	} else {
		if (spec->timeout)
			session->deadline = clock_now() + spec->timeout;
		if (spec->fd[AGENT_STDIN] < 0) {
			session->input_over = true;
			send_frame(session, AGENT_EOF, AGENT_STDIN, NULL, 0);
		}
		serve(session);
	}
	raw_end(&session->raw, false);
	if (session->lost)
		cli_say(cli,
			"the connection to the guest was lost before the command ended: it has ended, or dachd went away");
	status = session->status;
	/* It ended well, or of what it was told when nothing more could be written. */
	if (session->unwritten && (!status || status == 128 + SIGPIPE))
		status = SESSION_FAILED;
	if (session->socket >= 0)
		close(session->socket);
	free(session->send);
	free(session);
	return status;
}
