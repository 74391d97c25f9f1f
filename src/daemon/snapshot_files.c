/* SPDX-License-Identifier: Apache-2.0 */
/* What snapshots have on the disk, and what of it nothing needs any more. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/folder.h"
#include "daemon/container.h"
#include "daemon/container_files.h"
#include "daemon/copy.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/layer.h"
#include "daemon/snapshot.h"
#include "daemon/spec.h"

/* Memory */

static int folder_path(const struct guest *guest, char path[PATH_MAX], struct error *err)
{
	if (snprintf(path, PATH_MAX, "%s/snapshots/%s", guest->daemon->state, guest->config.uuid) +
			SNAPSHOT_NAME_MAX + 8 >=
		PATH_MAX)
		return error_set(err, ENAMETOOLONG, "%s: path too long", guest->daemon->state);
	return 0;
}

int snapshot_memory_path(const struct guest *guest, const char *name, char path[PATH_MAX],
	struct error *err)
{
	int r = folder_path(guest, path, err);

	if (!r)
		r = folder_make(path, 0700, err);
	if (!r)
		snprintf(path + strlen(path), PATH_MAX - strlen(path), "/%s", name);
	return r;
}

void snapshot_remove_memory(const struct guest *guest, const char *name)
{
	char path[PATH_MAX];

	if (!snapshot_memory_path(guest, name, path, NULL))
		unlink(path);
}

/* All files that are no snapshot's, and the folder where none is left. */
static void sweep_memory(const struct guest *guest)
{
	char path[PATH_MAX];
	const struct dirent *entry;
	DIR *folder;

	if (folder_path(guest, path, NULL) || !(folder = opendir(path)))
		return;
	while ((entry = readdir(folder))) {
		const struct guest_snapshot *snapshot = snapshot_find(guest, entry->d_name);

		if (entry->d_name[0] != '.' && !(snapshot && snapshot->memory))
			unlinkat(dirfd(folder), entry->d_name, 0);
	}
	closedir(folder);
	rmdir(path);
}

/* Files that are needed, by what they are: a file has many names. */

struct needed {
	struct file_number {
		dev_t device;
		ino_t file;
	} * number;
	unsigned count;
};

static bool is_needed(const struct needed *needed, const struct stat *st)
{
	for (unsigned i = 0; i < needed->count; i++)
		if (needed->number[i].device == st->st_dev && needed->number[i].file == st->st_ino)
			return true;
	return false;
}

static int need(struct needed *needed, int fd)
{
	struct file_number *number;
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (is_needed(needed, &st))
		return 0;
	number = realloc(needed->number, (needed->count + 1) * sizeof *number);
	if (!number)
		return -ENOMEM;
	needed->number = number;
	number[needed->count++] = (struct file_number){st.st_dev, st.st_ino};
	return 0;
}

/* All files that the disk is made of. */
static int need_disk(struct needed *needed, const struct guest *guest,
	const struct domain_disk *disk, struct error *err)
{
	struct disk_spec spec = {.file = NULL};
	int r;

	if (!domain_disk_has_medium(disk))
		return 0;
	r = spec_open_disk(guest, disk, &spec, err);
	if (r)
		return r;
	for (unsigned k = 0; k < spec.files; k++) {
		if (spec.file[k].fd < 0) /* on an NBD server */
			continue;
		r = r ? r : need(needed, spec.file[k].fd);
		close(spec.file[k].fd);
	}
	disk_spec_free(&spec);
	return r;
}

static int need_config(struct needed *needed, const struct guest *guest,
	const struct domain_config *config, struct error *err)
{
	int r = 0;

	for (unsigned i = 0; !r && i < config->disks; i++)
		r = need_disk(needed, guest, &config->disk[i], err);
	return r;
}

bool snapshot_needs(const struct guest *guest, int fd)
{
	struct needed needed = {.count = 0};
	struct stat st;
	int r = fstat(fd, &st) ? -errno : 0;
	bool found;

	for (const struct guest_snapshot *at = guest->snapshots.first; !r && at; at = at->next)
		r = need_config(&needed, guest, &at->config, NULL);
	/* What cannot be told counts as needed. */
	found = r || is_needed(&needed, &st);
	free(needed.number);
	return found;
}

/* Sweeping */

void snapshot_free_file(struct snapshot_file *file)
{
	free(file->path);
	free(file->base);
}

int snapshot_add_file(struct guest *guest, const char *path, const char *base, struct error *err)
{
	struct snapshots *snapshots = &guest->snapshots;
	struct snapshot_file *file = realloc(snapshots->file,
				     (snapshots->files + 1) * sizeof *file),
			     *to;

	if (!file)
		return error_nomem(err);
	snapshots->file = file;
	to = &file[snapshots->files];
	*to = (struct snapshot_file){strdup(path), strdup(base)};
	if (to->path && to->base) {
		snapshots->files++;
		return 0;
	}
	snapshot_free_file(to);
	return error_nomem(err);
}

int snapshot_note_images(struct guest *guest, const struct layer_set *set, struct error *err)
{
	int r = 0;

	for (unsigned i = 0; !r && i < set->count; i++)
		r = snapshot_add_file(guest, set->disk[i].path,
			guest->config.disk[set->disk[i].disk].target, err);
	return r || !set->count ? r : snapshots_save(guest, err);
}

int snapshot_make_images(struct guest *guest, struct layer_set *set, struct error *err)
{
	int r = layer_name(guest, &guest->config, set, err);

	if (!r)
		r = snapshot_note_images(guest, set, err);
	return r ? r : layer_make_named(guest, &guest->config, set, err);
}

static int need_own(struct needed *needed, const struct guest *guest, struct error *err)
{
	const struct snapshots *snapshots = &guest->snapshots;
	int r = need_config(needed, guest, &guest->config, err);

	for (const struct guest_snapshot *at = snapshots->first; !r && at; at = at->next)
		r = need_config(needed, guest, &at->config, err);
	if (!r && snapshots->work == SNAPSHOT_REVERT)
		r = need_config(needed, guest, &snapshots->next, err);
	return r;
}

/* Clones' disks stand on them, and who knows what else. One that cannot be opened cannot be started either. */
static int need_others(struct needed *needed, const struct guest *guest, struct error *err)
{
	int r = 0;

	for (const struct guest *at = guest->daemon->guests; !r && at; at = at->next) {
		if (at == guest)
			continue;
		r = need_config(needed, at, &at->config, err);
		for (const struct guest_snapshot *of = at->snapshots.first; !r && of; of = of->next)
			r = need_config(needed, at, &of->config, err);
		if (r == -ENOENT || r == -EACCES)
			r = 0;
	}
	return r;
}

struct stat_call {
	const char *path;
	struct stat st;
};

static int stat_it(void *ctx)
{
	struct stat_call *call = ctx;

	return lstat(call->path, &call->st) ? -errno : 0;
}

/* Which of the guest's images are there, and not among those needed. */
static unsigned find_free(const struct guest *guest, const struct caller *owner,
	const struct needed *needed, bool *is_free)
{
	const struct snapshots *snapshots = &guest->snapshots;
	unsigned count = 0;

	for (unsigned i = 0; i < snapshots->files; i++) {
		struct stat_call call = {.path = snapshots->file[i].path};
		int r = caller_act(owner, stat_it, &call);

		is_free[i] = r == -ENOENT || (!r && !is_needed(needed, &call.st));
		count += is_free[i];
	}
	return count;
}

/* Nothing needs it: what is still there and was made over it has become one with it, and stands on what it was made over. */
static void step_over(const struct snapshots *snapshots, const struct snapshot_file *gone)
{
	for (unsigned i = 0; i < snapshots->files; i++) {
		struct snapshot_file *file = &snapshots->file[i];
		char *base = strcmp(file->base, gone->path) ? NULL : strdup(gone->base);

		if (!base)
			continue;
		free(file->base);
		file->base = base;
	}
}

/* Only what was found to be free both times: of its own, and of all. */
static int sweep_images(struct guest *guest, const struct caller *owner, struct error *err)
{
	struct snapshots *snapshots = &guest->snapshots;
	bool *is_free = calloc(snapshots->files + 1, sizeof *is_free);
	struct needed needed = {.count = 0};
	unsigned kept = 0;
	int r = is_free ? need_own(&needed, guest, err) : error_nomem(err);

	if (!r && find_free(guest, owner, &needed, is_free)) {
		r = need_others(&needed, guest, err);
		if (!r)
			find_free(guest, owner, &needed, is_free);
		for (unsigned i = 0; !r && i < snapshots->files; i++) {
			if (!is_free[i]) {
				snapshots->file[kept++] = snapshots->file[i];
				continue;
			}
			step_over(snapshots, &snapshots->file[i]);
			layer_remove(guest, owner, snapshots->file[i].path);
			snapshot_free_file(&snapshots->file[i]);
		}
		if (!r) {
			snapshots->files = kept;
			r = snapshots_save(guest, err);
		}
	}
	free(needed.number);
	free(is_free);
	return r;
}

void snapshot_sweep(struct guest *guest)
{
	struct error err = {0};
	struct caller owner;

	sweep_memory(guest);
	if (guest_is_container(guest))
		container_files_sweep(guest->daemon, NULL);
	if (!guest->snapshots.files)
		return;
	caller_of_user(&guest->daemon->policy, guest->owner, &owner);
	if (sweep_images(guest, &owner, &err))
		guest_log(guest, "images of its snapshots are not looked at", err.text);
	caller_free(&owner);
}

/* Merging */

/* Whom it is for. */
struct merging {
	struct daemon *daemon;
	char uuid[DOMAIN_UUID_LEN + 1];
	unsigned disk; /* the next one */
	void (*done)(void *ctx);
	void *ctx;
};

/* One of those that were made for the guest; or NULL. */
static const struct snapshot_file *own_image(const struct guest *guest, const char *path)
{
	for (unsigned i = 0; i < guest->snapshots.files; i++)
		if (!strcmp(guest->snapshots.file[i].path, path))
			return &guest->snapshots.file[i];
	return NULL;
}

/* What an image was made over, as the store has it: what its header says may be a monitor's word. NULL: not one of ours. */
static const char *made_over(const struct guest *guest, const char *path)
{
	const struct snapshot_file *image = own_image(guest, path);

	return image ? image->base : NULL;
}

/* Another disk's of the guest, or another guest's. What cannot be told counts as such. */
static bool is_anothers(const struct guest *guest, const struct domain_disk *disk,
	const struct stat *st)
{
	struct needed needed = {.count = 0};
	int r = need_others(&needed, guest, NULL);
	bool found;

	for (unsigned i = 0; !r && i < guest->config.disks; i++)
		if (&guest->config.disk[i] != disk)
			r = need_disk(&needed, guest, &guest->config.disk[i], NULL);
	found = r || is_needed(&needed, st);

	free(needed.number);
	return found;
}

/* The base that the disk's top can come into; NULL: none. */
static const char *mergeable(const struct guest *guest, const struct domain_disk *disk)
{
	struct disk_spec spec = {.file = NULL};
	const char *base =
		domain_disk_has_medium(disk) && disk->vdev ? made_over(guest, disk->target) : NULL;
	struct stat st;

	if (!base || spec_open_disk(guest, disk, &spec, NULL))
		return NULL;
	if (spec.files < 2 || strcmp(spec.file[1].name, base) || fstat(spec.file[1].fd, &st) ||
		snapshot_needs(guest, spec.file[1].fd) || is_anothers(guest, disk, &st))
		base = NULL;
	for (unsigned i = 0; i < spec.files; i++)
		close(spec.file[i].fd);
	disk_spec_free(&spec);
	return base;
}

/* A disk is this file itself: of the guest, of one of its snapshots, or of what it is to become. */
static bool is_top(const struct domain_config *config, const char *path)
{
	for (unsigned i = 0; i < config->disks; i++)
		if (domain_disk_has_medium(&config->disk[i]) &&
			!strcmp(config->disk[i].target, path))
			return true;
	return false;
}

/* Nothing has this image but what stands on it, and that is one image alone. */
static bool is_only_between(const struct guest *guest, const char *path)
{
	const struct snapshots *snapshots = &guest->snapshots;
	bool top = is_top(&guest->config, path) ||
		(snapshots->work == SNAPSHOT_REVERT && is_top(&snapshots->next, path));
	unsigned above = 0;

	for (const struct guest_snapshot *at = snapshots->first; at; at = at->next)
		top |= is_top(&at->config, path);
	for (unsigned i = 0; i < snapshots->files; i++)
		above += !strcmp(snapshots->file[i].base, path);
	return !top && above == 1;
}

static bool in_one_folder(const char *a, const char *b)
{
	const char *end = strrchr(a, '/');

	return end && end - a == strrchr(b, '/') - b && !strncmp(a, b, (size_t)(end - a));
}

/*
 * Whether what is below file n of the disk can come into it: both are of ours and beside each other, and nobody else has
 * anything to do with them.
 */
static bool can_take_lower(const struct guest *guest, const struct domain_disk *disk,
	const struct disk_spec *spec, unsigned n)
{
	const struct disk_file *file = &spec->file[n], *lower = file + 1;
	const char *base = made_over(guest, file->name), *next = made_over(guest, lower->name);
	struct stat st, lower_st;

	return file->format == DISK_QCOW2 && lower->format == DISK_QCOW2 && base &&
		!strcmp(base, lower->name) && next && !strcmp(next, lower[1].name) &&
		in_one_folder(file->name, lower->name) && is_only_between(guest, lower->name) &&
		!fstat(file->fd, &st) && !fstat(lower->fd, &lower_st) &&
		!is_anothers(guest, disk, &st) && !is_anothers(guest, disk, &lower_st);
}

/* The image below the disk's top into which the one below it can come, as the store has its name; NULL: none. */
static const char *mergeable_between(const struct guest *guest, const struct domain_disk *disk)
{
	struct disk_spec spec = {.file = NULL};
	const char *image = NULL;

	if (!domain_disk_has_medium(disk) || !disk->vdev ||
		spec_open_disk(guest, disk, &spec, NULL))
		return NULL;
	for (unsigned n = 1; !image && n + 2 < spec.files; n++)
		if (can_take_lower(guest, disk, &spec, n))
			image = own_image(guest, spec.file[n].name)->path;
	for (unsigned i = 0; i < spec.files; i++)
		close(spec.file[i].fd);
	disk_spec_free(&spec);
	return image;
}

static void merge_next(struct merging *merging);

static void merged(void *ctx, int r, const char *text)
{
	struct merging *merging = ctx;
	struct guest *guest = guest_by_uuid(merging->daemon, merging->uuid);

	if (guest && r && r != -ECANCELED)
		guest_log(guest, "an image that nothing else needs stays", text);
	if (guest && !r) {
		const unsigned files = guest->snapshots.files;

		snapshot_sweep(guest);
		/* There may be more of this one; not where a monitor has only said that it is done. */
		if (guest->snapshots.files < files)
			merging->disk--;
	}
	if (r == -ECANCELED)
		merging->disk = DOMAIN_DISKS_MAX;
	merge_next(merging);
}

static void merge_next(struct merging *merging)
{
	struct guest *guest = guest_by_uuid(merging->daemon, merging->uuid);

	while (guest && guest_answers(guest) && merging->disk < guest->config.disks) {
		unsigned disk = merging->disk++;
		const char *base = mergeable(guest, &guest->config.disk[disk]), *image = NULL;
		struct error err = {0};

		if (!base)
			image = mergeable_between(guest, &guest->config.disk[disk]);
		if (!base && !image)
			continue;
		if (!(base ? copy_commit : copy_merge)(guest, disk, base ? base : image, merged,
			    merging, &err))
			return;
		guest_log(guest, "an image that nothing else needs stays", err.text);
	}
	if (merging->done)
		merging->done(merging->ctx);
	free(merging);
}

void snapshot_merge(struct guest *guest, void (*done)(void *ctx), void *ctx)
{
	struct merging *merging = calloc(1, sizeof *merging);

	if (!merging) {
		if (done)
			done(ctx);
		return;
	}
	*merging = (struct merging){.daemon = guest->daemon, .done = done, .ctx = ctx};
	snprintf(merging->uuid, sizeof merging->uuid, "%s", guest->config.uuid);
	merge_next(merging);
}
