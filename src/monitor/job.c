/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/job.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/thread.h"

#define LOOK_MS 200 /* a full pipe: how often to look whether to give up */

struct guest_job {
	struct jobs *jobs;
	struct guest_job *next;
	uint64_t id;
	struct job_spec spec;
	bool asked; /* by asker */
	struct control_asker asker;
	pthread_t thread;
	uint64_t at, total; /* atomic */
	bool cancel;        /* atomic */
	bool committed;     /* the thread's, until it is over */
	const char *why;    /* it is cancelled; set before */
	struct loop_work reap, calling;
	struct mutex lock;
	pthread_cond_t changed;
	bool over GUARDED_BY(lock);               /* run() has returned */
	void (*call)(void *ctx) GUARDED_BY(lock); /* for the loop's thread */
	void *call_ctx GUARDED_BY(lock);
	/* the thread's, until it is over */
	int result;
	struct error err;
};

struct jobs {
	struct loop *loop;
	struct jobs_owner owner;
	struct guest_job *job;
	unsigned count;
	uint64_t ids;
	struct loop_timer tell;
};

/* The job's thread */

int job_check(struct guest_job *job, struct error *err)
{
	if (!__atomic_load_n(&job->cancel, __ATOMIC_ACQUIRE))
		return 0;
	return error_set(err, ECANCELED, "%s: %s", job->spec.word, job->why);
}

void job_progress(struct guest_job *job, uint64_t done, uint64_t total)
{
	__atomic_store_n(&job->at, done, __ATOMIC_RELAXED);
	__atomic_store_n(&job->total, total, __ATOMIC_RELAXED);
}

void job_commit(struct guest_job *job)
{
	job->committed = true;
}

int job_call(struct guest_job *job, void (*call)(void *ctx), void *ctx, struct error *err)
{
	int r = job_check(job, err);

	if (r)
		return r;
	mutex_lock(&job->lock);
	job->call = call;
	job->call_ctx = ctx;
	pthread_cond_broadcast(&job->changed); /* the loop does not run any more: jobs_destroy() */
	mutex_unlock(&job->lock);
	loop_post(job->jobs->loop, &job->calling);
	mutex_lock(&job->lock);
	while (job->call)
		mutex_wait(&job->lock, &job->changed);
	mutex_unlock(&job->lock);
	/* One that was cancelled meanwhile may have missed it. */
	return job_check(job, err);
}

int job_write(struct guest_job *job, int fd, const char *name, const void *data, size_t len,
	int64_t offset, struct error *err)
{
	const uint8_t *at = data;

	while (len) {
		ssize_t n = offset < 0 ? write(fd, at, len) : pwrite(fd, at, len, offset);
		int code = errno;

		if (job_check(job, err))
			return -ECANCELED;
		if (n > 0) {
			at += n;
			len -= n;
			offset += offset < 0 ? 0 : n;
		} else if (n < 0 && code == EAGAIN) {
			struct pollfd wait = {fd, POLLOUT, 0};

			poll(&wait, 1, LOOK_MS);
		} else if (n == 0 || code != EINTR) {
			code = n ? code : ENOSPC;
			return error_set(err, code, "%s: cannot be written: %s", name,
				strerror(code));
		}
	}
	return 0;
}

static void *job_thread(void *ctx)
{
	struct guest_job *job = ctx;
	char name[16];

	snprintf(name, sizeof name, "%s", job->spec.word);
	pthread_setname_np(pthread_self(), name);
	job->result = job->spec.run(job->spec.ctx, job, &job->err);
	mutex_lock(&job->lock);
	job->over = true;
	pthread_cond_broadcast(&job->changed);
	mutex_unlock(&job->lock);
	loop_post(job->jobs->loop, &job->reap);
	return NULL;
}

/* The loop's thread */

static void report(const struct guest_job *job, enum job_state state, struct job_report *report)
{
	*report = (struct job_report){
		.id = job->id,
		.state = state,
		.done = __atomic_load_n(&job->at, __ATOMIC_RELAXED),
		.total = __atomic_load_n(&job->total, __ATOMIC_RELAXED),
	};
	snprintf(report->job, sizeof report->job, "%s", job->spec.word);
}

static void tell(const struct guest_job *job, enum job_state state)
{
	const struct jobs_owner *owner = &job->jobs->owner;
	struct job_report told;

	report(job, state, &told);
	owner->event(owner->ctx, &told);
}

static enum job_state state_of(const struct guest_job *job)
{
	return job->cancel ? JOB_CANCELLING : JOB_RUNNING;
}

static void tell_all(void *ctx)
{
	struct jobs *jobs = ctx;

	for (struct guest_job *job = jobs->job; job; job = job->next)
		tell(job, state_of(job));
	if (jobs->job)
		loop_timer_arm(&jobs->tell, clock_now() + JOB_TELL);
}

static void serve_call(struct guest_job *job)
{
	void (*call)(void *ctx);
	void *ctx;

	mutex_lock(&job->lock);
	call = job->call;
	ctx = job->call_ctx;
	mutex_unlock(&job->lock);
	if (!call)
		return;
	if (!job->cancel)
		call(ctx);
	mutex_lock(&job->lock);
	job->call = NULL;
	pthread_cond_broadcast(&job->changed);
	mutex_unlock(&job->lock);
}

static void called(void *ctx)
{
	serve_call(ctx);
}

/* Takes it out; the guest goes on if it was paused for this one. */
static void job_drop(struct guest_job *job)
{
	struct jobs *jobs = job->jobs;
	struct guest_job **at = &jobs->job;

	while (*at != job)
		at = &(*at)->next;
	*at = job->next;
	jobs->count--;
	if (!jobs->job)
		loop_timer_cancel(&jobs->tell);
	if (job->spec.pauses)
		jobs->owner.pauses(jobs->owner.ctx);
	/* The loop may have ended before these ran. */
	loop_unpost(jobs->loop, &job->reap);
	loop_unpost(jobs->loop, &job->calling);
	pthread_cond_destroy(&job->changed);
	mutex_destroy(&job->lock);
	free(job);
}

static enum job_state end_state(int r)
{
	if (!r)
		return JOB_DONE;
	return r == -ECANCELED ? JOB_CANCELLED : JOB_FAILED;
}

/* The thread is over. */
static void reap(void *ctx)
{
	struct guest_job *job = ctx;
	const struct jobs_owner *owner = &job->jobs->owner;
	json_t *fields;

	pthread_join(job->thread, NULL);
	/* Done, and nobody there to be told: what it did is not to count. */
	if (!job->result && job->spec.watched && job->cancel && !job->committed)
		job->result = job_check(job, &job->err);
	fields = job->spec.done(job->spec.ctx, job->result, &job->err);
	tell(job, end_state(job->result));
	if (job->asked)
		owner->answer(owner->ctx, &job->asker, job->result, fields, &job->err);
	else
		json_decref(fields);
	job_drop(job);
}

static int may_start(const struct jobs *jobs, const char *word, struct error *err)
{
	for (const struct guest_job *other = jobs->job; other; other = other->next)
		if (!strcmp(other->spec.word, word))
			return error_set(err, EBUSY, "%s: one is already running", word);
	if (jobs->count == JOBS_MAX)
		return error_set(err, EBUSY, "%s: too many other jobs are running", word);
	return 0;
}

static struct guest_job *job_make(struct jobs *jobs, const struct job_spec *spec,
	const struct control_asker *asker)
{
	struct guest_job *job = calloc(1, sizeof *job);

	if (!job)
		return NULL;
	job->jobs = jobs;
	job->spec = *spec;
	job->asked = asker;
	if (asker)
		job->asker = *asker;
	job->reap = (struct loop_work){.run = reap, .ctx = job};
	job->calling = (struct loop_work){.run = called, .ctx = job};
	mutex_init(&job->lock);
	pthread_cond_init(&job->changed, NULL);
	job->id = ++jobs->ids;
	job->next = jobs->job;
	jobs->job = job;
	jobs->count++;
	return job;
}

int job_start(struct jobs *jobs, const struct job_spec *spec, const struct control_asker *asker,
	struct error *err)
{
	struct error own = {""};
	struct error *why = err ? err : &own;
	int r = may_start(jobs, spec->word, why);
	struct guest_job *job = r ? NULL : job_make(jobs, spec, asker);

	if (!r && !job)
		r = error_nomem(why);
	if (!r && spec->pauses)
		jobs->owner.pauses(jobs->owner.ctx);
	if (!r && spec->begin)
		r = spec->begin(spec->ctx, why);
	if (!r) {
		r = thread_start(&job->thread, 0, job_thread, job);
		if (r)
			error_set(why, -r, "%s: cannot start a thread: %s", spec->word,
				thread_error(-r));
	}
	if (r) {
		json_decref(spec->done(spec->ctx, r, why));
		if (job)
			job_drop(job);
		return r;
	}
	tell(job, JOB_RUNNING);
	loop_timer_arm(&jobs->tell, clock_now() + JOB_TELL);
	return 0;
}

static void cancel(struct guest_job *job, const char *why)
{
	if (job->cancel)
		return;
	job->why = why;
	__atomic_store_n(&job->cancel, true, __ATOMIC_RELEASE);
}

int jobs_cancel(struct jobs *jobs, uint64_t id, struct error *err)
{
	struct guest_job *job = jobs->job;

	while (job && job->id != id)
		job = job->next;
	if (!job)
		return error_set(err, ESRCH, "there is no job %llu", (unsigned long long)id);
	cancel(job, "cancelled");
	return 0;
}

void jobs_unwatched(struct jobs *jobs, uint64_t peer)
{
	for (struct guest_job *job = jobs->job; job; job = job->next)
		if (job->spec.watched && job->asked && job->asker.peer == peer)
			cancel(job, "who asked for it has gone");
}

json_t *jobs_describe(const struct jobs *jobs)
{
	json_t *list = json_array();

	for (const struct guest_job *job = jobs->job; job; job = job->next) {
		struct job_report told;

		report(job, state_of(job), &told);
		json_array_append_new(list, fields_write(job_report_fields, &told));
	}
	return list;
}

bool jobs_pause(const struct jobs *jobs)
{
	for (const struct guest_job *job = jobs->job; job; job = job->next)
		if (job->spec.pauses)
			return true;
	return false;
}

int jobs_create(struct loop *loop, const struct jobs_owner *owner, struct jobs **out,
	struct error *err)
{
	struct jobs *jobs = calloc(1, sizeof *jobs);

	*out = jobs;
	if (!jobs)
		return error_nomem(err);
	jobs->loop = loop;
	jobs->owner = *owner;
	loop_timer_init(&jobs->tell, loop, tell_all, jobs);
	return 0;
}

/* Until it is over, or that moment. */
static bool wait_over(struct guest_job *job, uint64_t until)
{
	bool over;
	int r = 0;

	mutex_lock(&job->lock);
	while (!job->over && !r) {
		if (job->call) {
			mutex_unlock(&job->lock);
			serve_call(job);
			mutex_lock(&job->lock);
			continue;
		}
		r = mutex_wait_until(&job->lock, &job->changed, until);
	}
	over = job->over;
	mutex_unlock(&job->lock);
	return over;
}

bool jobs_destroy(struct jobs *jobs)
{
	uint64_t until = clock_now() + JOBS_END_SECONDS * 1000000000ull;

	if (!jobs)
		return true;
	for (struct guest_job *job = jobs->job; job; job = job->next)
		cancel(job, "the guest has gone");
	while (jobs->job) {
		if (!wait_over(jobs->job, until))
			return false;
		reap(jobs->job);
	}
	loop_timer_cancel(&jobs->tell);
	free(jobs);
	return true;
}
