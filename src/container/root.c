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

#define TEMPLATE ROOT_PLACE "/lower"
#define OWN ROOT_PLACE "/own"
#define BELOW ROOT_PLACE "/%u" /* what lies between the two */
/* What the daemon has made in the folder of a container's own. */
#define UPPER ",upperdir=" OWN "/upper,workdir=" OWN "/work"
#define UPPER_USER UPPER ",userxattr" /* who is root of his own IDs has no other attributes */
#define DEVICES ROOT_PLACE "/devices"
#define OPTIONS_MAX 2048
#define WITHIN_TRIES 1000

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

/* A folder as it is in the mounts that we have now; -1 and errno, EXDEV: it is in the host's /run, in place of which we have our own. */
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
		if (again < 0 && !strncmp(path, "/run/", strlen("/run/")))
			errno = EXDEV;
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
static int clone_folder(const struct launch_file *folder, int map, bool moved, unsigned how,
	struct error *err)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_NODEV | how};
	int fd = moved ? find_again(folder->fd) : folder->fd;
	int tree = fd < 0 ? fd
			  : open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (tree < 0)
		error_set(err, errno, "%s: cannot be mounted: %s", folder->name,
			errno == EXDEV ? "what is below /run comes with a container's start alone"
				       : strerror(errno));
	if (fd >= 0 && moved)
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
static int mount_overlay(const struct launch_spec *spec, struct error *err)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct all[2];
	char options[OPTIONS_MAX] = "lowerdir=";
	int r = 0, n = (int)strlen(options);

	/* The topmost first. */
	for (unsigned i = spec->lowers; i--;)
		n += sprintf(options + n, BELOW "/upper:", i);
	sprintf(options + n, "%s", users_own(spec) ? TEMPLATE UPPER_USER : TEMPLATE UPPER);

	if (mkdir(ROOT_FOLDER, 0755) || syscall(SYS_capget, &header, all))
		return error_set(err, errno, ROOT_FOLDER ": %s", strerror(errno));
	setfsgid(spec->ids);
	setfsuid(spec->ids);
	if (syscall(SYS_capset, &header, all) ||
		mount("overlay", ROOT_FOLDER, "overlay", MS_NODEV, options))
		r = error_set(err, errno, "%s: no overlay can be mounted on it: %s",
			spec->root.name, strerror(errno));
	setfsuid(0);
	setfsgid(0);
	if (syscall(SYS_capset, &header, all) && !r)
		r = error_set(err, errno, "capabilities: %s", strerror(errno));
	return r;
}

/* The layers of an overlay, and folders beside it, as trees that nobody sees yet. */
struct root_layers {
	int base, upper, lower[CONTAINER_LAYERS], share[LIMIT_SHARES];
	unsigned lowers, shares;
};

/* Programs in it get nobody's rights. */
static int clone_share(const struct launch_file *folder, int map, bool moved, bool read_only,
	struct error *err)
{
	return clone_folder(folder, map, moved,
		MOUNT_ATTR_NOSUID | (read_only ? MOUNT_ATTR_RDONLY : 0), err);
}

int root_clone_share(const struct launch_spec *spec, const struct launch_file *folder,
	bool read_only, bool moved, struct error *err)
{
	int map = spec->ids ? open_map(spec->ids, err) : -1, tree;

	if (spec->ids && map < 0)
		return map;
	tree = clone_share(folder, map, moved || users_own(spec), read_only, err);
	if (map >= 0)
		close(map);
	return tree;
}

static int clone_shares(const struct launch_spec *spec, int map, struct root_layers *layers,
	struct error *err)
{
	while (layers->shares < spec->shares) {
		const struct share_spec *share = &spec->share[layers->shares];
		const struct launch_file folder = {share->fd, share->folder};
		int fd = clone_share(&folder, map, users_own(spec), share->read_only, err);

		if (fd < 0)
			return fd;
		layers->share[layers->shares++] = fd;
	}
	return 0;
}

static int clone_layers(const struct launch_spec *spec, int map, struct root_layers *layers,
	struct error *err)
{
	const struct launch_file own = {spec->upper, "the container's own files"};
	const bool users = users_own(spec);

	*layers = (struct root_layers){.upper = -1};
	layers->base = clone_folder(&spec->root, map, users, 0, err);
	if (layers->base < 0)
		return layers->base;
	if (spec->upper < 0)
		return clone_shares(spec, map, layers, err);
	layers->upper = clone_folder(&own, map, users, 0, err);
	if (layers->upper < 0)
		return layers->upper;
	while (layers->lowers < spec->lowers) {
		int fd = clone_folder(&spec->lower[layers->lowers], map, users, 0, err);

		if (fd < 0)
			return fd;
		layers->lower[layers->lowers++] = fd;
	}
	return clone_shares(spec, map, layers, err);
}

static void close_layers(const struct root_layers *layers)
{
	for (unsigned i = 0; i < layers->lowers; i++)
		close(layers->lower[i]);
	for (unsigned i = 0; i < layers->shares; i++)
		close(layers->share[i]);
	if (layers->base >= 0)
		close(layers->base);
	if (layers->upper >= 0)
		close(layers->upper);
}

static int put_layers(const struct launch_spec *spec, const struct root_layers *layers,
	struct error *err)
{
	char place[sizeof ROOT_PLACE + 16];
	int r = 0;

	for (unsigned i = 0; !r && i < layers->shares; i++) {
		snprintf(place, sizeof place, ROOT_SHARE, i);
		r = put(layers->share[i], place, err);
	}
	if (!r && layers->upper < 0)
		return put(layers->base, ROOT_FOLDER, err);
	if (!r)
		r = put(layers->base, TEMPLATE, err);
	if (!r)
		r = put(layers->upper, OWN, err);
	for (unsigned i = 0; !r && i < layers->lowers; i++) {
		snprintf(place, sizeof place, BELOW, i);
		r = put(layers->lower[i], place, err);
	}
	return r ? r : mount_overlay(spec, err);
}

int root_make(const struct launch_spec *spec, struct error *err)
{
	struct root_layers layers;
	int map = -1, r;

	if (spec->ids) {
		map = open_map(spec->ids, err);
		if (map < 0)
			return map;
	}
	r = clone_layers(spec, map, &layers, err);
	if (!r)
		r = make_place(err);
	if (!r)
		r = put_layers(spec, &layers, err);
	close_layers(&layers);
	if (map >= 0)
		close(map);
	return r;
}

/* Nodes of the container's owner, in a place of their own, since our other files are on mounts without devices. */
static int make_node(const struct launch_spec *spec, const char *path, const struct stat *st,
	struct error *err)
{
	const bool first = !mkdir(DEVICES, 0755);

	if (first ? mount("none", DEVICES, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=64k")
		  : errno != EEXIST)
		return error_set(err, errno, DEVICES ": %s", strerror(errno));
	if (mknod(path, (st->st_mode & S_IFMT) | 0660, st->st_rdev) ||
		chown(path, spec->ids, spec->ids))
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	return 0;
}

int root_make_device(const struct launch_spec *spec, unsigned n, dev_t *device, bool *block,
	char *path, struct error *err)
{
	const char *name = spec->container.device[n];
	struct stat st;

	if (stat(name, &st))
		return error_set(err, errno, "devices: %s: %s", name, strerror(errno));
	*block = S_ISBLK(st.st_mode);
	*device = st.st_rdev;
	if (!*block && !S_ISCHR(st.st_mode))
		return error_set(err, ENOTSUP, "devices: %s is no device", name);
	snprintf(path, ROOT_DEVICE_ROOM, DEVICES "/%u", n);
	/* Who is root of his own IDs makes none, and has the host's as he has it there. */
	return users_own(spec) ? 0 : make_node(spec, path, &st, err);
}

/*
 * A link in it leads to where the container would find it, which is never out of it. While anything on this host is renamed or
 * mounted the kernel may not be able to say so of "..", and has to be asked again.
 */
static int open_within(int root, const char *path)
{
	const struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
	int fd = -1;

	for (unsigned i = 0; i < WITHIN_TRIES && fd < 0; i++) {
		fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
		if (fd < 0 && errno != EAGAIN)
			break;
	}
	return fd;
}

int root_check_init(const struct launch_spec *spec, struct error *err)
{
	const char *init = spec->container.inits ? spec->container.init[0] : "/sbin/init";
	int root, fd, r = 0;

	if (spec->container.commands)
		return 0; /* only its own PATH tells where that is */
	root = open(ROOT_FOLDER, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd = root < 0 ? -1 : open_within(root, init);
	if (fd < 0)
		r = error_set(err, errno, "%s: there is no %s to start (init names another): %s",
			spec->root.name, init, strerror(errno));
	else
		close(fd);
	if (root >= 0)
		close(root);
	return r;
}
