/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /v1/guests/{ref}/console: the connection changes its protocol and becomes the guest's console. Bytes
 * are carried both ways, a little at a time, and whoever is slow makes the other wait.
 */
#ifndef DACH_API_HTTP_CONSOLE_H
#define DACH_API_HTTP_CONSOLE_H

#include "api/http/exchange.h"

#define CONSOLE_PROTOCOL "dach-console"

/* Connects to the guest; or the request is refused. */
void console_open(struct exchange *exchange, const char *ref);
/* Answers with the change of protocol, once it has been opened. */
enum MHD_Result console_respond(struct exchange *exchange);
/* With the end of an exchange whose connection did not become a console's. */
void console_abandon(struct exchange *exchange);
void console_close_all(struct exchange_group *group);

#endif
