/* SPDX-License-Identifier: Apache-2.0 */
/* Programs of the host's that do something to its network for us (nft, dnsmasq, an administrator's scripts): an argument vector, no shell. */
#ifndef DACH_LINKS_PROGRAM_H
#define DACH_LINKS_PROGRAM_H

#include <stddef.h>

#include "base/error.h"

#define PROGRAM_SECONDS 30
#define PROGRAM_OUTPUT_MAX (4u << 20)

/*
 * Runs it to its end with the text as its standard input, for at most PROGRAM_SECONDS; then it is killed. *output, if not NULL,
 * is what it said, the caller's to free(). -ENOENT: there is no such program; -ETIMEDOUT; -EIO: it failed, and
 * the sentence has the first line of what it said.
 */
int program_run(const char *const *argv, const char *input, char **output, struct error *err);
/* For at most so many seconds, and with more in its environment: "NAME=VALUE", NULL behind the last; NULL: none. */
int program_run_in(const char *const *argv, const char *const *environment, unsigned seconds,
	const char *input, char **output, struct error *err);

#endif
