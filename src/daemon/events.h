/* SPDX-License-Identifier: Apache-2.0 */
/* What happens, to all who listen (GET /v1/events). */
#ifndef DACH_DAEMON_EVENTS_H
#define DACH_DAEMON_EVENTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define EVENTS_QUEUE_MAX (256u << 10) /* bytes a slow listener may be behind */

struct guest;

struct listener {
	struct listener *next;
	char *queue; /* not yet taken */
	size_t used;
	bool lost; /* it was too slow: its stream ends */
	bool manager;
	uid_t uid;
	void (*more)(void *ctx); /* the queue is no longer empty, or it is lost */
	void *ctx;
};

struct events {
	struct listener *listeners;
};

/* The listener, zeroed but for what it may see and more, is the caller's. Hello is queued. */
void events_listen(struct events *events, struct listener *listener);
void events_leave(struct events *events, struct listener *listener);
/*
 * Tells of a guest to those who may see it. fields: an object with what else belongs into it (taken;
 * NULL: nothing).
 */
void events_tell(struct events *events, const char *what, const struct guest *guest,
	json_t *fields);

#endif
