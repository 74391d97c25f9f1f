/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/share.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/limits.h"

#define FOLDER FIELD_ROW(STRING, share_spec, folder, .needed = true, .min = 1, .max = LIMIT_STRING)
#define OTHERS                                                                  \
	FIELD_ROW(STRING, share_spec, path, .min = 1, .max = LIMIT_SHARE_PATH), \
		FIELD_ROW_AS(BOOL, "readonly", share_spec, read_only),          \
		FIELD_ROW(BOOL, share_spec, overlay)

const struct field share_spec_fields[] = {
	FOLDER,
	OTHERS,
	{.key = NULL},
};

const struct field share_launch_fields[] = {
	FIELD_ROW(FD, share_spec, fd, .needed = true, .min = LIMIT_FD_MIN, .max = LIMIT_FD_MAX),
	FOLDER,
	OTHERS,
	{.key = NULL},
};

/* Takes ",word" away from the end of the text. */
static bool take_word(char *text, const char *word)
{
	char *comma = strrchr(text, ',');

	if (!comma || strcmp(comma + 1, word))
		return false;
	*comma = 0;
	return true;
}

/* The colon before PATH, which begins with a slash; a folder's name may have colons, too. */
static char *find_path(char *text)
{
	char *last = NULL;

	for (char *colon = strstr(text, ":/"); colon; colon = strstr(colon + 1, ":/"))
		last = colon;
	return last;
}

int share_spec_parse(const char *text, struct share_spec *spec, struct error *err)
{
	char *path;

	*spec = (struct share_spec){.fd = -1, .folder = strdup(text)};
	if (!spec->folder)
		return error_nomem(err);
	spec->overlay = take_word(spec->folder, "overlay");
	spec->read_only = spec->overlay || take_word(spec->folder, "ro");
	path = find_path(spec->folder);
	if (path) {
		*path++ = 0;
		spec->path = strdup(path);
		if (!spec->path) {
			share_spec_free(spec);
			return error_nomem(err);
		}
	}
	return 0;
}

size_t share_path_next(const char **path)
{
	size_t len;

	do {
		*path += strspn(*path, "/");
		len = strcspn(*path, "/");
		if (len != 1 || **path != '.')
			return len;
		++*path;
	} while (true);
}

bool share_path_same(const char *one, const char *other)
{
	size_t len;

	do {
		len = share_path_next(&one);
		if (len != share_path_next(&other) || memcmp(one, other, len) != 0)
			return false;
		one += len;
		other += len;
	} while (len);
	return true;
}

/* From the root down, and no way back up. */
static bool path_good(const char *path)
{
	size_t len;

	if (*path != '/' || strlen(path) > LIMIT_SHARE_PATH || share_path_same(path, "/"))
		return false;
	while ((len = share_path_next(&path))) {
		if (len == 2 && !memcmp(path, "..", 2))
			return false;
		path += len;
	}
	return true;
}

int share_spec_check(const char *what, const struct share_spec *spec, struct error *err)
{
	if (!spec->folder || *spec->folder != '/')
		return error_set(err, EINVAL, "%s: '%s' is not an absolute path", what,
			spec->folder ? spec->folder : "");
	if (spec->path && !path_good(spec->path))
		return error_set(err, EINVAL,
			"%s: %s: a path in the guest below its root, without '..'", what,
			spec->path);
	if (spec->overlay && !spec->read_only)
		return error_set(err, EINVAL, "%s: %s: an overlay is read-only", what,
			spec->folder);
	return 0;
}

int share_specs_check(const char *what, const struct share_spec *spec, unsigned count,
	struct error *err)
{
	for (unsigned i = 0; i < count; i++)
		for (unsigned k = 0; k < i; k++)
			if (spec[i].path && spec[k].path &&
				share_path_same(spec[i].path, spec[k].path))
				return error_set(err, EINVAL,
					"%s: %s and %s both go to %s: say where by DIR:PATH", what,
					spec[k].folder, spec[i].folder, spec[i].path);
	return 0;
}

void share_spec_free(struct share_spec *spec)
{
	free(spec->folder);
	free(spec->path);
	*spec = (struct share_spec){.folder = NULL};
}
