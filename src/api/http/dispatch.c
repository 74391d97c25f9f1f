/* SPDX-License-Identifier: Apache-2.0 */
#include "api/http/dispatch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/http/relay.h"
#include "api/http/route.h"
#include "api/http/stream.h"

/* The answer, with the status that its route has. */
static void done(void *ctx, const struct operation_answer *answer)
{
	struct exchange *exchange = ctx;

	exchange->operation = NULL;
	if (!answer->r && answer->fd >= 0)
		relay_begin(exchange, exchange->protocol, answer->fd);
	else if (!answer->r)
		exchange_answer(exchange, exchange->status, json_incref(answer->value));
	else if (answer->no_guest)
		exchange_unknown(exchange, answer->text);
	else
		exchange_refuse(exchange, answer->r, answer->text);
}

static int set_text(char **to, const char *text, struct error *err)
{
	if (!*text)
		return 0;
	*to = strdup(text);
	return *to ? 0 : error_nomem(err);
}

static int read_arguments(struct exchange *exchange, const struct route *route,
	const struct route_values *values, struct operation_arguments *arguments, struct error *err)
{
	json_t *body;
	int r = exchange_body(exchange, &body, err);

	operation_arguments_init(route->operation, arguments);
	arguments->request.verb = values->verb;
	if (!r && !body && route_needs_body(route, values->verb))
		r = error_set(err, EINVAL, "the request needs a body");
	if (!r)
		r = operation_arguments_read(route->operation, body, arguments, err);
	if (!r)
		r = set_text(&arguments->ref, values->ref, err);
	if (!r)
		r = set_text(&arguments->vcpu, values->vcpu, err);
	if (!r)
		r = set_text(&arguments->snapshot, values->snapshot, err);
	json_decref(body);
	return r;
}

static void begin(struct exchange *exchange, const struct route *route,
	const struct route_values *values)
{
	struct operation_arguments arguments;
	struct operation *operation;
	struct error err = {0};
	int r = read_arguments(exchange, route, values, &arguments, &err);

	if (r) {
		operation_arguments_free(&arguments);
		exchange_refuse(exchange, r, err.text);
		return;
	}
	exchange->status = route->status;
	exchange->protocol = route->upgrade;
	operation = operation_begin(route->operation, exchange->group->daemon, &exchange->caller,
		&arguments, done, exchange);
	exchange->operation = operation;
}

static bool has_query(const struct exchange *exchange)
{
	return MHD_get_connection_values(exchange->connection, MHD_GET_ARGUMENT_KIND, NULL, NULL) >
		0;
}

void dispatch(struct exchange *exchange, const char *method, const char *path)
{
	struct route_values values = {.verb = REQUEST_VERBS};
	const bool head = !strcmp(method, "HEAD");
	const struct route *route;
	bool other;

	/* The same but for the body, which libmicrohttpd leaves out; of a stream there would be nothing. */
	if (head)
		method = "GET";
	route = route_find(method, path, &values, &other);
	if (route && (route->open || route->upgrade) && head) {
		route = NULL;
		other = true;
	}
	if (route && has_query(exchange))
		exchange_refuse(exchange, -EINVAL, "no path here takes words behind a '?'");
	else if (route && route->open)
		route->open(exchange, values.ref);
	else if (route && route->upgrade && !relay_asked(exchange, route->upgrade))
		return;
	else if (route)
		begin(exchange, route, &values);
	else if (other)
		exchange_refuse_as(exchange, 405, -EINVAL, "not with this method");
	else
		exchange_unknown(exchange, "no such path: doc/openapi.json has them all");
}

enum MHD_Result dispatch_respond(struct exchange *exchange)
{
	struct MHD_Response *response;
	enum MHD_Result result;
	char *text;

	if (exchange->relay)
		return relay_respond(exchange);
	if (exchange->streams)
		return stream_respond(exchange);
	text = json_dumps(exchange->answer, JSON_COMPACT | JSON_ENSURE_ASCII);
	if (!text)
		return MHD_NO;
	response = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
	if (!response) {
		free(text);
		return MHD_NO;
	}
	MHD_add_response_header(response, "Content-Type", "application/json");
	if (exchange->status == 426)
		MHD_add_response_header(response, "Upgrade", exchange->protocol);
	if (exchange->status == 405)
		MHD_add_response_header(response, "Allow", "GET, HEAD, POST, PUT, DELETE");
	result = MHD_queue_response(exchange->connection, exchange->status, response);
	MHD_destroy_response(response);
	return result;
}
