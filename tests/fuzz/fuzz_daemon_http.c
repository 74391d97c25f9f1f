/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an API client may send: the bytes go over a socket into a whole daemon (with a managed guest,
 * without monitors), through the HTTP library, the routes and their bodies. The first byte says what
 * the others are: the connection's bytes; a route and a body; a route and what a JSON body is made of.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/http/route.h"
#include "api/http/server.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct daemon *the_daemon;
static struct server *server;
static char folder[32];
static struct loop_timer timer;

static void finish(void *ctx)
{
	loop_stop(ctx);
}

static void clean(void)
{
	char command[128];

	server_stop(server);
	server_destroy(server);
	daemon_destroy(the_daemon);
	snprintf(command, sizeof command, "rm -rf %s", folder);
	if (system(command))
		return;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct daemon_options options = {.policy = "/nowhere/policy", .log = "/dev/null"};
	struct error err = {0};

	char path[64];

	/* in memory, where the host has a place for that */
	snprintf(folder, sizeof folder, "%s/dach-fuzz-XXXXXX",
		access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	if (!mkdtemp(folder))
		abort();
	snprintf(path, sizeof path, "%s/run", folder);
	setenv("DACH_RUN", path, 1);
	snprintf(path, sizeof path, "%s/state", folder);
	setenv("DACH_STATE", path, 1);
	setenv("DACH_VMM", "/bin/false", 1);
	if (daemon_create(&options, &the_daemon, &err) ||
		server_create(the_daemon, &server, &err)) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	daemon_begin(the_daemon);
	loop_timer_init(&timer, the_daemon->loop, finish, the_daemon->loop);
	atexit(clean);
	return 0;
}

/* Guests that were made are forgotten, or the next input would see them. */
static void forget(void)
{
	while (the_daemon->guests) {
		store_delete(the_daemon->store, the_daemon->guests->config.uuid, NULL);
		guest_free(the_daemon->guests);
	}
	log_clear(&the_daemon->log);
}

/* An object out of bytes: which key, what kind of value. */
static size_t make_object(const uint8_t *data, size_t size, char *to, size_t room, unsigned depth)
{
	static const char *const keys[] = {"config", "paused", "managed", "start", "name", "memory",
		"weight", "cap", "cpus", "soft", "key", "trigger", "vcpu", "path", "live",
		"autostart", "uuid", "memory_kib", "maxmem_kib", "vcpus", "maxvcpus", "kernel",
		"ramdisk", "cmdline", "disks", "vifs", "on_crash", "kind", "target", "vdev", "mac"};
	static const char *const values[] = {"true", "false", "null", "0", "1", "-1", "65536",
		"9223372036854775807", "1e99", "\"one\"", "\"\"", "\"nmi\"", "\"/nowhere/x\"",
		"\"restart\"", "\"0-3,^1\"", "\"\\u0000\"", "\"\\ud800\"", "[]", "{}"};
	size_t used = snprintf(to, room, "{"), at = 0;

	while (at + 2 <= size && used + 200 < room) {
		const char *key = keys[data[at] % 31];
		unsigned kind = data[at + 1];

		at += 2;
		used += snprintf(to + used, room - used, "%s\"%s\": ", used > 1 ? ", " : "", key);
		if (kind % 8 == 7 && depth < 4) {
			size_t part = kind / 8 < size - at ? kind / 8 : size - at;
			bool list = kind & 128;

			if (list)
				to[used++] = '[';
			used += make_object(data + at, part, to + used, room - used - 8, depth + 1);
			if (list)
				to[used++] = ']';
			at += part;
		} else {
			used += snprintf(to + used, room - used, "%s", values[kind % 19]);
		}
	}
	return used + snprintf(to + used, room - used, "}");
}

static unsigned route_count(void)
{
	unsigned count = 0;

	while (routes[count].method)
		count++;
	return count;
}

/* In place of a variable of the path, if it is there. */
static void put_in(char *path, size_t size, const char *variable, const char *value)
{
	char *at = strstr(path, variable), rest[128];

	if (!at)
		return;
	snprintf(rest, sizeof rest, "%s", at + strlen(variable));
	snprintf(at, size - (at - path), "%s%s", value, rest);
}

static size_t make_request(const uint8_t *data, size_t size, char *to, size_t room)
{
	static const char *const refs[] = {"kept", "one", "1", "%2e%2e", "-1", "0"};
	const struct route *route = &routes[data[1] % route_count()];
	char body[8192], path[256];
	size_t len = 0, used;

	snprintf(path, sizeof path, "%s", route->path);
	put_in(path, sizeof path, "{ref}", refs[data[2] % 6]);
	put_in(path, sizeof path, "{verb}", request_word(data[2] / 6 % REQUEST_VERBS));
	if (data[0] % 3 == 2)
		len = make_object(data + 3, size - 3, body, sizeof body, 0);
	else
		memcpy(body, data + 3, len = size - 3 < sizeof body ? size - 3 : sizeof body);
	used = snprintf(to, room, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
		route->method, path, len);
	memcpy(to + used, body, len);
	return used + len;
}

static void talk(const char *text, size_t len)
{
	char answer[4096];
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
		return;
	server_add(server, pair[0]);
	if (send(pair[1], text, len, MSG_NOSIGNAL) >= 0)
		shutdown(pair[1], SHUT_WR);
	/* Long enough for what needs no monitor. */
	loop_timer_arm(&timer, clock_now() + 300000);
	loop_run(the_daemon->loop);
	while (recv(pair[1], answer, sizeof answer, 0) > 0)
		;
	close(pair[1]);
	loop_timer_arm(&timer, clock_now() + 100000);
	loop_run(the_daemon->loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char kept[] =
		"POST /v1/guests HTTP/1.1\r\nHost: x\r\nContent-Length: 61\r\n\r\n"
		"{\"managed\": true, \"config\": {\"name\": \"kept\", \"kernel\": \"/x\"}}";
	char request[16384];

	if (size < 3)
		return 0;
	if (!guest_by_name(the_daemon, geteuid(), "kept"))
		talk(kept, sizeof kept - 1);
	if (data[0] % 3)
		talk(request, make_request(data, size, request, sizeof request));
	else
		talk((const char *)data + 1, size - 1);
	if (!guest_by_name(the_daemon, geteuid(), "kept") || the_daemon->guests->next)
		forget();
	return 0;
}
