/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest's configuration asks for and this host does not do. */
#ifndef DACH_DAEMON_WARNINGS_H
#define DACH_DAEMON_WARNINGS_H

#include <jansson.h>

struct guest;

/* doc/openapi.json's Guest.warnings: sentences that begin with a field's name. NULL: out of memory. */
json_t *warnings_describe(const struct guest *guest);

#endif
