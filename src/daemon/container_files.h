/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What containers write over their templates: folders STATE/containers/NAME, each with a folder "upper" and what overlayfs wants
 * beside it. A container writes to one; others lie below it that nobody writes to any more, since a snapshot was made of it, or it is a
 * clone of one. Which ones a container is made of its configuration says, and that alone: what no guest and no
 * snapshot names is removed.
 */
#ifndef DACH_DAEMON_CONTAINER_FILES_H
#define DACH_DAEMON_CONTAINER_FILES_H

#include <jansson.h>

#include "base/error.h"
#include "domain/config.h"
#include "protocol/launch.h"

struct daemon;
struct guest;

/* Opens them all, over a root that is open; makes what it writes to. */
int container_files_open(const struct guest *guest, struct launch_spec *spec, struct error *err);
/* Are they there, of this configuration of the guest's? */
int container_files_check(const struct guest *guest, const struct domain_config *config,
	struct error *err);
/* In the configuration, which has the guest's: what it has written stands still from now on, and it goes on over that. */
int container_files_freeze(const struct guest *guest, struct domain_config *config,
	struct error *err);
/* The paths of all that lies over the template, the topmost first; of what it writes to only once there is anything. NULL: out of memory. */
json_t *container_files_describe(const struct guest *guest);
void container_files_exchange(struct domain_config *one, struct domain_config *other);
/* Removes what nothing needs. leaving: a guest that is about to be forgotten; NULL: none. */
void container_files_sweep(struct daemon *daemon, const struct guest *leaving);
/* And what a daemon before this one has begun to remove. */
void container_files_begin(struct daemon *daemon);

#endif
