/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request that takes long, and how far it is: at a terminal a line says it, and Ctrl+C cancels the
 * job. Otherwise as call_act().
 */
#ifndef DACH_CLI_WATCH_H
#define DACH_CLI_WATCH_H

#include <stdint.h>

#include "cli/cli.h"

/* says: "Saving". body is taken over. */
int watch_act(struct cli *cli, const char *says, const char *ref, const char *suffix, json_t *body);

/* The same, cancelled at that moment of clock_now(). */
int watch_until(struct cli *cli, const char *says, const char *ref, const char *suffix,
	json_t *body, uint64_t deadline);

#endif
