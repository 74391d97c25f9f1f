/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/spaces.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROOT "/proc" /* a folder that each host has: the root to be is mounted over it */
#define ROOT_FLAGS (MS_NOSUID | MS_NODEV | MS_NOEXEC)
#define RESOLVER "/etc/resolv.conf"

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

/* One file of the old root: it itself, so what is written to it later is seen, and another in its place not. */
static bool keep_resolver(void)
{
	int fd;

	if (access(RESOLVER, R_OK))
		return true;
	/* The monitor becomes another user later: whatever the umask is, that one reads it, too. */
	if (mkdir(ROOT "/etc", 0755) || chmod(ROOT "/etc", 0755))
		return false;
	fd = open(ROOT RESOLVER, O_CREAT | O_WRONLY | O_CLOEXEC, 0444);
	if (fd < 0)
		return false;
	close(fd);
	return !mount(RESOLVER, ROOT RESOLVER, NULL, MS_BIND, NULL);
}

/* The old root is gone from under it. */
static bool change_root(bool network)
{
	const char *const room = network ? "size=16k,nr_inodes=4,mode=755" : "size=4k,nr_inodes=1";

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		mount("none", ROOT, "tmpfs", ROOT_FLAGS, room))
		return false;
	if (network && !keep_resolver())
		return false;
	if (mount(NULL, ROOT, NULL, MS_REMOUNT | MS_RDONLY | ROOT_FLAGS, room))
		return false;
	return !chdir(ROOT) && !syscall(SYS_pivot_root, ".", ".") && !umount2(".", MNT_DETACH) &&
		!chdir("/");
}

bool spaces_leave(bool network)
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
	return change_root(network);
}
