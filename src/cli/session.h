/* SPDX-License-Identifier: Apache-2.0 */
/* A command in a daemon's guest, with three descriptors of ours as its streams. */
#ifndef DACH_CLI_SESSION_H
#define DACH_CLI_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/cli.h"
#include "protocol/agent.h"

#define SESSION_FAILED 125 /* a failure that is not the command's */
#define SESSION_LATE 124   /* it took longer than it may, as timeout(1) */

struct session_spec {
	struct agent_open open; /* columns and rows are the session's to find out */
	int fd[AGENT_STREAMS];  /* stay the caller's; -1: input ends at once, output goes nowhere */
	uint64_t timeout;       /* ns; 0: as long as it takes */
	bool leaves;            /* signals are not the command's: it is hung up on */
	bool plain; /* its standard error are sentences: without what a terminal would obey */
};

/*
 * Runs it in the guest that cli->words[0] or another word names, to its end. Signals that would end us are the
 * command's; standard input, if it is a terminal and the command gets one, is raw meanwhile. Returns the exit
 * status; what is to be said of a failure has been said.
 */
int session_run(struct cli *cli, const char *guest, const struct session_spec *spec);

#endif
