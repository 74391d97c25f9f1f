/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/spaces.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROOT "/proc" /* a folder that each host has: the root to be is mounted over it */
#define SPACE_FLAGS (MS_NOSUID | MS_NODEV | MS_NOEXEC)
/* Two folders, a file and the one that takes its place, of which each can be as large as can be. */
#define NAMES_ROOM "size=160k,nr_inodes=5,mode=755"

static bool write_map(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return good;
}

/* Who is nobody in a user namespace can make no file, not even in its own root: we stay who we are. */
static bool map_ourselves(uid_t uid, gid_t gid)
{
	char user[32], group[32];

	snprintf(user, sizeof user, "%u %u 1\n", uid, uid);
	snprintf(group, sizeof group, "%u %u 1\n", gid, gid);
	return write_map("/proc/self/setgroups", "deny") && write_map("/proc/self/uid_map", user) &&
		write_map("/proc/self/gid_map", group);
}

/* Mounted read-only over itself: who knows the mount below can write, and nobody finds it any more. */
static bool cover(const char *path)
{
	return !mount(path, path, NULL, MS_BIND, NULL) &&
		!mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | SPACE_FLAGS, NULL);
}

static bool mount_space(const char *path, const char *room)
{
	return !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
		!mount("none", path, "tmpfs", SPACE_FLAGS, room);
}

/* Whatever the umask is: anybody may look, the process of the name servers may write. */
static bool fill(const char *folder, const struct names_process *names)
{
	return !chmod(folder, 0755) && !chown(folder, names->uid, names->gid) &&
		names_follow(names, folder);
}

/* The old root is gone from under it. */
static bool change_root(const struct names_process *names)
{
	if (!mount_space(ROOT, names ? NAMES_ROOM : "size=4k,nr_inodes=1"))
		return false;
	if (names && (mkdir(ROOT NAMES_FOLDER, 0755) || !fill(ROOT NAMES_FOLDER, names)))
		return false;
	return cover(ROOT) && !chdir(ROOT) && !syscall(SYS_pivot_root, ".", ".") &&
		!umount2(".", MNT_DETACH) && !chdir("/");
}

bool spaces_leave(bool network, const struct names_process *names)
{
	const uid_t uid = geteuid();
	const gid_t gid = getegid();
	int spaces = CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS | CLONE_NEWCGROUP;

	if (uid)
		spaces |= CLONE_NEWUSER;
	if (!network)
		spaces |= CLONE_NEWNET;
	if (unshare(spaces))
		return false;
	if (uid && network && !map_ourselves(uid, gid))
		return false;
	return change_root(network ? names : NULL);
}

/* All mounts that are there, whatever flags they have already; a kernel that cannot (before 5.12) leaves them as they are. */
static void harden_root(bool read_only)
{
	const struct mount_attr attr = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
			(read_only ? MOUNT_ATTR_RDONLY : 0)};

	syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &attr, sizeof attr);
}

bool spaces_enter(int folder, bool read_only)
{
	const uid_t uid = geteuid();
	const gid_t gid = getegid();

	/* The current folder comes along into the new mounts; a descriptor stays in the old ones. */
	if (fchdir(folder) ||
		unshare(CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWNET |
			(uid ? CLONE_NEWUSER : 0)))
		return false;
	if ((uid && !map_ourselves(uid, gid)) ||
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		mount(".", ROOT, NULL, MS_BIND | MS_REC, NULL))
		return false;
	if (chdir(ROOT) || syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) ||
		chdir("/"))
		return false;
	harden_root(read_only);
	return true;
}

bool spaces_hide_etc(const struct names_process *names)
{
	const uid_t uid = geteuid();
	const gid_t gid = getegid();

	if (unshare(CLONE_NEWNS | (uid ? CLONE_NEWUSER : 0)))
		return false;
	return (!uid || map_ourselves(uid, gid)) && mount_space(NAMES_FOLDER, NAMES_ROOM) &&
		fill(NAMES_FOLDER, names) && cover(NAMES_FOLDER);
}
