/* SPDX-License-Identifier: Apache-2.0 */
/* Which system calls a container's monitor may make beyond those of every guest's (monitor/calls.h). */
#ifndef DACH_CONTAINER_CALLS_H
#define DACH_CONTAINER_CALLS_H

#include "monitor/calls.h"

/* sandbox.calls */
void container_calls(void *ctx, struct calls *calls, unsigned roles);

#endif
