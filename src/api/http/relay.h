/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection that changes its protocol: GET /v1/guests/{ref}/console becomes the guest's console, .../screen
 * its screen, .../exec a command's streams, .../migration the other end of a guest's migration. Bytes are carried both ways, a little at a time, and whoever is slow makes the other wait.
 */
#ifndef DACH_API_HTTP_RELAY_H
#define DACH_API_HTTP_RELAY_H

#include "api/http/exchange.h"

#define RELAY_CONSOLE "dach-console"
#define RELAY_EXEC "dach-exec"
#define RELAY_MIGRATE "dach-migrate"
#define RELAY_SCREEN "dach-screen"

/* The request asks for this protocol; or it is refused. */
bool relay_asked(struct exchange *exchange, const char *protocol);
/* The answer is the change to it, and then what fd says, a connected socket that is taken. */
void relay_begin(struct exchange *exchange, const char *protocol, int fd);
/* Connects to the guest's console, or to its screen; or the request is refused. */
void relay_console(struct exchange *exchange, const char *ref);
void relay_screen(struct exchange *exchange, const char *ref);
/* Answers with the change of protocol, once it has begun. */
enum MHD_Result relay_respond(struct exchange *exchange);
/* With the end of an exchange whose connection did not become another protocol's. */
void relay_abandon(struct exchange *exchange);
void relay_close_all(struct exchange_group *group);

#endif
