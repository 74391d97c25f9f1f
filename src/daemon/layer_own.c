/* SPDX-License-Identifier: Apache-2.0 */
/* New images that are no running guest's: a clone's disks, and what a snapshot's guest goes on in. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/layer_internal.h"
#include "daemon/spec.h"
#include "protocol/request.h"

#define NUMBERS_MAX 10000u

static bool writes(const struct domain_config *config)
{
	for (unsigned i = 0; i < config->disks; i++)
		if (config->disk[i].writable && domain_disk_has_medium(&config->disk[i]))
			return true;
	return false;
}

/* With another one on top it must be one that a guest can be started with. */
static int check_depth(const struct guest *guest, const struct domain_disk *disk, struct error *err)
{
	struct disk_spec spec = {.file = NULL};
	unsigned files;
	int r = spec_open_disk(guest, disk, &spec, err);

	if (r)
		return r;
	files = spec.files;
	for (unsigned i = 0; i < files; i++)
		close(spec.file[i].fd);
	disk_spec_free(&spec);
	if (files < LIMIT_CHAIN)
		return 0;
	return error_set(err, EINVAL,
		"%s: stands on %d others, which are the most ('dach disk stream' makes a disk stand alone)",
		disk->target, LIMIT_CHAIN - 1);
}

/* Two disks may have one name in one folder. */
static bool is_taken(const struct layer_set *set, const char *path)
{
	for (unsigned i = 0; i < set->count; i++)
		if (set->disk[i].path && !strcmp(set->disk[i].path, path))
			return true;
	return false;
}

int layer_find_name(const struct caller *owner, const struct domain_disk *disk, const char *folder,
	const struct layer_set *set, struct layer_disk *to, struct error *err)
{
	char place[PATH_MAX], stem[NAME_MAX + 1], path[PATH_MAX];
	int fd, r = layer_is_here(disk, err);

	if (r)
		return r;
	layer_folder(disk->target, folder, place);
	layer_stem(disk->target, stem);
	to->format = DOMAIN_QCOW2;
	for (unsigned n = 1; !r && n < NUMBERS_MAX; n++) {
		if (snprintf(path, sizeof path, "%s/%s.%u.qcow2", place, stem, n) >=
				(int)sizeof path ||
			strlen(path) > REQUEST_NAME_MAX)
			return error_set(err, ENAMETOOLONG, "%s: the name is too long", place);
		if (is_taken(set, path))
			continue;
		r = caller_open(owner, path, O_PATH | O_NOFOLLOW, 0, &fd, err);
		if (!r)
			close(fd);
	}
	if (r != -ENOENT)
		return r ? r : error_set(err, EEXIST, "%s: too many images", place);
	to->path = strdup(path);
	return to->path ? 0 : error_nomem(err);
}

int layer_name(const struct guest *guest, const struct domain_config *config, struct layer_set *set,
	struct error *err)
{
	struct caller owner;
	int r;

	*set = (struct layer_set){.count = 0};
	if (!writes(config))
		return 0;
	r = layer_choose(config, NULL, 0, set, err);
	caller_of_user(&guest->daemon->policy, guest->owner, &owner);
	for (unsigned i = 0; !r && i < set->count; i++) {
		struct layer_disk *to = &set->disk[i];

		r = check_depth(guest, &config->disk[to->disk], err);
		if (!r && !strncmp(config->disk[to->disk].target, "/dev/", 5))
			r = error_set(err, EINVAL,
				"%s: a device, which has no folder for a snapshot's new image",
				config->disk[to->disk].target);
		if (!r)
			r = layer_find_name(&owner, &config->disk[to->disk], NULL, set, to, err);
	}
	caller_free(&owner);
	return r;
}

int layer_make_named(const struct guest *guest, const struct domain_config *config,
	struct layer_set *set, struct error *err)
{
	struct caller owner;
	int r = 0;

	caller_of_user(&guest->daemon->policy, guest->owner, &owner);
	for (unsigned i = 0; !r && i < set->count; i++) {
		struct layer_disk *to = &set->disk[i];
		char place[PATH_MAX];

		layer_folder(to->path, NULL, place);
		r = caller_open(&owner, to->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600,
			&to->fd, err);
		if (!r)
			r = layer_fill(&owner, &config->disk[to->disk], true, to, err);
		if (!r)
			r = layer_stabilize(&owner, place, to, err);
	}
	caller_free(&owner);
	return r;
}

/* A clone's own */

void layer_folder(const char *path, const char *folder, char place[PATH_MAX])
{
	snprintf(place, PATH_MAX, "%.*s",
		folder ? (int)strlen(folder) : (int)(strrchr(path, '/') - path),
		folder ? folder : path);
	if (!*place)
		strcpy(place, "/");
}

static int name_own(const struct guest *guest, const char *folder, struct layer_disk *at,
	struct error *err)
{
	const struct domain_disk *disk = &guest->config.disk[at->disk];
	char place[PATH_MAX], stem[NAME_MAX + 1], path[PATH_MAX];

	if (layer_is_here(disk, err))
		return -ENOTSUP;
	if (!folder && !strncmp(disk->target, "/dev/", 5))
		return error_set(err, EINVAL,
			"%s: a device: say in which folder clones' disks are to be (--folder)",
			disk->target);
	layer_folder(disk->target, folder, place);
	layer_stem(disk->target, stem);
	if (snprintf(path, sizeof path, "%s/%.180s.%s.qcow2", place, stem, guest->config.uuid) >=
		(int)sizeof path)
		return error_set(err, ENAMETOOLONG, "%s: the name is too long", place);
	at->path = strdup(path);
	at->format = DOMAIN_QCOW2;
	return at->path ? 0 : error_nomem(err);
}

int layer_name_own(struct guest *guest, const char *folder, struct layer_set *set,
	struct error *err)
{
	int r = 0;

	*set = (struct layer_set){.count = 0};
	if (layer_choose(&guest->config, NULL, 0, set, err))
		return 0; /* none */
	for (unsigned i = 0; !r && i < set->count; i++)
		r = name_own(guest, folder, &set->disk[i], err);
	if (r) {
		layer_free(set);
		return r;
	}
	layer_exchange(&guest->config, set);
	for (unsigned i = 0; i < set->count; i++)
		guest->config.disk[set->disk[i].disk].temporary = true;
	return 0;
}

int layer_make_own(const struct guest *guest, const struct layer_set *set, struct error *err)
{
	struct caller owner;
	int r = 0;

	caller_of_user(&guest->daemon->policy, guest->owner, &owner);
	for (unsigned i = 0; !r && i < set->count; i++) {
		const struct domain_disk *disk = &guest->config.disk[set->disk[i].disk];
		const struct domain_disk base = {.target = set->disk[i].path,
			.format = set->disk[i].format};
		struct layer_disk to = {.path = disk->target, .fd = -1};
		char place[PATH_MAX], beside[PATH_MAX];

		layer_folder(disk->target, NULL, place);
		layer_folder(base.target, NULL, beside);
		r = caller_open(&owner, disk->target, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600,
			&to.fd, err);
		if (!r)
			r = layer_fill(&owner, &base, !strcmp(place, beside), &to, err);
		if (to.fd >= 0)
			close(to.fd);
	}
	caller_free(&owner);
	return r;
}

static int remove_file(void *ctx)
{
	return unlink(ctx) ? -errno : 0;
}

void layer_remove_own(const struct guest *guest)
{
	struct caller owner;

	caller_of_user(&guest->daemon->policy, guest->owner, &owner);
	for (unsigned i = 0; i < guest->config.disks; i++)
		if (guest->config.disk[i].temporary && guest->config.disk[i].target)
			caller_act(&owner, remove_file, guest->config.disk[i].target);
	caller_free(&owner);
}
