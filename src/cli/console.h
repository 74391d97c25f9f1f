/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's console on this terminal, as xl's: raw, everything goes to the guest but Ctrl+] (0x1d)
 * that arrives alone in a read, which leaves. The guest stays.
 */
#ifndef DACH_CLI_CONSOLE_H
#define DACH_CLI_CONSOLE_H

#include "cli/cli.h"

/*
 * Of a guest that runs, as the daemon described it, until it ends or the user leaves; as xl or xm also
 * until standard input ends. A connection that is lost is told and is CLI_FAILURE. unpause: the guest waits paused, so that nothing it says
 * is missed; it is let go once the console is there. *left (NULL: nobody asks): the user has left, or we are to end.
 * An exit status; what is wrong has been said.
 */
int console_attach(struct cli *cli, const json_t *guest, bool unpause, bool *left);

#endif
