/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that we run to get work done (mmdebstrap, tar, mke2fs): with an
 * argument vector, never through a shell, so that nothing a user typed is
 * taken for a command.
 */
#ifndef DACH_IMAGE_PROCESS_H
#define DACH_IMAGE_PROCESS_H

#include "base/error.h"

struct confine;

struct process {
	const char *const *argv; /* argv[0] is looked up in PATH, NULL ends it */
	const char *dir;         /* where it runs; NULL: here */
	int log;                 /* its output goes there; -1: nowhere */
	/*
	 * A signalfd whose signals the caller has blocked: one that arrives ends the program
	 * (SIGTERM to its process group). -1: none.
	 */
	int signals;
	void (*line)(void *ctx, const char *line); /* each line of output; may be NULL */
	void *ctx;
	const struct confine *confine; /* what it may reach (confine.h); NULL: all that we may */
};

/*
 * Runs it to its end. -EINTR if a signal came, -ENOENT if there is no such program, -EIO if it
 * ended with another status than 0.
 */
int process_run(const struct process *process, struct error *err);

#endif
