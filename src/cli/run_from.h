/* SPDX-License-Identifier: Apache-2.0 */
/* dach run --from: a machine that goes on from a snapshot, thrown away in the end. */
#ifndef DACH_CLI_RUN_FROM_H
#define DACH_CLI_RUN_FROM_H

#include "cli/command.h"

struct run_from {
	const char *snapshot;
	struct command_words *words;
	uint64_t timeout; /* ns, for the command; 0: as long as it takes */
	bool own;         /* options were given that are not for a machine that is there already */
};

/*
 * Has the daemon make a clone of cli->words[0] as it was in the snapshot, and sits down at its console or, with a
 * command, runs that. The clone is destroyed before this returns the exit status: how the machine ended, as of
 * any other that run starts, or the command's. *err: what is still to be said.
 */
int run_from(struct cli *cli, const struct run_from *from, struct error *err);

#endif
