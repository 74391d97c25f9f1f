/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who makes a disk's connections to its NBD server, the first and, when that is lost, the next: a process outside of the
 * monitor's walls, which knows the server's address and hears nothing but that a connection is wanted (block/remote.h).
 */
#ifndef DACH_VMM_CONNECTOR_H
#define DACH_VMM_CONNECTOR_H

#include "base/error.h"
#include "monitor/sandbox.h"
#include "protocol/disk.h"

/*
 * For each of the disk's files that is on a server and has no descriptor yet. The processes are user's, if we are root,
 * and end when the descriptors are closed. While the host's network is there, and before there is any other thread.
 */
int connectors_start(struct disk_spec *spec, const struct sandbox_user *user, struct error *err);
/* One of them. Other files' *fd stays as it is. */
int connector_start(const char *name, const struct sandbox_user *user, int *fd, struct error *err);
/* Whether one of the disk's files is on a server. */
bool connector_needed(const struct disk_spec *spec);

#endif
