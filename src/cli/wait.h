/* SPDX-License-Identifier: Apache-2.0 */
/* Several guests at once, and waiting for their ends. */
#ifndef DACH_CLI_WAIT_H
#define DACH_CLI_WAIT_H

#include <jansson.h>

#include "cli/cli.h"

struct client_events;

/*
 * The guests that the words name, or all that run; *targets is an array, the caller's after 0. Else
 * an exit status, and it has been said why.
 */
int wait_targets(struct cli *cli, bool all, json_t **targets);

/*
 * Waits until each guest has ended (once: what its on_reboot makes of it is not waited for), and
 * says of each what xl says. events was opened before the guests were asked to end. After ten seconds it
 * says of each that is still there what would help; after timeout (seconds, 0: never) it gives up.
 * WAIT_UNASKED: nobody asked them to end, so there is nothing to say.
 */
#define WAIT_UNASKED (-1)
int wait_ends(struct cli *cli, struct client_events *events, const json_t *targets, int timeout);

#endif
