/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/landlock.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the headers of Debian 12's kernel do not know yet. */
#define FS_FIRST 0x1fffull /* all of version 1 */
#define FS_REFER (1ull << 13)
#define FS_TRUNCATE (1ull << 14)
#define FS_IOCTL_DEV (1ull << 15)
#define FS_NOT_SHARED                                                \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR | \
		LANDLOCK_ACCESS_FS_MAKE_BLOCK | FS_IOCTL_DEV)
#define NET_TCP 3ull /* bind, connect */
#define SCOPE_ABSTRACT_SOCKETS 1ull
#define SCOPE_SIGNALS 2ull

/* struct landlock_ruleset_attr as it has grown: the kernel takes what it knows of it. */
struct ruleset {
	uint64_t fs, net, scoped;
};

/* From which version (landlock.rst, "Previous limitations") there is what. */
static const struct {
	int version;
	struct ruleset handles;
} grown[] = {
	{1, {.fs = FS_FIRST}},
	{2, {.fs = FS_REFER}},
	{3, {.fs = FS_TRUNCATE}},
	{4, {.net = NET_TCP}},
	{5, {.fs = FS_IOCTL_DEV}},
	{6, {.scoped = SCOPE_ABSTRACT_SOCKETS | SCOPE_SIGNALS}},
};

static struct ruleset handled(int version, const struct landlock_wants *wants)
{
	struct ruleset all = {0};

	for (unsigned i = 0; i < sizeof grown / sizeof *grown; i++) {
		if (grown[i].version > version)
			break;
		all.fs |= grown[i].handles.fs;
		all.net |= grown[i].handles.net;
		all.scoped |= grown[i].handles.scoped;
	}
	if (wants->names)
		all.net = 0;
	if (wants->signals)
		all.scoped &= ~SCOPE_SIGNALS;
	return all;
}

/* The longest that a kernel of this version takes. */
static size_t attr_size(int version)
{
	return version >= 6 ? 24 : version >= 4 ? 16 : 8;
}

static int allow_file(int ruleset, const char *path)
{
	struct landlock_path_beneath_attr rule = {
		.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE,
		.parent_fd = open(path, O_PATH | O_CLOEXEC),
	};
	int r;

	if (rule.parent_fd < 0)
		return 0; /* no such file: nothing to allow */
	r = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	close(rule.parent_fd);
	return r;
}

bool landlock_restrict_to(int folder, bool read_only)
{
	const struct landlock_wants nothing = {.names = NULL};
	struct landlock_path_beneath_attr rule = {.parent_fd = folder};
	int version, ruleset, r;
	struct ruleset attr;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return false;
	version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (version < 2)
		return false;
	attr = handled(version, &nothing);
	rule.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
	if (!read_only)
		rule.allowed_access = attr.fs & ~FS_NOT_SHARED;
	ruleset = syscall(SYS_landlock_create_ruleset, &attr, attr_size(version), 0);
	if (ruleset < 0)
		return false;
	r = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	if (!r)
		r = syscall(SYS_landlock_restrict_self, ruleset, 0);
	close(ruleset);
	return !r;
}

bool landlock_restrict(const struct landlock_wants *wants)
{
	int version, ruleset, r;
	struct ruleset attr;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return false;
	version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (version < 1)
		return false;
	attr = handled(version, wants);
	ruleset = syscall(SYS_landlock_create_ruleset, &attr, attr_size(version), 0);
	if (ruleset < 0)
		return false;
	r = wants->names ? allow_file(ruleset, wants->names) : 0;
	if (!r)
		r = syscall(SYS_landlock_restrict_self, ruleset, 0);
	close(ruleset);
	return !r;
}
