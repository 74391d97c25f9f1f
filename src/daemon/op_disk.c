/* SPDX-License-Identifier: Apache-2.0 */
/* What is done to the disks of a guest that runs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/guest.h"
#include "daemon/layer.h"
#include "daemon/monitor.h"
#include "daemon/op.h"

/* New layers: layer.h has the order. */
struct layer_operation {
	struct operation *op;
	struct layer_set set;
	unsigned sent;
};

static void layering_free(struct layer_operation *layering)
{
	layer_free(&layering->set);
	free(layering);
}

/*
 * -ECANCELED: this daemon ends, or the guest is forgotten; -EPIPE: the monitor has gone, and whether it had
 * put them makes no difference any more. The note is settled with the guest's life, or by the next daemon.
 */
static void layer_failed(struct layer_operation *layering, int r, const char *text)
{
	struct guest *guest = guest_by_uuid(layering->op->daemon, layering->op->uuid);

	if (guest && r != -ECANCELED && r != -EPIPE)
		layer_withdraw(guest, &layering->set);
	op_refuse(layering->op, r, text);
	layering_free(layering);
}

static void layered(void *ctx, int r, json_t *answer, const char *text)
{
	struct layer_operation *layering = ctx;
	struct operation *op = layering->op;
	const json_int_t held = json_integer_value(json_object_get(answer, "held"));
	struct guest *guest;
	char told[64];

	if (r) {
		layer_failed(layering, r, text);
		return;
	}
	guest = op_guest(op);
	if (guest) {
		layer_done(guest, &layering->set);
		snprintf(told, sizeof told, "its requests waited for %lld us",
			(long long)held / 1000);
		guest_log(guest, "its disks have new layers", told);
		op_finish_guest(op, guest);
	}
	layering_free(layering);
}

static void send_file(struct layer_operation *layering, struct guest *guest);

static void sent(void *ctx, int r, json_t *answer, const char *text)
{
	struct layer_operation *layering = ctx;
	struct guest *guest = r ? NULL : guest_by_uuid(layering->op->daemon, layering->op->uuid);

	if (r || !guest || !guest->monitor) {
		layer_failed(layering, r ? r : -EPIPE, r ? text : "the guest has ended meanwhile");
		return;
	}
	if (++layering->sent < layering->set.count)
		send_file(layering, guest);
	else
		monitor_call(guest->monitor,
			&(struct monitor_request){.verb = REQUEST_DISK_LAYER,
				.disks = layering->set.count},
			-1, 0, layered, layering);
}

static void send_file(struct layer_operation *layering, struct guest *guest)
{
	layer_send(guest, &layering->set, layering->sent, sent, layering);
}

static void layer(struct operation *op)
{
	const struct operation_arguments *arguments = &op->arguments;
	struct guest *guest = op_running_guest(op);
	struct layer_operation *layering;
	struct error err = {0};
	int r;

	if (!guest)
		return;
	layering = calloc(1, sizeof *layering);
	if (!layering) {
		op_refuse(op, -ENOMEM, "out of memory");
		return;
	}
	layering->op = op;
	r = layer_may_begin(guest, &err);
	if (!r)
		r = layer_plan(guest, arguments->disks, arguments->disks_count, arguments->folder,
			&layering->set, &err);
	if (!r)
		r = layer_enter(guest, &layering->set, &err);
	if (r) {
		op_refuse_error(op, r, &err);
		layering_free(layering);
		return;
	}
	send_file(layering, guest);
}

static const struct field layer_arguments[] = {
	FIELD_STRINGS_ROW("disks", operation_arguments, disks, disks_count, LIMIT_VDEV,
		DOMAIN_DISKS_MAX),
	{.key = "folder",
		.kind = FIELD_STRING,
		FIELD_AT(operation_arguments, folder),
		.max = DOMAIN_STRING_MAX},
	{.key = NULL},
};

const struct operation_kind operation_disk_layer = {"guest_disk_layer", "Guest", .guest = true,
	.machine = OP_NO_DISKS, .arguments = layer_arguments, .run = layer};
