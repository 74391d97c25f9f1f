/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A console between a client and a guest's monitor: bytes are carried both ways, a little at a time,
 * and whoever is slow makes the other wait.
 */
#ifndef DACH_DAEMON_CONSOLE_H
#define DACH_DAEMON_CONSOLE_H

#include <microhttpd.h>

#include "base/loop.h"
#include "daemon/server.h"

#define CONSOLE_ROOM 16384

struct console;

/* Answers the request with the change of protocol; the console joins the list. */
enum MHD_Result console_respond(struct console **list, struct loop *loop, struct request *request);
/* The connection ended before it was the console's. NULL is allowed. */
void console_abandon(struct console *console);
void console_close_all(struct console **list);

#endif
