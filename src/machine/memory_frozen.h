/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory as it was in a moment, for a thread that writes it down while the guest goes on. Memory is frozen
 * (memory_base.h), and this holds what it was on its own: whatever becomes of the guest meanwhile, a reset or another
 * freeze, it stays what it was. The guest's memory is brought back together as it is written, and what is written and brought
 * is given back to the host, so that in the end all is as if it had never been frozen.
 */
#ifndef DACH_MACHINE_MEMORY_FROZEN_H
#define DACH_MACHINE_MEMORY_FROZEN_H

#include "machine/memory.h"
#include "state/state.h"

struct memory_frozen;

/*
 * memory_freeze() for this. No vCPU runs, no device touches guest memory. After a failure all is as it was.
 * memory_frozen_close() afterwards.
 */
int memory_frozen_take(struct memory *mem, struct memory_frozen **frozen, struct error *err);
/* Whether that can succeed: 0, or its value. */
int memory_frozen_possible(struct memory *mem, struct error *err);
/*
 * What memory_describe() writes, of that moment, and its pages beside the state (state_beside()). Any thread; what is
 * brought meanwhile is the guest's memory that was taken. What has failed is the state's to tell.
 */
void memory_frozen_save(struct memory_frozen *frozen, struct state *s);
/* What has not been brought by that: 0, 1 where the guest's memory has become another by itself, -ECANCELED if check(ctx) says so. */
int memory_frozen_fill(struct memory_frozen *frozen, int (*check)(void *ctx), void *ctx);
/*
 * After memory_frozen_fill() gave 0: memory stands on nothing any more. No vCPU runs, no device touches guest memory, on the thread
 * that freezes.
 */
void memory_frozen_settle(struct memory_frozen *frozen);
/* NULL is allowed. */
void memory_frozen_close(struct memory_frozen *frozen);

#endif
