/* SPDX-License-Identifier: Apache-2.0 */
/* A request from its bytes to its handler: server.c's inner part. */
#ifndef DACH_DAEMON_EXCHANGE_H
#define DACH_DAEMON_EXCHANGE_H

#include <microhttpd.h>

#include "daemon/server.h"

/* HTTP's status for a negative errno. */
int exchange_status(int r);
/* More of the body. */
void exchange_upload(struct request *request, const char *data, size_t size);
/* All of it is there: finds the route, reads the body, calls the handler; or refuses. */
void exchange_dispatch(struct request *request, const char *method, const char *path);
/* The answer of GET /v1/events. */
enum MHD_Result exchange_stream(struct request *request);

#endif
