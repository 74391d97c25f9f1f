/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end that comes whatever the monitor's threads do: a thread that waits for two things, and ends the
 * process when the others have not done theirs within the patience: the loop's thread takes the signals
 * that tell it to end, and a guest that ends or is ended is gone. A thread that spins, or holds a lock for
 * ever, then costs the guest its orderly end, and nobody more.
 */
#ifndef DACH_MONITOR_DEADLINE_H
#define DACH_MONITOR_DEADLINE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "monitor/signals.h"

#define DEADLINE_PATIENCE 20000000000ull /* ns: vCPUs and jobs have five seconds each of it */

struct deadline {
	const struct signals *signals;
	/* On the deadline's thread, which ends the process with the status that it returns. */
	int (*last_words)(void *ctx);
	void *ctx;
	uint64_t patience; /* ns */
	int event;         /* readable: ending or over has changed; -1: not open */
	pthread_t thread;
	bool started;
	bool ending, over; /* atomic */
};

/* What has to be open; deadline_stop() follows, also after a failure. */
int deadline_open(struct deadline *deadline, struct error *err);
/* Within the walls of the caller. The other members are set. */
int deadline_start(struct deadline *deadline, struct error *err);
/* From now on the process has the patience's time. Any thread; again does nothing. */
void deadline_begin(struct deadline *deadline);
/* The end has come: nothing ends the process any more. */
void deadline_stop(struct deadline *deadline);

#endif
