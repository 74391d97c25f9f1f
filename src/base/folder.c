/* SPDX-License-Identifier: Apache-2.0 */
#include "base/folder.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

/* The first of them that is set and absolute, with what belongs behind it. */
static int choose(char *buf, size_t size, struct error *err, const char *fmt, ...)
{
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(buf, size, fmt, args);
	va_end(args);
	if (len >= size)
		return error_set(err, ENAMETOOLONG, "%s...: path too long", buf);
	if (buf[0] != '/')
		return error_set(err, EINVAL, "%s: must begin with /", buf);
	return 0;
}

int folder_run(char *buf, size_t size, struct error *err)
{
	const char *own = getenv("DACH_RUN"), *runtime = getenv("XDG_RUNTIME_DIR");

	if (own && *own)
		return choose(buf, size, err, "%s", own);
	if (geteuid() == 0)
		return choose(buf, size, err, "/run/dach");
	if (runtime && *runtime)
		return choose(buf, size, err, "%s/dach", runtime);
	return choose(buf, size, err, "/tmp/dach-%u", geteuid());
}

int folder_data(const char *below, char *buf, size_t size, struct error *err)
{
	const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
	const struct passwd *user;

	if (data && data[0] == '/')
		return choose(buf, size, err, "%s/%s", data, below);
	if (!home || home[0] != '/') {
		user = getpwuid(geteuid());
		home = user ? user->pw_dir : NULL;
	}
	if (home && home[0] == '/')
		return choose(buf, size, err, "%s/.local/share/%s", home, below);
	return error_set(err, ENOENT, "user %u has no home: set HOME or XDG_DATA_HOME", geteuid());
}

int folder_state(char *buf, size_t size, struct error *err)
{
	const char *own = getenv("DACH_STATE");

	if (own && *own)
		return choose(buf, size, err, "%s", own);
	if (geteuid() == 0)
		return choose(buf, size, err, "/var/lib/dach");
	return folder_data("dach", buf, size, err);
}

static int make_parents(char *path, struct error *err)
{
	for (char *at = path + 1; (at = strchr(at, '/')); at++) {
		int r;

		*at = 0;
		r = mkdir(path, 0755) && errno != EEXIST ? -errno : 0;
		if (r)
			error_set(err, -r, "%s: %s", path, strerror(-r));
		*at = '/';
		if (r)
			return r;
	}
	return 0;
}

int folder_make(const char *path, unsigned mode, struct error *err)
{
	char copy[PATH_MAX];
	struct stat st;
	int r;

	if (snprintf(copy, sizeof copy, "%s", path) >= sizeof copy)
		return error_set(err, ENAMETOOLONG, "%s: path too long", path);
	r = make_parents(copy, err);
	if (r)
		return r;
	if (mkdir(path, mode) && errno != EEXIST)
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	if (lstat(path, &st))
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return error_set(err, ENOTDIR, "%s: not a folder", path);
	if ((st.st_uid != geteuid() && st.st_uid != 0) || st.st_mode & 022)
		return error_set(err, EPERM,
			"%s: others may write to it; it must be yours alone (chmod go-w)", path);
	return 0;
}

/* This program's file; without /proc by the name that it was started by. */
static int own_file(char path[PATH_MAX])
{
	ssize_t len = readlink("/proc/self/exe", path, PATH_MAX - 1);

	if (len >= 0) {
		path[len] = 0;
		return 0;
	}
	return realpath((const char *)getauxval(AT_EXECFN), path) ? 0 : -errno;
}

int folder_program(const char *name, const char *installed, char *buf, size_t size)
{
	char self[PATH_MAX];
	char *slash;
	int r = own_file(self);

	if (r)
		return r;
	slash = strrchr(self, '/');
	if (!slash)
		return -ENOENT;
	*slash = 0;
	if (snprintf(buf, size, "%s/%s", self, name) >= size)
		return -ENAMETOOLONG;
	if (!access(buf, X_OK))
		return 0;
	if (snprintf(buf, size, "%s/%s", self, installed) >= size)
		return -ENAMETOOLONG;
	return access(buf, X_OK) ? -errno : 0;
}
