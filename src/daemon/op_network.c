/* SPDX-License-Identifier: Apache-2.0 */
/* About the host's networks that the daemon keeps: who manages the host changes them. */
#include <errno.h>
#include <string.h>

#include "daemon/daemon.h"
#include "daemon/network.h"
#include "daemon/op.h"

static bool may(struct operation *op)
{
	struct daemon *daemon = op->daemon;

	if (!op->manager)
		op_refuse(op, -EACCES, "networks are for who manages this host");
	else if (!daemon->root)
		op_refuse(op, -ENOTSUP,
			"networks are the host's daemon's, which root runs; a user's guests each have one of "
			"their own");
	return op->manager && daemon->root;
}

/* NULL: it has been refused. */
static struct network *find(struct operation *op)
{
	struct network *network = may(op) ? network_find(op->daemon, op->arguments.ref) : NULL;
	struct error err = {""};

	if (!network && !op->finished) {
		error_set(&err, ENOENT, "there is no network '%.64s'", op->arguments.ref);
		op_refuse_error(op, -ENOENT, &err);
	}
	return network;
}

static void list(struct operation *op)
{
	json_t *networks = json_array();

	for (const struct network *at = op->manager ? op->daemon->networks : NULL; at;
		at = at->next)
		json_array_append_new(networks, network_describe(at, false));
	op_finish(op, json_pack("{s:o}", "networks", networks));
}

const struct operation_kind operation_networks = {"networks_list", "HostNetworkList", .run = list};

static void get(struct operation *op)
{
	struct network *network = find(op);

	if (network)
		op_finish(op, network_describe(network, true));
}

const struct operation_kind operation_network_get = {"network_get", "HostNetwork", .run = get};

static const struct field create_arguments[] = {
	{.key = "config",
		.kind = FIELD_OBJECT,
		FIELD_AT(operation_arguments, config),
		.needed = true,
		.max = OPERATION_CONFIG_MAX},
	{.key = "start", .kind = FIELD_CHOICE, FIELD_AT(operation_arguments, start)},
	{.key = NULL},
};

/* Started with that, unless it is not to be; what cannot be started is not kept. */
static void create(struct operation *op)
{
	struct network_config config;
	struct network *network = NULL;
	struct error err = {""}, ignored = {""};
	int r;

	if (!may(op))
		return;
	r = network_config_from_json(op->arguments.config, &config, &err);
	if (!r) {
		r = network_create(op->daemon, &config, &network, &err);
		network_config_free(&config);
	}
	if (!r && op->arguments.start != CHOICE_NO) {
		r = network_start(network, &err);
		if (r)
			network_delete(network, &ignored);
	}
	if (r) {
		op_refuse_error(op, r, &err);
		return;
	}
	log_add(&op->daemon->log, "network %s: created", network->config.name);
	op_finish(op, network_describe(network, true));
}

const struct operation_kind operation_network_create = {"network_create", "HostNetwork",
	.arguments = create_arguments, .run = create};

static const struct field edit_arguments[] = {
	{.key = "config",
		.kind = FIELD_OBJECT,
		FIELD_AT(operation_arguments, config),
		.needed = true,
		.max = OPERATION_CONFIG_MAX},
	{.key = NULL},
};

/* What it is, with what the client names in place; null: as if it were not named. */
static int merge(const struct network *network, const json_t *changes,
	struct network_config *config, struct error *err)
{
	json_t *json = fields_write(network_config_fields, &network->config), *value;
	const char *key;
	int r;

	json_object_foreach((json_t *)(uintptr_t)changes, key, value)
	{
		if (json_is_null(value))
			json_object_del(json, key);
		else
			json_object_set(json, key, value);
	}
	r = network_config_from_json(json, config, err);
	json_decref(json);
	if (r || !strcmp(config->name, network->config.name))
		return r;
	network_config_free(config);
	return error_set(err, EINVAL, "name: a network keeps its name");
}

static void edit(struct operation *op)
{
	struct network *network = find(op);
	struct network_config config = {.name = NULL};
	struct error err = {""};
	int r;

	if (!network)
		return;
	r = merge(network, op->arguments.config, &config, &err);
	if (!r)
		r = network_edit(network, &config, &err);
	network_config_free(&config);
	if (r) {
		op_refuse_error(op, r, &err);
		return;
	}
	log_add(&op->daemon->log, "network %s: changed", network->config.name);
	op_finish(op, network_describe(network, true));
}

const struct operation_kind operation_network_edit = {"network_edit", "HostNetwork",
	.arguments = edit_arguments, .run = edit};

static void start(struct operation *op)
{
	struct network *network = find(op);
	struct error err = {""};
	int r;

	if (!network)
		return;
	r = network_start(network, &err);
	if (r)
		op_refuse_error(op, r, &err);
	else
		op_finish(op, network_describe(network, true));
}

const struct operation_kind operation_network_start = {"network_start", "HostNetwork",
	.run = start};

static void stop(struct operation *op)
{
	struct network *network = find(op);
	struct error err = {""};
	int r;

	if (!network)
		return;
	r = network_stop(network, &err);
	if (r)
		op_refuse_error(op, r, &err);
	else
		op_finish(op, network_describe(network, true));
}

const struct operation_kind operation_network_stop = {"network_stop", "HostNetwork", .run = stop};

static void delete (struct operation *op)
{
	struct network *network = find(op);
	json_t *was = network ? network_describe(network, false) : NULL;
	struct error err = {""};
	int r;

	if (!network)
		return;
	r = network_delete(network, &err);
	if (!r) {
		log_add(&op->daemon->log, "network %s: deleted", op->arguments.ref);
		op_finish(op, was);
		return;
	}
	json_decref(was);
	op_refuse_error(op, r, &err);
}

const struct operation_kind operation_network_delete = {"network_delete", "HostNetwork",
	.run = delete};
