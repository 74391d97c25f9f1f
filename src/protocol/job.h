/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job of a monitor, something long that it does to its guest, as it is told in events and in the answer
 * to "jobs":
 *
 *   {"id": 1, "job": "dump-core", "state": "running", "done": 1048576, "total": 268435456}
 *
 * done and total are bytes of the guest; total is 0 while it is not known.
 */
#ifndef DACH_PROTOCOL_JOB_H
#define DACH_PROTOCOL_JOB_H

#include <stdint.h>

#include "protocol/fields.h"

#define JOB_WORD_MAX 31

enum job_state {
	JOB_RUNNING,
	JOB_CANCELLING, /* it was told to end, and has not yet */
	JOB_DONE,
	JOB_FAILED,
	JOB_CANCELLED,
	JOB_STATES,
};

struct job_report {
	uint64_t id; /* from 1 on, of this monitor; none twice */
	char job[JOB_WORD_MAX + 1];
	enum job_state state;
	uint64_t done, total;
};

extern const char *const job_states[];
extern const struct field job_report_fields[];

#endif
