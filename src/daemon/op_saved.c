/* SPDX-License-Identifier: Apache-2.0 */
/* Saving guests to files and going on from them, suspending managed ones, and what goes on in monitors. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/cores.h"
#include "daemon/daemon.h"
#include "daemon/describe.h"
#include "daemon/guest.h"
#include "daemon/layer.h"
#include "daemon/life.h"
#include "daemon/monitor.h"
#include "daemon/note.h"
#include "daemon/op.h"
#include "daemon/quota.h"
#include "daemon/resources.h"
#include "daemon/saved.h"

/*
 * Saving. The monitor writes the state and then has the guest stand; once its file has its name, which is
 * what decides, the guest is told to end. Whatever fails before, the guest goes on and the file is gone.
 */
struct saving {
	struct operation *op;
	struct guest *guest; /* while its monitor has been asked for something */
	struct saved_file file;
	enum request_then then;
	bool suspends;
};

static void saving_free(struct saving *saving)
{
	saved_close(&saving->file);
	free(saving);
}

static void refuse(struct saving *saving, int r, const char *text)
{
	saved_forget_note(saving->guest);
	op_refuse(saving->op, r, text);
	saving_free(saving);
}

/* The answer was made while the guest was there. */
static void ended(void *ctx, int r, const char *text)
{
	struct operation *op = ctx;

	op_finish(op, json_incref(op->value));
}

static void released(void *ctx, int r, json_t *answer, const char *text)
{
	struct saving *saving = ctx;
	struct guest *guest = saving->guest;

	/* This daemon ends: the next one finds the note, and the guest, if it is still there, waiting. */
	if (r == -ECANCELED) {
		op_refuse(saving->op, r, text);
		saving_free(saving);
		return;
	}
	/* It went on by itself, since this took too long: then the file is not what it is. */
	if (r && r != -EPIPE) {
		guest->saved = guest->suspended = false;
		saved_withdraw(&saving->file);
		refuse(saving, r, text);
		return;
	}
	saved_forget_note(guest);
	guest_wait(guest, true, ended, saving->op);
	saving_free(saving);
}

static void release(struct saving *saving, bool ends)
{
	monitor_call(saving->guest->monitor,
		&(struct monitor_request){.verb = REQUEST_RELEASE, .end = ends}, -1, 0,
		ends ? released : NULL, ends ? saving : NULL);
}

static void written(void *ctx, int r, json_t *answer, const char *text)
{
	struct saving *saving = ctx;
	struct guest *guest = saving->guest;
	struct error err = {0};
	bool ends = saving->then == SAVE_THEN_WAIT;

	if (!r) {
		r = saved_commit(&saving->file, &guest->config, &err);
		text = err.text;
		if (r && ends)
			release(saving, false);
	}
	if (r) {
		saved_drop(&saving->file);
		guest_log(guest, "not saved", text);
		refuse(saving, r, text);
	} else if (ends) {
		guest->saved = true;
		guest->suspended = saving->suspends;
		guest_log(guest, saving->suspends ? "suspended" : "saved", "");
		release(saving, true);
	} else {
		struct operation *op = saving->op;

		saved_forget_note(guest);
		guest_log(guest, "saved, and goes on", "");
		saving_free(saving);
		op_finish_guest(op, guest);
	}
}

static void save_to(struct operation *op, struct guest *guest, const struct caller *caller,
	const char *path, enum request_then then, bool suspends)
{
	struct saving *saving = calloc(1, sizeof *saving);
	struct error err = {0};
	int r;

	if (!saving) {
		op_refuse(op, -ENOMEM, "out of memory");
		return;
	}
	*saving = (struct saving){.op = op, .guest = guest, .then = then, .suspends = suspends};
	r = saved_begin(guest, caller, path, &saving->file, &err);
	if (r) {
		op_refuse_error(op, r, &err);
		saving_free(saving);
		return;
	}
	op->value = op_describe(op, guest);
	resources_for_file(guest);
	monitor_call(guest->monitor, &(struct monitor_request){.verb = REQUEST_SAVE, .then = then},
		saving->file.fd, 0, written, saving);
}

static const char *const thens[] = {"end", "run", "pause", NULL};

static const struct field save_arguments[] = {
	{.key = "path",
		.kind = FIELD_STRING,
		FIELD_AT(operation_arguments, path),
		.needed = true,
		.max = DOMAIN_STRING_MAX},
	{.key = "then", .kind = FIELD_ENUM, FIELD_AT(operation_arguments, then), .names = thens},
	{.key = NULL},
};

/* A note stands in its folder for as long as it is being saved. */
static struct guest *guest_to_save(struct operation *op)
{
	struct guest *guest = op_running_guest(op);
	struct error err = {0};

	if (!guest)
		return NULL;
	if (guest->held || guest->destroying) {
		op_refuse(op, error_set(&err, EINVAL, "the guest has ended"), err.text);
		return NULL;
	}
	if (guest->update) {
		op_refuse(op, error_set(&err, EBUSY, "the guest is going to another monitor"),
			err.text);
		return NULL;
	}
	if (saved_is_noted(guest)) {
		op_refuse(op, error_set(&err, EBUSY, "the guest is being saved already"), err.text);
		return NULL;
	}
	if (note_is_there(guest, NOTE_LAYERING) || guest->committing || guest->plugging ||
		guest->snapshots.busy) {
		op_refuse(op, error_set(&err, EBUSY, "the guest's disks are being changed"),
			err.text);
		return NULL;
	}
	return guest;
}

static void save(struct operation *op)
{
	static const enum request_then then[] = {SAVE_THEN_WAIT, SAVE_THEN_RUN, SAVE_THEN_PAUSE};
	struct guest *guest = guest_to_save(op);

	if (guest)
		save_to(op, guest, op->caller, op->arguments.path, then[op->arguments.then], false);
}

const struct operation_kind operation_save = {"guest_save", "Guest", .guest = true,
	.machine = "saved", .arguments = save_arguments, .run = save};

static void suspend(struct operation *op)
{
	const struct caller daemon = {.manager = true};
	struct guest *guest = guest_to_save(op);
	struct error err = {0};
	char path[PATH_MAX];
	int r = 0;

	if (!guest)
		return;
	if (!guest->managed)
		r = error_set(&err, EINVAL,
			"only managed guests can be suspended; others are saved to a file");
	if (!r)
		r = saved_suspend_path(guest, path, &err);
	if (!r)
		r = cores_check_space(guest, op->daemon->state, &err);
	if (r)
		op_refuse_error(op, r, &err);
	else
		save_to(op, guest, &daemon, path, SAVE_THEN_WAIT, true);
}

const struct operation_kind operation_suspend = {"guest_suspend", "Guest", .guest = true,
	.machine = "suspended", .run = suspend};

/* Going on */

static const struct field resume_arguments[] = {
	{.key = "paused", .kind = FIELD_BOOL, FIELD_AT(operation_arguments, paused), .max = 1},
	{.key = "lazy", .kind = FIELD_BOOL, FIELD_AT(operation_arguments, lazy), .max = 1},
	{.key = NULL},
};

static void resume(struct operation *op)
{
	struct guest *guest = op_guest(op);
	struct error err = {0};
	int r = 0;

	if (!guest)
		return;
	if (guest->state != RECORD_OFF || !guest->suspended)
		r = error_set(&err, EINVAL, "the guest is not suspended");
	if (!r)
		r = quota_check(op->daemon, op->caller, &guest->config, guest, &err);
	if (r) {
		op_refuse_error(op, r, &err);
		return;
	}
	guest->lazy = op->arguments.lazy;
	op_start_guest(op, guest);
}

const struct operation_kind operation_resume = {"guest_resume", "Guest", .guest = true,
	.arguments = resume_arguments, .run = resume};

static const struct field restore_arguments[] = {
	{.key = "path",
		.kind = FIELD_STRING,
		FIELD_AT(operation_arguments, path),
		.needed = true,
		.max = DOMAIN_STRING_MAX},
	{.key = "config",
		.kind = FIELD_OBJECT,
		FIELD_AT(operation_arguments, config),
		.max = OPERATION_CONFIG_MAX},
	{.key = "paused", .kind = FIELD_BOOL, FIELD_AT(operation_arguments, paused), .max = 1},
	{.key = "lazy", .kind = FIELD_BOOL, FIELD_AT(operation_arguments, lazy), .max = 1},
	{.key = NULL},
};

/* The file, and the configuration that the guest goes on with. */
static int open_saved(const struct operation *op, int *fd, struct domain_config *config,
	struct error *err)
{
	const struct operation_arguments *arguments = &op->arguments;
	int r;

	*fd = -1;
	if (arguments->path[0] != '/')
		return error_set(err, EINVAL, "path: does not begin with /");
	r = saved_open(op->caller, arguments->path, fd, arguments->config ? NULL : config, err);
	if (!r && arguments->config)
		r = domain_config_from_json(arguments->config, config, err);
	return r;
}

/* One that was managed when it was saved is still there, and off: it goes on as what it now is. */
static struct guest *same_guest(const struct operation *op, const struct domain_config *config)
{
	struct guest *guest = guest_by_uuid(op->daemon, config->uuid);

	return guest && guest->state == RECORD_OFF && guest_visible(guest, op->manager, op->uid)
		? guest
		: NULL;
}

static void restore(struct operation *op)
{
	struct domain_config config = {0};
	struct error err = {0};
	struct guest *guest = NULL;
	int fd, r = open_saved(op, &fd, &config, &err);
	bool there = false;

	if (!r) {
		guest = same_guest(op, &config);
		there = guest;
		r = there ? quota_check(op->daemon, op->caller, &guest->config, guest, &err)
			  : op_check_new(op, &config, &err);
	}
	if (!r && !there && !(guest = guest_new(op->daemon, &config)))
		r = error_nomem(&err);
	domain_config_free(&config);
	if (r) {
		if (fd >= 0)
			close(fd);
		op_refuse_error(op, r, &err);
		return;
	}
	guest_drop_state(guest);
	guest->state_fd = fd;
	guest->state_name = strdup(op->arguments.path);
	guest->lazy = op->arguments.lazy;
	if (there) {
		snprintf(op->uuid, sizeof op->uuid, "%s", guest->config.uuid);
		op_start_guest(op, guest);
		return;
	}
	guest->owner = op->uid;
	op_add_guest(op, guest, true, "restored");
}

const struct operation_kind operation_restore = {"guest_restore", "Guest",
	.arguments = restore_arguments, .run = restore};

/* Jobs */

/* What a monitor says is believed where it is a job. */
static void listed(void *ctx, int r, json_t *answer, const char *text)
{
	struct operation *op = ctx;
	json_t *list, *item;
	size_t i;

	if (r) {
		op_refuse(op, r, text);
		return;
	}
	list = json_array();
	json_array_foreach(json_object_get(answer, "jobs"), i, item)
	{
		struct job_report job;

		if (!fields_read(job_report_fields, item, &job, "", NULL))
			json_array_append_new(list, fields_write(job_report_fields, &job));
	}
	op_finish(op, json_pack("{s:o}", "jobs", list));
}

static void jobs(struct operation *op)
{
	struct guest *guest = op_running_guest(op);

	if (guest)
		monitor_call(guest->monitor, &(struct monitor_request){.verb = REQUEST_JOBS}, -1,
			OP_VERB_TIMEOUT_MS, listed, op);
}

const struct operation_kind operation_jobs = {"guest_jobs", "Jobs", .guest = true, .run = jobs};
