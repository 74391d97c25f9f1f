/* SPDX-License-Identifier: Apache-2.0 */
/* From a request that has come whole to an operation of the daemon's, and from its answer to HTTP's. */
#ifndef DACH_API_HTTP_DISPATCH_H
#define DACH_API_HTTP_DISPATCH_H

#include "api/http/exchange.h"

/* Finds the route, reads the body, begins the operation; or refuses. */
void dispatch(struct exchange *exchange, const char *method, const char *path);
/* Sends the answer, once there is one. */
enum MHD_Result dispatch_respond(struct exchange *exchange);

#endif
