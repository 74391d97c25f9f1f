/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/plug.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/note.h"

const struct domain_disk *plug_find(const struct domain_config *config, const char *vdev)
{
	for (unsigned i = 0; i < config->disks; i++)
		if (config->disk[i].vdev && !strcmp(config->disk[i].vdev, vdev))
			return &config->disk[i];
	return NULL;
}

unsigned plug_number(const struct domain_config *config, const struct domain_disk *disk)
{
	unsigned number = 0;

	for (const struct domain_disk *at = config->disk; at != disk; at++)
		number += domain_disk_has_medium(at);
	return number;
}

/* Where it is in the list; the list's length if it is not. */
static size_t place_of(const json_t *disks, const char *vdev)
{
	json_t *disk;
	size_t i;

	json_array_foreach(disks, i, disk)
	{
		if (!strcmp(json_get_text(disk, "vdev"), vdev))
			break;
	}
	return i;
}

json_t *plug_open_config(const struct guest *guest, const char *key, json_t **list,
	struct error *err)
{
	json_t *json;

	if (domain_config_to_json(&guest->config, &json, err))
		return NULL;
	*list = json_object_get(json, key);
	if (!*list) {
		*list = json_array();
		json_object_set_new(json, key, *list);
	}
	return json;
}

int plug_close_config(json_t *json, struct domain_config *to, struct error *err)
{
	int r = domain_config_from_json(json, to, err);

	json_decref(json);
	if (!r)
		r = domain_config_check_limits(to, err);
	if (r)
		domain_config_free(to);
	return r;
}

int plug_with(const struct guest *guest, const json_t *disk, struct domain_config *to,
	struct error *err)
{
	json_t *disks, *json = plug_open_config(guest, "disks", &disks, err),
		       *copy = json_deep_copy(disk);
	size_t place;

	memset(to, 0, sizeof *to);
	if (!json) {
		json_decref(copy);
		return -EINVAL;
	}
	/* Files that go with their guest are the daemon's to make. */
	json_object_del(copy, "temporary");
	place = place_of(disks, json_get_text(copy, "vdev"));
	if (place < json_array_size(disks))
		json_array_set_new(disks, place, copy);
	else
		json_array_append_new(disks, copy);
	return plug_close_config(json, to, err);
}

int plug_without(const struct guest *guest, const char *vdev, bool keep, struct domain_config *to,
	struct error *err)
{
	json_t *disks, *json = plug_open_config(guest, "disks", &disks, err), *disk;
	size_t place;

	memset(to, 0, sizeof *to);
	if (!json)
		return -EINVAL;
	place = place_of(disks, vdev);
	disk = json_array_get(disks, place);
	if (keep && disk) {
		json_object_del(disk, "target");
		json_object_del(disk, "temporary");
		json_object_set_new(disk, "format", json_string(domain_format_name(DOMAIN_EMPTY)));
	} else {
		json_array_remove(disks, place);
	}
	return plug_close_config(json, to, err);
}

int plug_commit(struct guest *guest, struct domain_config *config, struct error *err)
{
	struct domain_config was = guest->config;
	int r;

	guest->config = *config;
	r = guest_save(guest, err);
	*config = r ? guest->config : was;
	if (r)
		guest->config = was;
	domain_config_free(config);
	return r;
}

static bool has(const json_t *info, const char *vdev)
{
	json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(info, "disks"), i, disk)
	{
		if (!strcmp(json_get_text(disk, "vdev"), vdev))
			return true;
	}
	return false;
}

/* The guest has ended, or its monitor says what it has. */
static int settle_disk(struct guest *guest, const json_t *note, const json_t *info,
	struct error *err)
{
	const char *vdev = json_get_text(note, "vdev");
	const struct domain_disk *disk = plug_find(&guest->config, vdev);
	struct domain_config config;
	int r;

	if (!info || !disk || !domain_disk_has_medium(disk) || has(info, vdev))
		return 0;
	guest_log(guest, "has a disk less, which its monitor has not", vdev);
	r = plug_without(guest, vdev, json_get_true(note, "keep"), &config, err);
	return r ? r : plug_commit(guest, &config, err);
}

void plug_settle(struct guest *guest, const json_t *info)
{
	json_t *note = note_read(guest, NOTE_PLUGGING);
	struct error err = {0};
	int r;

	if (!note)
		return;
	r = json_object_get(note, "devid") ? plug_vif_settle(guest, note, info, &err)
					   : settle_disk(guest, note, info, &err);
	json_decref(note);
	if (r)
		guest_log(guest, "its devices cannot be noted", err.text);
	else
		note_forget(guest, NOTE_PLUGGING);
}
