/* SPDX-License-Identifier: Apache-2.0 */
/* A guest as those who ask for it see it. */
#ifndef DACH_DAEMON_DESCRIBE_H
#define DACH_DAEMON_DESCRIBE_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

struct guest;

/*
 * As doc/openapi.json's Guest, for a manager or that user: its configuration, and what its monitor last said.
 * NULL: out of memory.
 */
json_t *guest_describe(const struct guest *guest, bool manager, uid_t uid);

#endif
