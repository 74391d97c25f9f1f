/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/layer.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "block/create.h"
#include "chain/chain.h"
#include "daemon/claims.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/launch.h"
#include "daemon/layer_internal.h"
#include "daemon/monitor.h"
#include "daemon/note.h"
#include "daemon/op.h"
#include "daemon/plug.h"
#include "daemon/saved.h"
#include "protocol/request.h"

/* Making the files */

int layer_is_here(const struct domain_disk *disk, struct error *err)
{
	return disk_is_remote(disk->target)
		? error_set(err, ENOTSUP,
			  "%s: a disk on an NBD server: what is done to its image is its server's to do",
			  disk->target)
		: 0;
}

/* The disk's size, and what the monitor calls its format. */
int layer_measure_as(const struct caller *owner, const struct domain_disk *disk, uint64_t *size,
	struct error *err)
{
	struct qcow2_header *header;
	struct stat st;
	int fd, r;

	r = layer_is_here(disk, err);
	if (r)
		return r;
	r = caller_open(owner, disk->target, O_RDONLY, 0, &fd, err);
	if (r)
		return r;
	if (disk->format == DOMAIN_QCOW2) {
		header = malloc(sizeof *header);
		r = header ? chain_read_header(fd, disk->target, header, err) : error_nomem(err);
		*size = r ? 0 : header->size;
		free(header);
	} else if (fstat(fd, &st)) {
		r = error_set(err, errno, "%s: %s", disk->target, strerror(errno));
	} else if (S_ISREG(st.st_mode)) {
		*size = (uint64_t)st.st_size;
	} else if (ioctl(fd, BLKGETSIZE64, size)) {
		r = error_set(err, errno, "%s: cannot tell its size: %s", disk->target,
			strerror(errno));
	}
	close(fd);
	return r;
}

int layer_measure(const struct guest *guest, const struct domain_disk *disk, uint64_t *size,
	struct error *err)
{
	struct caller owner;
	int r;

	caller_of_user(&guest->daemon->policy, guest->owner, &owner);
	r = layer_measure_as(&owner, disk, size, err);
	caller_free(&owner);
	return r;
}

/* "disk" of /vm/disk.img and of /vm/disk.3.qcow2. */
void layer_stem(const char *path, char stem[NAME_MAX + 1])
{
	static const char *const endings[] = {".qcow2", ".img", ".raw"};
	const char *slash = strrchr(path, '/');
	size_t len;

	snprintf(stem, NAME_MAX + 1, "%s", slash ? slash + 1 : path);
	len = strlen(stem);
	for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
		size_t end = strlen(endings[i]);

		if (len > end && !strcmp(stem + len - end, endings[i])) {
			stem[len -= end] = 0;
			break;
		}
	}
	while (len && isdigit((unsigned char)stem[len - 1]))
		len--;
	if (len > 1 && stem[len - 1] == '.' && stem[len])
		stem[len - 1] = 0;
}

static int remove_file(void *ctx)
{
	return unlink(ctx) ? -errno : 0;
}

/* Its name is on the disk, too, where the folder may be read. */
static int sync_folder(void *ctx)
{
	int fd = open(ctx, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	return 0;
}

int layer_fill(const struct caller *owner, const struct domain_disk *disk, bool beside,
	const struct layer_disk *to, struct error *err)
{
	const char *format = domain_format_name(disk->format);
	struct qcow2_make make = {.backing = disk->target, .backing_format = format};
	int r = layer_measure_as(owner, disk, &make.size, err);

	/* A folder can be moved with what is in it. */
	if (beside)
		make.backing = strrchr(disk->target, '/') + 1;
	return r ? r : qcow2_create(to->fd, to->path, &make, err);
}

int layer_stabilize(const struct caller *owner, char *folder, const struct layer_disk *to,
	struct error *err)
{
	if (fsync(to->fd))
		return error_set(err, errno, "%s: %s", to->path, strerror(errno));
	caller_act(owner, sync_folder, folder);
	return 0;
}

static int make_one(const struct caller *owner, const struct domain_disk *disk,
	struct layer_disk *to, struct error *err)
{
	char place[PATH_MAX], beside[PATH_MAX];
	int r;

	layer_folder(to->path, NULL, place);
	layer_folder(disk->target, NULL, beside);
	r = caller_open(owner, to->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, &to->fd,
		err);
	if (!r)
		r = layer_fill(owner, disk, !strcmp(place, beside), to, err);
	return r ? r : layer_stabilize(owner, place, to, err);
}

static bool is_named(const struct domain_disk *disk, char *const *vdev, unsigned vdevs)
{
	for (unsigned i = 0; i < vdevs; i++)
		if (disk->vdev && !strcmp(disk->vdev, vdev[i]))
			return true;
	return false;
}

int layer_choose(const struct domain_config *config, char *const *vdev, unsigned vdevs,
	struct layer_set *set, struct error *err)
{
	unsigned number = 0, named = 0;

	for (unsigned i = 0; i < config->disks; i++) {
		const struct domain_disk *disk = &config->disk[i];

		if (!domain_disk_has_medium(disk))
			continue;
		if (vdevs ? is_named(disk, vdev, vdevs) : disk->writable) {
			if (disk->temporary)
				return error_set(err, EINVAL,
					"%s: goes when this guest ends, so nothing can stand on it",
					disk->target);
			if (!disk->writable)
				return error_set(err, EROFS,
					"%s: is only read, so it needs no layer", disk->vdev);
			named += vdevs > 0;
			if (set->count < LIMIT_DISKS)
				set->disk[set->count++] =
					(struct layer_disk){.disk = i, .number = number, .fd = -1};
		}
		number++;
	}
	for (unsigned i = 0; named < vdevs && i < vdevs; i++) {
		bool there = false;

		for (unsigned k = 0; k < set->count; k++)
			there |= !strcmp(config->disk[set->disk[k].disk].vdev, vdev[i]);
		if (!there)
			return error_set(err, EINVAL, "the guest has no disk '%.32s'", vdev[i]);
	}
	return set->count ? 0
			  : error_set(err, EINVAL, "the guest has no disk that it may write to");
}

static void owner_of(const struct guest *guest, struct caller *owner)
{
	caller_of_user(&guest->daemon->policy, guest->owner, owner);
}

void layer_remove(const struct guest *guest, const struct caller *owner, char *path)
{
	int fd;

	if (!caller_open(owner, path, O_RDONLY, 0, &fd, NULL)) {
		claims_drop(guest, fd);
		close(fd);
	}
	caller_act(owner, remove_file, path);
}

/* Made for that, and nothing has been written to it: or it is another's that has come to have the name. */
static bool is_unused(const struct caller *owner, const char *path, const char *base)
{
	const char *beside = strrchr(base, '/') + 1;
	struct qcow2_header *header = malloc(sizeof *header);
	bool unused = false;
	struct stat st;
	int fd;

	if (header && !caller_open(owner, path, O_RDONLY | O_NOFOLLOW, 0, &fd, NULL)) {
		if (!fstat(fd, &st) && S_ISREG(st.st_mode))
			unused = !st.st_size ||
				(!chain_read_header(fd, path, header, NULL) &&
					(uint64_t)st.st_size <= qcow2_new_size(header->size) &&
					(!strcmp(header->backing, base) ||
						!strcmp(header->backing, beside)));
		close(fd);
	}
	free(header);
	return unused;
}

/* The new files are gone, as far as they were made. */
static void remove_files(const struct guest *guest, struct layer_set *set)
{
	struct caller owner;

	owner_of(guest, &owner);
	for (unsigned i = 0; i < set->count; i++) {
		struct layer_disk *at = &set->disk[i];

		if (at->path && !at->entered &&
			is_unused(&owner, at->path, guest->config.disk[at->disk].target))
			layer_remove(guest, &owner, at->path);
	}
	caller_free(&owner);
}

void layer_free(struct layer_set *set)
{
	for (unsigned i = 0; i < set->count; i++) {
		if (set->disk[i].fd >= 0)
			close(set->disk[i].fd);
		free(set->disk[i].path);
	}
	*set = (struct layer_set){.count = 0};
}

int layer_plan(const struct guest *guest, char *const *vdev, unsigned vdevs, const char *folder,
	struct layer_set *set, struct error *err)
{
	struct caller owner;
	int r;

	*set = (struct layer_set){.count = 0};
	if (folder && folder[0] != '/')
		return error_set(err, EINVAL, "folder: does not begin with /");
	r = layer_choose(&guest->config, vdev, vdevs, set, err);
	owner_of(guest, &owner);
	for (unsigned i = 0; !r && i < set->count; i++) {
		const struct domain_disk *disk = &guest->config.disk[set->disk[i].disk];

		if (!folder && !strncmp(disk->target, "/dev/", 5))
			r = error_set(err, EINVAL,
				"%s: a device: say in which folder its layer is to be (--folder)",
				disk->target);
		else
			r = layer_find_name(&owner, disk, folder, set, &set->disk[i], err);
	}
	caller_free(&owner);
	if (r)
		layer_free(set);
	return r;
}

static int make_files(const struct guest *guest, struct layer_set *set, struct error *err)
{
	struct caller owner;
	int r = 0;

	owner_of(guest, &owner);
	for (unsigned i = 0; !r && i < set->count; i++)
		if (set->disk[i].fd < 0)
			r = make_one(&owner, &guest->config.disk[set->disk[i].disk], &set->disk[i],
				err);
	caller_free(&owner);
	return r;
}

/* Into the configuration, and out of it. */

void layer_exchange(struct domain_config *config, struct layer_set *set)
{
	for (unsigned i = 0; i < set->count; i++) {
		struct layer_disk *at = &set->disk[i];
		struct domain_disk *disk = &config->disk[at->disk];
		struct layer_disk was = *at;

		at->path = disk->target;
		at->format = disk->format;
		disk->target = was.path;
		disk->format = was.format;
		at->entered = !was.entered;
	}
}

/* {"disk": n, "number": n, "new": path, "old": path, "format": the old one's}, of each. */
static int write_note(const struct guest *guest, const struct layer_set *set, struct error *err)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < set->count; i++) {
		const struct layer_disk *at = &set->disk[i];
		const struct domain_disk *disk = &guest->config.disk[at->disk];

		json_array_append_new(list,
			json_pack("{s:i, s:i, s:s, s:s, s:s}", "disk", (int)at->disk, "number",
				(int)at->number, "new", at->path, "old", disk->target, "format",
				domain_format_name(disk->format)));
	}
	return note_write(guest, NOTE_LAYERING, list, err);
}

int layer_may_begin(const struct guest *guest, struct error *err)
{
	if (guest->held || guest->destroying)
		return error_set(err, EINVAL, "the guest has ended");
	if (guest->update)
		return error_set(err, EBUSY, "the guest is going to another monitor");
	if (saved_is_noted(guest))
		return error_set(err, EBUSY, "the guest is being saved");
	if (note_is_there(guest, NOTE_LAYERING))
		return error_set(err, EBUSY, "the guest's disks are being changed already");
	if (guest->plugging || note_is_there(guest, NOTE_PLUGGING))
		return error_set(err, EBUSY, "a device of the guest's comes or goes");
	if (guest->committing)
		return error_set(err, EBUSY, "a disk of the guest is being committed or moved");
	if (guest->snapshots.busy)
		return error_set(err, EBUSY, "a snapshot of the guest is being made");
	return 0;
}

int layer_enter(struct guest *guest, struct layer_set *set, struct error *err)
{
	int r = write_note(guest, set, err);

	if (!r)
		r = make_files(guest, set, err);
	for (unsigned i = 0; !r && i < set->count; i++)
		r = claims_add(guest, set->disk[i].fd, err);
	if (!r) {
		layer_exchange(&guest->config, set);
		r = guest_save(guest, err);
		if (r)
			layer_exchange(&guest->config, set);
	}
	if (r) {
		remove_files(guest, set);
		note_forget(guest, NOTE_LAYERING);
	}
	return r;
}

void layer_withdraw(struct guest *guest, struct layer_set *set)
{
	struct error err = {0};

	if (!set->count || !set->disk[0].entered)
		return;
	layer_exchange(&guest->config, set);
	/* What the store still names stays: over what it was made for, it is the same disk. */
	if (guest_save(guest, &err))
		guest_log(guest, "its disks are as before, which cannot be noted", err.text);
	else
		remove_files(guest, set);
	note_forget(guest, NOTE_LAYERING);
}

void layer_send(struct guest *guest, const struct layer_set *set, unsigned n, monitor_done *done,
	void *ctx)
{
	const struct layer_disk *disk = &set->disk[n];
	struct monitor_request request = {.verb = REQUEST_DISK_FILE,
		.disk = disk->number,
		.first = !n};

	snprintf(request.name, sizeof request.name, "%s", guest->config.disk[disk->disk].target);
	monitor_call(guest->monitor, &request, disk->fd, OP_VERB_TIMEOUT_MS, done, ctx);
}

void layer_done(struct guest *guest, struct layer_set *set)
{
	struct caller owner;

	owner_of(guest, &owner);
	for (unsigned i = 0; i < set->count; i++) {
		int fd;

		if (caller_open(&owner, set->disk[i].path, O_RDONLY, 0, &fd, NULL))
			continue;
		claims_lower(guest, fd);
		close(fd);
	}
	caller_free(&owner);
	note_forget(guest, NOTE_LAYERING);
}

/* After another daemon */

static int read_disk(const struct guest *guest, const json_t *json, struct layer_disk *to,
	const char **old)
{
	const long long disk = json_get_number(json, "disk");
	const char *path = json_get_text(json, "new");
	enum domain_format format;

	*old = json_get_text(json, "old");
	if (disk < 0 || disk >= guest->config.disks || *path != '/' || **old != '/' ||
		domain_format_find(json_get_text(json, "format"), &format))
		return -EINVAL;
	*to = (struct layer_disk){.disk = (unsigned)disk,
		.number = (unsigned)json_get_number(json, "number"),
		.fd = -1,
		.format = format};
	/* As exchange() leaves it: the configuration may have been saved or not. */
	to->entered =
		guest->config.disk[disk].target && !strcmp(guest->config.disk[disk].target, path);
	to->path = strdup(to->entered ? *old : path);
	if (!to->entered)
		to->format = DOMAIN_QCOW2;
	return to->path ? 0 : -ENOMEM;
}

/* false: there is none, or a half of one; then nothing had begun. */
static bool read_note(const struct guest *guest, struct layer_set *set)
{
	json_t *list = note_read(guest, NOTE_LAYERING), *item;
	const char *old;
	size_t i;

	*set = (struct layer_set){.count = 0};
	if (!list)
		return false;
	json_array_foreach(list, i, item)
	{
		if (set->count == LIMIT_DISKS ||
			read_disk(guest, item, &set->disk[set->count], &old))
			break;
		set->count++;
	}
	json_decref(list);
	if (!set->count)
		note_forget(guest, NOTE_LAYERING);
	return set->count;
}

/* Whether the monitor's disk is the new file; all of them are, or none. */
static bool are_put(const struct guest *guest, const struct layer_set *set, const json_t *info)
{
	const struct layer_disk *first = &set->disk[0];
	const json_t *disk = json_array_get(json_object_get(info, "disks"), first->number);
	const char *has = json_get_text(disk, "name");

	return !strcmp(has, first->entered ? guest->config.disk[first->disk].target : first->path);
}

void layer_settle(struct guest *guest, const json_t *info)
{
	struct layer_set set;

	if (!read_note(guest, &set))
		return;
	if (!set.disk[0].entered) {
		remove_files(guest, &set);
		note_forget(guest, NOTE_LAYERING);
	} else if (!info || are_put(guest, &set, info)) {
		guest_log(guest, "its disks have new layers", "");
		layer_done(guest, &set);
	} else {
		guest_log(guest, "its disks were to have new layers, and have none", "");
		layer_withdraw(guest, &set);
	}
	layer_free(&set);
}
