/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/nvram.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/folder.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "protocol/nvram.h"

#define FOLDER "nvram"

static int put_path(const struct guest *guest, const char *file, char path[PATH_MAX],
	struct error *err)
{
	return snprintf(path, PATH_MAX, "%s/" FOLDER "%s%s", guest->daemon->state, *file ? "/" : "",
		       file) < PATH_MAX
		? 0
		: error_set(err, ENAMETOOLONG, "%s: path too long", guest->daemon->state);
}

int guest_nvram_pass(const struct guest *guest, int fd, struct launch_file *nvram,
	struct error *err)
{
	char path[PATH_MAX];
	int r = put_path(guest, guest->config.uuid, path, err);

	if (r)
		return r;
	nvram->name = strdup(path);
	nvram->fd = fcntl(fd, F_DUPFD_CLOEXEC, LIMIT_FD_MIN);
	if (nvram->fd < 0 || !nvram->name)
		r = error_set(err, nvram->name ? errno : ENOMEM, "%s: %s", path, strerror(errno));
	return r;
}

bool guest_nvram_is(const struct guest *guest, int fd)
{
	struct stat st, own;
	char path[PATH_MAX];

	return !put_path(guest, guest->config.uuid, path, NULL) && !fstat(fd, &st) &&
		!stat(path, &own) && st.st_dev == own.st_dev && st.st_ino == own.st_ino &&
		(fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR;
}

int guest_nvram_open(const struct guest *guest, const char *template, struct launch_file *nvram,
	struct error *err)
{
	char path[PATH_MAX];
	int fd, r = put_path(guest, "", path, err);

	if (!r)
		r = folder_make(path, 0700, err);
	if (!r)
		r = put_path(guest, guest->config.uuid, path, err);
	if (!r)
		r = nvram_open(path, template, &fd, err);
	if (r)
		return r;
	r = guest_nvram_pass(guest, fd, nvram, err);
	close(fd);
	return r;
}

void guest_nvram_forget(const struct guest *guest)
{
	struct error ignored;
	char path[PATH_MAX];

	if (!put_path(guest, guest->config.uuid, path, &ignored))
		unlink(path);
}
