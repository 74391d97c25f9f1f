/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_share.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define WHAT "--share"

/* Its name without links. */
static int find_folder(struct share_spec *share, struct error *err)
{
	char *folder = realpath(share->folder, NULL);
	struct stat st;

	if (!folder || stat(folder, &st)) {
		free(folder);
		return error_set(err, errno, WHAT ": %s: %s", share->folder, strerror(errno));
	}
	free(share->folder);
	share->folder = folder;
	return S_ISDIR(st.st_mode) ? 0 : error_set(err, ENOTDIR, WHAT ": %s is no folder", folder);
}

int run_share_add(struct vmm_config *config, const char *value, struct error *err)
{
	struct share_spec *share = &config->share[config->shares];
	int r;

	if (config->shares == LIMIT_SHARES)
		return error_set(err, EINVAL, WHAT ": %u at most", LIMIT_SHARES);
	r = share_spec_parse(value, share, err);
	if (r)
		return r;
	r = find_folder(share, err);
	if (!r)
		r = share_spec_check(WHAT, share, err);
	if (r)
		share_spec_free(share);
	else
		config->shares++;
	return r;
}

int run_share_complete(struct vmm_config *config, bool command, struct error *err)
{
	for (unsigned i = 0; i < config->shares; i++) {
		struct share_spec *share = &config->share[i];

		if (!command && (share->path || share->overlay))
			return error_set(err, EINVAL,
				WHAT
				": %s is for a command; this guest mounts the folder itself: mount -t virtiofs " SHARE_TAG
				" DIR",
				share->path ? share->path : "overlay", i);
		if (command && !share->path && !(share->path = strdup(RUN_SHARE_PATH)))
			return error_nomem(err);
	}
	return share_specs_check(WHAT, config->share, config->shares, err);
}

void run_share_free(struct vmm_config *config)
{
	while (config->shares)
		share_spec_free(&config->share[--config->shares]);
}
