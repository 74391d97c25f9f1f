/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/holder.h"

#include <errno.h>

#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "protocol/launch.h"

static bool same(const struct stat *a, const struct stat *b)
{
	if (S_ISBLK(a->st_mode) && S_ISBLK(b->st_mode))
		return a->st_rdev == b->st_rdev;
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool has(const struct guest *guest, const struct stat *file, bool readonly)
{
	struct stat st;

	for (unsigned i = 0; i < guest->config.disks; i++) {
		const struct domain_disk *disk = &guest->config.disk[i];

		if (domain_disk_has_medium(disk) && (disk->writable || !readonly) &&
			!stat(disk->target, &st) && same(&st, file))
			return true;
	}
	return false;
}

/* Disk n and those before it, and other guests. */
static int check(const struct guest *guest, const struct launch_spec *spec, unsigned n,
	struct error *err)
{
	const struct disk_spec *disk = &spec->disk[n];
	const char *name = disk->file[0].name;
	struct stat file, other;

	if (fstat(disk->file[0].fd, &file))
		return 0;
	for (unsigned i = 0; i < n; i++)
		if (!(disk->readonly && spec->disk[i].readonly) &&
			!fstat(spec->disk[i].file[0].fd, &other) && same(&other, &file))
			return error_set(err, EBUSY, "%s: the guest has it twice, as %s and %s",
				name, spec->disk[i].vdev, disk->vdev);
	for (const struct guest *g = guest->daemon->guests; g; g = g->next)
		if (g != guest && g->monitor && g->owner == guest->owner &&
			has(g, &file, disk->readonly))
			return error_set(err, EBUSY, "%s: in use by the guest '" GUEST_LABEL "'",
				name, g->config.name);
	return 0;
}

int holder_check_disk(const struct guest *guest, const struct disk_spec *disk, struct error *err)
{
	struct launch_spec one = {.disk = (struct disk_spec *)(uintptr_t)disk, .disks = 1};
	struct stat file;

	if (!fstat(disk->file[0].fd, &file) && has(guest, &file, disk->readonly))
		return error_set(err, EBUSY, "%s: the guest has it already", disk->file[0].name);
	return check(guest, &one, 0, err);
}

int holder_check(const struct guest *guest, const struct launch_spec *spec, struct error *err)
{
	int r = 0;

	for (unsigned n = 0; !r && n < spec->disks; n++)
		r = check(guest, spec, n, err);
	return r;
}
