/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Something long that is done to a guest, on a thread of its own, while the monitor goes on: a core
 * file, a saved state. It tells how far it is, can be cancelled, and ends with one answer to who asked
 * for it. When the guest ends, its jobs are cancelled.
 */
#ifndef DACH_MONITOR_JOB_H
#define DACH_MONITOR_JOB_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"
#include "monitor/control.h"
#include "protocol/job.h"

#define JOBS_MAX 8             /* at once */
#define JOBS_END_SECONDS 5     /* for those that are cancelled at the end */
#define JOB_TELL 1000000000ull /* ns between events of how far one is */

struct guest_job;
struct jobs;

struct job_spec {
	const char *word; /* what it does: JOB_WORD_MAX bytes at most; one of each at a time */
	bool pauses;      /* the guest stands still until it has ended */
	bool watched;     /* it is cancelled if the connection goes that asked for it */
	/* On the loop's thread, when it stands still, before the thread starts. May be NULL. */
	int (*begin)(void *ctx, struct error *err);
	/* On the job's thread. 0, or a negative errno and a sentence. */
	int (*run)(void *ctx, struct guest_job *job, struct error *err);
	/*
	 * On the loop's thread, once, when the thread has ended, or the job could not be started:
	 * gives back what it used. What the answer says beside "ok", or NULL. r is run()'s value, or
	 * why it did not come to that.
	 */
	json_t *(*done)(void *ctx, int r, const struct error *err);
	void *ctx;
};

/* On the job's thread: */

/* 0, or -ECANCELED and why: to be asked often enough that who cancels need not wait. */
int job_check(struct guest_job *job, struct error *err);
/* How far it is, in bytes of total. */
void job_progress(struct guest_job *job, uint64_t done, uint64_t total);
/* It has done what cannot be undone: who cancels it from now on is too late, and its result is run()'s. */
void job_commit(struct guest_job *job);
/* Has the loop's thread run call(ctx) and waits for it. -ECANCELED: it did not, and will not. */
int job_call(struct guest_job *job, void (*call)(void *ctx), void *ctx, struct error *err);
/*
 * Writes all of it: at offset, or where the file is if offset is negative. A pipe that does not take it (it
 * is not to block) is waited for until the job is cancelled. 0, or a negative errno and a sentence
 * that begins with name.
 */
int job_write(struct guest_job *job, int fd, const char *name, const void *data, size_t len,
	int64_t offset, struct error *err);

/* The loop's thread: a monitor's jobs (monitor.h's monitor_job() is what a guest calls). */

struct jobs_owner {
	void *ctx;
	/* How many of those that pause the guest there are has changed. */
	void (*pauses)(void *ctx);
	/* For all to know; borrowed. */
	void (*event)(void *ctx, const struct job_report *report);
	/* The answer: as control_answer() and control_refuse(), r 0 or a negative errno. fields is taken. */
	void (*answer)(void *ctx, const struct control_asker *asker, int r, json_t *fields,
		const struct error *err);
};

int jobs_create(struct loop *loop, const struct jobs_owner *owner, struct jobs **jobs,
	struct error *err);
/*
 * Cancels all and waits for JOBS_END_SECONDS; the loop does not run any more. false: one of them still
 * goes on, and with it all that it uses has to stay until the process ends. NULL: true.
 */
bool jobs_destroy(struct jobs *jobs);

/* asker NULL: nobody wants an answer. -EBUSY: one of this word goes on. done() comes after a failure too. */
int job_start(struct jobs *jobs, const struct job_spec *spec, const struct control_asker *asker,
	struct error *err);
/* -ESRCH: there is none of this number. Its answer says that it was cancelled. */
int jobs_cancel(struct jobs *jobs, uint64_t id, struct error *err);
/* This connection has gone (control.h). */
void jobs_unwatched(struct jobs *jobs, uint64_t peer);
/* A list of protocol/job.h's objects. */
json_t *jobs_describe(const struct jobs *jobs);
/* One of them pauses the guest. */
bool jobs_pause(const struct jobs *jobs);

#endif
