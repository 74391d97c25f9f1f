/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory in a saved state. */
#ifndef DACH_MACHINE_DESCRIBE_H
#define DACH_MACHINE_DESCRIBE_H

#include "state/state.h"

struct memory;

/* Sections "memory", many: runs of pages that are not all zeros. Loading, all is zeros before. */
void memory_describe(struct memory *mem, struct state *s);

#endif
