/* SPDX-License-Identifier: Apache-2.0 */
#include "container/own_ids.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "links/program.h"
#include "protocol/container_spec.h"

#define OTHERS (CONTAINER_IDS - 1) /* beside root's */

/* Of users, and of groups. */
struct ids {
	const char *program, *option, *words;
	unsigned root, others;
};

/* Lines such as "0: ann 100000 65536". */
static bool find_range(const char *text, unsigned *first)
{
	unsigned count;

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (sscanf(line, "%*u: %*s %u %u", first, &count) == 2 && count >= OTHERS)
			return true;
	}
	return false;
}

static int find_others(const char *user, struct ids *ids, struct error *err)
{
	const char *const with[] = {"getsubids", ids->option, user, NULL},
			  *const without[] = {"getsubids", user, NULL};
	struct error why = {""};
	char *said = NULL;
	int r = program_run(ids->option ? with : without, NULL, &said, &why);
	const bool found = !r && find_range(said, &ids->others);

	free(said);
	if (found)
		return 0;
	if (r == -ENOENT)
		return error_set(err, ENOENT,
			"a user's own containers need getsubids and newuidmap (package uidmap)");
	return error_set(err, EPERM,
		"this host lets %s have no %u %s IDs of his own, which a container needs (as root: usermod "
		"--add-subuids FIRST-LAST --add-subgids FIRST-LAST %s)",
		user, OTHERS, ids->words, user);
}

/* Outside of the new namespace: there these programs have their rights. */
static int write_map(pid_t pid, const struct ids *ids, struct error *err)
{
	char text[5][16];
	const char *const argv[] = {ids->program, text[0], "0", text[1], "1", "1", text[2], text[3],
		NULL};
	const unsigned numbers[] = {(unsigned)pid, ids->root, ids->others, OTHERS};

	for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++)
		snprintf(text[i], sizeof text[i], "%u", numbers[i]);
	return program_run(argv, NULL, NULL, err);
}

/* Once there is a byte to be read; what fails is said. */
static _Noreturn void write_maps(pid_t pid, const struct ids ids[2], int go, int said)
{
	struct error err = {""};
	char byte;
	int r = read(go, &byte, 1) == 1 ? 0 : -EPIPE;

	for (unsigned i = 0; !r && i < 2; i++)
		r = write_map(pid, &ids[i], &err);
	if (r && write(said, err.text, strlen(err.text)) < 0)
		_exit(2);
	_exit(r ? 1 : 0);
}

static int become_root(struct error *err)
{
	if (!setresgid(0, 0, 0) && !setresuid(0, 0, 0) && !setgroups(0, NULL))
		return 0;
	return error_set(err, errno, "a user's own IDs: %s", strerror(errno));
}

static int enter(const struct ids ids[2], int more, const int go[2], const int said[2],
	struct error *err)
{
	const pid_t self = getpid();
	const pid_t helper = fork();
	struct error why = {""};
	int status = 0, r = 0;

	if (helper < 0)
		return error_set(err, errno, "no process for newuidmap: %s", strerror(errno));
	if (!helper) {
		close(go[1]);
		write_maps(self, ids, go[0], said[1]);
	}
	if (unshare(CLONE_NEWUSER | more) || write(go[1], "", 1) != 1)
		r = error_set(err, errno, "this host gives users no namespaces of their own: %s",
			strerror(errno));
	if (r)
		kill(helper, SIGKILL);
	waitpid(helper, &status, 0);
	if (!r && status && read(said[0], why.text, sizeof why.text - 1) > 0)
		r = error_set(err, EPERM, "%s", why.text);
	else if (!r && status)
		r = error_set(err, EPERM, "newuidmap failed");
	return r ? r : become_root(err);
}

int own_ids_enter(int more, struct error *err)
{
	const struct passwd *user = getpwuid(getuid());
	struct ids ids[] = {{"newuidmap", NULL, "user", 0, 0}, {"newgidmap", "-g", "group", 0, 0}};
	int go[2], said[2], r;

	if (!user)
		return error_set(err, ENOENT, "this host knows no user %u", getuid());
	ids[0].root = user->pw_uid;
	ids[1].root = user->pw_gid;
	r = find_others(user->pw_name, &ids[0], err);
	if (!r)
		r = find_others(user->pw_name, &ids[1], err);
	if (r)
		return r;
	if (pipe2(go, O_CLOEXEC))
		return error_set(err, errno, "pipe: %s", strerror(errno));
	if (pipe2(said, O_CLOEXEC | O_NONBLOCK)) {
		r = error_set(err, errno, "pipe: %s", strerror(errno));
	} else {
		r = enter(ids, more, go, said, err);
		close(said[0]);
		close(said[1]);
	}
	close(go[0]);
	close(go[1]);
	return r;
}
