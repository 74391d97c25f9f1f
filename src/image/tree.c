/* SPDX-License-Identifier: Apache-2.0 */
#include "image/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 200

int tree_make(const char *dir, struct error *err)
{
	char path[PATH_MAX];
	int len = snprintf(path, sizeof path, "%s/", dir);

	if (len >= (int)sizeof path)
		return error_set(err, ENAMETOOLONG, "%s: name too long", dir);
	for (char *c = path + 1; *c; c++) {
		if (*c != '/')
			continue;
		*c = 0;
		if (mkdir(path, 0755) && errno != EEXIST)
			return error_set(err, errno, "%s: %s", path, strerror(errno));
		*c = '/';
	}
	return 0;
}

int tree_write(const char *dir, const char *name, mode_t mode, struct error *err, const char *fmt,
	...)
{
	char path[PATH_MAX];
	va_list args;
	FILE *file;
	int fd, r;

	if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
		return error_set(err, ENAMETOOLONG, "%s: name too long", dir);
	*strrchr(path, '/') = 0;
	r = tree_make(path, err);
	if (r)
		return r;
	path[strlen(path)] = '/';
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	file = fd < 0 ? NULL : fdopen(fd, "w");
	if (!file) {
		r = error_set(err, errno, "%s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return r;
	}
	va_start(args, fmt);
	vfprintf(file, fmt, args);
	va_end(args);
	if (fchmod(fd, mode) || fflush(file))
		r = error_set(err, errno, "%s: %s", path, strerror(errno));
	fclose(file);
	return r;
}

/* A folder that its owner may not read or write would keep its files. Links are never followed. */
static int open_folder(int parent, const char *name)
{
	int at = openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), fd;
	char path[32];

	if (at < 0)
		return -1;
	snprintf(path, sizeof path, "/proc/self/fd/%d", at);
	chmod(path, 0700); /* of at, whatever its name means by now; if it fails the next says so */
	fd = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	close(at);
	return fd;
}

static int remove_at(int parent, const char *name, dev_t dev, int depth)
{
	struct stat st;
	struct dirent *entry;
	DIR *dir;
	int fd, r = 0;

	if (!unlinkat(parent, name, 0))
		return 0;
	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	if (!S_ISDIR(st.st_mode) || st.st_dev != dev || depth > DEPTH_MAX)
		return -EPERM;
	fd = open_folder(parent, name);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		r = -errno;
		if (fd >= 0)
			close(fd);
		return r;
	}
	while ((entry = readdir(dir))) {
		int one;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		one = remove_at(dirfd(dir), entry->d_name, dev, depth + 1);
		r = r ? r : one;
	}
	closedir(dir);
	if (!r && unlinkat(parent, name, AT_REMOVEDIR))
		r = -errno;
	return r;
}

int tree_remove(const char *path)
{
	struct stat st;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : -errno;
	return remove_at(AT_FDCWD, path, st.st_dev, 0);
}
