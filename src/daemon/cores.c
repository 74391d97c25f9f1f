/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/cores.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/folder.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"

static const char *wanted; /* the UUID whose files scandir() is to find; one thread */

static int is_core(const struct dirent *entry)
{
	return strstr(entry->d_name, wanted) && strstr(entry->d_name, ".core");
}

/* Names begin with the time, so that the oldest come first. */
static int make_room(const struct guest *guest, const char *folder, struct error *err)
{
	struct dirent **names = NULL;
	int count, fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return error_set(err, errno, "%s: %s", folder, strerror(errno));
	wanted = guest->config.uuid;
	count = scandirat(fd, ".", &names, is_core, alphasort);
	for (int i = 0; i < count; i++) {
		if (i + CORES_KEPT <= count)
			unlinkat(fd, names[i]->d_name, 0);
		free(names[i]);
	}
	free(names);
	close(fd);
	return 0;
}

int cores_check_space(const struct guest *guest, const char *folder, struct error *err)
{
	struct statvfs fs;
	uint64_t needed = guest->config.maxmem << 10;

	if (statvfs(folder, &fs))
		return error_set(err, errno, "%s: %s", folder, strerror(errno));
	needed += fs.f_blocks * fs.f_frsize / 10;
	if (fs.f_bavail * fs.f_frsize < needed)
		return error_set(err, ENOSPC,
			"%s: no room for %llu MiB with a tenth of the file system left free",
			folder, (unsigned long long)guest->config.maxmem >> 10);
	return 0;
}

int cores_open(const struct guest *guest, char path[CORES_PATH_MAX], int *fd, struct error *err)
{
	struct tm now;
	time_t seconds = time(NULL);
	size_t len;
	int r;

	*fd = -1;
	len = snprintf(path, PATH_MAX, "%s/cores", guest->daemon->state);
	r = folder_make(path, 0700, err);
	if (!r)
		r = make_room(guest, path, err);
	if (!r)
		r = cores_check_space(guest, path, err);
	if (r)
		return r;
	gmtime_r(&seconds, &now);
	snprintf(path + len, CORES_PATH_MAX - len, "/%04d-%02d%02d-%02d%02d.%02d-%s.%u.core",
		now.tm_year + 1900, now.tm_mon + 1, now.tm_mday, now.tm_hour, now.tm_min,
		now.tm_sec, guest->config.uuid, guest->domid);
	*fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	return *fd < 0 ? error_set(err, errno, "%s: %s", path, strerror(errno)) : 0;
}
