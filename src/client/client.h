/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the command line knows of the daemon: calls as doc/openapi.json describes them, over the
 * Unix socket dachd.sock in the daemon's run folder.
 *
 * Which daemon: that of $DACH_RUN; otherwise for root the host's (/run/dach), for everybody else
 * their own ($XDG_RUNTIME_DIR/dach, or /tmp/dach-UID). It is started when it does not run, unless
 * $DACH_NO_START is set or systemd has a unit for it.
 */
#ifndef DACH_CLIENT_CLIENT_H
#define DACH_CLIENT_CLIENT_H

#include <jansson.h>
#include <stddef.h>

#include "base/error.h"

struct client;

/* One connection, for one thread. -ECONNREFUSED: there is no daemon and none could be started. */
int client_open(struct client **client, struct error *err);
/* To a socket given by its path; never starts anything. */
int client_open_socket(const char *path, struct client **client, struct error *err);
/* To the same daemon, for another thread. */
int client_another(const struct client *client, struct client **another, struct error *err);
void client_close(struct client *client); /* NULL is allowed */

/*
 * Asks and waits for the answer. body: what is sent (still the caller's), NULL for none. answer:
 * the caller's to json_decref() after success, may be NULL. A refusal is the negative errno and the
 * sentence that the daemon gave; -EPROTO: it did not speak as it should. An idle connection that
 * the daemon closed is opened again.
 */
int client_call(struct client *client, const char *method, const char *path, json_t *body,
	json_t **answer, struct error *err);
/* HTTP status of the last answer, 0 if there was none. */
int client_status(const struct client *client);

/*
 * "/v1/guests/REF" and suffix ("", "/pause"...), with the reference escaped (USER/NAME as UID/NAME). Returns buf, or NULL
 * with -ENAMETOOLONG in errno if it does not fit.
 */
const char *client_guest_path(char *buf, size_t size, const char *ref, const char *suffix);

/*
 * The guest's console: *fd is a socket, the caller's, raw bytes both ways, the history first. End
 * of file: the guest has ended. A connection of its own; the client can be used meanwhile.
 */
int client_console(struct client *client, const char *ref, int *fd, struct error *err);
/* Its screen: on the socket RFB is spoken, by the caller as a client (RFC 6143). */
int client_screen(struct client *client, const char *ref, int *fd, struct error *err);

/*
 * The same for a command in the guest: on the socket the frames of protocol/agent.h are spoken, by the caller as a
 * monitor does. -ENOTSUP: the guest has no agent.
 */
int client_exec(struct client *client, const char *ref, int *fd, struct error *err);

/*
 * The connections of a guest that moves: the one on which it leaves the daemon's host, and the one on which another comes
 * (guest: the body of POST /v1/receive, still the caller's). On both the bytes are the monitors'.
 */
int client_migration(struct client *client, const char *ref, int *fd, struct error *err);
int client_receive(struct client *client, const json_t *guest, int *fd, struct error *err);

/*
 * What happens, as it happens: everything after client_events_open() returned is told. Also on a
 * connection of its own.
 */
struct client_events;
int client_events_open(struct client *client, struct client_events **events, struct error *err);
void client_events_close(struct client_events *events); /* NULL is allowed */
/*
 * The next one, the caller's to json_decref(). timeout_ms as for poll(2). 0; -ETIMEDOUT; -EPIPE: the
 * daemon went away.
 */
int client_events_next(struct client_events *events, int timeout_ms, json_t **event,
	struct error *err);
/* To poll(2) together with others; when readable, call client_events_next() with 0 until -ETIMEDOUT. */
int client_events_fd(const struct client_events *events);

#endif
