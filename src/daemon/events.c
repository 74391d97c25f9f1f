/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/events.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/guest.h"

static void queue(struct listener *listener, const char *text, size_t len)
{
	bool empty = !listener->used;
	char *more = NULL;

	if (listener->lost)
		return;
	if (listener->used + len <= EVENTS_QUEUE_MAX)
		more = realloc(listener->queue, listener->used + len);
	if (more) {
		listener->queue = more;
		memcpy(more + listener->used, text, len);
		listener->used += len;
	} else {
		listener->lost = true;
	}
	if (empty && listener->more)
		listener->more(listener->ctx);
}

static char *line(json_t *event, size_t *len)
{
	char *text = json_dumps(event, JSON_COMPACT);

	if (!text)
		return NULL;
	*len = strlen(text) + 1;
	text[*len - 1] = '\n'; /* in place of the end */
	return text;
}

void events_listen(struct events *events, struct listener *listener)
{
	json_t *hello = json_pack("{s:s, s:I}", "event", "hello", "time", (json_int_t)time(NULL));
	size_t len;
	char *text = line(hello, &len);

	if (text)
		queue(listener, text, len);
	free(text);
	json_decref(hello);
	listener->next = events->listeners;
	events->listeners = listener;
}

void events_leave(struct events *events, struct listener *listener)
{
	for (struct listener **at = &events->listeners; *at; at = &(*at)->next) {
		if (*at == listener) {
			*at = listener->next;
			break;
		}
	}
	free(listener->queue);
	listener->queue = NULL;
	listener->used = 0;
}

void events_tell(struct events *events, const char *what, const struct guest *guest, json_t *fields)
{
	json_t *event = json_pack("{s:s, s:I, s:s, s:s, s:o}", "event", what, "time",
		(json_int_t)time(NULL), "uuid", guest->config.uuid, "name", guest->config.name,
		"domid", guest->domid ? json_integer(guest->domid) : json_null());
	size_t len;
	char *text;

	if (fields)
		json_object_update(event, fields);
	json_decref(fields);
	text = line(event, &len);
	json_decref(event);
	if (!text)
		return;
	for (struct listener *at = events->listeners, *next; at; at = next) {
		next = at->next;
		if (guest_visible(guest, at->manager, at->uid))
			queue(at, text, len);
	}
	free(text);
}
