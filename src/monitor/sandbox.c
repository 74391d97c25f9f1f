/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "monitor/landlock.h"
#include "monitor/spaces.h"
#include "protocol/limits.h"

/*
 * Also what a program with capabilities of its own could have had. Who may not give that up has no
 * capabilities to begin with.
 */
static void empty_bounds(void)
{
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	for (int cap = 0; !prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); cap++) {
	}
}

/* Root without capabilities may still open root's files, but no more than that. */
int sandbox_privileges(struct error *err)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}};

	empty_bounds();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_capset, &header, none))
		return error_set(err, errno, "cannot give up privileges: %s", strerror(errno));
	return 0;
}

int sandbox_calls(unsigned roles, const struct sandbox *sandbox, struct error *err)
{
	int r = sandbox_privileges(err);

	return r ? r : calls_load(roles, sandbox, err);
}

/* What of the host's name servers is in sight: a folder of our own that is kept, or the host's own file. */
static bool restrict_files(bool network, bool own_etc, bool signals)
{
	const char *const names = own_etc ? NAMES_FOLDER : NAMES_FOLDER "/" NAMES_FILE;

	return landlock_restrict(
		&(struct landlock_wants){.names = network ? names : NULL, .signals = signals});
}

static bool have_own_etc(void)
{
	struct names_process names;
	bool good;

	if (!names_begin(&names, geteuid(), getegid()))
		return false;
	good = spaces_hide_etc(&names);
	if (!good)
		names_end(&names);
	return good;
}

void sandbox_files(struct sandbox *sandbox, bool network, bool signals)
{
	sandbox->names = network && have_own_etc();
	sandbox->few_files = restrict_files(network, sandbox->names, signals);
}

static int become(const struct sandbox_user *user, struct error *err)
{
	if (setgroups(user->groups, user->group) || setresgid(user->gid, user->gid, user->gid) ||
		setresuid(user->uid, user->uid, user->uid))
		return error_set(err, errno, "cannot become user %u: %s", user->uid,
			strerror(errno));
	return 0;
}

int sandbox_owner(const struct sandbox_user *user, struct error *err)
{
	int r = user->uid && !geteuid() ? become(user, err) : 0;

	if (!r)
		r = sandbox_privileges(err);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return r;
}

int sandbox_folder(int folder, bool read_only, const struct sandbox_user *user, int *root,
	bool *rooted, struct error *err)
{
	int r = 0;

	*root = folder;
	*rooted = spaces_enter(folder, read_only);
	if (*rooted) {
		*root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		close(folder);
		if (*root < 0)
			r = error_set(err, errno, "the shared folder: %s", strerror(errno));
	}
	if (!r && user->uid && !geteuid())
		r = become(user, err);
	if (r)
		return r;
	landlock_restrict_to(*root, read_only);
	return sandbox_owner(user, err);
}

/* A daemon's monitor */

static int refuse(unsigned missing, struct error *err)
{
	for (unsigned wall = 0; wall < WALLS; wall++)
		if (missing & 1u << wall)
			return error_set(err, EPERM,
				"this host gives the process no %s, and the policy wants them",
				wall_words[wall]);
	return 0;
}

int sandbox_lone(const struct sandbox_lone *lone, unsigned *walls, struct error *err)
{
	const bool root = !geteuid();
	unsigned uid = lone->uid, gid = lone->gid;
	struct names_process names;
	int r = 0;

	if (root && !uid)
		uid = gid = LIMIT_UIDS_FIRST + lone->domid % LIMIT_UIDS;
	if (lone->network && !names_begin(&names, root ? uid : geteuid(), root ? gid : getegid()))
		return error_set(err, errno, "no process for name servers: %s", strerror(errno));
	*walls = spaces_leave(lone->network, &names) ? 1u << WALL_NAMESPACES : 0;
	/* While we may still give them up. */
	empty_bounds();
	if (root)
		r = become(&(struct sandbox_user){.uid = uid, .gid = gid}, err);
	if (r)
		return r;
	if (restrict_files(lone->network, *walls != 0, lone->signals))
		*walls |= 1u << WALL_LANDLOCK;
	r = sandbox_privileges(err);
	/* Nobody of our user may look into us, nor does our memory go to the disk in a crash. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return r ? r : refuse(lone->needed & ~*walls, err);
}
