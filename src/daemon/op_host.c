/* SPDX-License-Identifier: Apache-2.0 */
/* About the host, the daemon and all guests. */
#include <errno.h>

#include "daemon/daemon.h"
#include "daemon/describe.h"
#include "daemon/guest.h"
#include "daemon/host.h"
#include "daemon/life.h"
#include "daemon/op.h"

static void engines_known(void *ctx)
{
	struct operation *op = ctx;

	op_finish(op, host_describe(op->daemon, op->manager));
}

static void host(struct operation *op)
{
	engines_wait(&op->daemon->engines, engines_known, op);
}

const struct operation_kind operation_host = {"host_get", "Host", .run = host};

static json_t *lines(struct operation *op)
{
	return json_pack("{s:o}", "lines", log_json(&op->daemon->log));
}

static void tell_log(struct operation *op)
{
	if (op->manager)
		op_finish(op, lines(op));
	else
		op_refuse(op, -EACCES, "the log tells of other people's guests");
}

const struct operation_kind operation_log = {"log_get", "Log", .run = tell_log};

static void clear_log(struct operation *op)
{
	tell_log(op);
	if (op->manager)
		log_clear(&op->daemon->log);
}

const struct operation_kind operation_log_clear = {"log_clear", "Log", .run = clear_log};

static void tell_list(struct operation *op)
{
	json_t *guests = json_array();

	for (const struct guest *guest = op->daemon->guests; guest; guest = guest->next)
		if (guest_visible(guest, op->manager, op->uid))
			json_array_append_new(guests, op_describe(op, guest));
	op_finish(op,
		json_pack("{s:o, s:o}", "guests", guests, "domain0", host_domain0(op->daemon)));
}

static void refreshed(void *ctx, int r, const char *text)
{
	struct operation *op = ctx;

	if (!--op->open)
		tell_list(op);
}

static void list(struct operation *op)
{
	op->open = 1;
	for (struct guest *guest = op->daemon->guests; guest; guest = guest->next) {
		if (!guest_answers(guest) || !guest_visible(guest, op->manager, op->uid))
			continue;
		op->open++;
		life_glance(guest, OP_REFRESH_MS, refreshed, op);
	}
	refreshed(op, 0, "");
}

const struct operation_kind operation_list = {"guests_list", "GuestList", .run = list};

static void get(struct operation *op)
{
	struct guest *guest = op_guest(op);

	if (guest)
		op_finish_guest(op, guest);
}

const struct operation_kind operation_get = {"guest_get", "Guest", .guest = true, .run = get};
