/* SPDX-License-Identifier: Apache-2.0 */
/* A guest of the one kind becomes one of the other: who asks has made what the new one is of (cli/convert.c). */
#include <errno.h>
#include <string.h>

#include "daemon/container.h"
#include "daemon/container_files.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/nvram.h"
#include "daemon/op.h"
#include "daemon/quota.h"
#include "daemon/snapshot.h"

static int check_guest(const struct guest *guest, struct error *err)
{
	if (!guest->managed)
		return error_set(err, EINVAL, "only managed guests become others");
	if (!guest_is_off(guest))
		return error_set(err, EBUSY, "the guest is on: dach shutdown -w %s",
			guest->config.name);
	if (guest->suspended)
		return error_set(err, EBUSY, "the guest is suspended: resume it first");
	if (snapshot_count(guest) || guest->snapshots.work != SNAPSHOT_NO_WORK)
		return error_set(err, EBUSY,
			"the guest has snapshots, which are of its kind: delete them first (dach snapshot delete)");
	return 0;
}

/* What the new one is of was made of the guest as it was then; it may have run since. */
static int check_unchanged(const struct operation *op, const struct guest *guest, struct error *err)
{
	json_t *now = NULL;
	int r = domain_config_to_json(&guest->config, &now, err);

	if (!r &&
		(!json_equal(now, op->arguments.told) ||
			(uint64_t)guest->ended != op->arguments.ended))
		r = error_set(err, EBUSY,
			"the guest has run, or has been changed, while another kind was made of it: once more, with it off");
	json_decref(now);
	return r;
}

static int check_config(const struct operation *op, const struct guest *guest,
	struct domain_config *config, struct error *err)
{
	int r = 0;

	if (config->kind == guest->config.kind)
		r = error_set(err, EINVAL, "kind: the guest is a %s already",
			domain_kind_name(config->kind));
	else if (strcmp(config->name, guest->config.name) ||
		strcmp(config->uuid, guest->config.uuid))
		r = error_set(err, EINVAL, "name: the guest keeps its name and its UUID");
	else if (config->layers || *config->upper)
		r = error_set(err, EINVAL, "layers: the daemon names them");
	if (!r && config->kind == DOMAIN_CONTAINER)
		r = container_check(op->daemon, op->caller, config, err);
	if (!r)
		r = domain_config_check_limits(config, err);
	if (!r)
		r = domain_config_check_boot(config, err);
	if (!r)
		r = domain_config_complete(config, err);
	return r ? r : quota_check(op->daemon, op->caller, config, guest, err);
}

/* What the new one is of can be opened; else it is what it was. */
static int become(struct guest *guest, struct domain_config *config, struct error *err)
{
	struct domain_config was = guest->config;
	int r;

	guest->config = *config;
	r = op_try_open(guest, err);
	if (!r)
		r = guest_save(guest, err);
	*config = r ? guest->config : was;
	if (r)
		guest->config = was;
	return r;
}

static void convert(struct operation *op)
{
	struct guest *guest = op_guest(op);
	struct domain_config config = {0};
	struct error err = {0};
	int r;

	if (!guest)
		return;
	r = check_guest(guest, &err);
	if (!r)
		r = check_unchanged(op, guest, &err);
	if (!r)
		r = domain_config_from_json(op->arguments.config, &config, &err);
	if (!r)
		r = check_config(op, guest, &config, &err);
	if (!r)
		r = become(guest, &config, &err);
	domain_config_free(&config);
	/* What it had as the other kind; or has begun to make as this one. */
	container_files_sweep(op->daemon, NULL);
	if (r) {
		op_refuse_error(op, r, &err);
		return;
	}
	guest_nvram_forget(guest);
	guest_log(guest, "is another kind of guest now", domain_kind_name(guest->config.kind));
	events_tell(&op->daemon->events, "changed", guest, NULL);
	op_finish_guest(op, guest);
}

static const struct field arguments[] = {
	{.key = "config",
		.kind = FIELD_OBJECT,
		FIELD_AT(operation_arguments, config),
		.needed = true,
		.max = OPERATION_CONFIG_MAX},
	FIELD_ROW(OBJECT, operation_arguments, told, .needed = true, .max = OPERATION_CONFIG_MAX),
	FIELD_ROW(NUMBER, operation_arguments, ended, .needed = true, .max = INT64_MAX),
	{.key = NULL},
};

const struct operation_kind operation_convert = {"guest_convert", "Guest", .guest = true,
	.arguments = arguments, .run = convert};
