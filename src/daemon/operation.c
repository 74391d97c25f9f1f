/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/operation.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/container.h"
#include "daemon/daemon.h"
#include "daemon/describe.h"
#include "daemon/guest.h"
#include "daemon/launch.h"
#include "daemon/life.h"
#include "daemon/op.h"

/* Arguments */

void operation_arguments_init(const struct operation_kind *kind,
	struct operation_arguments *arguments)
{
	memset(arguments, 0, sizeof *arguments);
	/* No default of an argument is a string, so that this cannot fail. */
	if (kind->arguments)
		fields_default(kind->arguments, arguments);
}

void operation_arguments_free(struct operation_arguments *arguments)
{
	free(arguments->ref);
	json_decref(arguments->config);
	json_decref(arguments->told);
	json_decref(arguments->disk_sizes);
	free(arguments->name);
	free(arguments->path);
	free(arguments->vcpu);
	free(arguments->cpus);
	free(arguments->soft);
	for (unsigned i = 0; i < arguments->disks_count; i++)
		free(arguments->disks[i]);
	free(arguments->disks);
	free(arguments->folder);
	free(arguments->disk);
	free(arguments->since);
	free(arguments->checkpoint);
	free(arguments->base);
	free(arguments->snapshot);
	free(arguments->comment);
	free(arguments->host);
	free(arguments->guest);
	free(arguments->address);
	free(arguments->fingerprint);
	free(arguments->token);
	memset(arguments, 0, sizeof *arguments);
}

int operation_arguments_read(const struct operation_kind *kind, const json_t *json,
	struct operation_arguments *arguments, struct error *err)
{
	json_t *none;
	int r;

	if (kind->verb && request_needs_arguments(arguments->request.verb))
		return request_read_arguments(arguments->request.verb, json, &arguments->request,
			err);
	if (!kind->arguments && json && !(json_is_object(json) && !json_object_size(json)))
		return error_set(err, EINVAL, "this takes no arguments");
	if (kind->verb)
		return request_read_arguments(arguments->request.verb, NULL, &arguments->request,
			err);
	if (!kind->arguments)
		return 0;
	none = json_object();
	r = fields_read(kind->arguments, json ? json : none, arguments, "", err);
	json_decref(none);
	return r;
}

/* The end */

static void op_free(struct operation *op)
{
	struct operation **at = &op->daemon->operations;

	while (*at != op)
		at = &(*at)->next;
	*at = op->next;
	operation_arguments_free(&op->arguments);
	json_decref(op->value);
	if (op->fd >= 0)
		close(op->fd);
	free(op);
}

static void finish(struct operation *op, const struct operation_answer *answer)
{
	op->finished = true;
	if (op->done)
		op->done(op->ctx, answer);
	if (!op->beginning)
		op_free(op);
}

void op_finish(struct operation *op, json_t *value)
{
	if (value)
		finish(op, &(struct operation_answer){.text = "", .value = value, .fd = -1});
	else
		op_refuse(op, -ENOMEM, "out of memory");
	json_decref(value);
}

void op_refuse(struct operation *op, int r, const char *text)
{
	finish(op,
		&(struct operation_answer){.r = r, .text = *text ? text : strerror(-r), .fd = -1});
}

void op_finish_fd(struct operation *op)
{
	const int fd = op->fd;

	if (op->done)
		op->fd = -1;
	finish(op, &(struct operation_answer){.text = "", .fd = fd});
}

void op_refuse_error(struct operation *op, int r, const struct error *err)
{
	op_refuse(op, r, err->text);
}

/* Guests */

/* Also remembers it for later. */
static int find(struct operation *op, struct error *err)
{
	struct guest *guest;
	int r;

	if (!op->arguments.ref)
		return error_set(err, ENOENT, "no guest is named");
	r = guest_find(op->daemon, op->caller, op->arguments.ref, &guest, err);
	if (r)
		return r;
	if (op->kind->machine && guest_is_container(guest))
		return error_set(err, ENOTSUP,
			"'" GUEST_LABEL "' is a container, which cannot be %s", guest->config.name,
			op->kind->machine);
	snprintf(op->uuid, sizeof op->uuid, "%s", guest->config.uuid);
	return 0;
}

json_t *op_describe(const struct operation *op, const struct guest *guest)
{
	return guest_describe(guest, op->manager, op->uid);
}

struct guest *op_guest(struct operation *op)
{
	struct guest *guest = guest_by_uuid(op->daemon, op->uuid);

	if (!guest)
		op_refuse(op, -ESRCH, "the guest has ended meanwhile");
	return guest;
}

struct guest *op_guest_after(struct operation *op, int r, const char *text)
{
	if (!r)
		return op_guest(op);
	op_refuse(op, r, text);
	return NULL;
}

struct guest *op_running_guest(struct operation *op)
{
	struct guest *guest = op_guest(op);

	if (!guest || guest_answers(guest))
		return guest;
	op_refuse(op, -ESRCH,
		guest->state == RECORD_STARTING ? "the guest is only starting"
						: "the guest does not run");
	return NULL;
}

static void refreshed(void *ctx, int r, const char *text)
{
	struct operation *op = ctx;
	struct guest *guest = op_guest(op);

	if (guest)
		op_finish(op, op_describe(op, guest));
}

void op_finish_guest(struct operation *op, struct guest *guest)
{
	snprintf(op->uuid, sizeof op->uuid, "%s", guest->config.uuid);
	if (guest_answers(guest))
		life_glance(guest, OP_REFRESH_MS, refreshed, op);
	else
		op_finish(op, op_describe(op, guest));
}

void op_asked(void *ctx, int r, json_t *answer, const char *text)
{
	struct operation *op = ctx;
	struct guest *guest;

	if (r) {
		op_refuse(op, r, text);
		return;
	}
	guest = op_guest(op);
	if (guest)
		op_finish_guest(op, guest);
}

/* The beginning */

/* The policy may have changed since the caller was let in. */
static int check_caller(const struct caller *caller, struct error *err)
{
	if (caller->manager || caller->user)
		return 0;
	return error_set(err, EACCES, "you may no longer use this daemon");
}

static void run(struct operation *op)
{
	const struct operation_kind *kind = op->kind;
	struct error err = {0};
	int r = check_caller(op->caller, &err);

	if (!r && kind->guest)
		r = find(op, &err);
	if (r == -ENOENT) {
		finish(op,
			&(struct operation_answer){.r = -ENOENT,
				.no_guest = true,
				.text = err.text,
				.fd = -1});
		return;
	}
	if (!r && kind->arguments)
		r = fields_check(kind->arguments, &op->arguments, "", &err);
	if (r)
		op_refuse_error(op, r, &err);
	else
		kind->run(op);
}

struct operation *operation_begin(const struct operation_kind *kind, struct daemon *daemon,
	const struct caller *caller, struct operation_arguments *arguments, operation_done *done,
	void *ctx)
{
	struct operation *op = calloc(1, sizeof *op);

	if (!op) {
		operation_arguments_free(arguments);
		done(ctx,
			&(struct operation_answer){.r = -ENOMEM,
				.text = "out of memory",
				.fd = -1});
		return NULL;
	}
	*op = (struct operation){.next = daemon->operations,
		.kind = kind,
		.daemon = daemon,
		.caller = caller,
		.manager = caller->manager,
		.uid = caller->uid,
		.arguments = *arguments,
		.beginning = true,
		.fd = -1,
		.done = done,
		.ctx = ctx};
	memset(arguments, 0, sizeof *arguments);
	daemon->operations = op;
	run(op);
	op->beginning = false;
	op->caller = NULL;
	if (!op->finished)
		return op;
	op_free(op);
	return NULL;
}

void operation_abandon(struct operation *op)
{
	if (op)
		op->done = NULL;
}

void operation_free_all(struct daemon *daemon)
{
	while (daemon->operations)
		op_free(daemon->operations);
}

/* What is no value */

static int find_running(struct daemon *daemon, const struct caller *caller, const char *ref,
	struct guest **guest, bool *no_guest, struct error *err)
{
	int r = check_caller(caller, err);

	*no_guest = false;
	if (r)
		return r;
	r = guest_find(daemon, caller, ref, guest, err);
	*no_guest = r == -ENOENT;
	if (r)
		return r;
	return (*guest)->monitor ? 0 : error_set(err, ESRCH, "the guest does not run");
}

int operation_console(struct daemon *daemon, const struct caller *caller, const char *ref, int *fd,
	bool *no_guest, struct error *err)
{
	struct guest *guest;
	int r = find_running(daemon, caller, ref, &guest, no_guest, err);

	*fd = -1;
	return r ? r : launch_connect(guest, "console", fd, err);
}

int operation_screen(struct daemon *daemon, const struct caller *caller, const char *ref, int *fd,
	bool *no_guest, struct error *err)
{
	struct guest *guest;
	int r = find_running(daemon, caller, ref, &guest, no_guest, err);

	*fd = -1;
	if (!r && !guest->config.machine.vnc)
		r = error_set(err, ENODEV,
			GUEST_LABEL
			": it has no screen: it gets one at its next start with vnc=1 in its "
			"configuration",
			guest->config.name);
	return r ? r : launch_connect(guest, "screen", fd, err);
}

int operation_listen(struct daemon *daemon, const struct caller *caller, struct listener *listener,
	struct error *err)
{
	int r = check_caller(caller, err);

	if (r)
		return r;
	listener->manager = caller->manager;
	listener->uid = caller->uid;
	events_listen(&daemon->events, listener);
	return 0;
}
