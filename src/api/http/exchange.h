/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request over HTTP and its answer: what is known of it, from its first byte to its last. Everything on
 * the loop's thread.
 */
#ifndef DACH_API_HTTP_EXCHANGE_H
#define DACH_API_HTTP_EXCHANGE_H

#include <jansson.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "daemon/events.h"
#include "daemon/operation.h"
#include "daemon/policy.h"

#define EXCHANGE_BODY_MAX (1u << 20)

struct relay;
struct daemon;

/* What all exchanges of a server share. */
struct exchange_group {
	struct daemon *daemon;
	struct relay *relays; /* that are open */
	bool resumed;         /* a connection may go on: libmicrohttpd is to be run */
};

struct exchange {
	struct exchange *next;
	struct exchange_group *group;
	struct MHD_Connection *connection;
	struct caller caller;
	char *upload; /* the body, as far as it has come */
	size_t uploaded;
	int upload_failed; /* errno: the body is thrown away */
	bool dispatched, suspended, answered;
	struct operation *operation; /* that it waits for; NULL */
	int status;                  /* of the answer */
	json_t *answer;              /* NULL where it is not JSON: the next two */
	struct listener listener;
	bool streams;         /* the listener's queue is the answer */
	struct relay *relay;  /* what the connection becomes; NULL, also once it has */
	const char *protocol; /* that is to be asked for, of a refusal with 426 */
};

/* More of the body. */
void exchange_upload(struct exchange *exchange, const char *data, size_t size);
/* What was uploaded, as an object (NULL: nothing was), the caller's to json_decref(). */
int exchange_body(struct exchange *exchange, json_t **body, struct error *err);

/* The connection waits until exchange_resume(). */
void exchange_suspend(struct exchange *exchange);
/* Lets the connection go on, if it waits. */
void exchange_resume(struct exchange *exchange);

/*
 * Each request is answered once; what comes after that is dropped. value is taken; NULL: out of memory,
 * unless the answer is not JSON.
 */
void exchange_answer(struct exchange *exchange, int status, json_t *value);
/* r: a negative errno, from which the status follows. */
void exchange_refuse(struct exchange *exchange, int r, const char *text);
/* The same with a status of its own. */
void exchange_refuse_as(struct exchange *exchange, int status, int r, const char *text);
/* 404: there is no such path or guest. Nothing else is told so. */
void exchange_unknown(struct exchange *exchange, const char *text);

/* HTTP's status for a negative errno. */
int exchange_status(int r);

#endif
