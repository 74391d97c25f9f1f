/* SPDX-License-Identifier: Apache-2.0 */
#include "api/http/stream.h"

#include <string.h>

#include "daemon/daemon.h"

#define STREAM_BLOCK 4096

static ssize_t read_events(void *ctx, uint64_t position, char *to, size_t room)
{
	struct exchange *exchange = ctx;
	struct listener *listener = &exchange->listener;

	if (!listener->used && listener->lost)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (!listener->used) {
		exchange_suspend(exchange);
		return 0;
	}
	if (room > listener->used)
		room = listener->used;
	memcpy(to, listener->queue, room);
	listener->used -= room;
	memmove(listener->queue, listener->queue + room, listener->used);
	return room;
}

static void more_events(void *ctx)
{
	exchange_resume(ctx);
}

void stream_open(struct exchange *exchange, const char *ref)
{
	struct error err = {0};
	int r;

	exchange->listener.more = more_events;
	exchange->listener.ctx = exchange;
	r = operation_listen(exchange->group->daemon, &exchange->caller, &exchange->listener, &err);
	if (r) {
		exchange_refuse(exchange, r, err.text);
		return;
	}
	exchange->streams = true;
	exchange_answer(exchange, 200, NULL);
}

enum MHD_Result stream_respond(struct exchange *exchange)
{
	struct MHD_Response *response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN,
		STREAM_BLOCK, read_events, exchange, NULL);
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, "Content-Type", "application/x-ndjson");
	result = MHD_queue_response(exchange->connection, 200, response);
	MHD_destroy_response(response);
	return result;
}

void stream_close(struct exchange *exchange)
{
	if (exchange->streams)
		events_leave(&exchange->group->daemon->events, &exchange->listener);
}
