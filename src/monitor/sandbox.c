/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "protocol/limits.h"

static int allow_file(int ruleset, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr rule = {
		.allowed_access = access,
		.parent_fd = open(path, O_PATH | O_CLOEXEC),
	};
	struct stat st;
	int r;

	if (rule.parent_fd < 0)
		return 0; /* no such file: nothing to allow */
	/* A directory is refused as a disk later, with a better sentence than "permission denied". */
	if (!fstat(rule.parent_fd, &st) && S_ISDIR(st.st_mode))
		rule.allowed_access |= LANDLOCK_ACCESS_FS_READ_DIR;
	r = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	close(rule.parent_fd);
	return r;
}

/* A ruleset that handles all of Landlock's first version (LANDLOCK_ACCESS_FS_*: bits 0 to 12). */
static int make_ruleset(void)
{
	struct landlock_ruleset_attr attr = {.handled_access_fs = (1u << 13) - 1};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
}

bool sandbox_files(const char *const *files)
{
	const uint64_t access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE;
	int ruleset = make_ruleset(), r;

	if (ruleset < 0)
		return false;
	r = allow_file(ruleset, "/etc/resolv.conf", LANDLOCK_ACCESS_FS_READ_FILE);
	if (!r) /* GLib, under libslirp, seeds its generator */
		r = allow_file(ruleset, "/dev/urandom", LANDLOCK_ACCESS_FS_READ_FILE);
	for (; !r && *files; files++)
		r = allow_file(ruleset, *files, access);
	if (!r)
		r = syscall(SYS_landlock_restrict_self, ruleset, 0);
	close(ruleset);
	return !r;
}

/* Root without capabilities may still open root's files, but no more than that. */
static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}};

	return syscall(SYS_capset, &header, none);
}

int sandbox_calls(unsigned roles, const struct sandbox *sandbox, struct error *err)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || drop_capabilities())
		return error_set(err, errno, "cannot give up privileges: %s", strerror(errno));
	return calls_load(roles, sandbox, err);
}

/* A daemon's monitor */

/*
 * Best effort: a host that forbids it leaves us with the other walls. As nobody in particular we
 * need a user namespace for it.
 */
static void leave_host(bool files)
{
	int spaces = CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS | (geteuid() ? CLONE_NEWUSER : 0);

	if (files)
		return;
	if (unshare(spaces | CLONE_NEWNET))
		return;
	/* An empty, read-only root, with the old one gone from under it. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		mount("none", "/proc", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
			"size=4k,nr_inodes=1") ||
		chdir("/proc") || syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH))
		return;
	if (chdir("/"))
		return;
}

static int become(unsigned uid, unsigned gid, struct error *err)
{
	if (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
		return error_set(err, errno, "cannot become user %u: %s", uid, strerror(errno));
	return 0;
}

int sandbox_lone(unsigned uid, unsigned gid, unsigned domid, bool files, bool *landlocked,
	struct error *err)
{
	static const char *const none[] = {NULL};
	const bool root = !geteuid();
	int r = 0;

	if (root && !uid)
		uid = gid = LIMIT_UIDS_FIRST + domid % LIMIT_UIDS;
	leave_host(files);
	if (root)
		r = become(uid, gid, err);
	if (r)
		return r;
	if (files) {
		*landlocked = sandbox_files(none);
	} else {
		int ruleset = make_ruleset();

		*landlocked = ruleset >= 0 && !syscall(SYS_landlock_restrict_self, ruleset, 0);
		if (ruleset >= 0)
			close(ruleset);
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || drop_capabilities())
		return error_set(err, errno, "cannot give up privileges: %s", strerror(errno));
	/* Nobody of our user may look into us, nor does our memory go to the disk in a crash. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return 0;
}
