/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders of the host's come to a container and go, while it runs or is off. The configuration has one that comes before the
 * container does, and one that goes until it has gone.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "daemon/container.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/layer.h"
#include "daemon/monitor.h"
#include "daemon/op.h"
#include "daemon/plug.h"
#include "daemon/spec.h"
#include "protocol/share.h"

struct sharing {
	struct operation *op;
	char path[REQUEST_NAME_MAX + 1];
	bool comes;
};

static const struct share_spec *find(const struct domain_config *config, const char *path)
{
	for (unsigned i = 0; i < config->shares; i++)
		if (config->share[i].path && share_path_same(config->share[i].path, path))
			return &config->share[i];
	return NULL;
}

static int plan_without(const struct guest *guest, const char *path, struct domain_config *to,
	struct error *err)
{
	json_t *shares, *json = plug_open_config(guest, "shares", &shares, err), *share;
	size_t i;

	if (!json)
		return -EINVAL;
	json_array_foreach(shares, i, share)
	{
		if (share_path_same(json_get_text(share, "path"), path))
			break;
	}
	if (json_array_remove(shares, i)) {
		json_decref(json);
		return error_set(err, EINVAL, "the guest has no folder at '%.200s'", path);
	}
	return plug_close_config(json, to, err);
}

static int plan_with(const struct guest *guest, json_t *share, struct domain_config *to,
	struct error *err)
{
	json_t *shares, *json = plug_open_config(guest, "shares", &shares, err);

	if (!json)
		return -EINVAL;
	json_array_append(shares, share);
	return plug_close_config(json, to, err);
}

static int take_out(struct guest *guest, const char *path, struct error *err)
{
	struct domain_config config = {0};
	int r = plan_without(guest, path, &config, err);

	return r ? r : plug_commit(guest, &config, err);
}

/*
 * Nothing is mounted there any more, whoever has seen to that. Not so where there is no such place: a folder above it may have
 * another name now, with the mount in it.
 */
static bool is_gone(int r)
{
	return !r || r == -EINVAL;
}

/* -ECANCELED: this daemon ends, and the configuration stays as it is. */
static void answered(void *ctx, int r, json_t *answer, const char *text)
{
	struct sharing *sharing = ctx;
	struct operation *op = sharing->op;
	struct guest *guest = guest_by_uuid(op->daemon, op->uuid);
	const bool goes = sharing->comes ? r && r != -ECANCELED : is_gone(r);
	struct error err = {0};
	int saved = 0;

	if (guest)
		guest->plugging = false;
	if (guest && goes)
		saved = take_out(guest, sharing->path, &err);
	if (saved)
		guest_log(guest, "has a folder less, which cannot be noted", err.text);
	if (goes && !sharing->comes) {
		r = saved;
		text = err.text;
	}
	free(sharing);
	if (r || !guest) {
		op_refuse(op, r ? r : -EPIPE, r ? text : "the guest has ended meanwhile");
		return;
	}
	events_tell(&op->daemon->events, "changed", guest, NULL);
	op_finish_guest(op, guest);
}

static int hand_over(struct sharing *sharing, struct guest *guest, struct error *err)
{
	struct monitor_request request = {.verb = REQUEST_SHARE_ATTACH};
	const struct share_spec *share = find(&guest->config, sharing->path);
	struct share_spec opened = {.fd = -1, .folder = share->folder};
	struct caller owner;
	int r;

	caller_of_user(&guest->daemon->policy, guest->owner, &owner);
	r = spec_open_share(&owner, &opened, err);
	caller_free(&owner);
	if (r)
		return r;
	strcpy(request.name, sharing->path);
	request.readonly = share->read_only;
	monitor_call(guest->monitor, &request, opened.fd, OP_VERB_TIMEOUT_MS, answered, sharing);
	close(opened.fd);
	return 0;
}

/* config: as it would be then; taken. */
static void begin_running(struct operation *op, struct guest *guest, const char *path, bool comes,
	struct domain_config *config)
{
	struct monitor_request request = {.verb = REQUEST_SHARE_DETACH};
	struct sharing *sharing = calloc(1, sizeof *sharing);
	struct error err = {0};
	int r = sharing ? layer_may_begin(guest, &err) : error_nomem(&err);

	if (!r && comes)
		r = plug_commit(guest, config, &err);
	if (r) {
		op_refuse_error(op, r, &err);
		free(sharing);
		return;
	}
	*sharing = (struct sharing){.op = op, .comes = comes};
	strcpy(sharing->path, path);
	guest->plugging = true;
	if (comes) {
		r = hand_over(sharing, guest, &err);
		if (r)
			answered(sharing, r, NULL, err.text);
	} else {
		strcpy(request.name, path);
		monitor_call(guest->monitor, &request, -1, OP_VERB_TIMEOUT_MS, answered, sharing);
	}
}

static int plan(const struct operation *op, const struct guest *guest, const char *path, bool comes,
	struct domain_config *config, struct error *err)
{
	int r;

	if (guest->suspended)
		return error_set(err, EBUSY,
			"the guest is suspended: its state has its folders as they are");
	if (!comes)
		r = plan_without(guest, path, config, err);
	else if (find(&guest->config, path))
		r = error_set(err, EEXIST, "the guest has a folder at '%.200s' already", path);
	else
		r = plan_with(guest, op->arguments.config, config, err);
	if (r || guest_is_off(guest) || guest_is_container(guest))
		return r;
	return error_set(err, ENOTSUP,
		"a machine has its folders from its start to its end: it gets one, or loses it, while it is off");
}

static void begin(struct operation *op, const char *path, bool comes)
{
	struct guest *guest = op_guest(op);
	struct domain_config config = {0};
	struct error err = {0};
	bool off;
	int r;

	off = guest && guest_is_off(guest);
	if (!guest || (!off && !op_running_guest(op)))
		return;
	r = plan(op, guest, path, comes, &config, &err);
	if (!r && off)
		r = plug_commit(guest, &config, &err);
	if (r) {
		op_refuse_error(op, r, &err);
	} else if (off) {
		events_tell(&op->daemon->events, "changed", guest, NULL);
		op_finish_guest(op, guest);
	} else {
		begin_running(op, guest, path, comes, &config);
	}
	domain_config_free(&config);
}

static void attach(struct operation *op)
{
	begin(op, json_get_text(op->arguments.config, "path"), true);
}

static void detach(struct operation *op)
{
	begin(op, op->arguments.path, false);
}

static const struct field attach_arguments[] = {
	{.key = "share",
		.kind = FIELD_OBJECT,
		FIELD_AT(operation_arguments, config),
		.needed = true,
		.max = OPERATION_USER_CONFIG_MAX},
	{.key = NULL},
};

static const struct field detach_arguments[] = {
	{.key = "path",
		.kind = FIELD_STRING,
		FIELD_AT(operation_arguments, path),
		.needed = true,
		.min = 1,
		.max = REQUEST_NAME_MAX},
	{.key = NULL},
};

const struct operation_kind operation_share_attach = {"guest_share_attach", "Guest", .guest = true,
	.arguments = attach_arguments, .run = attach};
const struct operation_kind operation_share_detach = {"guest_share_detach", "Guest", .guest = true,
	.arguments = detach_arguments, .run = detach};
