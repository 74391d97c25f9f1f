/* SPDX-License-Identifier: Apache-2.0 */
/* Where the daemon's socket is, and starting a daemon that does not run. */
#ifndef DACH_CLIENT_START_H
#define DACH_CLIENT_START_H

#include <stddef.h>

#include "base/error.h"

/* The path of the daemon's socket; see client.h. -ENAMETOOLONG if it is too long for a socket. */
int start_socket_path(char *buf, size_t size, struct error *err);
/*
 * Starts dachd (beside this program, or where it was installed) and waits until it answers. -EBUSY: there
 * is one that has the folder: it is being started by somebody else, or about to leave.
 */
int start_daemon(struct error *err);

#endif
