/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/console.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "cli/call.h"
#include "cli/format.h"
#include "cli/raw.h"
#include "client/client.h"

#define LEAVE 0x1d   /* Ctrl+] */
#define QUIET_MS 200 /* as xl: after the input's end the guest's words are over when it is silent */
#define END_TRIES 20 /* for the daemon to see that a guest has ended */
#define END_TRY_NS 100000000 /* between two of them */

enum { TYPE = 1, NUMBER };

static const struct option_spec console_options[] = {
	{"type", TYPE, "TYPE", "pv or serial; both are the one console there is"},
	{"t", TYPE, "TYPE", NULL},
	{"num", NUMBER, "N", "its number: 0"},
	{"n", NUMBER, "N", NULL},
	{NULL, 0, NULL, NULL},
};

struct session {
	int guest; /* the stream */
	struct raw_terminal raw;
	/* Read from the terminal, not yet taken by the guest. */
	char input[512];
	size_t start, end;
	bool input_over; /* the terminal says no more: the guest's words still come */
	bool as_xl;      /* and with it the console is over */
};

static int write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n >= 0) {
			data += n;
			len -= n;
		} else if (errno == EAGAIN) {
			struct pollfd wait = {fd, POLLOUT, 0};

			poll(&wait, 1, -1);
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

/* Each returns 0 to go on, positive when that end is gone, negative when nobody takes what comes. */
static int from_guest(struct session *session)
{
	char data[16384];
	ssize_t n = recv(session->guest, data, sizeof data, MSG_DONTWAIT);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	return n <= 0 ? 1 : write_all(STDOUT_FILENO, data, n);
}

static int from_terminal(struct session *session)
{
	ssize_t n = read(STDIN_FILENO, session->input, sizeof session->input);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0) {
		session->input_over = true;
		return session->raw.on; /* the terminal is gone */
	}
	/* Alone in a read only: so that what is pasted or sent by a program may hold the byte. */
	if (n == 1 && session->raw.on && session->input[0] == LEAVE)
		return 1;
	session->start = 0;
	session->end = n;
	return 0;
}

static int to_guest(struct session *session)
{
	ssize_t n = send(session->guest, session->input + session->start,
		session->end - session->start, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		return errno != EINTR && errno != EAGAIN;
	session->start += n;
	return 0;
}

/* True: the guest's end of the stream is over. False: the user has left, or we are to end. */
static bool serve(struct session *session)
{
	int over = 0;

	for (;;) {
		bool waiting = session->start < session->end;
		struct pollfd fds[] = {
			{session->guest, POLLIN | (waiting ? POLLOUT : 0), 0},
			{waiting || session->input_over ? -1 : STDIN_FILENO, POLLIN, 0},
			{session->raw.signals, POLLIN, 0},
		};

		bool last = session->input_over && session->as_xl && !waiting;
		int n = poll(fds, 3, last ? QUIET_MS : -1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || (last && !n) || fds[2].revents)
			return false;
		if (fds[1].revents && from_terminal(session))
			return false;
		if (fds[0].revents & POLLOUT)
			over = to_guest(session);
		if (!over && (fds[0].revents & ~POLLOUT))
			over = from_guest(session);
		if (over)
			return over > 0;
	}
}

/* Whether the life that was looked at goes on. Negative: the daemon does not say. */
static int lives(struct cli *cli, const json_t *guest)
{
	json_t *now = NULL;
	struct error err = {""};
	char path[128];
	const char *state;
	bool same;

	if (!client_guest_path(path, sizeof path, json_get_text(guest, "uuid"), "") ||
		client_call(cli->client, "GET", path, NULL, &now, &err))
		return client_status(cli->client) ? 0 : -1;
	state = json_get_text(now, "state");
	same = json_get_number(now, "domid") == json_get_number(guest, "domid") &&
		(!strcmp(state, "running") || !strcmp(state, "paused"));
	json_decref(now);
	return same;
}

/*
 * The stream is over: because the guest has ended, or because the daemon went away, through which it
 * comes. The daemon may see a guest's end a moment after us.
 */
static int tell_end(struct cli *cli, const json_t *guest)
{
	const struct timespec pause = {.tv_nsec = END_TRY_NS};
	const char *name = format_name(guest);
	int alive = lives(cli, guest);

	for (unsigned n = 0; alive > 0 && n < END_TRIES; n++) {
		nanosleep(&pause, NULL);
		alive = lives(cli, guest);
	}
	if (!alive)
		return 0;
	return cli_say(cli,
		alive < 0 ? "dachd went away, and its connection to the console of %s with it"
			  : "the connection to the console of %s was lost; the guest runs on",
		name);
}

int console_attach(struct cli *cli, const json_t *guest, bool unpause, bool *left)
{
	struct session session = {.guest = -1, .raw = {.signals = -1}};
	const char *uuid = json_get_text(guest, "uuid");
	struct error err = {""};
	bool ended = false;
	int status = CLI_FAILURE;

	session.as_xl = strcmp(cli->program, "dach");
	raw_signals(&session.raw, 0);
	if (client_console(cli->client, uuid, &session.guest, &err)) {
		session.guest = -1;
		cli_fail(cli, &err);
	} else if (raw_begin(&session.raw)) {
		cli_say(cli, "the terminal does not go into raw mode: %s", strerror(errno));
	} else if (unpause && call_guest(cli, "POST", uuid, "/unpause", NULL, NULL)) {
		;
	} else {
		ended = serve(&session);
		if (left)
			*left = !ended;
		status = 0;
	}
	raw_end(&session.raw, true);
	if (session.guest >= 0)
		close(session.guest);
	return ended ? tell_end(cli, guest) : status;
}

static int console(struct cli *cli)
{
	json_t *guest;
	int id, status;

	while ((id = cli_option(cli)) > 0) {
		if (id == TYPE && strcmp(cli->value, "pv") && strcmp(cli->value, "serial"))
			return cli_say(cli, "console type '%s' is neither pv nor serial",
				cli->value);
		if (id == NUMBER && strcmp(cli->value, "0"))
			return cli_say(cli, "console %s is not there: a guest has one, 0",
				cli->value);
	}
	if (id == CLI_END)
		return cli->status;
	/* First as a guest, for xl's sentence about one that is not there. */
	status = call_guest(cli, "GET", cli->words[0], "", NULL, &guest);
	if (!status)
		status = console_attach(cli, guest, false, NULL);
	json_decref(guest);
	return status;
}

const struct cli_verb cli_console_verbs[] = {
	{"console", "GUEST", "Sit down at a guest's console; Ctrl+] leaves", 1, 1,
		.options = console_options, .run = console},
	{.name = NULL},
};
