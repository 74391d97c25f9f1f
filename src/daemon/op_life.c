/* SPDX-License-Identifier: Apache-2.0 */
/* Making, starting, ending, naming and forgetting guests. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/after.h"
#include "daemon/container.h"
#include "daemon/container_files.h"
#include "daemon/daemon.h"
#include "daemon/describe.h"
#include "daemon/guest.h"
#include "daemon/life.h"
#include "daemon/nvram.h"
#include "daemon/op.h"
#include "daemon/quota.h"
#include "daemon/saved.h"
#include "daemon/spec.h"

/* Among those of its owner: nobody learns what others call theirs. */
static int check_name(struct daemon *daemon, uid_t owner, const char *name, struct error *err)
{
	if (!strcmp(name, "Domain-0"))
		return error_set(err, EEXIST, "Domain-0 is the host's own name");
	if (guest_by_name(daemon, owner, name))
		return error_set(err, EEXIST,
			"there is a guest with the name '" GUEST_LABEL "' already", name);
	return 0;
}

static void started(void *ctx, int r, const char *text)
{
	struct operation *op = ctx;
	struct guest *guest = op_guest_after(op, r, text);

	if (guest)
		op_finish_guest(op, guest);
}

/* A new guest */

static const struct field create_arguments[] = {
	{.key = "config",
		.kind = FIELD_OBJECT,
		FIELD_AT(operation_arguments, config),
		.needed = true,
		.max = OPERATION_CONFIG_MAX},
	{.key = "paused", .kind = FIELD_BOOL, FIELD_AT(operation_arguments, paused), .max = 1},
	{.key = "managed", .kind = FIELD_BOOL, FIELD_AT(operation_arguments, managed), .max = 1},
	{.key = "start", .kind = FIELD_CHOICE, FIELD_AT(operation_arguments, start)},
	{.key = NULL},
};

static bool is_to_start(const struct operation_arguments *arguments)
{
	return arguments->start == CHOICE_NONE ? !arguments->managed
					       : arguments->start == CHOICE_YES;
}

static int check_size(const struct operation *op, struct error *err)
{
	if (op->manager ||
		json_dumpb(op->arguments.config, NULL, 0, JSON_COMPACT) <=
			OPERATION_USER_CONFIG_MAX)
		return 0;
	return error_set(err, E2BIG, "config: longer than %u bytes", OPERATION_USER_CONFIG_MAX);
}

int op_check_new(struct operation *op, struct domain_config *config, struct error *err)
{
	int r = check_size(op, err);

	if (!r)
		r = check_name(op->daemon, op->uid, config->name, err);
	if (!r && config->kind == DOMAIN_CONTAINER)
		r = container_check(op->daemon, op->caller, config, err);
	if (!r)
		r = domain_config_check_limits(config, err);
	if (!r)
		r = domain_config_complete(config, err);
	if (!r && guest_by_uuid(op->daemon, config->uuid))
		r = error_set(err, EEXIST, "there is a guest with the UUID %s already",
			config->uuid);
	return r ? r : quota_check(op->daemon, op->caller, config, NULL, err);
}

/* In no list and not kept; NULL: it was refused. */
static struct guest *make(struct operation *op)
{
	const struct operation_arguments *arguments = &op->arguments;
	struct domain_config config = {0};
	struct guest *guest = NULL;
	struct error err = {0};
	int r = 0;

	if (!arguments->managed && !is_to_start(arguments))
		r = error_set(&err, EINVAL, "a guest that is not managed must be started");
	if (!r)
		r = domain_config_from_json(arguments->config, &config, &err);
	if (!r && (config.layers || *config.upper))
		r = error_set(&err, EINVAL, "layers: the daemon names them");
	if (!r)
		r = op_check_new(op, &config, &err);
	if (!r) {
		guest = guest_new(op->daemon, &config);
		if (!guest)
			r = error_nomem(&err);
	}
	domain_config_free(&config);
	if (r) {
		op_refuse_error(op, r, &err);
		return NULL;
	}
	guest->owner = op->uid;
	guest->managed = arguments->managed;
	return guest;
}

int op_try_open(const struct guest *guest, struct error *err)
{
	struct spec_files files;
	int r = spec_init(&files, err);

	if (r)
		return r;
	r = spec_open(guest, &files, err);
	spec_close(&files);
	return r;
}

static int begin_new(struct guest *guest, bool start, bool paused, struct error *err)
{
	int r;

	if (start)
		return life_start(guest, paused, err);
	r = op_try_open(guest, err);
	return r ? r : guest_save(guest, err);
}

static void create(struct operation *op)
{
	struct guest *guest = make(op);

	if (guest)
		op_add_guest(op, guest, is_to_start(&op->arguments), "created");
}

void op_add_guest(struct operation *op, struct guest *guest, bool start, const char *how)
{
	struct error err = {0};
	int r;

	guest->created = true;
	guest_add(guest);
	snprintf(op->uuid, sizeof op->uuid, "%s", guest->config.uuid);
	r = begin_new(guest, start, op->arguments.paused, &err);
	if (r) {
		store_delete(op->daemon->store, guest->config.uuid, NULL);
		if (guest_is_container(guest))
			container_files_sweep(op->daemon, guest);
		guest_nvram_forget(guest);
		guest_free(guest);
		op_refuse_error(op, r, &err);
		return;
	}
	log_add(&op->daemon->log, GUEST_LABEL " (%u): %s by user %u", guest->config.name,
		guest->domid, how, op->uid);
	events_tell(&op->daemon->events, "created", guest, NULL);
	if (start) {
		guest_wait(guest, false, started, op);
	} else {
		guest->created = false;
		op_finish(op, op_describe(op, guest));
	}
}

const struct operation_kind operation_create = {"guest_create", "Guest",
	.arguments = create_arguments, .run = create};

/* Its lives */

static const struct field start_arguments[] = {
	{.key = "paused", .kind = FIELD_BOOL, FIELD_AT(operation_arguments, paused), .max = 1},
	{.key = NULL},
};

static void start(struct operation *op)
{
	struct guest *guest = op_guest(op);
	struct error err = {0};
	int r = 0;

	if (!guest)
		return;
	if (!guest_is_off(guest))
		r = error_set(&err, EALREADY, "domain '" GUEST_LABEL "' is on already",
			guest->config.name);
	if (!r)
		r = quota_check(op->daemon, op->caller, &guest->config, guest, &err);
	if (r)
		op_refuse_error(op, r, &err);
	else
		op_start_guest(op, guest);
}

void op_start_guest(struct operation *op, struct guest *guest)
{
	struct error err = {0};
	int r;

	guest->brief = 0;
	r = life_start(guest, op->arguments.paused, &err);
	if (r)
		op_refuse_error(op, r, &err);
	else
		guest_wait(guest, false, started, op);
}

const struct operation_kind operation_start = {"guest_start", "Guest", .guest = true,
	.arguments = start_arguments, .run = start};

/* The answer was made while the guest was there. */
static void destroyed(void *ctx, int r, const char *text)
{
	struct operation *op = ctx;

	op_finish(op, json_incref(op->value));
}

static void destroy(struct operation *op)
{
	struct guest *guest = op_guest(op);

	if (!guest)
		return;
	if (guest_is_off(guest) && !guest->suspended) {
		op_refuse(op, -ESRCH, "the guest does not run");
		return;
	}
	op->value = op_describe(op, guest);
	if (guest_is_off(guest)) {
		saved_forget_suspended(guest);
		guest_log(guest, "what it was suspended to is dropped", "");
		op_finish(op, json_incref(op->value));
		return;
	}
	guest_wait(guest, true, destroyed, op);
	life_destroy(guest);
}

const struct operation_kind operation_destroy = {"guest_destroy", "Guest", .guest = true,
	.run = destroy};

static void delete (struct operation *op)
{
	struct guest *guest = op_guest(op);
	struct error err = {0};
	json_t *was;
	int r;

	if (!guest)
		return;
	if (!guest_is_off(guest)) {
		op_refuse(op, -EBUSY,
			"the guest is on: shut it down or destroy it before you delete it");
		return;
	}
	if (snapshot_count(guest)) {
		op_refuse(op,
			error_set(&err, EBUSY,
				"the guest has %u snapshots: delete them first (dach snapshot delete)",
				snapshot_count(guest)),
			err.text);
		return;
	}
	was = json_pack("{s:s, s:s}", "uuid", guest->config.uuid, "name", guest->config.name);
	r = after_remove(guest, &err);
	if (!r) {
		op_finish(op, was);
		return;
	}
	json_decref(was);
	op_refuse_error(op, r, &err);
}

const struct operation_kind operation_delete = {"guest_delete", "GuestName", .guest = true,
	.run = delete};

/* Its name */

static const struct field rename_arguments[] = {
	{.key = "name",
		.kind = FIELD_STRING,
		FIELD_AT(operation_arguments, name),
		.needed = true,
		.max = DOMAIN_STRING_MAX},
	{.key = NULL},
};

static int change_name(struct operation *op, struct guest *guest, struct error *err)
{
	const char *name = op->arguments.name;
	char *old = guest->config.name;
	int r = check_name(op->daemon, guest->owner, name, err);

	if (!r && guest->snapshots.work != SNAPSHOT_NO_WORK)
		r = error_set(err, EBUSY, "the guest goes back to a snapshot");
	if (r)
		return r;
	guest->config.name = strdup(name);
	r = guest->config.name ? domain_config_check(&guest->config, err) : -ENOMEM;
	if (!r)
		r = guest_save(guest, err);
	if (r) {
		free(guest->config.name);
		guest->config.name = old;
		return r;
	}
	log_add(&op->daemon->log, GUEST_LABEL " (%u): now named " GUEST_LABEL, old, guest->domid,
		name);
	free(old);
	return 0;
}

static void rename_guest(struct operation *op)
{
	struct guest *guest = op_guest(op);
	struct error err = {0};
	int r;

	if (!guest)
		return;
	r = change_name(op, guest, &err);
	if (r) {
		op_refuse_error(op, r, &err);
		return;
	}
	guest_sort(guest);
	events_tell(&op->daemon->events, "renamed", guest, NULL);
	op_finish_guest(op, guest);
}

const struct operation_kind operation_rename = {"guest_rename", "Guest", .guest = true,
	.arguments = rename_arguments, .run = rename_guest};
