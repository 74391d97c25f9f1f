/* SPDX-License-Identifier: Apache-2.0 */
/* Files that come and go (pack/pack.h), in the place of a command. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "pack/pack.h"

int files_serve(const struct agent_open *open_)
{
	static char why[PACK_WHY];
	const char *const *word = open_->argv;
	const char *name = word[1] ? word[1] : "";
	int r;

	if (open_->what == AGENT_PACK) {
		r = pack_write(word[0], STDOUT_FILENO, STDERR_FILENO, why);
	} else {
		/* It ends with what comes, and so removes what it has begun. */
		signal(SIGHUP, SIG_IGN);
		r = pack_read(STDIN_FILENO, word[0], name,
			word[1] && word[2] && !strcmp(word[2], "owners"), why);
	}
	if (r && *why)
		dprintf(STDERR_FILENO, "dach: %s\n", why);
	return r ? 1 : 0;
}
