/* SPDX-License-Identifier: Apache-2.0 */
#include "container/root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "container/internal.h"
#include "protocol/container_spec.h"

#define LOWER ROOT_PLACE "/lower"
#define OWN ROOT_PLACE "/own"
/* What the daemon has made in the folder of a container's own. */
#define LAYERS "lowerdir=" LOWER ",upperdir=" OWN "/upper,workdir=" OWN "/work"
#define LAYERS_USER LAYERS ",userxattr" /* who is root of his own IDs has no other attributes */

static int write_map(pid_t pid, const char *file, unsigned ids)
{
	char path[64], text[64];
	int fd, n;

	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
	n = snprintf(text, sizeof text, "0 %u %u\n", ids, CONTAINER_IDS);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = write(fd, text, n) == n ? 0 : -errno;
	close(fd);
	return n;
}

/* A user namespace that maps what is on the disk to these IDs: it lives as long as a process of it, or its descriptor. */
static int open_map(unsigned ids, struct error *err)
{
	char path[64];
	int ns = -1, r;
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);

	if (!pid) {
		pause();
		_exit(0);
	}
	if (pid < 0)
		return error_set(err, errno, "this host gives a container no user namespace: %s",
			strerror(errno));
	r = write_map(pid, "uid_map", ids);
	if (!r)
		r = write_map(pid, "gid_map", ids);
	snprintf(path, sizeof path, "/proc/%d/ns/user", (int)pid);
	if (!r && (ns = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		r = -errno;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return r ? error_set(err, -r, "the container's IDs (%u and up): %s", ids, strerror(-r))
		 : ns;
}

/* A folder as it is in the mounts that we have now; -1 and errno. */
static int find_again(int fd)
{
	char link[32], path[PATH_MAX];
	struct stat was, is;
	int again = -1;
	ssize_t n;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof path - 1);
	if (n > 0) {
		path[n] = 0;
		again = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	}
	if (again < 0 ||
		(!fstat(fd, &was) && !fstat(again, &is) && was.st_dev == is.st_dev &&
			was.st_ino == is.st_ino))
		return again;
	close(again);
	errno = ESTALE;
	return -1;
}

/*
 * The folder as a mount of its own, which nobody sees yet, without devices; map -1: with the owners that it has. Before our
 * mounts are others than those that it was opened in; a user has others from the first.
 */
static int clone_folder(const struct launch_file *folder, int map, bool users, struct error *err)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_NODEV};
	int fd = users ? find_again(folder->fd) : folder->fd;
	int tree = fd < 0 ? fd
			  : open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (tree < 0)
		error_set(err, errno, "%s: cannot be mounted: %s", folder->name, strerror(errno));
	if (fd >= 0 && users)
		close(fd);
	if (tree < 0)
		return tree;
	if (map >= 0) {
		attr.attr_set |= MOUNT_ATTR_IDMAP;
		attr.userns_fd = (uint64_t)map;
	}
	if (!mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof attr))
		return tree;
	error_set(err, errno,
		"%s: its file system, or this host's kernel, cannot give files to a container's own IDs (%s); "
		"privileged = 1 needs none",
		folder->name, strerror(errno));
	close(tree);
	return -EOPNOTSUPP;
}

static int put(int tree, const char *place, struct error *err)
{
	if (!mkdir(place, 0755) && !move_mount(tree, "", AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH))
		return 0;
	return error_set(err, errno, "%s: %s", place, strerror(errno));
}

/* In place of the host's /run, which the container's processes are not to find: what is in it is lost with us. */
static int make_place(struct error *err)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) ||
		mount("none", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m"))
		return error_set(err, errno, "this host gives a container no mounts of its own: %s",
			strerror(errno));
	if (mkdir(ROOT_PLACE, 0755) || mkdir(ROOT_MOUNT, 0755) || mkdir(ROOT_LXC, 0755) ||
		mknod(ROOT_FSTAB, S_IFREG | 0644, 0))
		return error_set(err, errno, ROOT_PLACE ": %s", strerror(errno));
	return 0;
}

/*
 * Who mounts an overlay is who writes its layers, as far as it does so for itself: someone that they know, so the container's
 * root, with our rights.
 */
static int mount_overlay(unsigned ids, bool users, const char *name, struct error *err)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct all[2];
	int r = 0;

	if (mkdir(ROOT_FOLDER, 0755) || syscall(SYS_capget, &header, all))
		return error_set(err, errno, ROOT_FOLDER ": %s", strerror(errno));
	setfsgid(ids);
	setfsuid(ids);
	if (syscall(SYS_capset, &header, all) ||
		mount("overlay", ROOT_FOLDER, "overlay", MS_NODEV, users ? LAYERS_USER : LAYERS))
		r = error_set(err, errno, "%s: no overlay can be mounted on it: %s", name,
			strerror(errno));
	setfsuid(0);
	setfsgid(0);
	if (syscall(SYS_capset, &header, all) && !r)
		r = error_set(err, errno, "capabilities: %s", strerror(errno));
	return r;
}

int root_make(const struct launch_spec *spec, struct error *err)
{
	const struct launch_file own = {spec->upper, "the container's own files"};
	const bool users = users_own(spec);
	int map = -1, root, upper = -1, r;

	if (spec->ids) {
		map = open_map(spec->ids, err);
		if (map < 0)
			return map;
	}
	root = r = clone_folder(&spec->root, map, users, err);
	if (r >= 0 && spec->upper >= 0)
		upper = r = clone_folder(&own, map, users, err);
	if (r >= 0)
		r = make_place(err);
	if (!r && upper < 0)
		r = put(root, ROOT_FOLDER, err);
	if (!r && upper >= 0) {
		r = put(root, LOWER, err);
		if (!r)
			r = put(upper, OWN, err);
		if (!r)
			r = mount_overlay(spec->ids, users, spec->root.name, err);
	}
	if (map >= 0)
		close(map);
	if (root >= 0)
		close(root);
	if (upper >= 0)
		close(upper);
	return r;
}

/* A link in it leads to where the container would find it, which is never out of it. */
int root_check_init(const struct launch_spec *spec, struct error *err)
{
	if (spec->container.commands)
		return 0; /* only its own PATH tells where that is */
	const char *init = spec->container.inits ? spec->container.init[0] : "/sbin/init";
	const struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
	int root = open(ROOT_FOLDER, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = root < 0 ? -1 : (int)syscall(SYS_openat2, root, init, &how, sizeof how);
	int r = 0;

	if (fd < 0)
		r = error_set(err, errno, "%s: there is no %s to start (init names another): %s",
			spec->root.name, init, strerror(errno));
	else
		close(fd);
	if (root >= 0)
		close(root);
	return r;
}
