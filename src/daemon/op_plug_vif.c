/* SPDX-License-Identifier: Apache-2.0 */
/* Networks come to a guest and go, while it runs or is off: plug.h has the order. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/container.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/layer.h"
#include "daemon/links.h"
#include "daemon/monitor.h"
#include "daemon/note.h"
#include "daemon/op.h"
#include "daemon/plug.h"
#include "daemon/quota.h"
#include "daemon/spec.h"
#include "daemon/switches.h"

#define PATIENCE 20u       /* seconds in which a guest lets go of a network */
#define PATIENCE_FORCED 2u /* and of one that it loses in any case */

struct vif_plug {
	struct operation *op;
	unsigned devid;
	bool comes, put; /* it is in the store */
};

/* The end */

static int take_out(struct guest *guest, unsigned devid, struct error *err)
{
	const unsigned at = plug_vif_find(&guest->config, devid);

	return at == guest->config.vifs ? 0 : plug_vif_take_out(guest, at, err);
}

/* -ECANCELED and -EPIPE: the note is for the next daemon, or for the end of the guest's life. */
static void failed(struct vif_plug *plug, int r, const char *text)
{
	struct guest *guest = guest_by_uuid(plug->op->daemon, plug->op->uuid);
	struct error err = {0};

	if (guest)
		guest->plugging = false;
	if (guest && r != -ECANCELED && r != -EPIPE) {
		if (plug->put && take_out(guest, plug->devid, &err))
			guest_log(guest, "has a network less, which cannot be noted", err.text);
		note_forget(guest, NOTE_PLUGGING);
	}
	op_refuse(plug->op, r, text);
	free(plug);
}

static void answered(void *ctx, int r, json_t *answer, const char *text)
{
	struct vif_plug *plug = ctx;
	struct operation *op = plug->op;
	struct guest *guest = r ? NULL : guest_by_uuid(op->daemon, op->uuid);
	struct error err = {0};

	if (!r && (!guest || !guest->monitor)) {
		r = -EPIPE;
		text = "the guest has ended meanwhile";
	}
	if (!r && !plug->comes) {
		r = take_out(guest, plug->devid, &err);
		text = err.text;
	}
	if (r) {
		failed(plug, r, text);
		return;
	}
	guest_log(guest, plug->comes ? "has a network more" : "has a network less", "");
	guest->plugging = false;
	note_forget(guest, NOTE_PLUGGING);
	events_tell(&op->daemon->events, "changed", guest, NULL);
	free(plug);
	op_finish_guest(op, guest);
}

/* The beginning */

static int hand_over(struct vif_plug *plug, struct guest *guest, unsigned at, struct error *err)
{
	struct monitor_request request = {.verb = REQUEST_NET_ATTACH, .network = at};
	struct net_spec spec = {.fd = -1};
	int r;

	if (!links_has(guest, at) && !switches_name(guest, at))
		return error_set(err, ENOTSUP,
			"a network in user mode comes at the guest's start: name a bridge for one that is to "
			"come while it runs");
	r = spec_open_network(guest, at, &spec, err);
	if (!r) {
		memcpy(request.mac, spec.mac, sizeof request.mac);
		request.mtu = spec.mtu;
		request.model = spec.model;
		request.rate = spec.rate;
		request.rate_interval = spec.rate_interval;
		if (guest_is_container(guest)) {
			request.network = plug->devid;
			links_peer(guest, at, request.link);
		}
		monitor_call(guest->monitor, &request, spec.fd, OP_VERB_TIMEOUT_MS, answered, plug);
	}
	if (spec.fd >= 0)
		close(spec.fd);
	net_spec_free(&spec);
	return r;
}

static void put_in(struct vif_plug *plug, struct guest *guest, struct domain_config *config,
	unsigned at)
{
	struct error err = {0};
	int r = plug_commit(guest, config, &err);

	plug->put = !r;
	if (!r)
		r = hand_over(plug, guest, at, &err);
	if (r)
		failed(plug, r, err.text);
}

static void ask_for_it(struct vif_plug *plug, struct guest *guest, unsigned at)
{
	const bool force = plug->op->arguments.force;
	struct monitor_request request = {.verb = REQUEST_NET_DETACH,
		.network = at,
		.force = force,
		.seconds = force ? PATIENCE_FORCED : PATIENCE};

	memcpy(request.mac, guest->config.vif[at].mac, sizeof request.mac);
	/* A container's goes with the end of the pair that is the host's. */
	if (guest_is_container(guest))
		answered(plug, 0, NULL, "");
	else
		monitor_call(guest->monitor, &request, -1, 0, answered, plug);
}

/* config: as it would be then; taken. */
static void begin_running(struct operation *op, struct guest *guest, bool comes, unsigned at,
	struct domain_config *config)
{
	struct vif_plug *plug = calloc(1, sizeof *plug);
	struct error err = {0};
	int r = plug ? layer_may_begin(guest, &err) : error_nomem(&err);

	if (!r) {
		*plug = (struct vif_plug){.op = op,
			.devid = domain_vif_devid(comes ? config : &guest->config, at),
			.comes = comes};
		r = note_write(guest, NOTE_PLUGGING, json_pack("{s:i}", "devid", (int)plug->devid),
			&err);
	}
	if (r) {
		op_refuse_error(op, r, &err);
		free(plug);
		return;
	}
	guest->plugging = true;
	if (comes)
		put_in(plug, guest, config, at);
	else
		ask_for_it(plug, guest, at);
}

static void change_off(struct operation *op, struct guest *guest, struct domain_config *config)
{
	struct error err = {0};
	int r = guest->suspended
		? error_set(&err, EBUSY,
			  "the guest is suspended: its state has its networks as they are")
		: plug_commit(guest, config, &err);

	if (r) {
		op_refuse_error(op, r, &err);
		return;
	}
	events_tell(&op->daemon->events, "changed", guest, NULL);
	op_finish_guest(op, guest);
}

static int plan(struct operation *op, const struct guest *guest, bool comes,
	struct domain_config *config, unsigned *at, struct error *err)
{
	int r;

	if (guest_is_container(guest) && !op->daemon->root)
		return error_set(err, ENOTSUP,
			"a user's own container has its networks from its start to its end");
	if (comes) {
		r = plug_vif_with(guest, op->arguments.config, config, at, err);
		if (!r && guest_is_container(guest))
			r = container_check(op->daemon, op->caller, config, err);
		return r ? r : quota_check(op->daemon, op->caller, config, guest, err);
	}
	*at = plug_vif_find(&guest->config, op->arguments.network);
	if (*at == guest->config.vifs)
		return error_set(err, EINVAL, "the guest has no network %u", op->arguments.network);
	return plug_vif_without(guest, *at, config, err);
}

static void begin(struct operation *op, bool comes)
{
	struct guest *guest = op_guest(op);
	struct domain_config config = {0};
	struct error err = {0};
	unsigned at = 0;
	bool off;
	int r;

	off = guest && guest_is_off(guest);
	if (!guest || (!off && !op_running_guest(op)))
		return;
	r = plan(op, guest, comes, &config, &at, &err);
	if (r)
		op_refuse_error(op, r, &err);
	else if (off)
		change_off(op, guest, &config);
	else
		begin_running(op, guest, comes, at, &config);
	domain_config_free(&config);
}

static void attach(struct operation *op)
{
	begin(op, true);
}

static void detach(struct operation *op)
{
	begin(op, false);
}

static const struct field attach_arguments[] = {
	{.key = "network",
		.kind = FIELD_OBJECT,
		FIELD_AT(operation_arguments, config),
		.needed = true,
		.max = OPERATION_USER_CONFIG_MAX},
	{.key = NULL},
};

static const struct field detach_arguments[] = {
	FIELD_ROW(COUNT, operation_arguments, network, .needed = true, .max = LIMIT_NETWORKS - 1),
	FIELD_ROW(BOOL, operation_arguments, force),
	{.key = NULL},
};

const struct operation_kind operation_network_attach = {"guest_network_attach", "Guest",
	.guest = true, .arguments = attach_arguments, .run = attach};
const struct operation_kind operation_network_detach = {"guest_network_detach", "Guest",
	.guest = true, .arguments = detach_arguments, .run = detach};
