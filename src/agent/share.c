/* SPDX-License-Identifier: Apache-2.0 */
/* Folders of the host's, as virtio-fs has them. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent.h"

#define LAYERS "/run/dach-share"

int share_make_folders(const char *path)
{
	char part[PATH_MAX];

	snprintf(part, sizeof part, "%s", path);
	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		mkdir(part, 0755);
		*slash = '/';
	}
	return mkdir(path, 0755) && errno != EEXIST ? errno : 0;
}

static int mount_kind(const char *what, const char *path, const char *kind, unsigned long flags,
	const char *data)
{
	if (!mount(what, path, kind, flags, data))
		return 0;
	if (errno != ENODEV)
		return errno;
	module_load(kind);
	return mount(what, path, kind, flags, data) ? errno : 0;
}

/* Below it the folder, above it the guest's memory. */
static int mount_overlay(const struct agent_mount *share)
{
	static const char *const parts[] = {"lower", "upper", "work"};
	char path[3][300], data[1024];
	int error = 0;

	for (unsigned i = 0; !error && i < 3; i++) {
		snprintf(path[i], sizeof path[i], LAYERS "/%s/%s", share->tag, parts[i]);
		error = share_make_folders(path[i]);
	}
	if (!error)
		error = mount_kind(share->tag, path[0], "virtiofs",
			MS_NOSUID | MS_NODEV | MS_RDONLY, NULL);
	snprintf(data, sizeof data, "lowerdir=%s,upperdir=%s,workdir=%s", path[0], path[1],
		path[2]);
	return error ? error
		     : mount_kind(share->tag, share->path, "overlay", MS_NOSUID | MS_NODEV, data);
}

int share_mount(const struct agent_mount *share, char *why, size_t size)
{
	int error = share_make_folders(share->path);

	if (error) {
		snprintf(why, size, "%s, where a shared folder is to be, cannot be made: %s",
			share->path, strerror(error));
		return -1;
	}
	error = share->overlay
		? mount_overlay(share)
		: mount_kind(share->tag, share->path, "virtiofs",
			  MS_NOSUID | MS_NODEV | (share->read_only ? MS_RDONLY : 0), NULL);
	if (!error)
		return 0;
	snprintf(why, size, "the shared folder cannot be mounted at %s: %s%s", share->path,
		strerror(error),
		error != ENODEV ? ""
			: share->overlay
			? " (the kernel has no virtiofs or no overlay, nor do the ramdisk and the image have their modules)"
			: " (the kernel has no virtiofs, nor do the ramdisk and the image have its module)");
	return -1;
}
