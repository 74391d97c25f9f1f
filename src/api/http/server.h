/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon over HTTP: connections on RUN/dachd.sock and who they are. libmicrohttpd speaks HTTP inside
 * our event loop. What may be asked is in route.h, what is done about it in daemon/operation.h.
 */
#ifndef DACH_API_HTTP_SERVER_H
#define DACH_API_HTTP_SERVER_H

#include <stdbool.h>

#include "base/error.h"

#define SERVER_CONNECTIONS_MAX 400
#define SERVER_USER_CONNECTIONS_MAX 32 /* of one user who is no manager */
/*
 * All users together have USERS_MAX, the rest is the managers'; and of those a user who has FEW already may
 * not take the last USERS_RESERVE, which are for users with fewer.
 */
#define SERVER_USERS_MAX 350
#define SERVER_USERS_RESERVE 100
#define SERVER_FEW 4

struct daemon;
struct server;

int server_create(struct daemon *daemon, struct server **server, struct error *err);
/*
 * If nobody is connected or about to be, takes the socket's name away, so that nobody will: true. Who
 * finds no socket then starts a daemon anew.
 */
bool server_retire(struct server *server);
/* No new connections; what still waits is refused. NULL is allowed. */
void server_stop(struct server *server);
/* Before the daemon. NULL is allowed. */
void server_destroy(struct server *server);
/* Takes a connected socket as if it had come through the listening one (for tests, too). */
void server_add(struct server *server, int fd);

#endif
