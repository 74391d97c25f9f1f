/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration file as the API takes it. */
#ifndef DACH_CLI_CREATE_H
#define DACH_CLI_CREATE_H

#include <jansson.h>

#include "cli/cli.h"

/* NULL: it has been said why not. */
json_t *create_load(struct cli *cli, const char *file);

#endif
