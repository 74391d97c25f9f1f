/* SPDX-License-Identifier: Apache-2.0 */
/* The image that run --commit makes for what the command writes, and which goes again where the machine never starts. */
#ifndef DACH_CLI_RUN_COMMIT_H
#define DACH_CLI_RUN_COMMIT_H

#include <limits.h>

#include "base/error.h"

struct run_commit {
	const char *name;    /* NULL: none is wanted */
	char path[PATH_MAX]; /* its folder, once it is there */
	int undoer;          /* who takes it away again then; -1: nobody */
};

/* A clone of that image, in no time. A process of ours stays until it is told, or this one ends. */
int run_commit_begin(struct run_commit *commit, const char *image, struct error *err);
/* Takes it away, if it is there, or says that it stays: also in the sandbox of a machine, which may do nothing of the kind itself. */
void run_commit_undo(struct run_commit *commit);

#endif
