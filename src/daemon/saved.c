/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/saved.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/folder.h"
#include "base/io.h"
#include "base/json.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/launch.h"
#include "daemon/operation.h"
#include "state/file.h"

#define SUFFIX ".new"

/* Stands before the configuration's text, at STATE_FILE_NOTE. */
struct config_head {
	char magic[8];
	uint32_t format, length;
	uint32_t crc; /* CRC-32C of the text */
};
#define CONFIG_MAGIC "dachconf"
#define CONFIG_FORMAT 1u
_Static_assert(STATE_FILE_NOTE + sizeof(struct config_head) + OPERATION_CONFIG_MAX <=
		STATE_FILE_NOTE_END,
	"no room for the configuration");

/* Writing */

static int remove_temp(void *ctx)
{
	const struct saved_file *file = ctx;

	return unlinkat(file->folder, file->temp, 0) ? -errno : 0;
}

static int remove_named(void *ctx)
{
	const struct saved_file *file = ctx;

	return unlinkat(file->folder, file->name, 0) ? -errno : 0;
}

/* One of a daemon that was killed in the middle is in nobody's way. */
static int make_temp(void *ctx)
{
	struct saved_file *file = ctx;
	struct stat st;

	if (!fstatat(file->folder, file->temp, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode))
		unlinkat(file->folder, file->temp, 0);
	file->fd = openat(file->folder, file->temp,
		O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	return file->fd < 0 ? -errno : 0;
}

static int rename_it(void *ctx)
{
	const struct saved_file *file = ctx;
	int fd;

	if (renameat(file->folder, file->temp, file->folder, file->name))
		return -errno;
	/* The name is to be on the disk, too, where the folder may be read. */
	fd = openat(file->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	return 0;
}

static int split(const char *path, struct saved_file *file, char folder[PATH_MAX],
	struct error *err)
{
	const char *slash = strrchr(path, '/');

	if (path[0] != '/')
		return error_set(err, EINVAL, "path: does not begin with /");
	if (!slash[1] || !strcmp(slash + 1, ".") || !strcmp(slash + 1, ".."))
		return error_set(err, EISDIR, "%s: not the name of a file", path);
	if (strlen(slash + 1) + strlen(SUFFIX) > NAME_MAX || slash - path >= PATH_MAX - 1)
		return error_set(err, ENAMETOOLONG, "%s: the name is too long", path);
	snprintf(file->name, sizeof file->name, "%s", slash + 1);
	snprintf(file->temp, sizeof file->temp, "%s" SUFFIX, slash + 1);
	snprintf(folder, PATH_MAX, "%.*s", (int)(slash - path) + 1, path);
	return 0;
}

/* A name is taken from a file only; not a link, a device or a pipe. */
static int check_name(const struct saved_file *file, const char *path, struct error *err)
{
	struct stat st;

	if (fstatat(file->folder, file->name, &st, AT_SYMLINK_NOFOLLOW) || S_ISREG(st.st_mode))
		return 0;
	return error_set(err, EEXIST, "%s: is there, and is not a file", path);
}

/* Where it really is has to be the caller's, too. */
static int resolve(struct saved_file *file, const char *path, struct error *err)
{
	char link[64], folder[PATH_MAX];
	ssize_t len;

	snprintf(link, sizeof link, "/proc/self/fd/%d", file->folder);
	len = readlink(link, folder, sizeof folder - 1);
	if (len < 0)
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	folder[len] = 0;
	if (snprintf(file->path, sizeof file->path, "%s/%s", len == 1 ? "" : folder, file->temp) >=
		(int)sizeof file->path)
		return error_set(err, ENAMETOOLONG, "%s: the name is too long", path);
	return caller_check_path(&file->owner, file->path, err);
}

/* The owner's user and the path. */
static int note(const struct guest *guest, const struct saved_file *file, struct error *err)
{
	char text[PATH_MAX + 32];
	int fd, r = launch_open_file(guest, "saving", O_WRONLY | O_CREAT | O_TRUNC, &fd, err);

	if (r)
		return r;
	snprintf(text, sizeof text, "%u %s\n", file->owner.manager ? 0 : file->owner.uid,
		file->path);
	r = io_write_all(fd, text, strlen(text));
	close(fd);
	return r ? error_set(err, -r, "%s: %s", guest->daemon->run, strerror(-r)) : 0;
}

struct folder_opening {
	const char *path;
	int fd;
};

static int open_folder(void *ctx)
{
	struct folder_opening *opening = ctx;

	opening->fd = open(opening->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return opening->fd < 0 ? -errno : 0;
}

static int begin(const struct guest *guest, const char *path, struct saved_file *file,
	struct error *err)
{
	char folder[PATH_MAX];
	struct folder_opening opening = {folder, -1};
	int r = split(path, file, folder, err);

	if (!r)
		r = caller_check_path(&file->owner, path, err);
	if (r)
		return r;
	r = caller_act(&file->owner, open_folder, &opening);
	file->folder = opening.fd;
	if (r)
		return error_set(err, -r, "%s: %s", path, strerror(-r));
	r = resolve(file, path, err);
	if (!r)
		r = check_name(file, path, err);
	return r ? r : note(guest, file, err);
}

int saved_begin(const struct guest *guest, const struct caller *caller, const char *path,
	struct saved_file *file, struct error *err)
{
	int r;

	memset(file, 0, sizeof *file);
	file->fd = file->folder = -1;
	caller_copy(caller, &file->owner);
	r = begin(guest, path, file, err);
	if (r)
		return r;
	r = caller_act(caller, make_temp, file);
	if (r)
		saved_forget_note(guest);
	return r ? error_set(err, -r, "%s: %s", path, strerror(-r)) : 0;
}

static int write_config(const struct saved_file *file, const struct domain_config *config,
	struct error *err)
{
	struct config_head head = {.magic = CONFIG_MAGIC, .format = CONFIG_FORMAT};
	json_t *json;
	char *text;
	int r = domain_config_to_json(config, &json, err);

	if (r)
		return r;
	text = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	if (!text)
		return error_nomem(err);
	head.length = strlen(text);
	head.crc = state_checksum(0, text, head.length);
	r = head.length > OPERATION_CONFIG_MAX ? -E2BIG : 0;
	if (!r)
		r = io_pwrite_all(file->fd, text, head.length, STATE_FILE_NOTE + sizeof head);
	if (!r)
		r = io_pwrite_all(file->fd, &head, sizeof head, STATE_FILE_NOTE);
	if (!r && fsync(file->fd))
		r = -errno;
	free(text);
	return r ? error_set(err, -r, "%s: %s", file->path, strerror(-r)) : 0;
}

int saved_commit(struct saved_file *file, const struct domain_config *config, struct error *err)
{
	int r = write_config(file, config, err);

	if (r)
		return r;
	r = caller_act(&file->owner, rename_it, file);
	return r ? error_set(err, -r, "%s: %s", file->name, strerror(-r)) : 0;
}

void saved_drop(struct saved_file *file)
{
	if (file->fd >= 0)
		caller_act(&file->owner, remove_temp, file);
}

void saved_withdraw(struct saved_file *file)
{
	caller_act(&file->owner, remove_named, file);
}

void saved_close(struct saved_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	if (file->folder >= 0)
		close(file->folder);
	caller_free(&file->owner);
	file->fd = file->folder = -1;
}

/* Reading */

int saved_read_config(int fd, const char *name, struct domain_config *config, struct error *err)
{
	struct config_head head;
	json_t *json = NULL;
	char *text;
	int r;

	if (io_pread_all(fd, &head, sizeof head, STATE_FILE_NOTE) != sizeof head ||
		memcmp(head.magic, CONFIG_MAGIC, sizeof head.magic))
		return error_set(err, EINVAL, "%s: not a guest that was saved here", name);
	if (head.format > CONFIG_FORMAT)
		return error_set(err, ENOTSUP, "%s: saved by a newer dach", name);
	if (head.format != CONFIG_FORMAT || head.length > OPERATION_CONFIG_MAX)
		return error_set(err, EINVAL, "%s: damaged: no configuration where it should be",
			name);
	text = malloc(head.length + 1);
	if (!text)
		return error_nomem(err);
	if (io_pread_all(fd, text, head.length, STATE_FILE_NOTE + sizeof head) != head.length ||
		state_checksum(0, text, head.length) != head.crc)
		r = error_set(err, EINVAL, "%s: damaged: its configuration has a wrong checksum",
			name);
	else
		r = (json = json_parse(text, head.length, name, err)) ? 0 : -EINVAL;
	free(text);
	if (!r)
		r = domain_config_from_json(json, config, err);
	json_decref(json);
	return r;
}

int saved_open(const struct caller *caller, const char *path, int *fd, struct domain_config *config,
	struct error *err)
{
	struct state_file file;
	struct stat st;
	int r = caller_open(caller, path, O_RDONLY, 0, fd, err);

	if (r)
		return r;
	if (fstat(*fd, &st) || !S_ISREG(st.st_mode))
		r = error_set(err, EINVAL, "%s: not a file", path);
	if (!r) {
		r = state_file_open(&file, *fd, path, err);
		if (!r)
			r = error_set(err, EINVAL, "%s: not a saved guest", path);
	}
	r = r < 0 ? r : config ? saved_read_config(*fd, path, config, err) : 0;
	if (r) {
		close(*fd);
		*fd = -1;
	}
	return r;
}

/* The note */

bool saved_is_noted(const struct guest *guest)
{
	int fd;

	if (launch_open_file(guest, "saving", O_RDONLY, &fd, NULL))
		return false;
	close(fd);
	return true;
}

void saved_forget_note(const struct guest *guest)
{
	launch_remove_file(guest, "saving");
}

/*
 * 0: the state was not finished, and is gone; -EEXIST: it has its name. Anything else: it cannot be told, for
 * its folder is out of reach.
 */
static int settle_file(void *ctx)
{
	char *path = ctx;
	size_t len = strlen(path);
	struct stat st;

	if (!unlink(path))
		return 0;
	if (errno != ENOENT || len <= strlen(SUFFIX))
		return -errno;
	path[len - strlen(SUFFIX)] = 0;
	return !lstat(path, &st) && S_ISREG(st.st_mode) ? -EEXIST : -ENOENT;
}

bool saved_settle(const struct guest *guest)
{
	char text[PATH_MAX + 32] = "", *path;
	struct caller owner;
	unsigned long uid;
	int fd, r;

	if (launch_open_file(guest, "saving", O_RDONLY, &fd, NULL))
		return false;
	if (io_read_all(fd, text, sizeof text - 1) < 0)
		text[0] = 0;
	close(fd);
	uid = strtoul(text, &path, 10);
	text[strcspn(text, "\n")] = 0;
	/* A half of one: then there is no file yet. */
	if (*path++ != ' ' || *path != '/') {
		saved_forget_note(guest);
		return false;
	}
	caller_of_user(&guest->daemon->policy, uid ? uid : geteuid(), &owner);
	r = caller_act(&owner, settle_file, path);
	caller_free(&owner);
	saved_forget_note(guest);
	if (r && r != -EEXIST)
		guest_log(guest, "what it was being saved to cannot be reached", path);
	return r == -EEXIST;
}

/* What a guest is suspended to */

int saved_suspend_path(const struct guest *guest, char *path, struct error *err)
{
	size_t len = snprintf(path, PATH_MAX, "%s/saved", guest->daemon->state);
	int r = len + DOMAIN_UUID_LEN + 1 < PATH_MAX ? folder_make(path, 0700, err) : -ENAMETOOLONG;

	if (!r)
		snprintf(path + len, PATH_MAX - len, "/%s", guest->config.uuid);
	return r;
}

bool saved_is_suspended(const struct guest *guest)
{
	char path[PATH_MAX];

	return guest->managed && !saved_suspend_path(guest, path, NULL) && !access(path, F_OK);
}

void saved_forget_suspended(struct guest *guest)
{
	char path[PATH_MAX];

	if (guest->suspended && !saved_suspend_path(guest, path, NULL))
		unlink(path);
	guest->suspended = false;
}
