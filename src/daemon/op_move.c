/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "block/create.h"
#include "daemon/claims.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/layer_internal.h"
#include "daemon/monitor.h"
#include "daemon/move.h"
#include "daemon/note.h"
#include "daemon/op.h"
#include "daemon/plug.h"
#include "daemon/spec.h"

/* The two files of a disk. The one of them that the configuration has not. */
struct move_operation {
	struct operation *op;
	struct caller owner;
	char vdev[LIMIT_VDEV + 1];
	char *path; /* malloc'd */
	enum domain_format format;
	int fd;
	struct disk_spec out; /* the old files, for the claims */
	struct monitor_request request;
};

static void move_free(struct move_operation *move)
{
	if (move->fd >= 0)
		close(move->fd);
	for (unsigned i = 0; i < move->out.files; i++)
		if (move->out.file[i].fd >= 0)
			close(move->out.file[i].fd);
	disk_spec_free(&move->out);
	caller_free(&move->owner);
	free(move->path);
	free(move);
}

static struct domain_disk *find_disk(struct guest *guest, const char *vdev)
{
	return (struct domain_disk *)(uintptr_t)plug_find(&guest->config, vdev);
}

/* The configuration has the other file. */
static void swap(struct guest *guest, const char *vdev, char **path, enum domain_format *format)
{
	struct domain_disk *disk = find_disk(guest, vdev);
	const struct domain_disk was = *disk;

	disk->target = *path;
	disk->format = *format;
	*path = was.target;
	*format = was.format;
}

/* And the store. */
static int exchange(struct guest *guest, const char *vdev, char **path, enum domain_format *format,
	struct error *err)
{
	int r;

	swap(guest, vdev, path, format);
	r = guest_save(guest, err);
	if (r)
		swap(guest, vdev, path, format);
	return r;
}

/* {"vdev": "xvda", "old": path, "old_format": "raw", "new": path, "new_format": "qcow2"} */
static int write_note(const struct guest *guest, const struct move_operation *move,
	const struct domain_disk *disk, struct error *err)
{
	return note_write(guest, NOTE_MOVING,
		json_pack("{s:s, s:s, s:s, s:s, s:s}", "vdev", move->vdev, "old", disk->target,
			"old_format", domain_format_name(disk->format), "new", move->path,
			"new_format", domain_format_name(move->format)),
		err);
}

/* The end. -ECANCELED: this daemon ends; -EPIPE: the monitor has: then the note tells what is to be found out. */

static void failed(struct move_operation *move, int r, const char *text)
{
	struct guest *guest = guest_by_uuid(move->op->daemon, move->op->uuid);

	if (guest && r != -ECANCELED && r != -EPIPE) {
		layer_remove(guest, &move->owner, move->path);
		note_forget(guest, NOTE_MOVING);
	}
	op_refuse(move->op, r, text);
	move_free(move);
}

static void pivoted(void *ctx, int r, json_t *answer, const char *text)
{
	struct move_operation *move = ctx;
	struct operation *op = move->op;
	struct guest *guest = guest_by_uuid(op->daemon, op->uuid);
	struct error err = {0};

	if (guest)
		guest->committing--;
	if (r && guest && r != -ECANCELED && r != -EPIPE) {
		swap(guest, move->vdev, &move->path, &move->format);
		if (guest_save(guest, &err)) {
			/* The store has the other until it is written to again: both files stay, and the note. */
			guest_log(guest, "a disk stays where it was, which cannot be noted yet",
				err.text);
			op_refuse(op, r, text);
			move_free(move);
			return;
		}
	}
	if (r) {
		failed(move, r, text);
		return;
	}
	if (guest) {
		claims_leave(guest, &move->out);
		note_forget(guest, NOTE_MOVING);
		guest_log(guest, "a disk goes on in another file", op->arguments.path);
		op_finish_guest(op, guest);
	} else {
		op_refuse(op, -EPIPE, "the guest has ended meanwhile");
	}
	move_free(move);
}

static void in_step(void *ctx, int r, json_t *answer, const char *text)
{
	struct move_operation *move = ctx;
	struct guest *guest = guest_by_uuid(move->op->daemon, move->op->uuid);
	struct monitor_request pivot = {.verb = REQUEST_DISK_PIVOT, .disk = move->request.disk};
	struct error err = {0};

	if (!r && (!guest || !guest->monitor)) {
		r = -EPIPE;
		text = "the guest has ended meanwhile";
	}
	if (!r && (r = exchange(guest, move->vdev, &move->path, &move->format, &err))) {
		pivot.drop = true;
		monitor_call(guest->monitor, &pivot, -1, 0, NULL, NULL);
		text = err.text;
	}
	if (r) {
		if (guest)
			guest->committing--;
		failed(move, r, text);
		return;
	}
	monitor_call(guest->monitor, &pivot, -1, 0, pivoted, move);
}

/* The beginning */

static int make_file(struct move_operation *move, uint64_t size, struct error *err)
{
	const struct qcow2_make make = {.size = size};
	const struct layer_disk to = {.path = move->path};
	char folder[PATH_MAX];
	int r = caller_open(&move->owner, move->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600,
		&move->fd, err);
	struct layer_disk file = to;

	if (r)
		return r;
	file.fd = move->fd;
	if (move->format == DOMAIN_QCOW2)
		r = qcow2_create(move->fd, move->path, &make, err);
	else if (ftruncate(move->fd, (off_t)size))
		r = error_set(err, errno, "%s: %s", move->path, strerror(errno));
	layer_folder(move->path, NULL, folder);
	return r ? r : layer_stabilize(&move->owner, folder, &file, err);
}

static int prepare(struct guest *guest, struct move_operation *move, struct error *err)
{
	const struct operation_arguments *arguments = &move->op->arguments;
	const struct domain_disk *disk = plug_find(&guest->config, arguments->disk);
	uint64_t size;
	int r = layer_may_begin(guest, err);

	if (r)
		return r;
	if (!disk || !domain_disk_has_medium(disk))
		return error_set(err, EINVAL, "the guest has no disk '%.32s'", arguments->disk);
	if (disk->temporary || !disk->writable)
		return error_set(err, EINVAL, "%s: %s", disk->target,
			disk->temporary ? "goes when this guest ends" : "is only read");
	if (arguments->path[0] != '/' || strlen(arguments->path) > REQUEST_NAME_MAX)
		return error_set(err, EINVAL, "path: does not begin with /, or is too long");
	move->request.disk = plug_number(&guest->config, disk);
	move->request.format = arguments->format ? DISK_QCOW2 : DISK_RAW;
	move->format = arguments->format ? DOMAIN_QCOW2 : DOMAIN_RAW;
	snprintf(move->request.name, sizeof move->request.name, "%s", arguments->path);
	snprintf(move->vdev, sizeof move->vdev, "%s", arguments->disk);
	if (!(move->path = strdup(arguments->path)))
		return error_nomem(err);
	r = spec_open_disk(guest, disk, &move->out, err);
	if (!r)
		r = layer_measure(guest, disk, &size, err);
	if (!r)
		r = make_file(move, size, err);
	if (!r)
		r = write_note(guest, move, disk, err);
	if (!r)
		r = claims_add(guest, move->fd, err);
	if (r && move->fd >= 0) {
		layer_remove(guest, &move->owner, move->path);
		note_forget(guest, NOTE_MOVING);
	}
	return r;
}

static void begin(struct operation *op)
{
	struct guest *guest = op_running_guest(op);
	struct move_operation *move;
	struct error err = {0};
	int r;

	if (!guest)
		return;
	move = calloc(1, sizeof *move);
	if (!move) {
		op_refuse(op, -ENOMEM, "out of memory");
		return;
	}
	*move = (struct move_operation){.op = op,
		.fd = -1,
		.request = {.verb = REQUEST_DISK_COPY,
			.kind = DISK_COPY_MIRROR,
			.rate = op->arguments.rate}};
	caller_of_user(&guest->daemon->policy, guest->owner, &move->owner);
	r = prepare(guest, move, &err);
	if (r) {
		op_refuse_error(op, r, &err);
		move_free(move);
		return;
	}
	guest->committing++;
	monitor_call(guest->monitor, &move->request, move->fd, 0, in_step, move);
	close(move->fd);
	move->fd = -1;
}

static const char *const formats[] = {"raw", "qcow2", NULL};

static const struct field move_arguments[] = {
	{.key = "disk",
		.kind = FIELD_STRING,
		FIELD_AT(operation_arguments, disk),
		.needed = true,
		.max = LIMIT_VDEV},
	FIELD_ROW(NUMBER, operation_arguments, rate, .max = INT64_MAX),
	FIELD_ROW(STRING, operation_arguments, path, .needed = true, .max = DOMAIN_STRING_MAX),
	FIELD_ROW(ENUM, operation_arguments, format, .names = formats),
	{.key = NULL},
};

const struct operation_kind operation_disk_move = {"guest_disk_move", "Guest", .guest = true,
	.machine = OP_NO_DISKS, .arguments = move_arguments, .run = begin};

/* After another daemon */

static const char *monitor_file(const struct guest *guest, const json_t *info,
	const struct domain_disk *disk)
{
	const json_t *disks = json_object_get(info, "disks");

	return json_get_text(json_array_get(disks, plug_number(&guest->config, disk)), "name");
}

/* Which of the two the disk is, and its format there. */
static void settle_disk(struct guest *guest, const json_t *info, const json_t *note,
	const struct domain_disk *disk)
{
	const char *to = json_get_text(note, "new"), *is = disk->target;
	struct error err = {0};
	struct caller owner;

	if (info)
		is = strcmp(monitor_file(guest, info, disk), to) ? json_get_text(note, "old") : to;
	if (strcmp(is, disk->target)) {
		const bool new = !strcmp(is, to);
		enum domain_format format;
		char *path = strdup(is);

		if (!path ||
			domain_format_find(json_get_text(note, new ? "new_format" : "old_format"),
				&format) ||
			exchange(guest, disk->vdev, &path, &format, &err))
			guest_log(guest, "its disk is another file, which cannot be noted", is);
		free(path);
	}
	if (!strcmp(is, to))
		return;
	if (info)
		monitor_call(guest->monitor,
			&(struct monitor_request){.verb = REQUEST_DISK_PIVOT,
				.disk = plug_number(&guest->config, disk),
				.drop = true},
			-1, 0, NULL, NULL);
	caller_of_user(&guest->daemon->policy, guest->owner, &owner);
	layer_remove(guest, &owner, (char *)(uintptr_t)to);
	caller_free(&owner);
}

void move_settle(struct guest *guest, const json_t *info)
{
	json_t *note = note_read(guest, NOTE_MOVING);
	const struct domain_disk *disk = plug_find(&guest->config, json_get_text(note, "vdev"));
	const char *to = json_get_text(note, "new"), *from = json_get_text(note, "old");

	if (!note)
		return;
	if (disk && *to == '/' && *from == '/' && domain_disk_has_medium(disk) &&
		(!strcmp(disk->target, to) || !strcmp(disk->target, from)))
		settle_disk(guest, info, note, disk);
	json_decref(note);
	note_forget(guest, NOTE_MOVING);
}
