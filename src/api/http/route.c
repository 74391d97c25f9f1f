/* SPDX-License-Identifier: Apache-2.0 */
#include "api/http/route.h"

#include <ctype.h>
#include <string.h>

#include "api/http/relay.h"
#include "api/http/stream.h"

#define GUEST "/v1/guests/{ref}"

const struct route routes[] = {
	{"GET", "/v1/host", &operation_host, .status = 200},
	{"GET", "/v1/host/log", &operation_log, .status = 200},
	{"DELETE", "/v1/host/log", &operation_log_clear, .status = 200},
	{"GET", "/v1/events", .open = stream_open},
	{"GET", "/v1/guests", &operation_list, .status = 200},
	{"POST", "/v1/guests", &operation_create, .status = 201, .body = true},
	{"GET", GUEST, &operation_get, .status = 200},
	{"DELETE", GUEST, &operation_delete, .status = 200},
	{"GET", GUEST "/console", .open = relay_console},
	{"GET", GUEST "/screen", .open = relay_screen},
	{"GET", GUEST "/exec", &operation_exec, .status = 101, .upgrade = RELAY_EXEC},
	{"GET", GUEST "/migration", &operation_migration, .status = 101, .upgrade = RELAY_MIGRATE},
	{"POST", GUEST "/migrate", &operation_migrate, .status = 200},
	{"POST", GUEST "/live-update", &operation_live_update, .status = 200},
	{"POST", "/v1/receive", &operation_receive, .status = 101, .body = true,
		.upgrade = RELAY_MIGRATE},
	{"POST", GUEST "/start", &operation_start, .status = 200},
	{"POST", GUEST "/destroy", &operation_destroy, .status = 200},
	{"POST", GUEST "/save", &operation_save, .status = 200, .body = true},
	{"POST", GUEST "/suspend", &operation_suspend, .status = 200},
	{"POST", GUEST "/resume", &operation_resume, .status = 200},
	{"POST", GUEST "/clone", &operation_clone, .status = 201},
	{"GET", "/v1/networks", &operation_networks, .status = 200},
	{"POST", "/v1/networks", &operation_network_create, .status = 201, .body = true},
	{"GET", "/v1/networks/{ref}", &operation_network_get, .status = 200},
	{"PUT", "/v1/networks/{ref}", &operation_network_edit, .status = 200, .body = true},
	{"DELETE", "/v1/networks/{ref}", &operation_network_delete, .status = 200},
	{"POST", "/v1/networks/{ref}/start", &operation_network_start, .status = 200},
	{"POST", "/v1/networks/{ref}/stop", &operation_network_stop, .status = 200},
	{"GET", "/v1/hosts", &operation_hosts, .status = 200},
	{"POST", "/v1/hosts", &operation_host_add, .status = 201, .body = true},
	{"POST", "/v1/host/token", &operation_host_token, .status = 200, .body = true},
	{"GET", "/v1/hosts/{ref}", &operation_host_get, .status = 200},
	{"DELETE", "/v1/hosts/{ref}", &operation_host_delete, .status = 200},
	{"POST", "/v1/hosts/{ref}/fetch", &operation_host_fetch, .status = 200, .body = true},
	{"POST", "/v1/restore", &operation_restore, .status = 201, .body = true},
	{"GET", GUEST "/snapshots", &operation_snapshot_list, .status = 200},
	{"POST", GUEST "/snapshots", &operation_snapshot_create, .status = 201, .body = true},
	{"GET", GUEST "/snapshots/{snapshot}", &operation_snapshot_get, .status = 200},
	{"DELETE", GUEST "/snapshots/{snapshot}", &operation_snapshot_delete, .status = 200},
	{"POST", GUEST "/snapshots/{snapshot}/revert", &operation_snapshot_revert, .status = 200},
	{"GET", GUEST "/jobs", &operation_jobs, .status = 200},
	{"POST", GUEST "/{verb}", &operation_ask, .status = 200},
	{"POST", GUEST "/convert", &operation_convert, .status = 200, .body = true},
	{"POST", GUEST "/rename", &operation_rename, .status = 200, .body = true},
	{"POST", GUEST "/dump-core", &operation_dump_core, .status = 200, .body = true},
	{"POST", GUEST "/disk-layer", &operation_disk_layer, .status = 200, .body = true},
	{"POST", GUEST "/disk-stream", &operation_disk_stream, .status = 200, .body = true},
	{"POST", GUEST "/disk-commit", &operation_disk_commit, .status = 200, .body = true},
	{"POST", GUEST "/disk-resize", &operation_disk_resize, .status = 200, .body = true},
	{"POST", GUEST "/disk-attach", &operation_disk_attach, .status = 200, .body = true},
	{"POST", GUEST "/disk-detach", &operation_disk_detach, .status = 200, .body = true},
	{"POST", GUEST "/disk-medium", &operation_disk_medium, .status = 200, .body = true},
	{"POST", GUEST "/network-forward", &operation_network_forward, .status = 200, .body = true},
	{"POST", GUEST "/network-attach", &operation_network_attach, .status = 200, .body = true},
	{"POST", GUEST "/network-detach", &operation_network_detach, .status = 200, .body = true},
	{"POST", GUEST "/share-attach", &operation_share_attach, .status = 200, .body = true},
	{"POST", GUEST "/share-detach", &operation_share_detach, .status = 200, .body = true},
	{"POST", GUEST "/disk-export", &operation_disk_export, .status = 200, .body = true},
	{"POST", GUEST "/disk-move", &operation_disk_move, .status = 200, .body = true},
	{"POST", GUEST "/disk-checkpoint", &operation_disk_checkpoint, .status = 200, .body = true},
	{"POST", GUEST "/disk-backup", &operation_disk_backup, .status = 200, .body = true},
	{"PUT", GUEST "/memory", &operation_memory, .status = 200, .body = true},
	{"PUT", GUEST "/memory-max", &operation_memory_max, .status = 200, .body = true},
	{"GET", GUEST "/scheduler", &operation_scheduler_get, .status = 200},
	{"PUT", GUEST "/scheduler", &operation_scheduler, .status = 200, .body = true},
	{"PUT", GUEST "/autostart", &operation_autostart, .status = 200, .body = true},
	{"PUT", GUEST "/vcpus/{vcpu}/affinity", &operation_affinity, .status = 200, .body = true},
	{.method = NULL},
};

static int hex(char c)
{
	if (isdigit((unsigned char)c))
		return c - '0';
	c = tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One segment, unescaped. false: too long, a bad escape or a byte that no name has. */
static bool unescape(const char *from, size_t len, char *to, size_t size)
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

static bool match_verb(const char *text, size_t len, struct route_values *values)
{
	char word[32];

	if (!unescape(text, len, word, sizeof word))
		return false;
	values->verb = request_find(word);
	return request_is_passed(values->verb);
}

static bool same(const char *segment, size_t len, const char *text)
{
	return strlen(text) == len && !memcmp(segment, text, len);
}

/* One segment of a route's path beside one of a request's. */
static bool match_segment(const char *want, size_t want_len, const char *have, size_t len,
	struct route_values *values)
{
	if (same(want, want_len, "{ref}"))
		return unescape(have, len, values->ref, sizeof values->ref);
	if (same(want, want_len, "{vcpu}"))
		return unescape(have, len, values->vcpu, sizeof values->vcpu);
	if (same(want, want_len, "{snapshot}"))
		return unescape(have, len, values->snapshot, sizeof values->snapshot);
	if (same(want, want_len, "{verb}"))
		return match_verb(have, len, values);
	return want_len == len && !memcmp(want, have, len);
}

static bool match(const char *route, const char *path, struct route_values *values)
{
	while (*route && *path) {
		size_t want = strcspn(route + 1, "/"), have = strcspn(path + 1, "/");

		if (*route != '/' || *path != '/' ||
			!match_segment(route + 1, want, path + 1, have, values))
			return false;
		route += 1 + want;
		path += 1 + have;
	}
	return !*route && !*path;
}

const struct route *route_find(const char *method, const char *path, struct route_values *values,
	bool *other)
{
	*other = false;
	for (const struct route *route = routes; route->method; route++) {
		if (!match(route->path, path, values))
			continue;
		if (!strcmp(route->method, method))
			return route;
		*other = true;
	}
	return NULL;
}

bool route_needs_body(const struct route *route, enum request_verb verb)
{
	return route->operation == &operation_ask ? request_needs_arguments(verb) : route->body;
}
