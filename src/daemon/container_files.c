/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/container_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/folder.h"
#include "daemon/container.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/waste.h"

#define FOLDER "containers"
#define WASTE ".gone" /* of what is on its way out */

static const char *upper_of(const struct domain_config *config)
{
	return *config->upper ? config->upper : config->uuid;
}

static int path_of(const struct daemon *daemon, const char *name, const char *file,
	char path[PATH_MAX])
{
	return snprintf(path, PATH_MAX, "%s/" FOLDER "/%s%s", daemon->state, name, file) < PATH_MAX
		? 0
		: -ENAMETOOLONG;
}

static int make_folder(const struct guest *guest, const char *file, struct error *err)
{
	char path[PATH_MAX];
	int r = path_of(guest->daemon, upper_of(&guest->config), file, path);

	if (!r && mkdir(path, 0700) && errno != EEXIST)
		r = -errno;
	return r ? error_set(err, -r, "%s: %s", path, strerror(-r)) : 0;
}

/* The root that the container sees is this folder with the template's files in it: so it is as what lies below is. */
static int make_upper(const struct guest *guest, int below, struct error *err)
{
	char path[PATH_MAX];
	struct stat st;
	int r = path_of(guest->daemon, upper_of(&guest->config), "/upper", path);

	if (!r && mkdir(path, 0700))
		r = errno == EEXIST ? 1 : -errno;
	if (!r &&
		(fstat(below, &st) || (guest->daemon->root && chown(path, st.st_uid, st.st_gid)) ||
			chmod(path, st.st_mode & 07777))) {
		r = -errno;
		rmdir(path);
	}
	return r < 0 ? error_set(err, -r, "%s: %s", path, strerror(-r)) : 0;
}

static int open_folder(const struct daemon *daemon, const char *name, const char *file,
	struct launch_file *to, struct error *err)
{
	char path[PATH_MAX];

	if (path_of(daemon, name, file, path))
		return error_set(err, ENAMETOOLONG, "%s: path too long", daemon->state);
	free(to->name);
	to->name = strdup(path);
	if (!to->name)
		return error_nomem(err);
	to->fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return to->fd < 0 ? error_set(err, errno, "%s: %s", path, strerror(errno)) : 0;
}

/* What it writes, from its first life on. The folder above is nobody else's to look into: its files may be any user's. */
static int open_upper(const struct guest *guest, int below, struct launch_spec *spec,
	struct error *err)
{
	const char *name = upper_of(&guest->config);
	struct launch_file upper = {.fd = -1};
	char path[PATH_MAX];
	int r = path_of(guest->daemon, "", "", path)
		? error_set(err, ENAMETOOLONG, "%s: path too long", guest->daemon->state)
		: folder_make(path, 0700, err);

	if (!r)
		r = make_folder(guest, "", err);
	if (!r)
		r = make_upper(guest, below, err);
	if (!r)
		r = make_folder(guest, "/work", err);
	if (!r)
		r = path_of(guest->daemon, name, "", path);
	if (r)
		return r;
	/* Its root's way into what is its own: who is not root comes no further than here, since the one above is closed. */
	if (chmod(path, 0755))
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	r = open_folder(guest->daemon, name, "", &upper, err);
	spec->upper = upper.fd;
	free(upper.name);
	return r;
}

int container_files_open(const struct guest *guest, struct launch_spec *spec, struct error *err)
{
	const struct domain_config *config = &guest->config;
	int r = launch_make_lowers(spec, config->layers) ? error_nomem(err) : 0;
	int below = -1;

	for (unsigned i = 0; !r && i < config->layers; i++)
		r = open_folder(guest->daemon, config->layer[i], "", &spec->lower[i], err);
	if (!r && config->layers) {
		below = openat(spec->lower[config->layers - 1].fd, "upper",
			O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below < 0)
			r = error_set(err, errno, "%s/upper: %s",
				spec->lower[config->layers - 1].name, strerror(errno));
	}
	if (!r)
		r = open_upper(guest, below < 0 ? spec->root.fd : below, spec, err);
	if (below >= 0)
		close(below);
	return r;
}

int container_files_check(const struct guest *guest, const struct domain_config *config,
	struct error *err)
{
	int r = 0;

	for (unsigned i = 0; !r && i < config->layers; i++) {
		struct launch_file file = {.fd = -1};

		r = open_folder(guest->daemon, config->layer[i], "/upper", &file, err);
		if (file.fd >= 0)
			close(file.fd);
		free(file.name);
	}
	return r;
}

json_t *container_files_describe(const struct guest *guest)
{
	const struct domain_config *config = &guest->config;
	json_t *list = json_array();
	char path[PATH_MAX];
	int r = path_of(guest->daemon, upper_of(config), "/upper", path);

	/* One that has never been started has written nothing; what cannot be looked at counts as there. */
	if (!r && (!access(path, F_OK) || errno != ENOENT))
		r = json_array_append_new(list, json_string(path));
	for (unsigned i = config->layers; !r && i--;) {
		r = path_of(guest->daemon, config->layer[i], "/upper", path);
		if (!r)
			r = json_array_append_new(list, json_string(path));
	}
	if (!r)
		return list;
	json_decref(list);
	return NULL;
}

/* Snapshots */

int container_files_freeze(const struct guest *guest, struct domain_config *config,
	struct error *err)
{
	const char *name = upper_of(config);
	char path[PATH_MAX], **more;

	if (path_of(guest->daemon, name, "/upper", path) || access(path, F_OK))
		return 0; /* it has not been started since */
	if (config->layers == CONTAINER_LAYERS)
		return error_set(err, EDQUOT,
			"the container has %u layers of snapshots below what it writes, which are the most: go back to an "
			"earlier one",
			config->layers);
	more = realloc(config->layer, (config->layers + 1) * sizeof *more);
	if (!more)
		return error_nomem(err);
	config->layer = more;
	more[config->layers] = strdup(name);
	if (!more[config->layers])
		return error_nomem(err);
	config->layers++;
	return domain_uuid_make(config->upper, err);
}

void container_files_exchange(struct domain_config *one, struct domain_config *other)
{
	char upper[sizeof one->upper], **const layer = one->layer;
	const unsigned layers = one->layers;

	memcpy(upper, one->upper, sizeof upper);
	one->layer = other->layer;
	one->layers = other->layers;
	memcpy(one->upper, other->upper, sizeof upper);
	other->layer = layer;
	other->layers = layers;
	memcpy(other->upper, upper, sizeof upper);
}

/* What nothing needs */

static bool stands_on(const struct domain_config *config, const char *name)
{
	for (unsigned i = 0; i < config->layers; i++)
		if (!strcmp(config->layer[i], name))
			return true;
	return false;
}

static bool is_needed(const struct daemon *daemon, const char *name, const struct guest *leaving)
{
	for (const struct guest *at = daemon->guests; at; at = at->next) {
		const struct snapshots *snapshots = &at->snapshots;

		if (!guest_is_container(at))
			continue;
		if (at != leaving &&
			(stands_on(&at->config, name) || !strcmp(upper_of(&at->config), name)))
			return true;
		for (const struct guest_snapshot *of = snapshots->first; of; of = of->next)
			if (stands_on(&of->config, name))
				return true;
		if (snapshots->work == SNAPSHOT_REVERT && stands_on(&snapshots->next, name))
			return true;
	}
	return false;
}

/* Under a name that is not taken: what one before it has left there may still be going. */
static int put_aside(const char *path, char gone[PATH_MAX])
{
	for (unsigned n = 0;; n++) {
		if (snprintf(gone, PATH_MAX, "%s.%u" WASTE, path, n) >= PATH_MAX)
			return -ENAMETOOLONG;
		if (!renameat2(AT_FDCWD, path, AT_FDCWD, gone, RENAME_NOREPLACE))
			return 0;
		if (errno != EEXIST)
			return -errno;
	}
}

void container_files_sweep(struct daemon *daemon, const struct guest *leaving)
{
	char folder[PATH_MAX], path[PATH_MAX], gone[PATH_MAX], uuid[DOMAIN_UUID_LEN + 1];
	const struct dirent *entry;
	DIR *list;
	int r;

	if (path_of(daemon, "", "", folder) || !(list = opendir(folder)))
		return;
	while ((entry = readdir(list))) {
		/* What is on its way out has an ending. */
		if (domain_uuid_parse(entry->d_name, uuid) || strcmp(uuid, entry->d_name) ||
			is_needed(daemon, uuid, leaving) || path_of(daemon, uuid, "", path))
			continue;
		/* Who knows what those need; but nobody what one alone has written to. */
		if (daemon->unread && !(leaving && !strcmp(upper_of(&leaving->config), uuid)))
			continue;
		r = put_aside(path, gone);
		if (!r)
			waste_remove(gone);
		else
			log_add(&daemon->log, "%s: nothing needs it, and it stays: %s", path,
				strerror(-r));
	}
	closedir(list);
}

void container_files_begin(struct daemon *daemon)
{
	char path[PATH_MAX];

	if (path_of(daemon, "", "", path))
		return;
	waste_sweep(path, WASTE);
	container_files_sweep(daemon, NULL);
}
