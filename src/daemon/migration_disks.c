/* SPDX-License-Identifier: Apache-2.0 */
/* Files for disks that a guest brings along from another host: new ones, and gone again where it does not come. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/create.h"
#include "daemon/claims.h"
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
	if (!strncmp(disk->target, "/dev/", 5) || disk_is_remote(disk->target))
		return error_set(err, ENOTSUP,
			"%s: is no file, and is not made for a guest that brings its disks: give the disk a file here (-C FILE)",
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
	struct stat st;
	int fd,
		r = caller_open(owner, disk->target, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600,
			&fd, &why);

	if (r == -EEXIST)
		return error_set(err, EEXIST,
			"%s: is there already, and is not written over: remove it, or give the disk another file here (-C FILE)",
			disk->target);
	if (r)
		return error_set(err, -r, "%s", why.text);
	if (fstat(fd, &st))
		r = error_set(err, errno, "%s: %s", disk->target, strerror(errno));
	else if (json_array_append_new(guest->brought,
			 json_pack("{s:s, s:I, s:I}", "path", disk->target, "device",
				 (json_int_t)st.st_dev, "inode", (json_int_t)st.st_ino)))
		r = error_nomem(err);
	if (!r)
		r = migration_note(guest, err);
	if (!r)
		r = fill(owner, disk, size, fd, err);
	close(fd);
	return r;
}

int migration_make_disks(struct guest *guest, struct error *err)
{
	struct caller owner;
	const char *vdev;
	json_t *size;
	int r = 0;

	if (!guest->disk_sizes)
		return 0;
	guest->brought = json_array();
	if (!guest->brought)
		return error_nomem(err);
	caller_of_user(&guest->daemon->policy, guest->owner, &owner);
	json_object_foreach((json_t *)(uintptr_t)guest->disk_sizes, vdev, size)
	{
		const struct domain_disk *disk = plug_find(&guest->config, vdev);

		r = may_be_made(disk, vdev, size, err);
		if (!r)
			r = make_one(guest, &owner, disk, (uint64_t)json_integer_value(size), err);
		if (r)
			break;
	}
	caller_free(&owner);
	return r;
}

static const char *path_of(const json_t *made)
{
	return json_string_value(json_object_get(made, "path"));
}

bool migration_brings(const struct guest *guest, const struct domain_disk *disk)
{
	json_t *made;
	size_t i;

	json_array_foreach(guest->brought, i,
		made) if (!strcmp(path_of(made), disk->target)) return true;
	return false;
}

static bool is_that(int fd, dev_t device, ino_t inode)
{
	struct stat st;

	return !fstat(fd, &st) && st.st_dev == device && st.st_ino == inode;
}

static void remove_one(const struct guest *guest, const struct caller *owner, const json_t *made)
{
	const dev_t device = (dev_t)json_integer_value(json_object_get(made, "device"));
	const ino_t inode = (ino_t)json_integer_value(json_object_get(made, "inode"));
	const char *path = path_of(made);
	char text[128];
	int fd, r;

	if (!path)
		return;
	if (!caller_open(owner, path, O_RDONLY | O_NOFOLLOW, 0, &fd, NULL)) {
		if (is_that(fd, device, inode))
			claims_drop(guest, fd);
		close(fd);
	}
	r = caller_remove(owner, path, device, inode);
	if (!r || r == -ENOENT)
		return;
	snprintf(text, sizeof text, "was made for it, and is not removed: %s",
		r == -ESTALE ? "it is another file now" : strerror(-r));
	guest_log(guest, path, text);
}

void migration_remove_disks(const struct guest *guest, const json_t *made)
{
	struct caller owner;
	json_t *one;
	size_t i;

	caller_of_user(&guest->daemon->policy, guest->owner, &owner);
	json_array_foreach(made, i, one) remove_one(guest, &owner, one);
	caller_free(&owner);
}
