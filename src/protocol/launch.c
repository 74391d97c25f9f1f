/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/launch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "protocol/end.h"
#include "protocol/fields.h"
#include "protocol/walls.h"

#define WHERE "configuration: "
#define USER_MAX (UINT32_MAX - 1)

#define DESCRIPTOR(structure, member, ...) \
	FIELD_ROW(FD, structure, member, .min = LIMIT_FD_MIN, .max = LIMIT_FD_MAX, __VA_ARGS__)

static const struct field file_fields[] = {
	DESCRIPTOR(launch_file, fd, .needed = true),
	FIELD_ROW(STRING, launch_file, name, .max = LIMIT_STRING, .text = ""),
	{.key = NULL},
};

static const struct field layer_fields[] = {
	DESCRIPTOR(launch_layer, fd, .needed = true),
	{.key = NULL},
};

static const struct field link_fields[] = {
	FIELD_ROW(STRING, launch_link, name, .needed = true, .min = 1, .max = NET_LINK_TEXT,
		.text = ""),
	FIELD_ROW(COUNT, launch_link, number, .max = LIMIT_NETWORKS - 1),
	FIELD_ROW(STRING, launch_link, address, .max = NET_ADDRESS_TEXT + 3, .text = ""),
	FIELD_ROW(STRING, launch_link, gateway, .max = NET_ADDRESS_TEXT, .text = ""),
	{.key = NULL},
};

static const struct field group_fields[] = {
	FIELD_ROW(COUNT, launch_group, id, .needed = true, .max = USER_MAX),
	{.key = NULL},
};

static const struct field owner_fields[] = {
	FIELD_ROW(COUNT, launch_owner, uid, .max = USER_MAX),
	FIELD_ROW(COUNT, launch_owner, gid, .max = USER_MAX),
	FIELD_LIST_ROW("groups", launch_owner, group, groups, group_fields, LIMIT_GROUPS),
	{.key = NULL},
};

const struct field launch_fields[] = {
	FIELD_ROW(COUNT, launch_spec, version, .needed = true, .min = LAUNCH_VERSION,
		.max = LAUNCH_VERSION, .number = LAUNCH_VERSION),
	FIELD_ROW(STRING, launch_spec, name, .needed = true, .min = 1, .max = LIMIT_NAME,
		.text = ""),
	FIELD_ROW(STRING, launch_spec, uuid, .max = LIMIT_UUID, .text = ""),
	FIELD_ROW(COUNT, launch_spec, domid, .max = UINT32_MAX),
	FIELD_PART_AT(launch_spec, machine, machine_spec_fields),
	FIELD_ROW(NUMBER, launch_spec, memory, .needed = true, .min = LIMIT_MEMORY_MIN,
		.max = LIMIT_MEMORY_MAX),
	FIELD_ROW(NUMBER, launch_spec, maxmem, .min = LIMIT_MEMORY_MIN, .max = LIMIT_MEMORY_MAX),
	FIELD_ROW(COUNT, launch_spec, vcpus, .min = 1, .max = LIMIT_VCPUS, .number = 1),
	FIELD_ROW(COUNT, launch_spec, tsc_khz, .min = 1, .max = UINT32_MAX),
	FIELD_STRUCT_ROW(launch_spec, kernel, file_fields),
	FIELD_ROW(ENUM, launch_spec, firmware, .names = firmware_words),
	FIELD_STRUCT_ROW(launch_spec, nvram, file_fields),
	FIELD_ROW(STRING, launch_spec, boot, .max = FIRMWARE_BOOT_MAX, .text = ""),
	FIELD_STRUCT_ROW(launch_spec, initrd, file_fields),
	DESCRIPTOR(launch_spec, overlay),
	DESCRIPTOR(launch_spec, ram),
	FIELD_STRUCT_ROW(launch_spec, state, file_fields),
	FIELD_LIST_ROW("layers", launch_spec, layer, layers, layer_fields, LIMIT_LAYERS),
	FIELD_ROW(STRING, launch_spec, cmdline, .max = LIMIT_CMDLINE, .text = ""),
	FIELD_LIST_ROW("disks", launch_spec, disk, disks, disk_spec_fields, LIMIT_DISKS),
	FIELD_LIST_ROW("drives", launch_spec, drive, drives, drive_spec_fields, LIMIT_DRIVES),
	FIELD_LIST_ROW("networks", launch_spec, network, networks, net_spec_fields, LIMIT_NETWORKS),
	FIELD_LIST_ROW("shares", launch_spec, share, shares, share_launch_fields, LIMIT_SHARES),
	FIELD_STRUCT_ROW(launch_spec, owner, owner_fields),
	DESCRIPTOR(launch_spec, control),
	DESCRIPTOR(launch_spec, console),
	DESCRIPTOR(launch_spec, screen),
	DESCRIPTOR(launch_spec, lock),
	DESCRIPTOR(launch_spec, status),
	FIELD_ROW(BOOL, launch_spec, paused),
	FIELD_ROW(BOOL, launch_spec, lazy),
	FIELD_ROW(BOOL, launch_spec, arriving),
	FIELD_ROW(BOOL, launch_spec, renew),
	FIELD_ROW(SET, launch_spec, keep, .max = END_PRESERVABLE, .names = end_words),
	FIELD_ROW(SET, launch_spec, walls, .max = WALLS_ALL, .names = wall_words),
	FIELD_ROW(COUNT, launch_spec, uid, .min = 1, .max = USER_MAX),
	FIELD_ROW(COUNT, launch_spec, gid, .min = 1, .max = USER_MAX),
	FIELD_STRUCT_ROW(launch_spec, root, file_fields),
	DESCRIPTOR(launch_spec, upper),
	FIELD_LIST_ROW("lowers", launch_spec, lower, lowers, file_fields, CONTAINER_LAYERS),
	FIELD_ROW_AS(FD, "agent_program", launch_spec, agent, .min = LIMIT_FD_MIN,
		.max = LIMIT_FD_MAX),
	FIELD_ROW(COUNT, launch_spec, ids, .max = UINT32_MAX - CONTAINER_IDS),
	FIELD_ROW(STRING, launch_spec, group, .min = 1, .max = LIMIT_STRING),
	FIELD_LIST_ROW("links", launch_spec, link, links, link_fields, LIMIT_NETWORKS),
	FIELD_PART_AT(launch_spec, container, container_spec_fields),
	{.key = NULL},
};

int launch_init(struct launch_spec *spec)
{
	memset(spec, 0, sizeof *spec);
	if (!fields_default(launch_fields, spec))
		return 0;
	launch_free(spec);
	return -ENOMEM;
}

void launch_free(struct launch_spec *spec)
{
	fields_free(launch_fields, spec);
	memset(spec, 0, sizeof *spec);
}

int launch_make_drives(struct launch_spec *spec, unsigned count)
{
	return fields_make_list(launch_fields, "drives", spec, count);
}

int launch_make_disks(struct launch_spec *spec, unsigned count)
{
	return fields_make_list(launch_fields, "disks", spec, count);
}

int launch_make_layers(struct launch_spec *spec, unsigned count)
{
	return fields_make_list(launch_fields, "layers", spec, count);
}

int launch_make_networks(struct launch_spec *spec, unsigned count)
{
	return fields_make_list(launch_fields, "networks", spec, count);
}

int launch_make_links(struct launch_spec *spec, unsigned count)
{
	return fields_make_list(launch_fields, "links", spec, count);
}

int launch_make_lowers(struct launch_spec *spec, unsigned count)
{
	return fields_make_list(launch_fields, "lowers", spec, count);
}

int launch_make_shares(struct launch_spec *spec, unsigned count)
{
	return fields_make_list(launch_fields, "shares", spec, count);
}

int launch_make_groups(struct launch_spec *spec, unsigned count)
{
	return fields_make_list(owner_fields, "groups", &spec->owner, count);
}

/* Keeps the list ascending. */
static int note_fd(void *ctx, const char *key, int *number)
{
	int *fd = ctx;
	unsigned at = 0, end;

	while (fd[at] >= 0 && fd[at] < *number)
		at++;
	for (end = at; fd[end] >= 0; end++)
		if (end == LAUNCH_FDS_MAX - 1)
			return -E2BIG;
	memmove(&fd[at + 1], &fd[at], (end - at) * sizeof *fd);
	fd[at] = *number;
	return 0;
}

unsigned launch_fds(const struct launch_spec *spec, int fd[LAUNCH_FDS_MAX])
{
	int list[LAUNCH_FDS_MAX + 1];
	unsigned count = 0;

	memset(list, 0xff, sizeof list);
	fields_each_fd(launch_fields, (void *)spec, note_fd, list);
	for (; list[count] >= 0; count++)
		fd[count] = list[count];
	return count;
}

struct numbering {
	int *fd;
	unsigned count;
};

static int number_fd(void *ctx, const char *key, int *fd)
{
	struct numbering *numbering = ctx;

	numbering->fd[numbering->count++] = *fd;
	*fd = LAUNCH_FD + numbering->count;
	return 0;
}

unsigned launch_number_fds(struct launch_spec *spec, int fd[LAUNCH_FDS_MAX])
{
	struct numbering numbering = {fd, 0};

	fields_each_fd(launch_fields, spec, number_fd, &numbering);
	return numbering.count;
}

static int check_fds(const struct launch_spec *spec, struct error *err)
{
	int fd[LAUNCH_FDS_MAX];
	unsigned count = launch_fds(spec, fd);

	for (unsigned i = 1; i < count; i++)
		if (fd[i] == fd[i - 1])
			return error_set(err, EINVAL, WHERE "descriptor %d is used twice", fd[i]);
	if (spec->layers && spec->state.fd < 0)
		return error_set(err, EINVAL, WHERE "layers: without a state");
	for (unsigned i = 0; i < spec->layers; i++)
		if (spec->layer[i].fd < 0)
			return error_set(err, EINVAL, WHERE "layers[%u].fd: is missing", i);
	for (unsigned i = 0; i < spec->networks; i++)
		if (spec->network[i].kind == NET_TAP && spec->network[i].fd < 0)
			return error_set(err, EINVAL, WHERE "networks[%u].fd: is missing", i);
	for (unsigned i = 0; i < spec->shares; i++)
		if (spec->share[i].fd < 0)
			return error_set(err, EINVAL, WHERE "shares[%u].fd: is missing", i);
	for (unsigned i = 0; i < spec->disks; i++) {
		if (!spec->disk[i].files)
			return error_set(err, EINVAL, WHERE "disks[%u].files: is empty", i);
		for (unsigned k = 0; k < spec->disk[i].files; k++)
			if (spec->disk[i].file[k].fd < 0 &&
				!disk_is_remote(spec->disk[i].file[k].name))
				return error_set(err, EINVAL,
					WHERE "disks[%u].files[%u].fd: is missing", i, k);
	}
	return 0;
}

/* What no field says alone. */
static int check(const struct launch_spec *spec, struct error *err)
{
	int r = fields_check(launch_fields, spec, WHERE, err);

	if (!r && (spec->memory % 1024 || spec->maxmem % 1024))
		r = error_set(err, EINVAL, WHERE "memory: not a whole number of MiB");
	if (!r && spec->maxmem && spec->memory > spec->maxmem)
		r = error_set(err, EINVAL, WHERE "memory: more than maxmem");
	if (!r && spec->kernel.fd < 0 && !spec->disks && spec->state.fd < 0 && spec->root.fd < 0)
		r = error_set(err, EINVAL,
			WHERE "kernel: is missing, and there is no disk to take it from");
	if (!r && spec->kernel.fd < 0 && spec->firmware)
		r = error_set(err, EINVAL, WHERE "kernel: is missing, the firmware's file");
	return r ? r : check_fds(spec, err);
}

int launch_write(const struct launch_spec *spec, char **text, struct error *err)
{
	json_t *json;
	int r = check(spec, err);

	*text = NULL;
	if (r)
		return r;
	json = fields_write(launch_fields, spec);
	*text = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	if (!*text)
		return error_nomem(err);
	if (strlen(*text) <= LAUNCH_MAX)
		return 0;
	free(*text);
	*text = NULL;
	return error_set(err, E2BIG, WHERE "more than %u bytes", LAUNCH_MAX);
}

static int read_json(const json_t *json, struct launch_spec *spec, struct error *err)
{
	const json_t *version = json_object_get(json, "version");
	int r;

	if (!json_is_object(json))
		return error_set(err, EINVAL, WHERE "not a JSON object");
	/* Before all that another version may have. */
	if (!json_is_integer(version) || json_integer_value(version) != LAUNCH_VERSION)
		return error_set(err, EINVAL,
			WHERE "version: not %d (is the daemon newer than this monitor, or older?)",
			LAUNCH_VERSION);
	r = fields_read(launch_fields, json, spec, WHERE, err);
	return r ? r : check(spec, err);
}

int launch_read(const char *text, size_t len, struct launch_spec *spec, struct error *err)
{
	json_t *json;
	int r;

	memset(spec, 0, sizeof *spec);
	if (len > LAUNCH_MAX)
		return error_set(err, E2BIG, WHERE "more than %u bytes", LAUNCH_MAX);
	json = json_parse(text, len, "configuration", err);
	if (!json)
		return -EINVAL;
	r = launch_init(spec) ? error_nomem(err) : read_json(json, spec, err);
	json_decref(json);
	if (r) {
		launch_free(spec);
		return r;
	}
	if (!spec->maxmem)
		spec->maxmem = spec->memory;
	if (!spec->gid)
		spec->gid = spec->uid;
	return 0;
}
