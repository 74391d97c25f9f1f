/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/disk.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/limits.h"

bool checkpoint_name_valid(const char *name)
{
	const size_t length = strlen(name);

	if (!length || length > LIMIT_CHECKPOINT || *name == '.' || *name == '-')
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && !strchr("._:-", *name))
			return false;
	return true;
}

static const char *const formats[] = {[DISK_RAW] = "raw", [DISK_QCOW2] = "qcow2", NULL};
static const char *const caches[] = {
	[DISK_WRITEBACK] = "writeback",
	[DISK_WRITETHROUGH] = "writethrough",
	[DISK_DIRECT] = "none",
	NULL,
};

const char *const disk_errors_names[] = {
	[DISK_ERRORS_REPORT] = "report",
	[DISK_ERRORS_WAIT] = "wait",
	NULL,
};

static const char *const buses[] =
	{[DISK_VIRTIO] = "virtio", [DISK_IDE] = "ide", [DISK_AHCI] = "ahci", NULL};

static const struct field file_fields[] = {
	FIELD_ROW(ENUM, disk_file, format, .needed = true, .names = formats),
	FIELD_ROW(FD, disk_file, fd, .min = LIMIT_FD_MIN, .max = LIMIT_FD_MAX),
	FIELD_ROW(STRING, disk_file, name, .max = LIMIT_STRING, .text = ""),
	{.key = NULL},
};

const struct field disk_spec_fields[] = {
	FIELD_LIST_ROW("files", disk_spec, file, files, file_fields, LIMIT_CHAIN, .needed = true),
	FIELD_ROW(BOOL, disk_spec, readonly),
	FIELD_ROW(ENUM, disk_spec, bus, .names = buses),
	FIELD_ROW(BOOL, disk_spec, cdrom),
	FIELD_ROW(ENUM, disk_spec, cache, .names = caches),
	FIELD_ROW(ENUM, disk_spec, errors, .names = disk_errors_names),
	FIELD_ROW(BOOL, disk_spec, filled),
	FIELD_ROW(STRING, disk_spec, serial, .max = LIMIT_SERIAL, .text = ""),
	FIELD_ROW(STRING, disk_spec, vdev, .max = LIMIT_VDEV, .text = ""),
	{.key = NULL},
};

const struct field drive_spec_fields[] = {
	FIELD_ROW(ENUM, drive_spec, bus, .needed = true, .names = buses),
	FIELD_ROW(STRING, drive_spec, vdev, .needed = true, .max = LIMIT_VDEV),
	{.key = NULL},
};

bool disk_is_remote(const char *name)
{
	static const char *const schemes[] = {"nbd://", "nbd+unix://", "nbds://", "nbds+unix://"};

	for (unsigned i = 0; i < sizeof schemes / sizeof *schemes; i++)
		if (!strncmp(name, schemes[i], strlen(schemes[i])))
			return true;
	return false;
}

const char *disk_format_name(enum disk_format format)
{
	return formats[format];
}

bool disk_format_is_there(const char *name)
{
	return field_find_name(formats, name) >= 0;
}

int disk_spec_of_file(const char *path, bool readonly, struct disk_spec *spec, struct error *err)
{
	memset(spec, 0, sizeof *spec);
	if (fields_default(disk_spec_fields, spec) ||
		fields_make_list(disk_spec_fields, "files", spec, 1))
		goto out_of_memory;
	spec->readonly = readonly;
	free(spec->file[0].name);
	spec->file[0].name = strdup(path);
	if (spec->file[0].name)
		return 0;
out_of_memory:
	disk_spec_free(spec);
	return error_nomem(err);
}

/* What a word like "cache=none" says, of names. -1: it is another word; or -EINVAL. */
static int take_name(const char *word, const char *key, const char *const *names,
	const char *there_are, struct error *err)
{
	const size_t length = strlen(key);
	int found;

	if (strncmp(word, key, length))
		return -1;
	found = field_find_name(names, word + length);
	return found < 0 ? error_set(err, EINVAL, "%s: there are %s", word, there_are) : found;
}

/* Takes a known word off the end of name, if there is one. 1: done so; 0: none; or -EINVAL. */
static int take_word(char *name, struct disk_spec *spec, bool *formatted, struct error *err)
{
	char *comma = strrchr(name, ',');
	int cache, format, error;

	if (!comma)
		return 0;
	cache = take_name(comma + 1, "cache=", caches, "writeback, writethrough and none", err);
	format = take_name(comma + 1, "format=", formats, "raw and qcow2", err);
	error = take_name(comma + 1, "errors=", disk_errors_names, "report and wait", err);
	if (cache == -EINVAL || format == -EINVAL || error == -EINVAL)
		return -EINVAL;
	if (cache >= 0) {
		spec->cache = (enum disk_cache)cache;
	} else if (error >= 0) {
		spec->errors = (enum disk_errors)error;
	} else if (format >= 0) {
		spec->file[0].format = (enum disk_format)format;
		*formatted = true;
	} else if (!strcmp(comma, ",ro")) {
		spec->readonly = true;
	} else if (!strcmp(comma, ",ide")) {
		spec->bus = DISK_IDE;
	} else if (!strcmp(comma, ",ahci")) {
		spec->bus = DISK_AHCI;
	} else if (!strcmp(comma, ",cdrom")) {
		spec->cdrom = spec->readonly = true;
	} else {
		return 0;
	}
	*comma = 0;
	return 1;
}

static bool ends_in(const char *name, const char *end)
{
	size_t size = strlen(name), length = strlen(end);

	return size > length && !strcmp(name + size - length, end);
}

int disk_spec_parse(const char *text, struct disk_spec *spec, struct error *err)
{
	bool formatted = false;
	int r = disk_spec_of_file(text, false, spec, err);

	if (r)
		return r;
	do {
		r = take_word(spec->file[0].name, spec, &formatted, err);
	} while (r > 0);
	if (!r && !spec->file[0].name[0])
		r = error_set(err, EINVAL,
			"a disk needs a file: FILE[,ro][,ide|,ahci][,cdrom][,format=...][,cache=...][,errors=...]");
	if (spec->cdrom && spec->bus == DISK_VIRTIO)
		spec->bus = DISK_IDE;
	if (!r && !formatted && ends_in(spec->file[0].name, ".qcow2"))
		spec->file[0].format = DISK_QCOW2;
	if (r)
		disk_spec_free(spec);
	return r;
}

void disk_spec_free(struct disk_spec *spec)
{
	fields_free(disk_spec_fields, spec);
	memset(spec, 0, sizeof *spec);
}
