/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket: connections, lines, answers, and events to all that are
 * connected (a line {"event": "paused"} and the like). What the lines say is in
 * protocol/request.h. All on the loop's thread.
 */
#ifndef DACH_MONITOR_CONTROL_H
#define DACH_MONITOR_CONTROL_H

#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"
#include "protocol/event.h"
#include "protocol/request.h"

#define CONTROL_PEERS 16

struct control;
struct json_t;

/* Who asked: stays valid when the connection does not, answers then go nowhere. */
struct control_asker {
	uint64_t peer;
	int64_t id;
};

struct control_handler {
	void *ctx;
	/* fd came with the line, and is the handler's now; -1: none did. */
	void (*handle)(void *ctx, const struct control_asker *asker,
		const struct monitor_request *request, int fd);
	/* This connection has gone; no answer reaches it any more. NULL: nobody wants to know. */
	void (*gone)(void *ctx, uint64_t peer);
};

/* listen_fd stays the caller's. */
int control_create(struct loop *loop, int listen_fd, const struct control_handler *handler,
	struct control **control, struct error *err);
/* What can be sent at once is; then the connections end. NULL is allowed. */
void control_destroy(struct control *control);

/* fields (an object or NULL) is taken: "id" and "ok" are put in. */
void control_answer(struct control *control, const struct control_asker *asker,
	struct json_t *fields);
/* r is a negative errno. */
void control_refuse(struct control *control, const struct control_asker *asker, int r,
	const struct error *err);
/* control NULL: nothing. */
void control_event(struct control *control, const struct monitor_event *event);

#endif
