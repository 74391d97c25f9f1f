/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection to another monitor over which a job sends its guest: at a rate while that runs, and until a moment while it
 * stands. The job's thread.
 */
#ifndef DACH_VMM_LINE_H
#define DACH_VMM_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct guest_job;

/* Starts zeroed but for the descriptor. */
struct line {
	struct guest_job *job;
	int fd;         /* does not block */
	uint64_t rate;  /* bytes a second at most while the guest runs; 0: any */
	uint64_t begun; /* ns, when sending began */
	uint64_t sent;  /* bytes */
	bool stands;    /* the guest does: what is sent is to be taken in time, at any rate */
	bool decided;   /* it is too late to cancel: nothing but the other side's answer counts */
	uint64_t until; /* the other side is waited for, ns */
	int broken;     /* why nothing can be sent any more */
};

/* The other side is waited for no longer than this, however little it says or takes at a time. */
void line_wait_at_most(struct line *line, unsigned ms);
/* At that moment of clock_now(), or at once. */
void line_sleep_until(uint64_t when);
/* As wire_io.write and .read, with the line as ctx. -ECANCELED: the job is. */
int line_put(void *line, const void *data, size_t len);
long line_get(void *line, void *data, size_t len);

#endif
