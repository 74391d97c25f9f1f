/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/launch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/end.h"
#include "protocol/fields.h"

#define WHERE "configuration: "
#define USER_MAX (UINT32_MAX - 1)

#define DESCRIPTOR(structure, member, needed_)                                                    \
	{                                                                                         \
		.key = #member, .kind = FIELD_FD, FIELD_AT(structure, member), .needed = needed_, \
		.min = LIMIT_FD_MIN, .max = LIMIT_FD_MAX                                          \
	}
#define TEXT(structure, member, most, preset)                                                   \
	{                                                                                       \
		.key = #member, .kind = FIELD_STRING, FIELD_AT(structure, member), .max = most, \
		.text = preset                                                                  \
	}
#define NUMBER(kind_, member, least, most, preset)                                          \
	{                                                                                   \
		.key = #member, .kind = kind_, FIELD_AT(launch_spec, member), .min = least, \
		.max = most, .number = preset                                               \
	}
#define BOOLEAN(structure, member)                                                        \
	{                                                                                 \
		.key = #member, .kind = FIELD_BOOL, FIELD_AT(structure, member), .max = 1 \
	}
#define LIST(key_, member, count_, most, element_)                                     \
	{                                                                              \
		.key = key_, .kind = FIELD_LIST, FIELD_AT(launch_spec, member),        \
		FIELD_COUNT_AT(launch_spec, count_), .max = most, .element = element_, \
		.size = sizeof *((struct launch_spec *)0)->member                      \
	}
#define FILE_AT(member)                                                              \
	{                                                                            \
		.key = #member, .kind = FIELD_STRUCT, FIELD_AT(launch_spec, member), \
		.element = file_fields                                               \
	}

static const struct field file_fields[] = {
	DESCRIPTOR(launch_file, fd, true),
	TEXT(launch_file, name, LIMIT_STRING, ""),
	{.key = NULL},
};

const struct field launch_fields[] = {
	{.key = "version",
		.kind = FIELD_COUNT,
		FIELD_AT(launch_spec, version),
		.needed = true,
		.min = LAUNCH_VERSION,
		.max = LAUNCH_VERSION,
		.number = LAUNCH_VERSION},
	{.key = "name",
		.kind = FIELD_STRING,
		FIELD_AT(launch_spec, name),
		.needed = true,
		.min = 1,
		.max = LIMIT_NAME,
		.text = ""},
	TEXT(launch_spec, uuid, LIMIT_UUID, ""),
	NUMBER(FIELD_COUNT, domid, 0, UINT32_MAX, 0),
	FIELD_PART_AT(launch_spec, machine, machine_spec_fields),
	{.key = "memory",
		.kind = FIELD_NUMBER,
		FIELD_AT(launch_spec, memory),
		.needed = true,
		.min = LIMIT_MEMORY_MIN,
		.max = LIMIT_MEMORY_MAX},
	NUMBER(FIELD_NUMBER, maxmem, LIMIT_MEMORY_MIN, LIMIT_MEMORY_MAX, 0),
	NUMBER(FIELD_COUNT, vcpus, 1, LIMIT_VCPUS, 1),
	FILE_AT(kernel),
	FILE_AT(initrd),
	TEXT(launch_spec, cmdline, LIMIT_CMDLINE, ""),
	LIST("disks", disk, disks, LIMIT_DISKS, disk_spec_fields),
	LIST("networks", network, networks, LIMIT_NETWORKS, net_spec_fields),
	DESCRIPTOR(launch_spec, control, false),
	DESCRIPTOR(launch_spec, console, false),
	DESCRIPTOR(launch_spec, lock, false),
	DESCRIPTOR(launch_spec, status, false),
	BOOLEAN(launch_spec, paused),
	{.key = "keep",
		.kind = FIELD_SET,
		FIELD_AT(launch_spec, keep),
		.max = END_PRESERVABLE,
		.names = end_words},
	NUMBER(FIELD_COUNT, uid, 1, USER_MAX, 0),
	NUMBER(FIELD_COUNT, gid, 1, USER_MAX, 0),
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

int launch_make_disks(struct launch_spec *spec, unsigned count)
{
	return fields_make_list(launch_fields, "disks", spec, count);
}

int launch_make_networks(struct launch_spec *spec, unsigned count)
{
	return fields_make_list(launch_fields, "networks", spec, count);
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
	for (unsigned i = 0; i < spec->disks; i++) {
		if (!spec->disk[i].files)
			return error_set(err, EINVAL, WHERE "disks[%u].files: is empty", i);
		for (unsigned k = 0; k < spec->disk[i].files; k++)
			if (spec->disk[i].file[k].fd < 0)
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
	if (!r && spec->kernel.fd < 0 && !spec->disks)
		r = error_set(err, EINVAL,
			WHERE "kernel: is missing, and there is no disk to take it from");
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
	json_error_t where;
	json_t *json;
	int r;

	memset(spec, 0, sizeof *spec);
	if (len > LAUNCH_MAX)
		return error_set(err, E2BIG, WHERE "more than %u bytes", LAUNCH_MAX);
	json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
	if (!json)
		return error_set(err, EINVAL, WHERE "line %d, column %d: %s", where.line,
			where.column, where.text);
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
