/* SPDX-License-Identifier: Apache-2.0 */
#include "client/client.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "client/http.h"
#include "client/owner.h"
#include "client/start.h"

#define EVENT_MAX 65536u
#define START_TRIES 30
#define START_TRY_NS 100000000

struct client {
	struct sockaddr_un address;
	struct http http; /* fd -1: not connected at the moment */
	int status;
};

struct client_events {
	struct http http;
	char line[EVENT_MAX];
	size_t used;
};

/* A folder that others may write in could hold anybody's socket: only root or ourselves answer on ours. */
static int check_owner(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof peer;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		return -errno;
	return peer.uid == 0 || peer.uid == geteuid() ? 0 : -EPERM;
}

static int connect_to(const struct sockaddr_un *address, int *fd)
{
	int r;

	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return -errno;
	do
		r = connect(*fd, (const struct sockaddr *)address, sizeof *address);
	while (r && errno == EINTR);
	r = r ? -errno : check_owner(*fd);
	if (!r)
		return 0;
	close(*fd);
	*fd = -1;
	return r;
}

int client_open_socket(const char *path, struct client **out, struct error *err)
{
	struct client *client = calloc(1, sizeof *client);
	int fd, r;

	*out = NULL;
	if (!client)
		return error_nomem(err);
	client->address.sun_family = AF_UNIX;
	if (strlen(path) >= sizeof client->address.sun_path) {
		free(client);
		return error_set(err, ENAMETOOLONG, "%s: too long for a socket", path);
	}
	strcpy(client->address.sun_path, path);
	r = connect_to(&client->address, &fd);
	if (r) {
		free(client);
		return error_set(err, -r, "%s: %s", path,
			r == -EPERM ? "answered by another user's program" : strerror(-r));
	}
	http_init(&client->http, fd);
	*out = client;
	return 0;
}

/* One that somebody else starts answers soon, and one that is about to leave makes room. */
static int start_and_open(const char *path, struct client **out, struct error *err)
{
	const struct timespec pause = {.tv_nsec = START_TRY_NS};
	struct error why = {0};
	int r = 0;

	for (unsigned n = 0; n < START_TRIES; n++) {
		struct error here = {0};

		why.text[0] = 0;
		r = start_daemon(&why);
		if (r && r != -EBUSY)
			break;
		r = client_open_socket(path, out, &here);
		if (!r)
			return 0;
		if (!*why.text || (r != -ENOENT && r != -ECONNREFUSED))
			why = here;
		if (r != -ENOENT && r != -ECONNREFUSED)
			break;
		nanosleep(&pause, NULL);
	}
	return error_set(err, -r, "%s", why.text);
}

int client_open(struct client **out, struct error *err)
{
	char path[sizeof((struct sockaddr_un *)0)->sun_path];
	struct error first = {0};
	int r = start_socket_path(path, sizeof path, err);

	*out = NULL;
	if (r)
		return r;
	r = client_open_socket(path, out, &first);
	if (r != -ENOENT && r != -ECONNREFUSED)
		return r ? error_set(err, -r, "%s", first.text) : 0;
	if (getenv("DACH_NO_START"))
		return error_set(err, ECONNREFUSED, "no dachd runs (%s)", path);
	return start_and_open(path, out, err);
}

int client_another(const struct client *client, struct client **another, struct error *err)
{
	return client_open_socket(client->address.sun_path, another, err);
}

/*
 * The daemon died, before the question reached it or before it answered. Whoever runs it may start
 * it anew, as we do; what changed nothing is then asked again.
 */
static bool comes_back(struct client *client, const char *method, int r, struct error *err)
{
	struct client *again = NULL;
	char path[sizeof client->address.sun_path];
	bool reached = r == -EPIPE;

	if ((!reached && r != -ECONNREFUSED && r != -ENOENT) || (reached && strcmp(method, "GET")))
		return false;
	/* Only one that client_open() found: who gave a path wants that one and no other. */
	if (start_socket_path(path, sizeof path, NULL) || strcmp(path, client->address.sun_path) ||
		client_open(&again, NULL))
		return false;
	http_close(&client->http);
	http_init(&client->http, again->http.fd);
	free(again);
	err->text[0] = 0;
	return true;
}

void client_close(struct client *client)
{
	if (!client)
		return;
	http_close(&client->http);
	free(client);
}

int client_status(const struct client *client)
{
	return client->status;
}

const char *client_guest_path(char *buf, size_t size, const char *ref, const char *suffix)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t used = snprintf(buf, size, "/v1/guests/");
	char whose[256];

	ref = owner_number(ref, whose, sizeof whose);
	for (const unsigned char *c = (const unsigned char *)ref; *c; c++) {
		bool plain = isalnum(*c) || strchr("-._~", *c);

		if (used + 4 > size)
			break;
		if (plain) {
			buf[used++] = *c;
			continue;
		}
		buf[used++] = '%';
		buf[used++] = hex[*c >> 4];
		buf[used++] = hex[*c & 15];
	}
	if (used + strlen(suffix) + 4 > size) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	strcpy(buf + used, suffix);
	return buf;
}

static int not_http(int r, struct error *err)
{
	if (r == -EPIPE || r == -ECONNRESET)
		return error_set(err, EPIPE, "dachd went away while it was asked");
	return error_set(err, -r, "dachd gave no answer that can be read: %s", strerror(-r));
}

/* Sends a request and reads the answer's head, again on a new connection if the old one is stale. */
static int ask(const struct sockaddr_un *address, struct http *http, const char *method,
	const char *path, const char *upgrade, const char *body, struct error *err)
{
	for (bool fresh = http->fd < 0;; fresh = true) {
		int fd, r;

		if (http->fd < 0) {
			r = connect_to(address, &fd);
			if (r)
				return error_set(err, -r, "%s: %s", address->sun_path,
					strerror(-r));
			http_init(http, fd);
			http->exact = upgrade != NULL;
		} else if (!fresh) {
			struct pollfd state = {.fd = http->fd, .events = POLLIN};

			/* Nothing is due on it: readable means that the daemon closed it. */
			if (poll(&state, 1, 0) > 0) {
				http_close(http);
				continue;
			}
		}
		r = http_send(http, method, path, upgrade, body);
		if (!r || r == -EPIPE)
			r = http_head(http); /* a refusal may come before all was sent */
		if (!r)
			return 0;
		http_close(http);
		return not_http(r, err);
	}
}

/* A refusal as the daemon words it. */
static int refused(int status, json_t *answer, struct error *err)
{
	const char *text = json_string_value(json_object_get(answer, "error"));
	json_int_t code = json_integer_value(json_object_get(answer, "errno"));

	if (code <= 0 || code > 4095)
		code = status == 403 ? EACCES : status == 404 ? ENOENT : EPROTO;
	if (text)
		return error_set(err, code, "%s", text);
	return error_set(err, code, "dachd refused with status %d", status);
}

/* Reads the body that follows a head. answer NULL inside if there was none. */
static int read_answer(struct http *http, json_t **answer, struct error *err)
{
	json_error_t where;
	char *body;
	size_t len;
	int r = http_body(http, &body, &len);

	*answer = NULL;
	if (r) {
		http_close(http);
		return not_http(r, err);
	}
	if (!http->keep)
		http_close(http);
	if (len) {
		*answer = json_loadb(body, len, 0, &where);
		if (!*answer)
			r = error_set(err, EPROTO, "dachd's answer is not JSON: %s", where.text);
	}
	free(body);
	return r;
}

int client_call(struct client *client, const char *method, const char *path, json_t *body,
	json_t **out, struct error *err)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct error first = {0};
	json_t *answer;
	int r;

	if (out)
		*out = NULL;
	client->status = 0;
	if (body && !text)
		return error_nomem(err);
	r = ask(&client->address, &client->http, method, path, NULL, text, &first);
	if (r && comes_back(client, method, r, &first))
		r = ask(&client->address, &client->http, method, path, NULL, text, &first);
	free(text);
	if (r)
		return error_set(err, -r, "%s", first.text);
	client->status = client->http.status;
	r = read_answer(&client->http, &answer, err);
	if (!r && client->status >= 300)
		r = refused(client->status, answer, err);
	if (!r && out) {
		owner_name(answer);
		*out = answer;
	} else {
		json_decref(answer);
	}
	return r;
}

/* A connection of its own, up to the answer's head, which must have the status. */
static int ask_apart(struct client *client, struct http *http, const char *path,
	const char *upgrade, const char *body, int status, struct error *err)
{
	json_t *answer = NULL;
	int r;

	http_init(http, -1);
	r = ask(&client->address, http, body ? "POST" : "GET", path, upgrade, body, err);
	if (r)
		return r;
	client->status = http->status;
	if (http->status == status)
		return 0;
	r = read_answer(http, &answer, err);
	if (!r)
		r = refused(http->status, answer, err);
	json_decref(answer);
	http_close(http);
	return r;
}

/* A connection that becomes another protocol's. */
static int change(struct client *client, const char *ref, const char *suffix, const char *protocol,
	int *fd, struct error *err)
{
	char path[512];
	struct http http;
	int r;

	*fd = -1;
	if (!client_guest_path(path, sizeof path, ref, suffix))
		return error_set(err, ENAMETOOLONG, "%.60s...: no guest has such a name", ref);
	r = ask_apart(client, &http, path, protocol, NULL, 101, err);
	if (r)
		return r;
	*fd = http.fd;
	return 0;
}

int client_console(struct client *client, const char *ref, int *fd, struct error *err)
{
	return change(client, ref, "/console", "dach-console", fd, err);
}

int client_screen(struct client *client, const char *ref, int *fd, struct error *err)
{
	return change(client, ref, "/screen", "dach-screen", fd, err);
}

int client_exec(struct client *client, const char *ref, int *fd, struct error *err)
{
	return change(client, ref, "/exec", "dach-exec", fd, err);
}

int client_migration(struct client *client, const char *ref, int *fd, struct error *err)
{
	return change(client, ref, "/migration", "dach-migrate", fd, err);
}

int client_receive(struct client *client, const json_t *guest, int *fd, struct error *err)
{
	char *body = json_dumps(guest, JSON_COMPACT);
	struct http http;
	int r = body ? 0 : error_nomem(err);

	*fd = -1;
	if (!r)
		r = ask_apart(client, &http, "/v1/receive", "dach-migrate", body, 101, err);
	free(body);
	if (!r)
		*fd = http.fd;
	return r;
}

int client_events_open(struct client *client, struct client_events **out, struct error *err)
{
	struct client_events *events = calloc(1, sizeof *events);
	json_t *hello = NULL;
	int r;

	*out = NULL;
	if (!events)
		return error_nomem(err);
	events->http.fd = -1;
	r = ask_apart(client, &events->http, "/v1/events", NULL, NULL, 200, err);
	if (!r && fcntl(events->http.fd, F_SETFL, O_NONBLOCK))
		r = error_set(err, errno, "fcntl: %s", strerror(errno));
	if (!r)
		r = client_events_next(events, 10000, &hello, err);
	json_decref(hello);
	if (r) {
		client_events_close(events);
		return r;
	}
	*out = events;
	return 0;
}

void client_events_close(struct client_events *events)
{
	if (!events)
		return;
	http_close(&events->http);
	free(events);
}

int client_events_fd(const struct client_events *events)
{
	return events->http.fd;
}

/* The first whole line of what was read. */
static int event_line(struct client_events *events, json_t **event, struct error *err)
{
	char *end = memchr(events->line, '\n', events->used);
	size_t len = end ? end - events->line : 0;

	if (!end)
		return events->used == sizeof events->line
			? error_set(err, EPROTO, "dachd tells of an event that is too long")
			: -EAGAIN;
	*event = json_loadb(events->line, len, 0, NULL);
	events->used -= len + 1;
	memmove(events->line, end + 1, events->used);
	return *event ? 0 : error_set(err, EPROTO, "dachd tells of an event that is not JSON");
}

int client_events_next(struct client_events *events, int timeout_ms, json_t **event,
	struct error *err)
{
	*event = NULL;
	for (;;) {
		struct http *http = &events->http;
		struct pollfd poll_fd = {.fd = http->fd, .events = POLLIN};
		int r = event_line(events, event, err);

		if (r != -EAGAIN)
			return r;
		r = http_read(http, events->line + events->used,
			sizeof events->line - events->used);
		if (r == 0 || r == -EPIPE || r == -ECONNRESET)
			return error_set(err, EPIPE, "dachd went away");
		if (r < 0 && r != -EAGAIN)
			return not_http(r, err);
		if (r > 0) {
			events->used += r;
			continue;
		}
		r = poll(&poll_fd, 1, timeout_ms);
		if (!r)
			return -ETIMEDOUT;
		if (r < 0 && errno != EINTR)
			return error_set(err, errno, "poll: %s", strerror(errno));
	}
}
