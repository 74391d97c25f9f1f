/* SPDX-License-Identifier: Apache-2.0 */
#include "api/http/server.h"

#include <errno.h>
#include <limits.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/http/dispatch.h"
#include "api/http/exchange.h"
#include "api/http/relay.h"
#include "api/http/stream.h"
#include "base/loop.h"
#include "daemon/daemon.h"

#define IDLE_SECONDS 60
#define HEAD_SECONDS 5 /* for a connection's first request to be one */
#define FAREWELLS 16
#define FAREWELL_NS 500000000ull
#define MEMORY_LIMIT 32768 /* what a request's head may take */

struct server {
	struct daemon *daemon;
	struct MHD_Daemon *http;
	struct loop_fd listen;
	struct loop_source source;
	int epoll, index;
	bool due, stopping;
	struct exchange_group group;
	struct exchange *exchanges;
	struct seat *seats;
	int farewell[FAREWELLS]; /* refused, and closed when nobody can still be speaking; -1 */
	unsigned next_farewell;
	struct loop_timer farewell_timer;
};

/* A connection's place, from accept to close. */
struct seat {
	struct seat *next;
	struct server *server;
	uid_t uid;
	bool manager;
	int fd; /* until it is known to libmicrohttpd */
	int socket;
};

/* libmicrohttpd in our loop */

static void prepare(void *ctx, struct loop *loop, uint32_t *timeout_ms)
{
	struct server *server = ctx;
	MHD_UNSIGNED_LONG_LONG wait;

	server->index = loop_source_poll(loop, server->epoll, POLLIN);
	server->due = MHD_get_timeout(server->http, &wait) == MHD_YES;
	if (server->due && wait < *timeout_ms)
		*timeout_ms = wait;
	/* A connection that was resumed counts only in the next run, which nothing else calls for. */
	if (server->group.resumed)
		*timeout_ms = 0;
}

static void check(void *ctx, struct loop *loop, bool failed)
{
	struct server *server = ctx;
	bool resumed = server->group.resumed;

	server->group.resumed = false;
	if (resumed || server->due || loop_source_revents(loop, server->index))
		MHD_run(server->http);
}

/* Connections */

static void close_farewells(void *ctx)
{
	struct server *server = ctx;

	for (unsigned i = 0; i < FAREWELLS; i++) {
		if (server->farewell[i] >= 0)
			close(server->farewell[i]);
		server->farewell[i] = -1;
	}
}

static void say_no(struct server *server, int fd, const char *text)
{
	int *place = &server->farewell[server->next_farewell++ % FAREWELLS];
	char answer[512];
	int len = snprintf(answer, sizeof answer,
		"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Type: application/json\r\n"
		"Content-Length: %zu\r\n\r\n{\"error\": \"%s\", \"errno\": %d}\n",
		strlen(text) + 25 + 2, text, EACCES);

	/* It waits in the socket for whoever reads it; nothing that was sent is looked at. */
	if (send(fd, answer, len, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		shutdown(fd, SHUT_WR);
	/* Not closed yet: who has still to send his question would see that instead of the answer. */
	if (*place >= 0)
		close(*place);
	*place = fd;
	loop_timer_arm(&server->farewell_timer, clock_now() + FAREWELL_NS);
}

static bool has_room(const struct server *server, const struct caller *caller)
{
	unsigned own = 0, all = 0, most = SERVER_USERS_MAX;

	if (caller->manager)
		return true;
	for (const struct seat *seat = server->seats; seat; seat = seat->next) {
		own += seat->uid == caller->uid;
		all += !seat->manager;
	}
	if (own >= SERVER_FEW)
		most -= SERVER_USERS_RESERVE;
	return own < SERVER_USER_CONNECTIONS_MAX && all < most;
}

void server_add(struct server *server, int fd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct seat *seat;
	struct caller caller;
	bool welcome;

	if (caller_get(&server->daemon->policy, fd, &caller, NULL)) {
		close(fd);
		return;
	}
	welcome = caller.manager || caller.user;
	caller_free(&caller);
	if (!welcome) {
		say_no(server, fd,
			"you may not use this daemon: see dachd(8) on the group dach and the policy");
		return;
	}
	if (!has_room(server, &caller)) {
		say_no(server, fd, "too many connections are open, of yours or of all users");
		return;
	}
	seat = calloc(1, sizeof *seat);
	if (!seat) {
		close(fd);
		return;
	}
	*seat = (struct seat){server->seats, server, caller.uid, caller.manager, fd, fd};
	server->seats = seat;
	/* It closes fd if it fails, and calls connection() in either case or not at all. */
	if (MHD_add_connection(server->http, fd, (struct sockaddr *)&address, sizeof address) !=
			MHD_YES &&
		server->seats == seat && seat->fd == fd) {
		server->seats = seat->next;
		free(seat);
	}
}

static void accept_one(void *ctx, short revents)
{
	struct server *server = ctx;
	int fd = accept4(server->listen.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0)
		server_add(server, fd);
}

static void connection(void *ctx, struct MHD_Connection *which, void **seat_ctx,
	enum MHD_ConnectionNotificationCode code)
{
	struct server *server = ctx;
	struct seat *seat = *seat_ctx;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		int fd = MHD_get_connection_info(which, MHD_CONNECTION_INFO_CONNECTION_FD)
				 ->connect_fd;

		for (seat = server->seats; seat && seat->fd != fd; seat = seat->next)
			;
		if (seat)
			seat->fd = -1;
		MHD_set_connection_option(which, MHD_CONNECTION_OPTION_TIMEOUT, HEAD_SECONDS);
		*seat_ctx = seat;
		return;
	}
	for (struct seat **at = &server->seats; seat && *at; at = &(*at)->next) {
		if (*at == seat) {
			*at = seat->next;
			free(seat);
			break;
		}
	}
}

/* Requests */

static void *started(struct server *server, struct MHD_Connection *connection)
{
	struct exchange *exchange = calloc(1, sizeof *exchange);
	int fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;

	if (!exchange)
		return NULL;
	exchange->group = &server->group;
	exchange->connection = connection;
	MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, IDLE_SECONDS);
	/* Anew for each request: the policy may have changed since the last. */
	if (caller_get(&server->daemon->policy, fd, &exchange->caller, NULL)) {
		free(exchange);
		return NULL;
	}
	exchange->next = server->exchanges;
	server->exchanges = exchange;
	return exchange;
}

static enum MHD_Result handle(void *ctx, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version, const char *data, size_t *size, void **state)
{
	struct server *server = ctx;
	struct exchange *exchange = *state;

	if (!exchange) {
		*state = started(server, connection);
		return *state ? MHD_YES : MHD_NO;
	}
	if (*size) {
		exchange_upload(exchange, data, *size);
		*size = 0;
		return MHD_YES;
	}
	if (!exchange->dispatched) {
		exchange->dispatched = true;
		dispatch(exchange, method, url);
	}
	if (!exchange->answered && server->stopping)
		exchange_refuse(exchange, -ESHUTDOWN, "dachd ends");
	if (exchange->answered)
		return dispatch_respond(exchange);
	exchange_suspend(exchange);
	return MHD_YES;
}

static void completed(void *ctx, struct MHD_Connection *connection, void **state,
	enum MHD_RequestTerminationCode code)
{
	struct server *server = ctx;
	struct exchange *exchange = *state;

	if (!exchange)
		return;
	*state = NULL;
	for (struct exchange **at = &server->exchanges; *at; at = &(*at)->next) {
		if (*at == exchange) {
			*at = exchange->next;
			break;
		}
	}
	operation_abandon(exchange->operation);
	stream_close(exchange);
	relay_abandon(exchange);
	json_decref(exchange->answer);
	caller_free(&exchange->caller);
	free(exchange->upload);
	free(exchange);
}

/* Paths are taken apart before they are unescaped: route.c. */
static size_t as_it_is(void *ctx, struct MHD_Connection *connection, char *text)
{
	return strlen(text);
}

static void ignore(void *ctx, const char *fmt, va_list args)
{
}

/* Beginning and end */

static int listen_on(struct server *server, const char *path, bool all, struct error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof address.sun_path)
		return error_set(err, ENAMETOOLONG, "%s: too long for a socket; set DACH_RUN",
			path);
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	server->listen =
		(struct loop_fd){.fd = fd, .events = POLLIN, .ready = accept_one, .ctx = server};
	unlink(path); /* of a daemon that is no more: the folder's lock is ours */
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) ||
		chmod(path, all ? 0666 : 0600) || listen(fd, 128))
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	return 0;
}

int server_create(struct daemon *daemon, struct server **out, struct error *err)
{
	struct server *server = calloc(1, sizeof *server);
	char path[PATH_MAX + 16];
	int r;

	*out = NULL;
	if (!server)
		return error_nomem(err);
	server->daemon = server->group.daemon = daemon;
	server->listen.fd = -1;
	for (unsigned i = 0; i < FAREWELLS; i++)
		server->farewell[i] = -1;
	loop_timer_init(&server->farewell_timer, daemon->loop, close_farewells, server);
	snprintf(path, sizeof path, "%s/dachd.sock", daemon->run);
	r = listen_on(server, path, daemon->root, err);
	if (!r) {
		server->http = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET |
				MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE,
			0, NULL, NULL, handle, server, MHD_OPTION_CONNECTION_LIMIT,
			SERVER_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
			(size_t)MEMORY_LIMIT, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS,
			MHD_OPTION_NOTIFY_COMPLETED, completed, server,
			MHD_OPTION_NOTIFY_CONNECTION, connection, server,
			MHD_OPTION_EXTERNAL_LOGGER, ignore, NULL, MHD_OPTION_UNESCAPE_CALLBACK,
			as_it_is, NULL, MHD_OPTION_STRICT_FOR_CLIENT, 1,
			MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
		if (!server->http)
			r = error_set(err, ENOMEM, "cannot start the HTTP server");
	}
	if (r) {
		server_destroy(server);
		return r;
	}
	server->epoll = MHD_get_daemon_info(server->http, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
	server->source = (struct loop_source){.prepare = prepare, .check = check, .ctx = server};
	loop_source_add(daemon->loop, &server->source);
	loop_fd_add(daemon->loop, &server->listen);
	*out = server;
	return 0;
}

/* A listener that has gone is noticed only when something is told: it counts as gone all the same. */
static bool has_left(const struct seat *seat)
{
	struct pollfd end = {.fd = seat->socket, .events = POLLRDHUP};

	return poll(&end, 1, 0) > 0;
}

static bool is_quiet(const struct server *server)
{
	struct pollfd waiting = {.fd = server->listen.fd, .events = POLLIN};

	for (const struct seat *seat = server->seats; seat; seat = seat->next)
		if (!has_left(seat))
			return false;
	return poll(&waiting, 1, 0) == 0;
}

bool server_retire(struct server *server)
{
	char path[PATH_MAX + 16], aside[PATH_MAX + 16];

	snprintf(path, sizeof path, "%s/dachd.sock", server->daemon->run);
	snprintf(aside, sizeof aside, "%s/retired.sock", server->daemon->run);
	if (!is_quiet(server) || rename(path, aside))
		return false;
	/* Somebody may have come between the look and the renaming, but nobody can come now. */
	if (!is_quiet(server)) {
		rename(aside, path);
		return false;
	}
	unlink(aside);
	return true;
}

void server_stop(struct server *server)
{
	if (!server || server->stopping)
		return;
	server->stopping = true;
	loop_fd_remove(server->daemon->loop, &server->listen);
	close(server->listen.fd);
	server->listen.fd = -1;
	for (struct exchange *at = server->exchanges; at; at = at->next) {
		at->listener.lost = true;
		if (at->dispatched && !at->answered)
			exchange_refuse(at, -ESHUTDOWN, "dachd ends; the guest goes on");
		exchange_resume(at);
	}
	relay_close_all(&server->group);
	MHD_run(server->http);
}

void server_destroy(struct server *server)
{
	if (!server)
		return;
	if (server->listen.fd >= 0)
		close(server->listen.fd);
	if (server->http) {
		loop_source_remove(server->daemon->loop, &server->source);
		MHD_run(server->http);
		MHD_stop_daemon(server->http);
	}
	loop_timer_cancel(&server->farewell_timer);
	close_farewells(server);
	while (server->seats) {
		struct seat *seat = server->seats;

		server->seats = seat->next;
		free(seat);
	}
	free(server);
}
