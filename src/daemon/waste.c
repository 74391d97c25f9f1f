/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/waste.h"

#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/folder.h"
#include "base/remove_tree.h"
#include "protocol/container_spec.h"

void waste_remove(const char *path)
{
	char program[PATH_MAX] = "";
	sigset_t all, old;
	pid_t pid;

	/* What a user's containers wrote is not all his: dach-ct is who has their IDs. */
	if (geteuid())
		folder_program("dach-ct", "../libexec/dach/dach-ct", program, sizeof program);

	/* No handler of ours is to run in the child. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	pid = fork();
	if (!pid) {
		sigprocmask(SIG_UNBLOCK, &all, NULL);
		close_range(3, ~0u, 0);
		signal(SIGCHLD, SIG_DFL);
		if (*program)
			execl(program, "dach-ct", CONTAINER_REMOVE, path, NULL);
		remove_tree(path);
		_exit(0);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
}

void waste_sweep(const char *path, const char *ending)
{
	DIR *list = opendir(path);
	const struct dirent *entry;
	char below[PATH_MAX];

	while (list && (entry = readdir(list))) {
		const size_t size = strlen(entry->d_name);

		if (size > strlen(ending) &&
			!strcmp(entry->d_name + size - strlen(ending), ending) &&
			snprintf(below, sizeof below, "%s/%s", path, entry->d_name) <
				(int)sizeof below)
			waste_remove(below);
	}
	if (list)
		closedir(list);
}
