/* SPDX-License-Identifier: Apache-2.0 */
#include "image/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Headers of older systems lack the later ones. */
#define ACCESS_REFER (1ull << 13)
#define ACCESS_TRUNCATE (1ull << 14)
#define ACCESS_FIRST ((1ull << 13) - 1)
#define READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define RUN (READ | LANDLOCK_ACCESS_FS_EXECUTE)
#define WRITE (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE)

static int allow(int ruleset, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = access};
	struct stat st;
	int r;

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return 0; /* not on every host */
	if (!fstat(rule.parent_fd, &st) && !S_ISDIR(st.st_mode))
		rule.allowed_access &= ~(uint64_t)LANDLOCK_ACCESS_FS_READ_DIR;
	r = (int)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	close(rule.parent_fd);
	return r ? -errno : 0;
}

/* Where programs and their libraries lie, and what those look at. */
static int allow_programs(int ruleset)
{
	static const char *const places[] = {"/usr", "/bin", "/lib", "/lib64", "/sbin",
		"/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/localtime",
		"/sys/devices/system/cpu"};
	int r = 0;

	for (size_t i = 0; !r && i < sizeof places / sizeof *places; i++)
		r = allow(ruleset, places[i], RUN);
	return r ? r : allow(ruleset, "/dev/null", WRITE);
}

static int wall_files(const struct confine *confine)
{
	const int version =
		(int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct landlock_ruleset_attr attr = {.handled_access_fs = ACCESS_FIRST};
	uint64_t writing = WRITE;
	int ruleset, r;

	if (version < 1)
		return -EOPNOTSUPP; /* this kernel has none */
	if (version >= 2)
		attr.handled_access_fs |= ACCESS_REFER;
	if (version >= 3)
		attr.handled_access_fs |= ACCESS_TRUNCATE;
	writing |= attr.handled_access_fs & ACCESS_TRUNCATE;
	ruleset =
		(int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr.handled_access_fs, 0);
	if (ruleset < 0)
		return -errno;
	r = allow_programs(ruleset);
	for (const char *const *path = confine->read; !r && path && *path; path++)
		r = allow(ruleset, *path, READ);
	for (const char *const *path = confine->write; !r && path && *path; path++)
		r = allow(ruleset, *path, writing);
	if (!r && syscall(SYS_landlock_restrict_self, ruleset, 0))
		r = -errno;
	close(ruleset);
	return r;
}

/* What no converter needs, and what ways out begin with. They fail, as if this host did not have them. */
static int wall_calls(void)
{
	static const int calls[] = {SCMP_SYS(socket), SCMP_SYS(socketpair), SCMP_SYS(connect),
		SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev),
		SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(unshare),
		SCMP_SYS(setns), SCMP_SYS(bpf), SCMP_SYS(keyctl), SCMP_SYS(add_key),
		SCMP_SYS(request_key), SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd),
		SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(kexec_load),
		SCMP_SYS(open_by_handle_at), SCMP_SYS(io_uring_setup)};
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int r = filter ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < sizeof calls / sizeof *calls; i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), calls[i], 0);
	if (!r)
		r = seccomp_load(filter);
	if (filter)
		seccomp_release(filter);
	return r;
}

int confine_enter(const struct confine *confine)
{
	const struct rlimit limit = {confine->memory, confine->memory};
	int r;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	/* A user has to have a namespace of users for it; where he may not, calls are all that is left. */
	if (unshare(CLONE_NEWNET | CLONE_NEWIPC) &&
		unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC) && errno != EPERM &&
		errno != ENOSPC && errno != EINVAL)
		return -errno;
	r = wall_files(confine);
	if (!r)
		r = wall_calls();
	/* Last: we ourselves may have more by now. */
	if (!r && confine->memory && setrlimit(RLIMIT_AS, &limit))
		r = -errno;
	return r;
}
