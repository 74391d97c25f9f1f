/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's snapshots: to tell of them, to go back to one, to delete one. (op_snapshot_create.c makes them.) */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/container.h"
#include "daemon/container_files.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/layer.h"
#include "daemon/life.h"
#include "daemon/note.h"
#include "daemon/op.h"
#include "daemon/quota.h"
#include "daemon/saved.h"
#include "daemon/snapshot.h"
#include "daemon/spec.h"

/* NULL: there is none, and the operation was ended with that. */
static struct guest_snapshot *find(struct operation *op, const struct guest *guest)
{
	struct guest_snapshot *snapshot = snapshot_find(guest, op->arguments.snapshot);
	struct error err = {0};

	if (!snapshot)
		op_refuse(op,
			error_set(&err, ENOENT, "the guest has no snapshot '%.64s'",
				op->arguments.snapshot),
			err.text);
	return snapshot;
}

static void list(struct operation *op)
{
	struct guest *guest = op_guest(op);
	json_t *all = json_array();

	if (!guest) {
		json_decref(all);
		return;
	}
	for (const struct guest_snapshot *at = guest->snapshots.first; at; at = at->next)
		json_array_append_new(all, snapshot_describe(guest, at));
	op_finish(op, json_pack("{s:o}", "snapshots", all));
}

const struct operation_kind operation_snapshot_list = {"guest_snapshot_list", "Snapshots",
	.guest = true, .run = list};

static void get(struct operation *op)
{
	struct guest *guest = op_guest(op);
	struct guest_snapshot *snapshot = guest ? find(op, guest) : NULL;

	if (snapshot)
		op_finish(op, snapshot_describe(guest, snapshot));
}

const struct operation_kind operation_snapshot_get = {"guest_snapshot_get", "Snapshot",
	.guest = true, .run = get};

/* Deleting */

static bool is_below(const struct guest *guest, const struct guest_snapshot *at, const char *name)
{
	while (at && strcmp(at->parent, name))
		at = *at->parent ? snapshot_find(guest, at->parent) : NULL;
	return at;
}

/* Its files go when the store has it no more. */
static int remove_snapshots(struct guest *guest, struct guest_snapshot *snapshot,
	bool with_children, struct error *err)
{
	char name[SNAPSHOT_NAME_MAX + 1];
	struct guest_snapshot *at, *next;
	int r;

	memcpy(name, snapshot->name, sizeof name);
	for (at = guest->snapshots.first; with_children && at; at = next) {
		next = at->next;
		if (is_below(guest, at, name)) {
			snapshot_remove(guest, at);
			next = guest->snapshots
				       .first; /* what was below it is below its parent now */
		}
	}
	snapshot_remove(guest, snapshot_find(guest, name));
	r = snapshots_save(guest, err);
	if (!r) {
		snapshot_sweep(guest);
		return 0;
	}
	snapshots_free(guest);
	return snapshots_load(guest, NULL) ? -EUCLEAN : r;
}

static int may_change(const struct guest *guest, struct error *err)
{
	if (guest->snapshots.busy || guest->snapshots.work != SNAPSHOT_NO_WORK)
		return error_set(err, EBUSY,
			"another snapshot of the guest is being made, or gone back to");
	if (saved_is_noted(guest))
		return error_set(err, EBUSY, "the guest is being saved");
	if (note_is_there(guest, NOTE_LAYERING) || guest->committing || guest->plugging)
		return error_set(err, EBUSY, "the guest's disks are being changed");
	if (guest->state == RECORD_STARTING)
		return error_set(err, EBUSY, "the guest is only starting");
	return 0;
}

static const struct field delete_arguments[] = {
	FIELD_ROW(BOOL, operation_arguments, children),
	{.key = NULL},
};

/* The answer was made while it was there. */
static void deleted(void *ctx)
{
	struct operation *op = ctx;

	op_finish(op, json_incref(op->value));
}

static void delete (struct operation *op)
{
	struct guest *guest = op_guest(op);
	struct guest_snapshot *snapshot = guest ? find(op, guest) : NULL;
	struct error err = {0};
	int r;

	if (!snapshot)
		return;
	op->value = snapshot_describe(guest, snapshot);
	r = may_change(guest, &err);
	if (!r)
		r = remove_snapshots(guest, snapshot, op->arguments.children, &err);
	if (r) {
		op_refuse_error(op, r, &err);
		return;
	}
	guest_log(guest, "a snapshot is deleted", op->arguments.snapshot);
	snapshot_merge(guest, deleted, op);
}

const struct operation_kind operation_snapshot_delete = {"guest_snapshot_delete", "Snapshot",
	.guest = true, .arguments = delete_arguments, .run = delete};

/* Going back */

/* What it would need: all of it is looked at before anything ends. */
static int check_files(const struct guest *guest, const struct guest_snapshot *snapshot,
	struct error *err)
{
	const struct caller daemon = {.manager = true};
	char path[PATH_MAX];
	int fd, r = container_files_check(guest, &snapshot->config, err);

	for (unsigned i = 0; !r && i < snapshot->config.disks; i++) {
		struct disk_spec spec = {.file = NULL};

		if (!domain_disk_has_medium(&snapshot->config.disk[i]))
			continue;
		r = spec_open_disk(guest, &snapshot->config.disk[i], &spec, err);
		for (unsigned k = 0; !r && k < spec.files; k++)
			close(spec.file[k].fd);
		if (!r)
			disk_spec_free(&spec);
	}
	if (r || !snapshot->memory)
		return r;
	r = snapshot_memory_path(guest, snapshot->name, path, err);
	if (!r)
		r = saved_open(&daemon, path, &fd, NULL, err);
	if (!r)
		close(fd);
	return r;
}

/* What the guest is to be, with new images over the snapshot's disks, which are in the store before they are made. */
static int make_next(struct guest *guest, const struct guest_snapshot *snapshot, struct error *err)
{
	struct snapshots *snapshots = &guest->snapshots;
	struct layer_set set = {.count = 0};
	int r = domain_config_copy(&snapshot->config, &snapshots->next, err);

	if (!r) {
		free(snapshots->next.name);
		snapshots->next.name = strdup(guest->config.name);
		r = snapshots->next.name ? 0 : error_nomem(err);
	}
	if (!r && guest_is_container(guest))
		r = domain_uuid_make(snapshots->next.upper, err);
	if (!r)
		r = layer_name(guest, &snapshots->next, &set, err);
	for (unsigned i = 0; !r && i < set.count; i++)
		r = snapshot_add_file(guest, set.disk[i].path,
			snapshots->next.disk[set.disk[i].disk].target, err);
	if (!r)
		r = snapshots_save(guest, err);
	if (!r)
		r = layer_make_named(guest, &snapshots->next, &set, err);
	if (!r) {
		layer_exchange(&snapshots->next, &set);
		memcpy(snapshots->target, snapshot->name, sizeof snapshots->target);
		snapshots->work = SNAPSHOT_REVERT;
		r = snapshots_save(guest, err);
	}
	if (r) {
		snapshots->work = SNAPSHOT_NO_WORK;
		domain_config_free(&snapshots->next);
		snapshot_sweep(guest);
	}
	layer_free(&set);
	return r;
}

static void reverted(void *ctx, int r, const char *text)
{
	struct operation *op = ctx;
	struct guest *guest = op_guest_after(op, r, text);

	if (guest)
		op_finish_guest(op, guest);
}

/* It has ended, and is off in a moment: snapshot_carry_on() then tells. */
static void ended(void *ctx, int r, const char *text)
{
	struct operation *op = ctx;
	struct guest *guest = op_guest_after(op, r, text);

	if (guest)
		guest_wait(guest, false, reverted, op);
}

static const struct field revert_arguments[] = {
	FIELD_ROW(CHOICE, operation_arguments, start),
	FIELD_ROW(BOOL, operation_arguments, paused),
	{.key = NULL},
};

static int check_revert(struct operation *op, const struct guest *guest,
	const struct guest_snapshot *snapshot, struct error *err)
{
	int r = may_change(guest, err);

	if (!r && guest->ending)
		r = error_set(err, EBUSY, "the guest is about to end");
	if (!r)
		r = quota_check(op->daemon, op->caller, &snapshot->config, guest, err);
	return r ? r : check_files(guest, snapshot, err);
}

static void revert(struct operation *op)
{
	struct guest *guest = op_guest(op);
	struct guest_snapshot *snapshot = guest ? find(op, guest) : NULL;
	const enum field_choice start = op->arguments.start;
	struct error err = {0};
	int r;

	if (!snapshot)
		return;
	r = check_revert(op, guest, snapshot, &err);
	if (!r) {
		guest->snapshots.starts =
			start == CHOICE_NONE ? snapshot->memory : start == CHOICE_YES;
		guest->snapshots.paused = op->arguments.paused ||
			(snapshot->memory && snapshot->state == SNAPSHOT_PAUSED);
		r = make_next(guest, snapshot, &err);
	}
	if (r) {
		op_refuse_error(op, r, &err);
		return;
	}
	guest_log(guest, "goes back to a snapshot", snapshot->name);
	if (guest_is_off(guest)) {
		guest_wait(guest, false, reverted, op);
		snapshot_carry_on(guest);
	} else {
		guest_wait(guest, true, ended, op);
		life_destroy(guest);
	}
}

const struct operation_kind operation_snapshot_revert = {"guest_snapshot_revert", "Guest",
	.guest = true, .arguments = revert_arguments, .run = revert};
