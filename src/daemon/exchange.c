/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/exchange.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "daemon/api.h"
#include "daemon/daemon.h"

#define STREAM_BLOCK 4096

int exchange_status(int r)
{
	switch (-r) {
	case EINVAL:
	case ENAMETOOLONG:
	case ERANGE:
	case E2BIG:
	case EDOM:
		return 400;
	case EACCES:
	case EPERM:
	case EDQUOT:
		return 403;
	case ENOENT: /* what it names is not there; the guest is: request_unknown() */
		return 422;
	case EEXIST:
	case EBUSY:
	case EALREADY:
	case ESRCH:
	case ENOTSUP:
	case ENOSYS:
		return 409;
	case EMSGSIZE:
		return 413;
	case ESHUTDOWN:
	case EPIPE:
	case ETIMEDOUT:
	case ECANCELED:
		return 503;
	}
	return 500;
}

void exchange_upload(struct request *request, const char *data, size_t size)
{
	char *more;

	/* What is too much is read and thrown away: the answer comes at the end. */
	if (request->upload_failed)
		return;
	if (request->uploaded + size > SERVER_BODY_MAX) {
		request->upload_failed = EMSGSIZE;
		return;
	}
	more = realloc(request->upload, request->uploaded + size);
	if (!more) {
		request->upload_failed = ENOMEM;
		return;
	}
	memcpy(more + request->uploaded, data, size);
	request->upload = more;
	request->uploaded += size;
}

static int read_body(struct request *request, struct error *err)
{
	json_error_t where;

	if (request->upload_failed == EMSGSIZE)
		return error_set(err, EMSGSIZE, "the request's body is longer than 1 MiB");
	if (request->upload_failed)
		return error_set(err, request->upload_failed, "out of memory");
	if (request->uploaded) {
		request->body = json_loadb(request->upload, request->uploaded,
			JSON_REJECT_DUPLICATES, &where);
		if (!request->body)
			return error_set(err, EINVAL,
				"the request's body is no JSON: line %d, column %d: %s", where.line,
				where.column, where.text);
		if (!json_is_object(request->body))
			return error_set(err, EINVAL, "the request's body is no JSON object");
	}
	free(request->upload);
	request->upload = NULL;
	if (request->route->body && !request->body)
		return error_set(err, EINVAL, "the request needs a body");
	return 0;
}

static void read_head(struct request *request)
{
	const char *clear =
		MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, "clear");
	const char *upgrade =
		MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, "Upgrade");

	request->clear = clear && !strcmp(clear, "1");
	request->upgrade = upgrade && !strcasecmp(upgrade, "dach-console");
}

void exchange_dispatch(struct request *request, const char *method, const char *path)
{
	struct error err = {0};
	bool other;
	int r;

	if (!request->caller.manager && !request->caller.user) {
		request_refuse(request, -EACCES, "you may no longer use this daemon");
		return;
	}
	request->route = api_find(request, method, path, &other);
	if (!request->route && other) {
		request_answer(request, 405,
			json_pack("{s:s, s:i}", "error", "not with this method", "errno", EINVAL));
		return;
	}
	if (!request->route) {
		request_unknown(request, "no such path: doc/openapi.json has them all");
		return;
	}
	read_head(request);
	r = read_body(request, &err);
	if (r)
		request_refuse(request, r, err.text);
	else
		request->route->handle(request);
}

static ssize_t read_events(void *ctx, uint64_t position, char *to, size_t room)
{
	struct request *request = ctx;
	struct listener *listener = &request->listener;

	if (!listener->used && listener->lost)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (!listener->used) {
		request->suspended = true;
		MHD_suspend_connection(request->connection);
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
	request_resume(ctx);
}

enum MHD_Result exchange_stream(struct request *request)
{
	struct MHD_Response *response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN,
		STREAM_BLOCK, read_events, request, NULL);
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	request->listener.manager = request->caller.manager;
	request->listener.uid = request->caller.uid;
	request->listener.more = more_events;
	request->listener.ctx = request;
	events_listen(&request->daemon->events, &request->listener);
	MHD_add_response_header(response, "Content-Type", "application/x-ndjson");
	result = MHD_queue_response(request->connection, 200, response);
	MHD_destroy_response(response);
	return result;
}
