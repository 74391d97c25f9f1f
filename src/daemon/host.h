/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon says of its host. */
#ifndef DACH_DAEMON_HOST_H
#define DACH_DAEMON_HOST_H

#include <jansson.h>
#include <stdbool.h>

struct daemon;

/* doc/openapi.json's Host, as a manager sees it or not, and Domain0. NULL: out of memory. */
json_t *host_describe(struct daemon *daemon, bool manager);
json_t *host_domain0(struct daemon *daemon);

#endif
