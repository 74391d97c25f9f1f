/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a snapshot. Of a guest that runs, in this order (snapshot.h tells why):
 *
 *   1. new images have names, which the store has; then they are made, and entered as new layers are (layer.h)
 *   2. its monitor puts them on its disks and takes memory in the same moment, writes that to a file, and answers
 *   3. the file is stable and has its name; the list has the snapshot
 *   4. the notes go
 *
 * Whatever fails, what the disks are is asked of the monitor, and what is not needed is removed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/container.h"
#include "daemon/container_files.h"
#include "daemon/cores.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/layer.h"
#include "daemon/life.h"
#include "daemon/monitor.h"
#include "daemon/note.h"
#include "daemon/op.h"
#include "daemon/resources.h"
#include "daemon/saved.h"
#include "daemon/snapshot.h"

struct taking {
	struct operation *op;
	struct domain_config config; /* with the disks that will stand still */
	struct layer_set set;
	unsigned sent;
	struct saved_file file;
	enum snapshot_state state;
	bool memory;
	int r; /* why it failed */
	char text[GUEST_TEXT_MAX];
};

static void taking_free(struct taking *taking)
{
	layer_free(&taking->set);
	saved_close(&taking->file);
	domain_config_free(&taking->config);
	free(taking);
}

static struct guest *guest_of(const struct taking *taking)
{
	return guest_by_uuid(taking->op->daemon, taking->op->uuid);
}

static void not_busy(struct guest *guest)
{
	struct error err = {0};

	guest->snapshots.busy = false;
	if (resources_change(guest, &err))
		guest_log(guest, "its limits", err.text);
}

/* Failing */

static void fail_now(struct taking *taking)
{
	struct guest *guest = guest_of(taking);

	if (taking->memory)
		saved_drop(&taking->file);
	if (guest) {
		saved_forget_note(guest);
		not_busy(guest);
		if (!note_is_there(guest, NOTE_LAYERING)) {
			snapshot_sweep(guest);
			snapshot_merge(guest, NULL, NULL);
		}
		guest_log(guest, "no snapshot", taking->text);
	}
	op_refuse(taking->op, taking->r, taking->text);
	taking_free(taking);
}

static void looked(void *ctx, int r, const char *text)
{
	struct taking *taking = ctx;
	struct guest *guest = guest_of(taking);

	/* A monitor that does not say it is about to go: then its life's end settles the note. */
	if (guest && !r)
		layer_settle(guest, guest->info);
	fail_now(taking);
}

/*
 * -ECANCELED: this daemon ends, or the guest is forgotten, and the next daemon finds the notes; -EPIPE: the monitor has gone, and
 * the note about its disks is settled with its life.
 */
static void failed(struct taking *taking, int r, const char *text)
{
	struct guest *guest = guest_of(taking);

	taking->r = r;
	snprintf(taking->text, sizeof taking->text, "%s", text);
	if (r == -ECANCELED) {
		op_refuse(taking->op, r, text);
		taking_free(taking);
	} else if (guest && r != -EPIPE && taking->set.count) {
		life_refresh(guest, OP_VERB_TIMEOUT_MS, looked, taking);
	} else {
		fail_now(taking);
	}
}

/* The end */

static int enter(struct taking *taking, struct guest *guest, struct guest_snapshot **out,
	struct error *err)
{
	struct snapshots *snapshots = &guest->snapshots;
	const struct operation_arguments *arguments = &taking->op->arguments;
	struct guest_snapshot *snapshot = snapshot_add(guest, arguments->name, &taking->config);
	int r = snapshot ? 0 : error_nomem(err);

	*out = snapshot;
	if (r)
		return r;
	snapshot->state = taking->state;
	snapshot->memory = taking->memory;
	if (arguments->comment && !(snapshot->comment = strdup(arguments->comment)))
		r = error_nomem(err);
	memcpy(snapshots->current, snapshot->name, sizeof snapshots->current);
	if (!r)
		r = snapshots_save(guest, err);
	if (r)
		snapshot_remove(guest, snapshot);
	return r;
}

static void answer(struct taking *taking, const struct guest *guest,
	const struct guest_snapshot *snapshot, json_int_t pause)
{
	json_t *json = snapshot_describe(guest, snapshot);

	if (json)
		json_object_set_new(json, "pause", json_integer(pause));
	op_finish(taking->op, json);
	taking_free(taking);
}

static void taken(void *ctx, int r, json_t *said, const char *text)
{
	struct taking *taking = ctx;
	struct guest *guest = guest_of(taking);
	struct guest_snapshot *snapshot;
	struct error err = {0};
	json_int_t pause;
	char log[SNAPSHOT_NAME_MAX + 64];

	if (!r && guest && taking->memory &&
		(r = saved_commit(&taking->file, &taking->config, &err)))
		text = err.text;
	if (!r && guest && (r = enter(taking, guest, &snapshot, &err))) {
		if (taking->memory)
			saved_withdraw(&taking->file);
		text = err.text;
	}
	if (r || !guest) {
		failed(taking, r ? r : -EPIPE, r ? text : "the guest has ended meanwhile");
		return;
	}
	pause = json_integer_value(json_object_get(said, taking->memory ? "pause" : "held"));
	if (taking->set.count)
		layer_done(guest, &taking->set);
	saved_forget_note(guest);
	not_busy(guest);
	snprintf(log, sizeof log, "%s; it stood still for %lld us", snapshot->name,
		(long long)pause / 1000);
	guest_log(guest, "has a snapshot", log);
	answer(taking, guest, snapshot, pause);
}

/* The beginning */

static void send_next(struct taking *taking, struct guest *guest);

static void sent(void *ctx, int r, json_t *said, const char *text)
{
	struct taking *taking = ctx;
	struct guest *guest = guest_of(taking);

	if (r || !guest || !guest->monitor)
		failed(taking, r ? r : -EPIPE, r ? text : "the guest has ended meanwhile");
	else
		send_next(taking, guest);
}

static void send_next(struct taking *taking, struct guest *guest)
{
	struct monitor_request request = {.verb = taking->memory ? REQUEST_SNAPSHOT
								 : REQUEST_DISK_LAYER,
		.disks = taking->set.count};

	if (taking->sent == taking->set.count)
		monitor_call(guest->monitor, &request, taking->memory ? taking->file.fd : -1, 0,
			taken, taking);
	else
		layer_send(guest, &taking->set, taking->sent++, sent, taking);
}

static int begin_memory(struct taking *taking, struct guest *guest, struct error *err)
{
	const struct caller daemon = {.manager = true};
	char path[PATH_MAX];
	int r = snapshot_memory_path(guest, taking->op->arguments.name, path, err);

	if (!r)
		r = cores_check_space(guest, guest->daemon->state, err);
	return r ? r : saved_begin(guest, &daemon, path, &taking->file, err);
}

/* Of one that runs. */
static int begin(struct taking *taking, struct guest *guest, struct error *err)
{
	int r = layer_may_begin(guest, err);

	if (r)
		return r;
	taking->state = guest->paused ? SNAPSHOT_PAUSED : SNAPSHOT_RUNNING;
	guest->snapshots.busy = true;
	r = snapshot_make_images(guest, &taking->set, err);
	if (!r && !taking->memory && !taking->set.count)
		r = error_set(err, EINVAL, "the guest has no disk that it may write to");
	if (!r && taking->memory)
		r = begin_memory(taking, guest, err);
	if (!r && taking->set.count)
		r = layer_enter(guest, &taking->set, err);
	if (!r) {
		/* What it touches meanwhile is there twice. */
		r = resources_change(guest, err);
		if (r)
			layer_withdraw(guest, &taking->set);
	}
	if (r && taking->memory) {
		saved_drop(&taking->file);
		saved_forget_note(guest);
	}
	if (r) {
		guest->snapshots.busy = false;
		snapshot_sweep(guest);
	}
	return r;
}

/* What the guest goes on in. */
static void exchange(struct taking *taking, struct guest *guest)
{
	layer_exchange(&guest->config, &taking->set);
	if (guest_is_container(guest))
		container_files_exchange(&guest->config, &taking->config);
}

/* Of one that is off, all at once. */
static int take_off(struct taking *taking, struct guest *guest, struct guest_snapshot **snapshot,
	struct error *err)
{
	struct store *store = guest->daemon->store;
	int r = snapshot_make_images(guest, &taking->set, err);

	taking->memory = false;
	if (!r && guest_is_container(guest))
		r = container_files_freeze(guest, &taking->config, err);
	if (!r)
		r = store_begin(store, err);
	if (!r) {
		r = enter(taking, guest, snapshot, err);
		exchange(taking, guest);
		if (!r && (r = guest_save(guest, err)))
			snapshot_remove(guest, *snapshot);
		if (r)
			store_rollback(store);
		else if ((r = store_commit(store, err)))
			snapshot_remove(guest, *snapshot);
		if (r)
			exchange(taking, guest);
	}
	if (r)
		snapshot_sweep(guest);
	return r;
}

/* The host's disk is everybody's. */
static int check_share(const struct operation *op, const struct guest *guest, struct error *err)
{
	unsigned count = 0;

	if (op->manager || op->arguments.disk_only || guest_is_off(guest))
		return 0;
	for (const struct guest *at = op->daemon->guests; at; at = at->next)
		for (const struct guest_snapshot *of = at->snapshots.first; of; of = of->next)
			count += at->owner == guest->owner && of->memory;
	return count < SNAPSHOTS_USER_MAX
		? 0
		: error_set(err, EDQUOT,
			  "you have %u snapshots with memory, which are the most (--disk-only has none)",
			  count);
}

static int check(const struct operation *op, const struct guest *guest, struct error *err)
{
	const char *name = op->arguments.name;

	if (!guest->managed)
		return error_set(err, EINVAL, "only managed guests have snapshots");
	if (guest_is_container(guest) && !guest->config.template)
		return error_set(err, ENOTSUP,
			"root: it writes to that folder itself; a container of a template has snapshots");
	if (guest_is_container(guest) && !guest_is_off(guest))
		return error_set(err, EBUSY,
			"a container has snapshots of its files alone, and while it is off: dach shutdown -w %s",
			guest->config.name);
	if (!snapshot_name_valid(name))
		return error_set(err, EINVAL,
			"name: %d letters, digits and _.- at most, the first one a letter or digit",
			SNAPSHOT_NAME_MAX);
	if (snapshot_find(guest, name))
		return error_set(err, EEXIST, "the guest has a snapshot '%s' already", name);
	if (snapshot_count(guest) >= SNAPSHOTS_MAX)
		return error_set(err, EDQUOT, "the guest has %d snapshots, which are the most",
			SNAPSHOTS_MAX);
	if (guest->snapshots.busy || guest->snapshots.work != SNAPSHOT_NO_WORK)
		return error_set(err, EBUSY,
			"another snapshot of the guest is being made, or gone back to");
	if (guest_is_off(guest) && guest->suspended)
		return error_set(err, EBUSY, "the guest is suspended: resume it first");
	if (!guest_is_off(guest) && !guest_answers(guest))
		return error_set(err, EBUSY, "the guest is only starting, or about to end");
	return check_share(op, guest, err);
}

static void create(struct operation *op)
{
	struct guest *guest = op_guest(op);
	struct taking *taking = calloc(1, sizeof *taking);
	struct guest_snapshot *snapshot = NULL;
	struct error err = {0};
	int r = taking ? 0 : error_nomem(&err);

	if (!guest) {
		free(taking);
		return;
	}
	if (!r) {
		*taking = (struct taking){.op = op,
			.file = {.fd = -1, .folder = -1},
			.memory = !op->arguments.disk_only};
		r = check(op, guest, &err);
	}
	if (!r)
		r = domain_config_copy(&guest->config, &taking->config, &err);
	if (!r && guest_is_off(guest)) {
		r = take_off(taking, guest, &snapshot, &err);
		if (!r) {
			guest_log(guest, "has a snapshot", snapshot->name);
			answer(taking, guest, snapshot, 0);
			return;
		}
	} else if (!r) {
		r = begin(taking, guest, &err);
	}
	if (!r) {
		send_next(taking, guest);
		return;
	}
	op_refuse_error(op, r, &err);
	if (taking)
		taking_free(taking);
}

static const struct field arguments[] = {
	{.key = "name",
		.kind = FIELD_STRING,
		FIELD_AT(operation_arguments, name),
		.needed = true,
		.max = SNAPSHOT_NAME_MAX},
	{.key = "comment",
		.kind = FIELD_STRING,
		FIELD_AT(operation_arguments, comment),
		.max = SNAPSHOT_COMMENT_MAX},
	FIELD_ROW(BOOL, operation_arguments, disk_only),
	{.key = NULL},
};

const struct operation_kind operation_snapshot_create = {"guest_snapshot_create", "Snapshot",
	.guest = true, .arguments = arguments, .run = create};
