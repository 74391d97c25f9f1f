/* SPDX-License-Identifier: Apache-2.0 */
/* Where a screen is to be had: a socket that listens. */
#ifndef DACH_VMM_SCREEN_LISTEN_H
#define DACH_VMM_SCREEN_LISTEN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define SCREEN_PORT 5900u /* of display 0 */
#define SCREEN_DISPLAYS 100u

/*
 * where: "unix:PATH"; or "ADDRESS:DISPLAY", or "ADDRESS" for the first display that is free, with an address of numbers. An
 * IPv6 address with a display is in brackets; no address is 127.0.0.1. A Unix socket that nobody listens on any more
 * is replaced. *said: where it is, in that form; size bytes of room. The descriptor, or a negative errno.
 */
int screen_listen(const char *where, char *said, size_t size, struct error *err);
bool screen_is_unix(const char *where);

#endif
