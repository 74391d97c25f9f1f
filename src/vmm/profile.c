/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/profile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* flags: O_EXCL for a name in /tmp that others know beforehand, else O_TRUNC. */
static int open_output(const char *path, int flags, FILE **out, struct error *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | flags, 0644);

	*out = fd < 0 ? NULL : fdopen(fd, "w");
	if (*out)
		return 0;
	error_set(err, errno, "%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -EIO;
}

static int load_symbols(struct profile_files *profile, const char *path, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	r = symbols_load(fd, path, &profile->symbols, err);
	close(fd);
	profile->engine.symbols = profile->symbols;
	return r;
}

int profile_open(struct profile_files *profile, const struct vmm_config *config,
	const struct engine *engine, struct error *err)
{
	char path[64];
	int r = 0;

	if (!config->perf_map && !config->profile) {
		if (config->symbols)
			return error_set(err, EINVAL, "--symbols is for --perf-map and --profile");
		return 0;
	}
	if (!engine->vm_write_profile)
		return error_set(err, EINVAL,
			"--perf-map and --profile see only what the translator runs (--engine translate)");
	if (config->symbols)
		r = load_symbols(profile, config->symbols, err);
	if (!r && config->profile)
		r = open_output(config->profile, O_TRUNC, &profile->engine.profile, err);
	if (!r && config->perf_map) {
		snprintf(path, sizeof path, "/tmp/perf-%d.map", getpid());
		unlink(path); /* of a process that had this number before */
		r = open_output(path, O_EXCL, &profile->engine.perf_map, err);
	}
	return r;
}

void profile_close(struct profile_files *profile)
{
	if (profile->engine.perf_map)
		fclose(profile->engine.perf_map);
	if (profile->engine.profile)
		fclose(profile->engine.profile);
	symbols_free(profile->symbols);
	*profile = (struct profile_files){0};
}
