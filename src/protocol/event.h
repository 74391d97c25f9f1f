/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a monitor tells of its guest: facts, of which whoever shows them makes letters or words.
 *
 * The state of the guest and of each vCPU come in the answer to "info"; events come by themselves, a
 * line to each who is connected:
 *
 *   {"event": "paused"}                            by request; "unpaused" likewise
 *   {"event": "kept", "reason": "crash"}           it has ended and stays, to be looked at
 *   {"event": "ended", "reason": "poweroff"}       it has ended, and so will the monitor
 *   {"event": "memory", "memory": {...}}           it has given back or taken what it was asked to
 *   {"event": "job", "job": {...}}                 one begins, goes on or has ended: see job.h
 */
#ifndef DACH_PROTOCOL_EVENT_H
#define DACH_PROTOCOL_EVENT_H

#include <jansson.h>

#include "protocol/end.h"
#include "protocol/job.h"

enum guest_state {
	GUEST_RUNNING, /* its vCPUs tell whether any of them has something to do */
	GUEST_PAUSED,  /* by request */
	GUEST_SAVED,   /* its state is written, and it stands until it is released */
	GUEST_ENDED,   /* and kept: "reason" is beside it */
};

enum vcpu_state {
	VCPU_RUNNING,
	VCPU_HALTED,  /* sleeps until an interrupt */
	VCPU_PAUSED,  /* with the guest */
	VCPU_WAITING, /* the guest has not started it */
};

/* By state; a NULL ends them. */
extern const char *const guest_states[], *const vcpu_states[];

enum event_kind {
	EVENT_PAUSED,
	EVENT_UNPAUSED,
	EVENT_KEPT,
	EVENT_ENDED,
	EVENT_MEMORY,
	EVENT_JOB,
	EVENT_KINDS
};

struct monitor_event {
	enum event_kind kind;
	enum end_reason reason; /* KEPT, ENDED */
	json_t *memory;         /* MEMORY: an object, borrowed */
	struct job_report job;  /* JOB */
};

extern const char *const event_words[];

/* A new object; NULL: out of memory. */
json_t *event_write(const struct monitor_event *event);
/*
 * -EINVAL: it is no event, or none that is known here. An end without a reason, or with one that is not
 * known, is a crash.
 */
int event_read(const json_t *json, struct monitor_event *event);

#endif
