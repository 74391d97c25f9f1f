/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_commit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "image/store.h"

/* Nothing of the other's is open here, whose streams others read to their end. */
static _Noreturn void wait_for_word(int socket, const char *path)
{
	sigset_t all;
	char word;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	dup2(socket, 0);
	close_range(1, ~0u, 0);
	if (read(0, &word, 1) == 1 && !image_delete(path, NULL) && write(0, "", 1) == 1)
		_exit(0);
	_exit(1);
}

int run_commit_begin(struct run_commit *commit, const char *image, struct error *err)
{
	int ends[2], r;
	pid_t pid;

	r = image_clone(image, commit->name, commit->path, err);
	if (r)
		return r;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) {
		r = error_set(err, errno, "--commit: no socket: %s", strerror(errno));
	} else {
		pid = fork();
		if (!pid)
			wait_for_word(ends[1], commit->path);
		if (pid < 0)
			r = error_set(err, errno, "--commit: no process: %s", strerror(errno));
		close(ends[1]);
		commit->undoer = ends[0];
	}
	if (r)
		image_delete(commit->path, NULL);
	return r;
}

void run_commit_undo(struct run_commit *commit)
{
	ssize_t n;
	char done;

	if (commit->undoer < 0)
		return;
	/* It may have been killed. The machine's sandbox has no send(), whose flags would do. */
	signal(SIGPIPE, SIG_IGN);
	n = write(commit->undoer, "", 1);
	while (n == 1 && (n = read(commit->undoer, &done, 1)) < 0 && errno == EINTR)
		n = 1;
	if (n != 1)
		fprintf(stderr,
			"dach run: the new image stays: 'dach image delete %s' removes it\n",
			commit->path);
}
