/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/daemon.h"
#include "daemon/describe.h"
#include "daemon/guest.h"
#include "daemon/host.h"
#include "daemon/life.h"

#define REFRESH_MS 2000

#define GUEST "/v1/guests/{ref}"

const struct route api_routes[] = {
	{"GET", "/v1/host", api_host, false},
	{"GET", "/v1/host/log", api_log, false},
	{"GET", "/v1/events", api_events, false},
	{"GET", "/v1/guests", api_list, false},
	{"POST", "/v1/guests", api_create, true},
	{"GET", GUEST, api_get, false},
	{"DELETE", GUEST, api_delete, false},
	{"GET", GUEST "/console", api_console, false},
	{"POST", GUEST "/start", api_start, false},
	{"POST", GUEST "/pause", api_ask, false},
	{"POST", GUEST "/unpause", api_ask, false},
	{"POST", GUEST "/shutdown", api_ask, false},
	{"POST", GUEST "/reboot", api_ask, false},
	{"POST", GUEST "/destroy", api_destroy, false},
	{"POST", GUEST "/trigger", api_ask, true},
	{"POST", GUEST "/sysrq", api_ask, true},
	{"POST", GUEST "/rename", api_rename, true},
	{"POST", GUEST "/dump-core", api_dump_core, true},
	{"PUT", GUEST "/memory", api_memory, true},
	{"PUT", GUEST "/memory-max", api_memory_max, true},
	{"GET", GUEST "/scheduler", api_scheduler_get, false},
	{"PUT", GUEST "/scheduler", api_scheduler, true},
	{"PUT", GUEST "/autostart", api_autostart, true},
	{"PUT", GUEST "/vcpus/{vcpu}/affinity", api_affinity, true},
	{NULL, NULL, NULL, false},
};

static int hex(char c)
{
	if (isdigit((unsigned char)c))
		return c - '0';
	c = tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One segment, unescaped. false: too long, a bad escape or a byte that no name has. */
static bool segment(const char *from, size_t len, char *to, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < len; i++) {
		int c = (unsigned char)from[i];

		if (c == '%') {
			int high = i + 2 < len ? hex(from[i + 1]) : -1;
			int low = i + 2 < len ? hex(from[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = high << 4 | low;
			i += 2;
		}
		if (c < ' ' || c == 127 || used + 1 >= size)
			return false;
		to[used++] = c;
	}
	to[used] = 0;
	return used;
}

static bool match(struct request *request, const char *route, const char *path)
{
	while (*route && *path) {
		size_t want = strcspn(route + 1, "/"), have = strcspn(path + 1, "/");

		if (*route != '/' || *path != '/')
			return false;
		if (!strncmp(route + 1, "{ref}", 5)) {
			if (!segment(path + 1, have, request->ref, sizeof request->ref))
				return false;
		} else if (!strncmp(route + 1, "{vcpu}", 6)) {
			if (!segment(path + 1, have, request->arg, sizeof request->arg))
				return false;
		} else if (want != have || strncmp(route + 1, path + 1, want)) {
			return false;
		}
		route += 1 + want;
		path += 1 + have;
	}
	return !*route && !*path;
}

const struct route *api_find(struct request *request, const char *method, const char *path,
	bool *other)
{
	*other = false;
	for (const struct route *route = api_routes; route->method; route++) {
		if (!match(request, route->path, path))
			continue;
		if (!strcmp(route->method, method))
			return route;
		*other = true;
	}
	return NULL;
}

/* Bodies */

int body_check(const json_t *body, const char *const *keys, struct error *err)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)body, key, value)
	{
		const char *const *known = keys;

		while (*known && strcmp(*known, key))
			known++;
		if (!*known)
			return error_set(err, EINVAL, "%.64s: there is no such field here", key);
	}
	return 0;
}

int body_bool(const json_t *body, const char *key, bool fallback, bool *value, struct error *err)
{
	json_t *field = json_object_get(body, key);

	*value = field ? json_is_true(field) : fallback;
	if (field && !json_is_boolean(field))
		return error_set(err, EINVAL, "%s: neither true nor false", key);
	return 0;
}

int body_number(const json_t *body, const char *key, int64_t fallback, int64_t min, int64_t max,
	int64_t *value, struct error *err)
{
	json_t *field = json_object_get(body, key);

	*value = fallback;
	if (!field && fallback >= 0)
		return 0;
	if (!json_is_integer(field) || json_integer_value(field) < min ||
		json_integer_value(field) > max)
		return error_set(err, EINVAL, "%s: not a number from %" PRId64 " to %" PRId64, key,
			min, max);
	*value = json_integer_value(field);
	return 0;
}

int body_text(const json_t *body, const char *key, bool needed, const char **text,
	struct error *err)
{
	json_t *field = json_object_get(body, key);

	*text = json_string_value(field);
	if ((field || needed) && !*text)
		return error_set(err, EINVAL, "%s: not a string", key);
	return 0;
}

/* Guests */

struct guest *api_guest(struct request *request)
{
	struct error err = {0};
	struct guest *guest = guest_find(request->daemon, &request->caller, request->ref, &err);

	if (!guest) {
		request_unknown(request, err.text);
		return NULL;
	}
	snprintf(request->guest.uuid, sizeof request->guest.uuid, "%s", guest->config.uuid);
	return guest;
}

struct guest *api_again(struct request *request)
{
	return guest_by_uuid(request->daemon, request->guest.uuid);
}

static void describe(void *ctx, int r, const char *text)
{
	struct request *request = ctx;
	struct guest *guest = api_again(request);

	if (guest)
		request_answer(request, request->status, guest_describe(guest));
	else
		request_refuse(request, -ESRCH, "the guest has ended meanwhile");
}

void api_answer_guest(struct request *request, struct guest *guest, int status)
{
	snprintf(request->guest.uuid, sizeof request->guest.uuid, "%s", guest->config.uuid);
	request->status = status;
	if (guest_answers(guest))
		life_refresh(guest, REFRESH_MS, describe, request);
	else
		describe(request, 0, "");
}

void api_get(struct request *request)
{
	struct guest *guest = api_guest(request);

	if (guest)
		api_answer_guest(request, guest, 200);
}

static void list(struct request *request)
{
	json_t *guests = json_array();

	for (const struct guest *guest = request->daemon->guests; guest; guest = guest->next)
		if (guest_visible(guest, &request->caller))
			json_array_append_new(guests, guest_describe(guest));
	request_answer(request, 200,
		json_pack("{s:o, s:o}", "guests", guests, "domain0",
			host_domain0(request->daemon)));
}

static void listed(void *ctx, int r, const char *text)
{
	struct request *request = ctx;

	if (!--request->open)
		list(request);
}

void api_list(struct request *request)
{
	request->open = 1;
	for (struct guest *guest = request->daemon->guests; guest; guest = guest->next) {
		if (!guest_answers(guest) || !guest_visible(guest, &request->caller))
			continue;
		request->open++;
		life_refresh(guest, REFRESH_MS, listed, request);
	}
	listed(request, 0, "");
}

void api_events(struct request *request)
{
	request_stream(request);
}

void api_log(struct request *request)
{
	struct log *log = &request->daemon->log;

	if (!request->caller.manager) {
		request_refuse(request, -EACCES, "the log tells of other people's guests");
		return;
	}
	request_answer(request, 200, json_pack("{s:o}", "lines", log_json(log)));
	if (request->clear)
		log_clear(log);
}
