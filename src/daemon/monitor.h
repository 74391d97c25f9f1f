/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's end of a monitor's control socket: questions and answers, one JSON object a line
 * (protocol/request.h). A monitor that was taken over may send anything: lines are bounded, an
 * answer to nothing is dropped, what cannot be read ends the connection, and of one that speaks without
 * being asked no more is read than MONITOR_TOLD_RATE lines a second (and MONITOR_TOLD_MAX at once).
 *
 * Everything on the loop's thread. Callbacks may use and close the connection.
 */
#ifndef DACH_DAEMON_MONITOR_H
#define DACH_DAEMON_MONITOR_H

#include <jansson.h>

#include "base/error.h"
#include "base/loop.h"
#include "protocol/event.h"
#include "protocol/request.h"

#define MONITOR_LINE_MAX (64u << 10)
#define MONITOR_CALLS_MAX 256
#define MONITOR_TOLD_MAX 100
#define MONITOR_TOLD_RATE 20

struct monitor;

struct monitor_client {
	void *ctx;
	void (*event)(void *ctx, const struct monitor_event *event);
	/* The other end is gone or talks nonsense. Once; open calls were told before. */
	void (*gone)(void *ctx, const char *why);
};

/* fd, a connected socket, becomes the connection's, also after a failure. */
int monitor_create(struct loop *loop, int fd, const struct monitor_client *client,
	struct monitor **monitor, struct error *err);
/* Somebody else hears of it from now on. */
void monitor_set_client(struct monitor *monitor, const struct monitor_client *client);
/* Open calls are told -ECANCELED; no other callback comes. NULL is allowed. */
void monitor_close(struct monitor *monitor);
/* monitor_close() has begun: -ECANCELED is then its word, and not an answer of the monitor's. */
bool monitor_is_closed(const struct monitor *monitor);

/*
 * Asks; the request's id is the connection's own. pass_fd: a descriptor to send along (stays the
 * caller's), or -1. done comes once, never before this returns: answer (not to
 * keep) with r 0; otherwise r and the sentence in text; NULL: nobody wants to know. timeout_ms 0:
 * waits for ever.
 */
typedef void monitor_done(void *ctx, int r, json_t *answer, const char *text);
void monitor_call(struct monitor *monitor, const struct monitor_request *request, int pass_fd,
	unsigned timeout_ms, monitor_done *done, void *ctx);

#endif
