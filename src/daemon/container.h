/* SPDX-License-Identifier: Apache-2.0 */
/* Guests that are containers: who may have them, what dach-ct is given, and which IDs they have. */
#ifndef DACH_DAEMON_CONTAINER_H
#define DACH_DAEMON_CONTAINER_H

#include <stdbool.h>

#include "base/error.h"
#include "domain/config.h"
#include "protocol/launch.h"

struct caller;
struct daemon;
struct guest;

bool guest_is_container(const struct guest *guest);
/* May the caller have such a container here? */
int container_check(const struct daemon *daemon, const struct caller *caller,
	const struct domain_config *config, struct error *err);
/* Fills in what is a container's; its descriptors are the description's. */
int container_open(const struct guest *guest, struct launch_spec *spec, struct error *err);
/* dach-ct: to has PATH_MAX bytes. */
int container_program(char *to, struct error *err);

#endif
