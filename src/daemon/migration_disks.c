/* SPDX-License-Identifier: Apache-2.0 */
/* Files for disks that a guest brings along from another host: new ones, and gone again where it does not come. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/create.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/layer_internal.h"
#include "daemon/migration.h"
#include "daemon/plug.h"

#define SECTOR 512u

static int may_be_made(const struct domain_disk *disk, const char *vdev, const json_t *size,
	struct error *err)
{
	const json_int_t bytes = json_integer_value(size);

	if (!disk || !domain_disk_has_medium(disk) || !disk->writable)
		return error_set(err, EINVAL,
			"storage: the guest has no disk '%.32s' that it may write to", vdev);
	if (disk->format != DOMAIN_RAW && disk->format != DOMAIN_QCOW2)
		return error_set(err, ENOTSUP, "%s: format %s is not there; raw and qcow2 are",
			disk->target, domain_format_name(disk->format));
	if (!strncmp(disk->target, "/dev/", 5))
		return error_set(err, ENOTSUP,
			"%s: a device is not made for a guest that brings its disks: give the disk a file here (-C FILE)",
			disk->target);
	if (bytes <= 0 || bytes % SECTOR)
		return error_set(err, EINVAL, "storage: no disk has %lld bytes", (long long)bytes);
	return 0;
}

static int fill(const struct caller *owner, const struct domain_disk *disk, uint64_t size, int fd,
	struct error *err)
{
	const struct qcow2_make make = {.size = size};
	const struct layer_disk file = {.path = disk->target, .fd = fd};
	char folder[PATH_MAX];
	int r = 0;

	if (disk->format == DOMAIN_QCOW2)
		r = qcow2_create(fd, disk->target, &make, err);
	else if (ftruncate(fd, (off_t)size))
		r = error_set(err, errno, "%s: %s", disk->target, strerror(errno));
	layer_folder(disk->target, NULL, folder);
	return r ? r : layer_stabilize(owner, folder, &file, err);
}

static int make_one(struct guest *guest, const struct caller *owner, const struct domain_disk *disk,
	uint64_t size, struct error *err)
{
	struct error why = {""};
	int fd,
		r = caller_open(owner, disk->target, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600,
			&fd, &why);

	if (r == -EEXIST)
		return error_set(err, EEXIST,
			"%s: is there already, and is not written over: remove it, or give the disk another file here (-C FILE)",
			disk->target);
	if (r)
		return error_set(err, -r, "%s", why.text);
	if (json_array_append_new(guest->brought, json_string(disk->target)))
		r = error_nomem(err);
	if (!r)
		r = fill(owner, disk, size, fd, err);
	close(fd);
	return r;
}

int migration_make_disks(struct guest *guest, const json_t *sizes, struct error *err)
{
	struct caller owner;
	const char *vdev;
	json_t *size;
	int r = 0;

	if (!sizes)
		return 0;
	guest->brought = json_array();
	if (!guest->brought)
		return error_nomem(err);
	caller_of_user(&guest->daemon->policy, guest->owner, &owner);
	json_object_foreach((json_t *)(uintptr_t)sizes, vdev, size)
	{
		const struct domain_disk *disk = plug_find(&guest->config, vdev);

		r = may_be_made(disk, vdev, size, err);
		if (!r)
			r = make_one(guest, &owner, disk, (uint64_t)json_integer_value(size), err);
		if (r)
			break;
	}
	caller_free(&owner);
	if (r)
		migration_remove_disks(guest, guest->brought);
	return r;
}

bool migration_brings(const struct guest *guest, const struct domain_disk *disk)
{
	json_t *path;
	size_t i;

	json_array_foreach(guest->brought, i,
		path) if (!strcmp(json_string_value(path), disk->target)) return true;
	return false;
}

void migration_remove_disks(const struct guest *guest, const json_t *paths)
{
	struct caller owner;
	json_t *path;
	size_t i;

	caller_of_user(&guest->daemon->policy, guest->owner, &owner);
	json_array_foreach(paths, i, path) if (json_string_value(path))
		layer_remove(guest, &owner, (char *)(uintptr_t)json_string_value(path));
	caller_free(&owner);
}
