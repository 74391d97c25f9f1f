/* SPDX-License-Identifier: Apache-2.0 */
/* A guest that is slowed down, in steps: of each period it stands still for a share. The loop's thread. */
#ifndef DACH_VMM_SLOW_H
#define DACH_VMM_SLOW_H

#include <stdbool.h>

#include "base/error.h"
#include "base/loop.h"

struct guest_monitor;

struct slow {
	struct guest_monitor *monitor;
	struct loop_timer timer;
	/* monitor_withhold()'s, while it stands. */
	int (*let_go)(void *ctx, struct error *err);
	unsigned step; /* 0: as fast as it can */
	bool stands;
};

/* It runs as fast as it can. slow_end() afterwards. */
void slow_begin(struct slow *slow, struct guest_monitor *monitor,
	int (*let_go)(void *ctx, struct error *err));
/* One step slower; at the last one it runs for a fiftieth of the time. */
void slow_more(struct slow *slow);
/* As fast as it can again, or as it stands for others. Again does nothing. */
void slow_end(struct slow *slow);

#endif
