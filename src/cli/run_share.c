/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_share.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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

/* From the root down, and no way back up. */
static bool path_good(const char *path)
{
	const char *dots = path;

	if (strlen(path) > 1024 || !strcmp(path, "/"))
		return false;
	while ((dots = strstr(dots, "/.."))) {
		dots += 3;
		if (!*dots || *dots == '/')
			return false;
	}
	return true;
}

static int find_folder(const char *name, char **folder, struct error *err)
{
	struct stat st;

	*folder = realpath(name, NULL);
	if (!*folder || stat(*folder, &st))
		return error_set(err, errno, "--share: %s: %s", name, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return error_set(err, ENOTDIR, "--share: %s is no folder", name);
	return 0;
}

int run_share_add(struct vmm_config *config, const char *value, struct error *err)
{
	struct vmm_share *share = &config->share[config->shares];
	char *text, *path, *folder = NULL;
	int r;

	if (config->shares == VMM_SHARES)
		return error_set(err, EINVAL, "--share: %u at most", VMM_SHARES);
	text = strdup(value);
	if (!text)
		return error_nomem(err);
	*share = (struct vmm_share){.path = NULL};
	share->overlay = take_word(text, "overlay");
	share->read_only = share->overlay || take_word(text, "ro");
	path = find_path(text);
	if (path)
		*path++ = 0;
	r = find_folder(text, &folder, err);
	if (!r && path && !path_good(path))
		r = error_set(err, EINVAL,
			"--share: %s: a path in the guest below its root, without '..'", path);
	if (!r && path && !(share->path = strdup(path)))
		r = error_nomem(err);
	free(text);
	if (r) {
		free(folder);
		return r;
	}
	share->folder = folder;
	config->shares++;
	return 0;
}

int run_share_complete(struct vmm_config *config, bool command, struct error *err)
{
	for (unsigned i = 0; i < config->shares; i++) {
		struct vmm_share *share = &config->share[i];

		if (!command && (share->path || share->overlay))
			return error_set(err, EINVAL,
				"--share: %s is for a command; this guest mounts the folder itself: mount -t virtiofs dach%u DIR",
				share->path ? share->path : "overlay", i);
		if (!share->path)
			share->path = strdup(RUN_SHARE_PATH);
		if (!share->path)
			return error_nomem(err);
		for (unsigned k = 0; command && k < i; k++)
			if (!strcmp(share->path, config->share[k].path))
				return error_set(err, EINVAL,
					"--share: %s and %s both go to %s: say where by DIR:PATH",
					config->share[k].folder, share->folder, share->path);
	}
	return 0;
}

void run_share_free(struct vmm_config *config)
{
	for (unsigned i = 0; i < config->shares; i++) {
		free((char *)config->share[i].folder);
		free((char *)config->share[i].path);
	}
	config->shares = 0;
}
