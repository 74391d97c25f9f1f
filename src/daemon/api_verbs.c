/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest's monitor is asked to do, and settings. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/affinity.h"
#include "daemon/api.h"
#include "daemon/daemon.h"
#include "daemon/describe.h"
#include "daemon/guest.h"
#include "daemon/life.h"
#include "daemon/resources.h"
#include "daemon/monitor.h"

#define VERB_TIMEOUT_MS 10000

static struct guest *running_guest(struct request *request)
{
	struct guest *guest = api_guest(request);

	if (guest && !guest_answers(guest)) {
		request_refuse(request, -ESRCH,
			guest->state == RECORD_STARTING ? "the guest is only starting"
							: "the guest does not run");
		return NULL;
	}
	return guest;
}

static void asked(void *ctx, int r, json_t *answer, const char *text)
{
	struct request *request = ctx;
	struct guest *guest = api_again(request);

	if (r)
		request_refuse(request, r, text);
	else if (guest)
		api_answer_guest(request, guest, 200);
	else
		request_refuse(request, -ESRCH, "the guest has ended meanwhile");
}

static void ask(struct request *request, struct guest *guest, const struct monitor_request *what)
{
	monitor_call(guest->monitor, what, -1, VERB_TIMEOUT_MS, asked, request);
}

void api_ask(struct request *request)
{
	const struct route *route = request->route;
	struct guest *guest = running_guest(request);
	struct monitor_request what;
	struct error err = {0};
	int r;

	if (!guest)
		return;
	r = request_read_arguments(request_find(strrchr(route->path, '/') + 1),
		route->body ? request->body : NULL, &what, &err);
	if (r)
		request_refuse(request, r, err.text);
	else
		ask(request, guest, &what);
}

/* The file is the caller's: made with his rights, and gone again if nothing came into it. */
static void dumped(void *ctx, int r, json_t *answer, const char *text)
{
	struct request *request = ctx;
	const char *path = json_string_value(json_object_get(request->body, "path"));

	if (r && request->caller.manager && path)
		unlink(path);
	asked(ctx, r, answer, text);
}

void api_dump_core(struct request *request)
{
	static const char *const keys[] = {"path", "live", NULL};
	struct guest *guest = running_guest(request);
	struct error err = {0};
	const char *path;
	bool live;
	int fd = -1, r;

	if (!guest)
		return;
	r = body_check(request->body, keys, &err);
	if (!r)
		r = body_text(request->body, "path", true, &path, &err);
	if (!r)
		r = body_bool(request->body, "live", false, &live, &err);
	if (!r && path[0] != '/')
		r = error_set(&err, EINVAL, "path: does not begin with /");
	if (!r)
		r = caller_open(&request->caller, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW,
			0600, &fd, &err);
	if (r) {
		request_refuse(request, r, err.text);
		return;
	}
	monitor_call(guest->monitor,
		&(struct monitor_request){.verb = REQUEST_DUMP_CORE, .live = live}, fd, 0, dumped,
		request);
	close(fd);
}

/* Settings */

/* Commits what was changed; on failure the caller puts it back. */
static int keep(struct request *request, struct guest *guest)
{
	struct error err = {0};
	int r = guest_save(guest, &err);

	if (r)
		request_refuse(request, r, err.text);
	else
		events_tell(&request->daemon->events, "changed", guest, NULL);
	return r;
}

/* In KiB, whole MiB. After read_memory(). */
static uint64_t asked_memory(const struct request *request)
{
	json_int_t kib = json_integer_value(json_object_get(request->body, "memory"));

	return ((uint64_t)kib + 1023) / 1024 * 1024;
}

static bool read_memory(struct request *request)
{
	static const char *const keys[] = {"memory", NULL};
	struct error err = {0};
	int64_t memory;
	int r = body_check(request->body, keys, &err);

	if (!r)
		r = body_number(request->body, "memory", -1, LIMIT_MEMORY_MIN, LIMIT_MEMORY_MAX,
			&memory, &err);
	if (r)
		request_refuse(request, r, err.text);
	return !r;
}

/* Kept once it is so: a guest that refuses goes on with what it had, also the next time it starts. */
static void keep_memory(struct request *request, struct guest *guest)
{
	uint64_t old = guest->config.memory;

	guest->config.memory = asked_memory(request);
	if (!keep(request, guest))
		api_answer_guest(request, guest, 200);
	else
		guest->config.memory = old;
}

static void memory_set(void *ctx, int r, json_t *answer, const char *text)
{
	struct request *request = ctx;
	struct guest *guest = api_again(request);

	if (r)
		request_refuse(request, r, text);
	else if (guest)
		keep_memory(request, guest);
	else
		request_refuse(request, -ESRCH, "the guest has ended meanwhile");
}

void api_memory(struct request *request)
{
	struct guest *guest = api_guest(request);
	char text[128];

	if (!guest || !read_memory(request))
		return;
	if (asked_memory(request) > guest->config.maxmem) {
		snprintf(text, sizeof text, "memory: more than the guest's maximum, %llu KiB",
			(unsigned long long)guest->config.maxmem);
		request_refuse(request, -EINVAL, text);
		return;
	}
	if (guest_answers(guest))
		monitor_call(guest->monitor,
			&(struct monitor_request){.verb = REQUEST_MEMORY_SET,
				.memory = asked_memory(request)},
			-1, VERB_TIMEOUT_MS, memory_set, request);
	else
		keep_memory(request, guest);
}

void api_memory_max(struct request *request)
{
	struct guest *guest = api_guest(request);
	const json_t *info;
	uint64_t memory, made, old, old_memory;

	if (!guest || !read_memory(request))
		return;
	memory = asked_memory(request);
	info = json_object_get(guest->info, "memory");
	made = json_integer_value(json_object_get(info, "max"));
	if (guest->monitor && made && memory > made) {
		request_refuse(request, -EINVAL,
			"memory: more than the guest was started with; set it while it is off");
		return;
	}
	/* What is accounted of a guest is what it was started with, until it has ended. */
	if (!request->caller.manager && guest->state != RECORD_OFF &&
		memory < guest->config.maxmem) {
		request_refuse(request, -EBUSY, "memory: lower it while the guest is off");
		return;
	}
	if (guest->monitor && memory < guest->config.memory) {
		request_refuse(request, -EINVAL, "memory: less than the guest has; mem-set first");
		return;
	}
	if (!request->caller.manager && memory > guest->config.maxmem) {
		request_refuse(request, -EACCES, "only who manages the host may raise it");
		return;
	}
	old = guest->config.maxmem;
	old_memory = guest->config.memory;
	guest->config.maxmem = memory;
	if (guest->config.memory > memory)
		guest->config.memory = memory;
	if (keep(request, guest)) {
		guest->config.maxmem = old;
		guest->config.memory = old_memory;
		return;
	}
	api_answer_guest(request, guest, 200);
}

void api_scheduler_get(struct request *request)
{
	struct guest *guest = api_guest(request);

	if (guest)
		request_answer(request, 200,
			json_pack("{s:i, s:i}", "weight", (int)guest->config.cpu_weight, "cap",
				(int)guest->config.cap));
}

void api_scheduler(struct request *request)
{
	static const char *const keys[] = {"weight", "cap", NULL};
	struct guest *guest = api_guest(request);
	struct error err = {0};
	unsigned old_weight, old_cap;
	int64_t weight, cap;
	int r;

	if (!guest)
		return;
	old_weight = guest->config.cpu_weight;
	old_cap = guest->config.cap;
	r = body_check(request->body, keys, &err);
	if (!r)
		r = body_number(request->body, "weight", old_weight, 1, 65535, &weight, &err);
	if (!r)
		r = body_number(request->body, "cap", old_cap, 0, 100 * DOMAIN_VCPUS_MAX, &cap,
			&err);
	if (r) {
		request_refuse(request, r, err.text);
		return;
	}
	guest->config.cpu_weight = weight;
	guest->config.cap = cap;
	r = resources_change(guest, &err);
	if (r)
		request_refuse(request, r, err.text);
	if (r || keep(request, guest)) {
		guest->config.cpu_weight = old_weight;
		guest->config.cap = old_cap;
		resources_change(guest, NULL);
		return;
	}
	api_answer_guest(request, guest, 200);
}

void api_autostart(struct request *request)
{
	static const char *const keys[] = {"autostart", NULL};
	struct guest *guest = api_guest(request);
	struct error err = {0};
	bool old;
	int r;

	if (!guest)
		return;
	old = guest->autostart;
	r = body_check(request->body, keys, &err);
	if (!r && !json_object_get(request->body, "autostart"))
		r = error_set(&err, EINVAL, "autostart: neither true nor false");
	if (!r && !guest->managed)
		r = error_set(&err, EINVAL, "only managed guests can start with the host");
	if (!r)
		r = body_bool(request->body, "autostart", false, &guest->autostart, &err);
	if (r) {
		guest->autostart = old;
		request_refuse(request, r, err.text);
		return;
	}
	if (keep(request, guest)) {
		guest->autostart = old;
		return;
	}
	api_answer_guest(request, guest, 200);
}

/* The host's threads follow once the monitor has said which they are. */
static void pinned(void *ctx, int r, const char *text)
{
	struct request *request = ctx;
	struct guest *guest = api_again(request);

	if (guest && !r)
		affinity_apply(guest);
	if (guest)
		request_answer(request, 200, guest_describe(guest));
	else
		request_refuse(request, -ESRCH, "the guest has ended meanwhile");
}

static int read_vcpu(const char *text, int *vcpu, struct error *err)
{
	char *end;
	long number = strtol(text, &end, 10);

	*vcpu = -1;
	if (!strcmp(text, "all"))
		return 0;
	*vcpu = number;
	if (!*end && end != text && number >= 0 && number <= 4095)
		return 0;
	return error_set(err, EINVAL, "%s: neither the number of a processor nor all", text);
}

static int change_affinity(struct request *request, struct guest *guest, struct error *err)
{
	static const char *const keys[] = {"cpus", "soft", NULL};
	struct affinity_list old[2] = {{NULL, 0}, {NULL, 0}};
	const char *text[2] = {NULL, NULL};
	bool set[2] = {false, false};
	int vcpu, r = read_vcpu(request->arg, &vcpu, err);

	if (!r)
		r = body_check(request->body, keys, err);
	for (unsigned i = 0; !r && i < 2; i++)
		r = body_text(request->body, keys[i], false, &text[i], err);
	if (!r && !text[0] && !text[1])
		r = error_set(err, EINVAL, "cpus: is missing");
	for (unsigned i = 0; !r && i < 2; i++) {
		if (text[i])
			r = affinity_set(guest, i, vcpu, text[i], &old[i], err);
		set[i] = text[i] && !r;
	}
	if (!r)
		r = domain_config_check(&guest->config, err);
	if (!r)
		r = guest_save(guest, err);
	for (unsigned i = 0; i < 2; i++) {
		if (set[i] && r)
			affinity_put_back(guest, i, &old[i]);
		else
			affinity_drop(&old[i]);
	}
	return r;
}

void api_affinity(struct request *request)
{
	struct guest *guest = api_guest(request);
	struct error err = {0};
	int r = guest ? change_affinity(request, guest, &err) : 0;

	if (!guest)
		return;
	if (r) {
		request_refuse(request, r, err.text);
		return;
	}
	events_tell(&request->daemon->events, "changed", guest, NULL);
	if (guest_answers(guest))
		life_refresh(guest, VERB_TIMEOUT_MS, pinned, request);
	else
		pinned(request, -ESRCH, "");
}
