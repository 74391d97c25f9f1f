/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FIRST 3 /* behind the standard streams */
#define OUT_OF_THE_WAY 256

void child_begin(void)
{
	sigset_t none;

	setsid();
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

void child_take(int *fds, unsigned count)
{
	/* First out of the way, then to their places: where one is a copy's, that has been put to its own before. */
	for (unsigned i = 0; i < count; i++) {
		if (fds[i] < 0)
			continue;
		fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, OUT_OF_THE_WAY);
		if (fds[i] < 0)
			_exit(127);
	}
	for (unsigned i = 0; i < count; i++)
		if (fds[i] < 0 ? close((int)i) && errno != EBADF : dup2(fds[i], (int)i) < 0)
			_exit(127);
	close_range(count, ~0u, CLOSE_RANGE_CLOEXEC);
}

void child_exec(const char *program, const char *const argv[])
{
	execv(program, (char *const *)(uintptr_t)argv);
	dprintf(2, "%s: %s\n", program, strerror(errno));
	_exit(127);
}

void child_become(const char *program, const char *name, const int *fds, unsigned count)
{
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int all[FIRST + CHILD_FDS_MAX] = {null, null, fcntl(2, F_GETFD) < 0 ? null : 2};

	if (null < 0 || count > CHILD_FDS_MAX)
		_exit(127);
	child_begin();
	memcpy(all + FIRST, fds, count * sizeof *fds);
	child_take(all, FIRST + count);
	child_exec(program, (const char *const[]){name, NULL});
}
