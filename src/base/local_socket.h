/* SPDX-License-Identifier: Apache-2.0 */
/* Unix sockets that this process listens on, by a path that a person gives. */
#ifndef DACH_BASE_LOCAL_SOCKET_H
#define DACH_BASE_LOCAL_SOCKET_H

#include "base/error.h"

/*
 * A socket of this user's alone that listens at path (unix(7)), non-blocking; a negative errno otherwise. A socket there
 * that nobody listens on any more, left by a process that was killed, is replaced; anything else is not: -EADDRINUSE.
 */
int local_socket_listen(const char *path, int backlog, struct error *err);

#endif
