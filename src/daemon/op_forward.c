/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports of this host's lead to a guest's network in user mode, or no longer: its monitor has it first, since a port may be
 * somebody else's, and then the store. A daemon that is killed in between has a port open until the guest ends.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/layer.h"
#include "daemon/monitor.h"
#include "daemon/op.h"
#include "daemon/plug.h"
#include "daemon/quota.h"

static int keep(struct operation *op, struct guest *guest, struct domain_config *config,
	struct error *err)
{
	int r = plug_commit(guest, config, err);

	if (!r)
		events_tell(&op->daemon->events, "changed", guest, NULL);
	return r;
}

/* Its place in the list of the network's; how many there are: none of that end on the host. */
static unsigned find(const struct domain_vif *vif, const struct net_forward *forward)
{
	struct net_forward other;
	unsigned k = 0;

	while (k < vif->forwards &&
		(net_forward_parse(vif->forward[k], &other, NULL) ||
			!net_forward_same(&other, forward)))
		k++;
	return k;
}

/* at: which of the guest's networks it is. */
static int change(const struct guest *guest, const struct operation_arguments *arguments,
	unsigned *at, struct domain_config *to, struct error *err)
{
	const struct domain_vif *vif;
	struct net_forward forward;
	json_t *vifs, *list, *json;
	unsigned k;
	int r = net_forward_parse(arguments->forward, &forward, err);

	if (r)
		return r;
	*at = plug_vif_find(&guest->config, arguments->network);
	if (*at == guest->config.vifs)
		return error_set(err, EINVAL, "the guest has no network %u", arguments->network);
	vif = &guest->config.vif[*at];
	k = find(vif, &forward);
	if (arguments->remove ? k == vif->forwards : k < vif->forwards)
		return error_set(err, arguments->remove ? ENOENT : EEXIST,
			arguments->remove ? "network %u: nothing is forwarded from there: %s"
					  : "network %u: what comes there is forwarded already: %s",
			arguments->network, arguments->forward);
	json = plug_open_config(guest, "vifs", &vifs, err);
	if (!json)
		return -EINVAL;
	list = json_object_get(json_array_get(vifs, *at), "forward");
	if (!list) {
		list = json_array();
		json_object_set_new(json_array_get(vifs, *at), "forward", list);
	}
	if (arguments->remove)
		json_array_remove(list, k);
	else
		json_array_append_new(list, json_string(arguments->forward));
	return plug_close_config(json, to, err);
}

static int plan(struct operation *op, const struct guest *guest, unsigned *at,
	struct domain_config *to, struct error *err)
{
	int r = change(guest, &op->arguments, at, to, err);

	return r ? r : quota_check(op->daemon, op->caller, to, guest, err);
}

/* Of what the guest is by now: while its monitor was asked, it may have been given another name, or memory. */
static int keep_now(struct operation *op, struct guest *guest, struct error *err)
{
	struct domain_config config = {0};
	unsigned at;
	int r = change(guest, &op->arguments, &at, &config, err);

	return r ? r : keep(op, guest, &config, err);
}

static void answered(void *ctx, int r, json_t *answer, const char *text)
{
	struct operation *op = ctx;
	struct guest *guest = guest_by_uuid(op->daemon, op->uuid);
	struct error err = {""};

	if (guest)
		guest->plugging = false;
	if (!r && !guest) {
		r = -EPIPE;
		text = "the guest has ended meanwhile";
	}
	if (!r) {
		r = keep_now(op, guest, &err);
		text = err.text;
	}
	if (r)
		op_refuse(op, r, text);
	else
		op_finish_guest(op, guest);
}

static int ask(struct operation *op, struct guest *guest, unsigned at, struct error *err)
{
	struct monitor_request request = {.verb = REQUEST_NET_FORWARD,
		.network = at,
		.remove = op->arguments.remove};
	int r = layer_may_begin(guest, err);

	if (r)
		return r;
	if (strlen(op->arguments.forward) > NET_FORWARD_TEXT)
		return error_set(err, EINVAL, "forward: too long");
	memcpy(request.mac, guest->config.vif[at].mac, sizeof request.mac);
	strcpy(request.forward, op->arguments.forward);
	guest->plugging = true;
	monitor_call(guest->monitor, &request, -1, OP_VERB_TIMEOUT_MS, answered, op);
	return 0;
}

static void run(struct operation *op)
{
	struct guest *guest = op_guest(op);
	struct domain_config config = {0};
	struct error err = {""};
	bool off = guest && guest_is_off(guest);
	unsigned at = 0;
	int r;

	if (!guest || (!off && !op_running_guest(op)))
		return;
	r = plan(op, guest, &at, &config, &err);
	if (!r && off)
		r = keep(op, guest, &config, &err);
	else if (!r)
		r = ask(op, guest, at, &err);
	domain_config_free(&config);
	if (r)
		op_refuse_error(op, r, &err);
	else if (off)
		op_finish_guest(op, guest);
}

static const struct field arguments[] = {
	FIELD_ROW(COUNT, operation_arguments, network, .max = LIMIT_NETWORKS - 1),
	FIELD_ROW(STRING, operation_arguments, forward, .needed = true, .min = 1,
		.max = NET_FORWARD_TEXT),
	FIELD_ROW(BOOL, operation_arguments, remove),
	{.key = NULL},
};

const struct operation_kind operation_network_forward = {"guest_network_forward", "Guest",
	.guest = true, .machine = "reached by forwarded ports", .arguments = arguments, .run = run};
