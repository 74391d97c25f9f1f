/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches whether the guest has work. One that has had none for some ten seconds gives back
 * what its engine keeps for speed alone, and what a clone has but has not changed (machine_trim()), and makes it anew when
 * it has work again.
 */
#ifndef DACH_VMM_IDLE_H
#define DACH_VMM_IDLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "machine/machine.h"

struct idle {
	struct machine *machine;
	struct loop_timer timer;
	uint64_t used;  /* processor time of all vCPUs when last looked, ns */
	unsigned quiet; /* how many looks in a row */
};

/* On the loop's thread, or before it runs. */
void idle_start(struct idle *idle, struct machine *machine);
void idle_stop(struct idle *idle); /* does nothing if it was not started */

#endif
