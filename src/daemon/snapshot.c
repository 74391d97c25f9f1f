/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/snapshot.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"

static const char *const states[] = {
	[SNAPSHOT_OFF] = "off",
	[SNAPSHOT_RUNNING] = "running",
	[SNAPSHOT_PAUSED] = "paused",
	NULL,
};

/* The list */

bool snapshot_name_valid(const char *name)
{
	size_t len = strlen(name);

	if (!isalnum((unsigned char)*name) || len > SNAPSHOT_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)name[i] > '~' ||
			(!isalnum((unsigned char)name[i]) && !strchr("_.-", name[i])))
			return false;
	return true;
}

static void snapshot_free(struct guest_snapshot *snapshot)
{
	domain_config_free(&snapshot->config);
	free(snapshot->comment);
	free(snapshot);
}

static void append(struct guest *guest, struct guest_snapshot *snapshot)
{
	struct guest_snapshot **at = &guest->snapshots.first;

	while (*at)
		at = &(*at)->next;
	*at = snapshot;
}

struct guest_snapshot *snapshot_add(struct guest *guest, const char *name,
	const struct domain_config *config)
{
	struct guest_snapshot *snapshot = calloc(1, sizeof *snapshot);

	if (!snapshot)
		return NULL;
	if (domain_config_copy(config, &snapshot->config, NULL)) {
		snapshot_free(snapshot);
		return NULL;
	}
	snprintf(snapshot->name, sizeof snapshot->name, "%s", name);
	snprintf(snapshot->parent, sizeof snapshot->parent, "%s", guest->snapshots.current);
	snapshot->created = time(NULL);
	append(guest, snapshot);
	return snapshot;
}

void snapshot_remove(struct guest *guest, struct guest_snapshot *snapshot)
{
	struct snapshots *snapshots = &guest->snapshots;

	for (struct guest_snapshot **at = &snapshots->first; *at;)
		if (*at == snapshot)
			*at = snapshot->next;
		else
			at = &(*at)->next;
	for (struct guest_snapshot *at = snapshots->first; at; at = at->next)
		if (!strcmp(at->parent, snapshot->name))
			strcpy(at->parent, snapshot->parent);
	if (!strcmp(snapshots->current, snapshot->name))
		strcpy(snapshots->current, snapshot->parent);
	snapshot_free(snapshot);
}

struct guest_snapshot *snapshot_find(const struct guest *guest, const char *name)
{
	struct guest_snapshot *at = guest->snapshots.first;

	while (at && strcmp(at->name, name))
		at = at->next;
	return at;
}

unsigned snapshot_count(const struct guest *guest)
{
	unsigned count = 0;

	for (const struct guest_snapshot *at = guest->snapshots.first; at; at = at->next)
		count++;
	return count;
}

static unsigned children(const struct guest *guest, const char *name)
{
	unsigned count = 0;

	for (const struct guest_snapshot *at = guest->snapshots.first; at; at = at->next)
		count += !strcmp(at->parent, name);
	return count;
}

json_t *snapshot_describe(const struct guest *guest, const struct guest_snapshot *snapshot)
{
	json_t *disks = json_array();

	for (unsigned i = 0; i < snapshot->config.disks; i++) {
		const struct domain_disk *disk = &snapshot->config.disk[i];

		if (domain_disk_has_medium(disk))
			json_array_append_new(disks,
				json_pack("{s:s, s:s, s:s}", "vdev", disk->vdev ? disk->vdev : "",
					"path", disk->target, "format",
					domain_format_name(disk->format)));
	}
	return json_pack("{s:s, s:o, s:b, s:i, s:I, s:s, s:b, s:s, s:o}", "name", snapshot->name,
		"parent", *snapshot->parent ? json_string(snapshot->parent) : json_null(),
		"current", !strcmp(guest->snapshots.current, snapshot->name), "children",
		(int)children(guest, snapshot->name), "created", (json_int_t)snapshot->created,
		"state", states[snapshot->state], "memory", snapshot->memory, "comment",
		snapshot->comment ? snapshot->comment : "", "disks", disks);
}

/* The store */

static json_t *config_as_json(const struct domain_config *config)
{
	json_t *json = NULL;

	return domain_config_to_json(config, &json, NULL) ? NULL : json;
}

static json_t *snapshot_as_json(const struct guest_snapshot *at)
{
	return json_pack("{s:s, s:s, s:s, s:I, s:s, s:b, s:o}", "name", at->name, "parent",
		at->parent, "comment", at->comment ? at->comment : "", "created",
		(json_int_t)at->created, "state", states[at->state], "memory", at->memory, "config",
		config_as_json(&at->config));
}

static int add_work(const struct snapshots *snapshots, json_t *json)
{
	json_t *work;

	if (snapshots->work == SNAPSHOT_NO_WORK)
		return 0;
	work = json_pack("{s:b, s:b, s:s}", "starts", snapshots->starts, "paused",
		snapshots->paused, "target", snapshots->target);
	if (snapshots->work == SNAPSHOT_REVERT &&
		json_object_set_new(work, "config", config_as_json(&snapshots->next))) {
		json_decref(work);
		return -ENOMEM;
	}
	return json_object_set_new(json, snapshots->work == SNAPSHOT_REVERT ? "revert" : "start",
		work);
}

/* NULL: out of memory. */
static char *as_text(const struct snapshots *snapshots)
{
	json_t *list = json_array(), *files = json_array(), *json;
	char *text;
	int r = 0;

	for (const struct guest_snapshot *at = snapshots->first; at; at = at->next)
		r |= json_array_append_new(list, snapshot_as_json(at));
	for (unsigned i = 0; i < snapshots->files; i++)
		r |= json_array_append_new(files,
			json_pack("{s:s, s:s}", "path", snapshots->file[i].path, "base",
				snapshots->file[i].base));
	json = json_pack("{s:s, s:o, s:o}", "current", snapshots->current, "snapshots", list,
		"files", files);
	r |= json ? add_work(snapshots, json) : -1;
	text = r ? NULL : json_dumps(json, JSON_COMPACT);
	json_decref(json);
	return text;
}

int snapshots_save(const struct guest *guest, struct error *err)
{
	const struct snapshots *snapshots = &guest->snapshots;
	char *text = NULL;
	int r = 0;

	if (snapshots->first || snapshots->files || snapshots->work != SNAPSHOT_NO_WORK) {
		text = as_text(snapshots);
		r = text ? 0 : error_nomem(err);
	}
	if (!r)
		r = store_save_snapshots(guest->daemon->store, guest->config.uuid, text, err);
	free(text);
	return r;
}

static int read_name(const json_t *json, const char *key, char to[SNAPSHOT_NAME_MAX + 1])
{
	const char *name = json_get_text(json, key);

	if (*name && !snapshot_name_valid(name))
		return -EINVAL;
	snprintf(to, SNAPSHOT_NAME_MAX + 1, "%s", name);
	return 0;
}

static int read_one(struct guest *guest, const json_t *json, struct error *err)
{
	struct guest_snapshot *snapshot = calloc(1, sizeof *snapshot);
	const char *comment = json_get_text(json, "comment");
	int state = 0, r = snapshot ? 0 : error_nomem(err);

	while (states[state] && strcmp(states[state], json_get_text(json, "state")))
		state++;
	if (!r &&
		(!states[state] || read_name(json, "name", snapshot->name) || !*snapshot->name ||
			read_name(json, "parent", snapshot->parent)))
		r = error_set(err, EUCLEAN, "a snapshot that cannot be");
	if (!r)
		r = domain_config_from_json(json_object_get(json, "config"), &snapshot->config,
			err);
	if (!r && *comment && !(snapshot->comment = strdup(comment)))
		r = error_nomem(err);
	if (r) {
		if (snapshot)
			snapshot_free(snapshot);
		return r;
	}
	snapshot->created = json_get_number(json, "created");
	snapshot->state = (enum snapshot_state)state;
	snapshot->memory = json_get_true(json, "memory");
	append(guest, snapshot);
	return 0;
}

static int read_work(struct snapshots *snapshots, const json_t *json, struct error *err)
{
	const json_t *revert = json_object_get(json, "revert"),
		     *start = json_object_get(json, "start"), *work = revert ? revert : start;

	if (!work)
		return 0;
	snapshots->starts = json_get_true(work, "starts");
	snapshots->paused = json_get_true(work, "paused");
	if (read_name(work, "target", snapshots->target))
		return error_set(err, EUCLEAN, "a snapshot that cannot be");
	if (revert &&
		domain_config_from_json(json_object_get(revert, "config"), &snapshots->next, err))
		return -EUCLEAN;
	snapshots->work = revert ? SNAPSHOT_REVERT : SNAPSHOT_START;
	return 0;
}

static int read_all(struct guest *guest, const json_t *json, struct error *err)
{
	const json_t *item;
	size_t i;
	int r = read_name(json, "current", guest->snapshots.current);

	if (r)
		return error_set(err, EUCLEAN, "a snapshot that cannot be");
	json_array_foreach(json_object_get(json, "snapshots"), i, item)
	{
		r = r ? r : read_one(guest, item, err);
	}
	json_array_foreach(json_object_get(json, "files"), i, item)
	{
		if (!r && *json_get_text(item, "path"))
			r = snapshot_add_file(guest, json_get_text(item, "path"),
				json_get_text(item, "base"), err);
	}
	return r ? r : read_work(&guest->snapshots, json, err);
}

int snapshots_load(struct guest *guest, struct error *err)
{
	json_t *json;
	char *text;
	int r = store_load_snapshots(guest->daemon->store, guest->config.uuid, &text, err);

	if (r || !text)
		return r;
	json = json_loads(text, 0, NULL);
	free(text);
	r = json ? read_all(guest, json, err) : error_set(err, EUCLEAN, "no list of snapshots");
	json_decref(json);
	return r;
}

void snapshots_free(struct guest *guest)
{
	struct snapshots *snapshots = &guest->snapshots;
	struct guest_snapshot *at;

	while ((at = snapshots->first)) {
		snapshots->first = at->next;
		snapshot_free(at);
	}
	for (unsigned i = 0; i < snapshots->files; i++)
		snapshot_free_file(&snapshots->file[i]);
	free(snapshots->file);
	domain_config_free(&snapshots->next);
	*snapshots = (struct snapshots){.first = NULL};
}
