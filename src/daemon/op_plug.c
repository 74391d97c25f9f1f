/* SPDX-License-Identifier: Apache-2.0 */
/* Disks come to a guest and go, and so do the media of its CD drives, while it runs or is off: plug.h has the order. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "daemon/claims.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/holder.h"
#include "daemon/layer.h"
#include "daemon/monitor.h"
#include "daemon/note.h"
#include "daemon/op.h"
#include "daemon/plug.h"
#include "daemon/spec.h"

#define PATIENCE 20u       /* seconds in which a guest lets go of a disk */
#define PATIENCE_FORCED 2u /* and of one that it loses in any case */

struct plug_operation {
	struct operation *op;
	char vdev[LIMIT_VDEV + 1];
	json_t *comes; /* what comes, as the configuration has it; NULL: nothing */
	bool goes;     /* what is there goes first */
	bool keep;     /* and leaves an empty drive */
	bool emptied;
	struct disk_spec in, out; /* open files */
	unsigned sent;
};

static void close_files(struct disk_spec *spec)
{
	for (unsigned i = 0; i < spec->files; i++)
		if (spec->file[i].fd >= 0)
			close(spec->file[i].fd);
	disk_spec_free(spec);
}

static void plug_free(struct plug_operation *plug)
{
	close_files(&plug->in);
	close_files(&plug->out);
	json_decref(plug->comes);
	free(plug);
}

/* The end */

/*
 * -ECANCELED: this daemon ends, and the next one finds the note; -EPIPE: the monitor has gone, and the note is settled
 * with the guest's life.
 */
static void failed(struct plug_operation *plug, int r, const char *text)
{
	struct guest *guest = guest_by_uuid(plug->op->daemon, plug->op->uuid);
	struct domain_config config;
	struct error err = {0};

	if (guest)
		guest->plugging = false;
	if (guest && r != -ECANCELED && r != -EPIPE) {
		const struct domain_disk *disk = plug_find(&guest->config, plug->vdev);

		if (plug->sent && disk && domain_disk_has_medium(disk)) {
			if (plug_without(guest, plug->vdev, plug->keep, &config, &err) ||
				plug_commit(guest, &config, &err))
				guest_log(guest, "has a disk less, which cannot be noted",
					err.text);
		}
		if (plug->comes)
			claims_leave(guest, &plug->in);
		note_forget(guest, NOTE_PLUGGING);
	}
	if (plug->emptied) {
		error_set(&err, -r, "the drive is empty now: %s", text);
		text = err.text;
	}
	op_refuse(plug->op, r, text);
	plug_free(plug);
}

static void finish(struct plug_operation *plug, struct guest *guest)
{
	struct operation *op = plug->op;

	guest->plugging = false;
	note_forget(guest, NOTE_PLUGGING);
	events_tell(&op->daemon->events, "changed", guest, NULL);
	plug_free(plug);
	op_finish_guest(op, guest);
}

/* The guest, if it is still there and what was asked for has been done; else this has ended. */
static struct guest *guest_after(struct plug_operation *plug, int r, const char *text)
{
	struct guest *guest = r ? NULL : guest_by_uuid(plug->op->daemon, plug->op->uuid);

	if (!r && guest && guest->monitor)
		return guest;
	failed(plug, r ? r : -EPIPE, r ? text : "the guest has ended meanwhile");
	return NULL;
}

/* A disk comes */

static void attached(void *ctx, int r, json_t *answer, const char *text)
{
	struct plug_operation *plug = ctx;
	struct guest *guest = guest_after(plug, r, text);

	if (!guest)
		return;
	guest_log(guest, "has a disk more", plug->in.file[0].name);
	finish(plug, guest);
}

static void send_next(struct plug_operation *plug, struct guest *guest);

static void sent(void *ctx, int r, json_t *answer, const char *text)
{
	struct guest *guest = guest_after(ctx, r, text);

	if (guest)
		send_next(ctx, guest);
}

static void send_next(struct plug_operation *plug, struct guest *guest)
{
	const struct domain_disk *disk = plug_find(&guest->config, plug->vdev);
	struct monitor_request request = {.verb = REQUEST_DISK_OPEN, .first = !plug->sent};

	if (plug->sent < plug->in.files) {
		const struct disk_file *file = &plug->in.file[plug->sent++];

		request.format = file->format;
		snprintf(request.name, sizeof request.name, "%s", file->name);
		monitor_call(guest->monitor, &request, file->fd, OP_VERB_TIMEOUT_MS, sent, plug);
		return;
	}
	if (!disk) {
		failed(plug, -ENOENT, "the guest's disks have changed meanwhile");
		return;
	}
	request = (struct monitor_request){.verb = REQUEST_DISK_ATTACH,
		.disk = plug_number(&guest->config, disk),
		.readonly = plug->in.readonly};
	snprintf(request.vdev, sizeof request.vdev, "%s", plug->vdev);
	monitor_call(guest->monitor, &request, -1, 0, attached, plug);
}

static void put_in(struct plug_operation *plug, struct guest *guest)
{
	struct domain_config config;
	struct error err = {0};
	int r = plug_with(guest, plug->comes, &config, &err);

	if (!r)
		r = plug_commit(guest, &config, &err);
	if (r)
		failed(plug, r, err.text);
	else
		send_next(plug, guest);
}

/* A disk goes */

static void detached(void *ctx, int r, json_t *answer, const char *text)
{
	struct plug_operation *plug = ctx;
	struct guest *guest = guest_after(plug, r, text);
	struct domain_config config;
	struct error err = {0};

	if (!guest)
		return;
	guest_log(guest, "has a disk less", plug->vdev);
	claims_leave(guest, &plug->out);
	r = plug_without(guest, plug->vdev, plug->keep, &config, &err);
	if (!r)
		r = plug_commit(guest, &config, &err);
	if (r) {
		failed(plug, r, err.text);
		return;
	}
	plug->emptied = plug->comes != NULL;
	if (plug->comes)
		put_in(plug, guest);
	else
		finish(plug, guest);
}

static void take_out(struct plug_operation *plug, struct guest *guest)
{
	const struct domain_disk *disk = plug_find(&guest->config, plug->vdev);
	const bool force = plug->op->arguments.force;
	struct monitor_request request = {.verb = REQUEST_DISK_DETACH,
		.disk = plug_number(&guest->config, disk),
		.force = force,
		.seconds = force ? PATIENCE_FORCED : PATIENCE};

	snprintf(request.vdev, sizeof request.vdev, "%s", plug->vdev);
	monitor_call(guest->monitor, &request, -1, 0, detached, plug);
}

/* The beginning */

/* What comes has the owner's rights, and no other guest has it. */
static int open_in(const struct guest *guest, struct plug_operation *plug,
	const struct domain_config *config, struct error *err)
{
	int r = spec_open_disk(guest, plug_find(config, plug->vdev), &plug->in, err);

	if (!r && plug->in.file[0].fd < 0)
		r = error_set(err, ENOTSUP,
			"%s: a disk on an NBD server comes with its guest's start, not while it runs",
			plug->in.file[0].name);
	for (unsigned i = 0; !r && i < plug->in.files; i++)
		if (strlen(plug->in.file[i].name) > REQUEST_NAME_MAX)
			r = error_set(err, ENAMETOOLONG, "%s: the name is too long",
				plug->in.file[i].name);
	if (!r)
		r = holder_check_disk(guest, &plug->in, err);
	return r ? r : claims_join(guest, &plug->in, err);
}

/* With the guest's monitor: from here on failed() or finish() ends it. */
static void begin_running(struct plug_operation *plug, struct guest *guest,
	const struct domain_config *config)
{
	const struct domain_disk *disk = plug_find(&guest->config, plug->vdev);
	struct error err = {0};
	int r = layer_may_begin(guest, &err);

	if (!r && guest->committing)
		r = error_set(&err, EBUSY, "the guest's disks are being changed");
	/* Only for its claims: what cannot be opened any more can go all the same. */
	if (!r && plug->goes)
		spec_open_disk(guest, disk, &plug->out, NULL);
	if (!r && plug->comes)
		r = open_in(guest, plug, config, &err);
	if (!r) {
		r = note_write(guest, NOTE_PLUGGING,
			json_pack("{s:s, s:b}", "vdev", plug->vdev, "keep", plug->keep), &err);
		if (r && plug->comes)
			claims_leave(guest, &plug->in);
	}
	if (r) {
		op_refuse_error(plug->op, r, &err);
		plug_free(plug);
		return;
	}
	guest->plugging = true;
	if (plug->goes)
		take_out(plug, guest);
	else
		put_in(plug, guest);
}

static void change_off(struct plug_operation *plug, struct guest *guest,
	struct domain_config *config)
{
	struct operation *op = plug->op;
	struct error err = {0};
	int r = guest->suspended
		? error_set(&err, EBUSY,
			  "the guest is suspended: its state has its disks as they are")
		: 0;

	plug_free(plug);
	if (!r)
		r = plug_commit(guest, config, &err);
	if (r) {
		op_refuse_error(op, r, &err);
		return;
	}
	events_tell(&op->daemon->events, "changed", guest, NULL);
	op_finish_guest(op, guest);
}

static int plan_attach(struct plug_operation *plug, const struct guest *guest, struct error *err)
{
	json_t *disk = plug->op->arguments.config;
	const char *vdev = json_get_text(disk, "vdev");

	plug->comes = json_incref(disk);
	snprintf(plug->vdev, sizeof plug->vdev, "%s", vdev);
	if (strlen(vdev) >= sizeof plug->vdev)
		return error_set(err, EINVAL, "disk.vdev: '%.64s' is too long", vdev);
	if (plug_find(&guest->config, vdev))
		return error_set(err, EEXIST, "the guest has a disk '%s' already", vdev);
	if (!*json_get_text(disk, "target"))
		return error_set(err, EINVAL, "disk.target: is missing");
	return 0;
}

static int plan_detach(struct plug_operation *plug, const struct guest *guest, struct error *err)
{
	const struct domain_disk *disk = plug_find(&guest->config, plug->vdev);

	if (!disk)
		return error_set(err, EINVAL, "the guest has no disk '%s'", plug->vdev);
	plug->goes = domain_disk_has_medium(disk);
	return 0;
}

/* xl's words where there is no drive. */
static int plan_medium(struct plug_operation *plug, const struct guest *guest, struct error *err)
{
	const struct domain_disk *disk = plug_find(&guest->config, plug->vdev);
	const char *path = plug->op->arguments.path;

	if (!disk || !disk->cdrom)
		return error_set(err, EINVAL, "the guest has no CD drive '%s'", plug->vdev);
	plug->keep = true;
	plug->goes = domain_disk_has_medium(disk);
	if (path)
		plug->comes = json_pack("{s:s, s:s, s:b}", "target", path, "vdev", plug->vdev,
			"cdrom", true);
	if (path && !plug->comes)
		return error_set(err, EINVAL, "path: is no UTF-8");
	return 0;
}

/* Drives of old controllers are there from the start to the end; only what lies in them comes and goes. */
static int check_drive(const struct plug_operation *plug, const struct domain_config *has,
	const struct domain_config *gets, struct error *err)
{
	const struct domain_disk *was = plug_find(has, plug->vdev);
	const struct domain_disk *is = plug_find(gets, plug->vdev);

	if ((was && is) || spec_disk_bus(is ? gets : has, is ? is : was) == DISK_VIRTIO)
		return 0;
	return error_set(err, ENOTSUP,
		"%s is a drive of an IDE or AHCI controller, which %s only while the guest is off%s",
		plug->vdev, is ? "comes" : "goes",
		!is && was->cdrom ? " (cd-eject takes the CD out)" : "");
}

static void begin(struct operation *op,
	int (*plan)(struct plug_operation *plug, const struct guest *guest, struct error *err))
{
	struct guest *guest = op_guest(op);
	struct domain_config config = {0};
	struct plug_operation *plug;
	struct error err = {0};
	bool off;
	int r;

	off = guest && guest_is_off(guest);
	if (!guest || (!off && !op_running_guest(op)))
		return;
	plug = calloc(1, sizeof *plug);
	if (!plug) {
		op_refuse(op, -ENOMEM, "out of memory");
		return;
	}
	plug->op = op;
	if (op->arguments.disk)
		snprintf(plug->vdev, sizeof plug->vdev, "%s", op->arguments.disk);
	r = plan(plug, guest, &err);
	if (!r)
		r = plug->comes ? plug_with(guest, plug->comes, &config, &err)
				: plug_without(guest, plug->vdev, plug->keep, &config, &err);
	if (!r && !off)
		r = check_drive(plug, &guest->config, &config, &err);
	if (r) {
		op_refuse_error(op, r, &err);
		plug_free(plug);
		domain_config_free(&config);
		return;
	}
	/* An empty drive is nothing that the guest has. */
	if (off || (!plug->comes && !plug->goes))
		change_off(plug, guest, &config);
	else
		begin_running(plug, guest, &config);
	domain_config_free(&config);
}

static void attach(struct operation *op)
{
	begin(op, plan_attach);
}

static void detach(struct operation *op)
{
	begin(op, plan_detach);
}

static void medium(struct operation *op)
{
	begin(op, plan_medium);
}

#define DISK_ROW                                                                          \
	{                                                                                 \
		.key = "disk", .kind = FIELD_STRING, FIELD_AT(operation_arguments, disk), \
		.needed = true, .max = LIMIT_VDEV,                                        \
	}

static const struct field attach_arguments[] = {
	{.key = "disk",
		.kind = FIELD_OBJECT,
		FIELD_AT(operation_arguments, config),
		.needed = true,
		.max = OPERATION_USER_CONFIG_MAX},
	{.key = NULL},
};

static const struct field detach_arguments[] = {
	DISK_ROW,
	FIELD_ROW(BOOL, operation_arguments, force),
	{.key = NULL},
};

static const struct field medium_arguments[] = {
	DISK_ROW,
	{.key = "path",
		.kind = FIELD_STRING,
		FIELD_AT(operation_arguments, path),
		.min = 1,
		.max = DOMAIN_STRING_MAX},
	FIELD_ROW(BOOL, operation_arguments, force),
	{.key = NULL},
};

const struct operation_kind operation_disk_attach = {"guest_disk_attach", "Guest", .guest = true,
	.machine = OP_NO_DISKS, .arguments = attach_arguments, .run = attach};
const struct operation_kind operation_disk_detach = {"guest_disk_detach", "Guest", .guest = true,
	.machine = OP_NO_DISKS, .arguments = detach_arguments, .run = detach};
const struct operation_kind operation_disk_medium = {"guest_disk_medium", "Guest", .guest = true,
	.machine = OP_NO_DISKS, .arguments = medium_arguments, .run = medium};
