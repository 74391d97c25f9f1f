/* SPDX-License-Identifier: Apache-2.0 */
/* Making, starting, ending and forgetting guests. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/after.h"
#include "daemon/api.h"
#include "daemon/daemon.h"
#include "daemon/describe.h"
#include "daemon/guest.h"
#include "daemon/launch.h"
#include "daemon/life.h"
#include "daemon/quota.h"

static int check_name(struct daemon *daemon, const char *name, struct error *err)
{
	if (!strcmp(name, "Domain-0"))
		return error_set(err, EEXIST, "Domain-0 is the host's own name");
	if (guest_by_name(daemon, name))
		return error_set(err, EEXIST,
			"there is a guest with the name '" GUEST_LABEL "' already", name);
	return 0;
}

static void started(void *ctx, int r, const char *text)
{
	struct request *request = ctx;
	struct guest *guest = api_again(request);

	if (r || !guest)
		request_refuse(request, r ? r : -EIO, text);
	else
		api_answer_guest(request, guest, request->status);
}

struct wishes {
	bool paused, managed, start;
};

static int read_wishes(const json_t *body, struct wishes *wishes, struct error *err)
{
	static const char *const keys[] = {"config", "paused", "managed", "start", NULL};
	int r = body_check(body, keys, err);

	if (!r)
		r = body_bool(body, "paused", false, &wishes->paused, err);
	if (!r)
		r = body_bool(body, "managed", false, &wishes->managed, err);
	if (!r)
		r = body_bool(body, "start", !wishes->managed, &wishes->start, err);
	if (!r && !wishes->managed && !wishes->start)
		r = error_set(err, EINVAL, "a guest that is not managed must be started");
	return r;
}

static int check_new(struct request *request, struct domain_config *config, struct error *err)
{
	int r = check_name(request->daemon, config->name, err);

	if (!r && config->kind != DOMAIN_MACHINE)
		r = error_set(err, ENOTSUP, "containers are not there yet");
	if (!r)
		r = domain_config_check_limits(config, err);
	if (!r)
		r = domain_config_complete(config, err);
	if (!r && guest_by_uuid(request->daemon, config->uuid))
		r = error_set(err, EEXIST, "there is a guest with the UUID %s already",
			config->uuid);
	return r ? r : quota_check(request->daemon, &request->caller, config, NULL, err);
}

static struct guest *make(struct request *request, struct wishes *wishes, struct error *err)
{
	struct domain_config config = {0};
	struct guest *guest = NULL;
	int r = read_wishes(request->body, wishes, err);

	if (!r)
		r = domain_config_from_json(json_object_get(request->body, "config"), &config, err);
	if (!r)
		r = check_new(request, &config, err);
	if (!r) {
		guest = guest_new(request->daemon, &config);
		if (!guest)
			r = error_set(err, ENOMEM, "out of memory");
	}
	domain_config_free(&config);
	if (r) {
		request_refuse(request, r, err->text);
		return NULL;
	}
	guest->owner = request->caller.uid;
	guest->managed = wishes->managed;
	return guest;
}

void api_create(struct request *request)
{
	struct wishes wishes = {0};
	struct error err = {0};
	struct guest *guest = make(request, &wishes, &err);
	int r;

	if (!guest)
		return;
	guest->created = true;
	guest_add(guest);
	snprintf(request->guest.uuid, sizeof request->guest.uuid, "%s", guest->config.uuid);
	request->status = 201;
	r = wishes.start ? life_start(guest, wishes.paused, &err) : guest_save(guest, &err);
	if (r) {
		store_delete(request->daemon->store, guest->config.uuid, NULL);
		guest_free(guest);
		request_refuse(request, r, err.text);
		return;
	}
	log_add(&request->daemon->log, GUEST_LABEL " (%u): created by user %u", guest->config.name,
		guest->domid, request->caller.uid);
	events_tell(&request->daemon->events, "created", guest, NULL);
	if (wishes.start) {
		guest_wait(guest, false, started, request);
	} else {
		guest->created = false;
		request_answer(request, 201, guest_describe(guest));
	}
}

void api_start(struct request *request)
{
	static const char *const keys[] = {"paused", NULL};
	struct guest *guest = api_guest(request);
	struct error err = {0};
	bool paused = false;
	int r;

	if (!guest)
		return;
	r = body_check(request->body, keys, &err);
	if (!r)
		r = body_bool(request->body, "paused", false, &paused, &err);
	if (!r && guest->state != RECORD_OFF)
		r = error_set(&err, EALREADY, "domain '" GUEST_LABEL "' is on already",
			guest->config.name);
	if (!r)
		r = quota_check(request->daemon, &request->caller, &guest->config, guest, &err);
	if (!r) {
		guest->quick = 0;
		r = life_start(guest, paused, &err);
	}
	request->status = 200;
	if (r)
		request_refuse(request, r, err.text);
	else
		guest_wait(guest, false, started, request);
}

/* The answer was made while the guest was there. */
static void destroyed(void *ctx, int r, const char *text)
{
	struct request *request = ctx;
	json_t *was = request->body;

	request->body = NULL;
	request_answer(request, 200, was);
}

void api_destroy(struct request *request)
{
	struct guest *guest = api_guest(request);

	if (!guest)
		return;
	if (guest->state == RECORD_OFF) {
		request_refuse(request, -ESRCH, "the guest does not run");
		return;
	}
	json_decref(request->body);
	request->body = guest_describe(guest);
	guest_wait(guest, true, destroyed, request);
	life_destroy(guest);
}

void api_delete(struct request *request)
{
	struct guest *guest = api_guest(request);
	struct error err = {0};
	json_t *was;
	int r;

	if (!guest)
		return;
	if (guest->state != RECORD_OFF) {
		request_refuse(request, -EBUSY,
			"the guest is on: shut it down or destroy it before you delete it");
		return;
	}
	was = json_pack("{s:s, s:s}", "uuid", guest->config.uuid, "name", guest->config.name);
	r = after_remove(guest, &err);
	if (r) {
		json_decref(was);
		request_refuse(request, r, err.text);
		return;
	}
	request_answer(request, 200, was);
}

void api_rename(struct request *request)
{
	static const char *const keys[] = {"name", NULL};
	struct guest *guest = api_guest(request);
	struct error err = {0};
	const char *name;
	char *old;
	int r;

	if (!guest)
		return;
	r = body_check(request->body, keys, &err);
	if (!r)
		r = body_text(request->body, "name", true, &name, &err);
	if (!r)
		r = check_name(request->daemon, name, &err);
	if (r) {
		request_refuse(request, r, err.text);
		return;
	}
	old = guest->config.name;
	guest->config.name = strdup(name);
	r = guest->config.name ? domain_config_check(&guest->config, &err) : -ENOMEM;
	if (!r)
		r = guest_save(guest, &err);
	if (r) {
		free(guest->config.name);
		guest->config.name = old;
		request_refuse(request, r, err.text);
		return;
	}
	log_add(&request->daemon->log, GUEST_LABEL " (%u): now named " GUEST_LABEL, old,
		guest->domid, name);
	free(old);
	guest_sort(guest);
	events_tell(&request->daemon->events, "renamed", guest, NULL);
	api_answer_guest(request, guest, 200);
}

void api_console(struct request *request)
{
	struct guest *guest = api_guest(request);
	struct error err = {0};
	int fd, r;

	if (!guest)
		return;
	if (!request->upgrade) {
		request_answer(request, 426,
			json_pack("{s:s, s:i}", "error",
				"ask for it with Connection: Upgrade and Upgrade: dach-console",
				"errno", EINVAL));
		return;
	}
	if (!guest->monitor) {
		request_refuse(request, -ESRCH, "the guest does not run");
		return;
	}
	r = launch_connect(guest, "console", &fd, &err);
	if (r)
		request_refuse(request, r, err.text);
	else
		request_console(request, fd);
}
