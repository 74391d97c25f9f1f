/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes to a container that runs, and goes. Whoever does this enters one namespace of the container's, and runs nothing there:
 * the container does not see him.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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
#include "container/root.h"
#include "links/link.h"
#include "protocol/share.h"

#define COMING ROOT_PLACE "/coming"

static int enter(struct lxc_container *container, const char *space, int kind, struct error *err)
{
	const pid_t init = container->init_pid(container);
	char path[64];
	int fd = -1;

	snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)init, space);
	if (init > 0)
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, kind))
		error_set(err, init > 0 ? errno : ESRCH, "the container cannot be entered: %s",
			init > 0 ? strerror(errno) : "it has ended");
	else
		err->text[0] = 0;
	if (fd >= 0)
		close(fd);
	return err->text[0] ? -EIO : 0;
}

int come_link(struct lxc_container *container, const char *name, unsigned number, struct error *err)
{
	char there[16];
	int r;

	snprintf(there, sizeof there, LINK_THERE, number);
	if (!container->attach_interface(container, name, there))
		return error_set(err, EIO, "%s: liblxc does not give it to the container as %s",
			name, there);
	r = enter(container, "net", CLONE_NEWNET, err);
	return r ? r : link_change(there, &(struct link_change){.up = true}, err);
}

/*
 * The folder at a path of the container's root, by descriptor: one name after the other, and no link is followed, since who
 * made it is not trusted. last: its last name, which is left; NULL: all of it, and what is missing is made, as the container's root.
 */
static int walk(const char *path, char last[NAME_MAX + 1], struct error *err)
{
	char name[NAME_MAX + 1];
	int at = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), next;
	const char *rest = path;
	size_t len;

	while (at >= 0 && (len = share_path_next(&rest))) {
		if (len > NAME_MAX) {
			close(at);
			return error_set(err, ENAMETOOLONG, "%s: a name in it is too long", path);
		}
		snprintf(name, sizeof name, "%.*s", (int)len, rest);
		rest += len;
		if (last && !share_path_next(&rest)) {
			strcpy(last, name);
			return at;
		}
		if (!last)
			mkdirat(at, name, 0755);
		next = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		close(at);
		at = next;
	}
	if (at < 0 && last)
		return error_set(err, errno,
			"%s: the container has moved or removed the place, and the folder may be elsewhere in it: %s",
			path, strerror(errno));
	return at < 0
		? error_set(err, errno,
			  "%s: is no folder there, and cannot be made, or a link leads elsewhere: %s",
			  path, strerror(errno))
		: at;
}

/* In a user namespace of its own, which shares this process's descriptors: slot becomes the copy. */
static _Noreturn void copy_locked(int slot)
{
	int fd = -1;

	if (!unshare(CLONE_NEWUSER | CLONE_NEWNS))
		fd = open_tree(AT_FDCWD, COMING, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	_exit(fd >= 0 && dup3(fd, slot, O_CLOEXEC) == slot ? 0 : 1);
}

/*
 * What it is mounted with is not the container's root to change: the kernel holds somebody to that who is less than who mounted it, and
 * that shows in what is copied into a user namespace (mount_namespaces(7)). tree is closed; in its place what can be mounted.
 */
static int lock(int tree, struct error *err)
{
	int slot = open("/dev/null", O_RDONLY | O_CLOEXEC), status = 1;
	pid_t pid = -1;

	if (slot >= 0 && (!mkdir(COMING, 0755) || errno == EEXIST) &&
		!move_mount(tree, "", AT_FDCWD, COMING, MOVE_MOUNT_F_EMPTY_PATH)) {
		pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
		if (!pid)
			copy_locked(slot);
		while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
		}
		umount2(COMING, MNT_DETACH);
	}
	close(tree);
	if (!status)
		return slot;
	if (slot >= 0)
		close(slot);
	return error_set(err, EPERM,
		"the folder cannot be kept as it is to be mounted: this host gives no user namespace");
}

int come_folder(struct lxc_container *container, const struct launch_spec *spec, int folder,
	const char *path, bool read_only, struct error *err)
{
	const struct launch_file file = {folder, (char *)"the folder"};
	int tree = root_clone_share(spec, &file, read_only, true, err), place = -1, r;

	if (tree >= 0)
		tree = lock(tree, err);
	r = tree < 0 ? tree : enter(container, "mnt", CLONE_NEWNS, err);

	if (!r) {
		setfsgid(spec->ids);
		setfsuid(spec->ids);
		place = r = walk(path, NULL, err);
		setfsuid(0);
		setfsgid(0);
	}
	if (r >= 0 &&
		move_mount(tree, "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH))
		r = error_set(err, errno, "%s: cannot be mounted there: %s", path, strerror(errno));
	if (place >= 0)
		close(place);
	if (tree >= 0)
		close(tree);
	return r < 0 ? r : 0;
}

int go_folder(struct lxc_container *container, const char *path, struct error *err)
{
	char name[NAME_MAX + 1] = "";
	int place = -1, r = enter(container, "mnt", CLONE_NEWNS, err);

	if (!r)
		place = r = walk(path, name, err);
	if (place < 0)
		return r;
	r = fchdir(place) || umount2(name, UMOUNT_NOFOLLOW | MNT_DETACH)
		? error_set(err, errno, "%s: nothing is mounted there: %s", path, strerror(errno))
		: 0;
	close(place);
	return r;
}
