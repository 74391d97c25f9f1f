/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest's monitor is asked to do. */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/guest.h"
#include "daemon/migration.h"
#include "daemon/monitor.h"
#include "daemon/op.h"
#include "daemon/resources.h"

static void unpaused(void *ctx, int r, json_t *answer, const char *text)
{
	struct operation *op = ctx;
	const struct guest *guest = guest_by_uuid(op->daemon, op->uuid);

	if (!r && guest)
		migration_forget(guest);
	op_asked(op, r, answer, text);
}

static void ask(struct operation *op)
{
	const struct monitor_request *request = &op->arguments.request;
	struct guest *guest = op_running_guest(op);
	struct error err = {0};
	int r;

	if (!guest)
		return;
	r = request_is_passed(request->verb)
		? fields_check(request_arguments(request->verb), request, "", &err)
		: error_set(&err, EINVAL, "no guest is asked that");
	if (r)
		op_refuse_error(op, r, &err);
	else
		monitor_call(guest->monitor, request, -1, OP_VERB_TIMEOUT_MS,
			request->verb == REQUEST_UNPAUSE ? unpaused : op_asked, op);
}

const struct operation_kind operation_ask = {"guest_ask", "Guest", .guest = true, .verb = true,
	.run = ask};

static const struct field dump_arguments[] = {
	{.key = "path",
		.kind = FIELD_STRING,
		FIELD_AT(operation_arguments, path),
		.needed = true,
		.max = DOMAIN_STRING_MAX},
	{.key = "live", .kind = FIELD_BOOL, FIELD_AT(operation_arguments, live), .max = 1},
	{.key = NULL},
};

/* The file is the caller's: made with his rights, and gone again if nothing came into it. */
static void dumped(void *ctx, int r, json_t *answer, const char *text)
{
	struct operation *op = ctx;

	if (r && op->manager)
		unlink(op->arguments.path);
	op_asked(op, r, answer, text);
}

static void dump_core(struct operation *op)
{
	const struct operation_arguments *arguments = &op->arguments;
	struct guest *guest = op_running_guest(op);
	struct error err = {0};
	int fd = -1, r = 0;

	if (!guest)
		return;
	if (arguments->path[0] != '/')
		r = error_set(&err, EINVAL, "path: does not begin with /");
	if (!r)
		r = caller_open(op->caller, arguments->path,
			O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, &fd, &err);
	if (r) {
		op_refuse_error(op, r, &err);
		return;
	}
	resources_for_file(guest);
	monitor_call(guest->monitor,
		&(struct monitor_request){.verb = REQUEST_DUMP_CORE, .live = arguments->live}, fd,
		0, dumped, op);
	close(fd);
}

const struct operation_kind operation_dump_core = {"guest_dump_core", "Guest", .guest = true,
	.machine = "dumped: it has no memory of its own", .arguments = dump_arguments,
	.run = dump_core};

static void exec_began(void *ctx, int r, json_t *answer, const char *text)
{
	struct operation *op = ctx;

	if (r)
		op_refuse(op, r, text);
	else
		op_finish_fd(op);
}

/* Who manages guests has not thereby what is in them; root has anyhow. */
static bool may_enter(const struct operation *op, const struct guest *guest)
{
	return !op->uid || op->uid == guest->owner;
}

static void exec(struct operation *op)
{
	struct guest *guest = op_running_guest(op);
	int ends[2];

	if (!guest)
		return;
	if (!may_enter(op, guest)) {
		op_refuse(op, -EACCES, "only root and the guest's owner run commands in it");
		return;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends)) {
		op_refuse(op, -errno, "");
		return;
	}
	op->fd = ends[0];
	monitor_call(guest->monitor, &(struct monitor_request){.verb = REQUEST_EXEC}, ends[1],
		OP_VERB_TIMEOUT_MS, exec_began, op);
	close(ends[1]);
}

const struct operation_kind operation_exec = {"guest_exec", NULL, .guest = true, .run = exec};
