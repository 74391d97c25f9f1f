/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's HTTP: connections on RUN/dachd.sock, who they are, requests and their answers.
 * libmicrohttpd speaks HTTP inside our event loop. What the paths do is in api.h.
 */
#ifndef DACH_DAEMON_SERVER_H
#define DACH_DAEMON_SERVER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "daemon/events.h"
#include "daemon/policy.h"

#define SERVER_BODY_MAX (1u << 20)
#define SERVER_CONNECTIONS_MAX 400
#define SERVER_USER_CONNECTIONS_MAX 32 /* of one user who is no manager */

struct console;
struct daemon;
struct guest;
struct route;
struct server;
struct MHD_Connection;

struct request {
	struct request *next;
	struct server *server;
	struct daemon *daemon;
	struct MHD_Connection *connection;
	const struct route *route; /* NULL: there is none, status and error say why */
	struct caller caller;
	char ref[256], arg[16]; /* {ref} and {vcpu} of the path */
	bool clear;             /* ?clear=1 */
	bool upgrade;           /* asks for dach-console */
	json_t *body;           /* an object; NULL: there is none */
	char *upload;
	size_t uploaded;
	int upload_failed; /* errno: its body is not kept */
	bool dispatched, suspended, answered, streams;
	int status;
	json_t *answer;
	int console;             /* with status 101: what the console is connected to */
	struct console *joining; /* until the connection is its own */
	unsigned open;           /* answers that guests still owe to it */
	struct guest_name {
		char uuid[40];
	} guest; /* whom it is about, across waiting */
	struct listener listener;
};

int server_create(struct daemon *daemon, struct server **server, struct error *err);
/* No new connections; what still waits is refused. */
void server_stop(struct server *server);
void server_destroy(struct server *server);
/* Takes a connected socket as if it had come through the listening one (for tests, too). */
void server_add(struct server *server, int fd);

/* Each request is answered once, from its handler or later. json is taken. */
void request_answer(struct request *request, int status, json_t *json);
/* r: a negative errno, from which the status follows. */
void request_refuse(struct request *request, int r, const char *text);
/* 404: there is no such path or guest. Nothing else is told so. */
void request_unknown(struct request *request, const char *text);
/* Lets the connection go on, if it waits. */
void request_resume(struct request *request);
/* GET /v1/events: its listener's queue is the answer from now on. */
void request_stream(struct request *request);
/* The connection becomes the console's, which is connected to fd (taken). */
void request_console(struct request *request, int fd);

#endif
