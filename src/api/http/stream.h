/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/events: an answer without an end, a line for each event. */
#ifndef DACH_API_HTTP_STREAM_H
#define DACH_API_HTTP_STREAM_H

#include "api/http/exchange.h"

/* Events are queued for it from now on; or it is refused. */
void stream_open(struct exchange *exchange, const char *ref);
/* The answer, once it has been opened. */
enum MHD_Result stream_respond(struct exchange *exchange);
/* With the end of the exchange. */
void stream_close(struct exchange *exchange);

#endif
