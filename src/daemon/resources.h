/* SPDX-License-Identifier: Apache-2.0 */
/* What of the host a guest's monitor may use: its control group, named by the guest's UUID. */
#ifndef DACH_DAEMON_RESOURCES_H
#define DACH_DAEMON_RESOURCES_H

#include "daemon/guest.h"
#include "host/cgroup.h"

#define RESOURCES_GROUP "dach" /* of all guests */

/* Where the host offers none, guests go without; the log says so. */
void resources_open(struct daemon *daemon);
void resources_close(struct daemon *daemon);
/* Puts the monitor (guest->pid) into the guest's group with all limits set. */
void resources_begin(const struct guest *guest);
/* Weight and cap have changed. */
int resources_change(const struct guest *guest, struct error *err);
/* Its memory is about to be written to a file: a full group would end the guest, and not the writing. */
void resources_for_file(struct guest *guest);
/*
 * Takes the group away. -EBUSY: there are still processes in it, so of the guest. Elsewhere, and where the
 * host has no groups, 0.
 */
int resources_end(const struct guest *guest);
/* Of a container: what its processes have used and have; zero where the host has no groups. */
struct cgroup_usage resources_usage(const struct guest *guest);
/* What a container has of what it is limited in, and how often it wanted more; as the API tells it. NULL: it has no such groups. */
json_t *resources_count(const struct guest *guest);
/* Kills every process in the group; returns whether there was one. */
bool resources_kill(const struct guest *guest);

#endif
