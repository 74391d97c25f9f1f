/* SPDX-License-Identifier: Apache-2.0 */
#include "image/work.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "image/store.h"
#include "image/tree.h"

#define SUFFIX ".XXXXXX"

static int open_folder(const char *path)
{
	return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/*
 * The lock of the store itself: between a folder's making and its lock it looks like one that was
 * left, and nobody may look then. -1 where it cannot be had.
 */
static int lock_store(const char *store)
{
	int fd = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0 && flock(fd, LOCK_EX)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

int work_make(const char *store, const char *name, char *work, size_t size, struct error *err)
{
	int lock = -1, fd = -1, r = 0;

	if (snprintf(work, size, "%s/.%s" SUFFIX, store, name) >= (int)size) {
		r = error_set(err, ENAMETOOLONG, "%s: name too long", store);
		work[0] = 0;
		return r;
	}
	lock = lock_store(store);
	if (lock < 0 || !mkdtemp(work)) {
		r = error_set(err, errno, "%s: %s", store, strerror(errno));
		work[0] = 0;
		goto out;
	}
	fd = open_folder(work);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB)) {
		r = error_set(err, errno, "%s: %s", work, strerror(errno));
		if (fd >= 0)
			close(fd);
		rmdir(work);
		work[0] = 0;
	}
out:
	if (lock >= 0)
		close(lock);
	return r ? r : fd;
}

/* Is it named as work_make() names them? */
static bool is_work(const char *name)
{
	char image[IMAGE_NAME_MAX + 1];
	size_t len = strlen(name), tail = sizeof SUFFIX - 1;

	if (name[0] != '.' || len < tail + 2 || len - tail - 1 > IMAGE_NAME_MAX ||
		name[len - tail] != '.')
		return false;
	snprintf(image, sizeof image, "%.*s", (int)(len - tail - 1), name + 1);
	return !image_check_name("image", image, NULL);
}

unsigned work_sweep(const char *store)
{
	int lock = lock_store(store);
	DIR *dir = lock < 0 ? NULL : opendir(store);
	struct dirent *entry;
	unsigned removed = 0;

	while (dir && (entry = readdir(dir))) {
		char path[PATH_MAX];
		int fd;

		if (!is_work(entry->d_name) ||
			snprintf(path, sizeof path, "%s/%s", store, entry->d_name) >=
				(int)sizeof path)
			continue;
		fd = open_folder(path);
		if (fd < 0)
			continue;
		removed += !flock(fd, LOCK_EX | LOCK_NB) && !tree_remove(path);
		close(fd);
	}
	if (dir)
		closedir(dir);
	if (lock >= 0)
		close(lock);
	return removed;
}
