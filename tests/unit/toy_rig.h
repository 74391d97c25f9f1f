/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that is no machine: a thread that counts. It says "up" on its console and what is typed
 * again; '!' is its crash, which it keeps if it was told to. It is what a second kind of guest beside
 * vmm/ looks like to monitor/.
 */
#ifndef DACH_TESTS_TOY_RIG_H
#define DACH_TESTS_TOY_RIG_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/thread.h"
#include "monitor/monitor.h"

#define TOY_CALLS 2u
#define TOY_BLOCKS 1000u /* of 64 KiB, which its job writes */

struct toy {
	bool deaf;    /* does not listen when it is asked to end */
	bool keeps;   /* a crash stays */
	bool stuck;   /* its job does not hear that it is cancelled */
	bool commits; /* its job is watched, and done before it is cancelled, for which it waits */
	bool impossible; /* cannot be made */
	bool hangs;      /* the loop's thread stays where it takes input */
	bool immortal;   /* its thread does not end */

	struct guest_monitor *monitor;
	pthread_t thread;
	bool started;
	struct mutex lock;
	pthread_cond_t changed;
	bool stands, parked, over; /* by lock */
	uint64_t count;
	enum end_reason reason;
};

static void *toy_thread(void *ctx)
{
	struct toy *toy = ctx;

	monitor_output(toy->monitor, (const uint8_t *)"up\n", 3);
	mutex_lock(&toy->lock);
	while (!toy->over || toy->immortal) {
		toy->parked = toy->stands;
		pthread_cond_broadcast(&toy->changed);
		if (toy->stands) {
			mutex_wait(&toy->lock, &toy->changed);
			continue;
		}
		toy->count++;
		mutex_wait_until(&toy->lock, &toy->changed, clock_now() + 1000000);
	}
	toy->parked = true;
	pthread_cond_broadcast(&toy->changed);
	mutex_unlock(&toy->lock);
	return NULL;
}

static int toy_start(void *ctx)
{
	struct toy *toy = ctx;
	int r = thread_start(&toy->thread, 0, toy_thread, toy);

	toy->started = !r;
	return r;
}

static int toy_create(void *ctx, struct guest_monitor *monitor, struct error *err)
{
	struct toy *toy = ctx;
	int r;

	mutex_init(&toy->lock);
	pthread_cond_init(&toy->changed, NULL);
	toy->monitor = monitor;
	toy->stands = true;
	if (toy->impossible)
		return error_set(err, EINVAL, "this toy cannot be");
	r = monitor_restrict(monitor, false, false, err);
	return r ? r : monitor_walled(monitor, TOY_CALLS, toy_start, toy, err);
}

/* Whatever a guest is read from is read in here. */
static int toy_load(void *ctx, struct error *err)
{
	if (!prctl(PR_GET_SECCOMP, 0, 0, 0, 0))
		return error_set(err, EPERM, "loaded outside of the sandbox");
	return 0;
}

static void toy_stand(struct toy *toy, bool stands)
{
	mutex_lock(&toy->lock);
	toy->stands = stands;
	pthread_cond_broadcast(&toy->changed);
	while (stands && !toy->parked)
		mutex_wait(&toy->lock, &toy->changed);
	mutex_unlock(&toy->lock);
}

static void toy_pause(void *ctx)
{
	toy_stand(ctx, true);
}

static void toy_resume(void *ctx)
{
	toy_stand(ctx, false);
}

static void toy_over(struct toy *toy, enum end_reason reason)
{
	if (!toy->reason)
		toy->reason = reason;
	loop_stop(monitor_loop(toy->monitor));
}

static void toy_ask(void *ctx)
{
	struct toy *toy = ctx;

	if (!toy->deaf)
		toy_over(toy, END_POWEROFF);
}

static void toy_end(void *ctx)
{
	toy_over(ctx, END_KILLED);
}

static void toy_run(void *ctx, struct end_report *end)
{
	struct toy *toy = ctx;

	if (!monitor_stands(toy->monitor))
		toy_stand(toy, false);
	monitor_expect(toy->monitor, "It is a toy.");
	loop_run(monitor_loop(toy->monitor));
	end->reason = toy->reason;
	end->status = end_info(toy->reason)->status;
	if (toy->reason == END_CRASH)
		error_set(&end->error, EIO, "the toy is broken");
}

static void toy_destroy(void *ctx)
{
	struct toy *toy = ctx;

	mutex_lock(&toy->lock);
	toy->over = true;
	pthread_cond_broadcast(&toy->changed);
	mutex_unlock(&toy->lock);
	if (toy->started)
		pthread_join(toy->thread, NULL);
	pthread_cond_destroy(&toy->changed);
	mutex_destroy(&toy->lock);
	free(toy);
}

static size_t toy_input(void *ctx, const uint8_t *data, size_t len)
{
	struct toy *toy = ctx;

	monitor_output(toy->monitor, data, len);
	while (toy->hangs)
		nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
	if (!memchr(data, '!', len))
		return len;
	if (toy->keeps) {
		toy->reason = END_CRASH;
		toy_stand(toy, true);
		monitor_keep(toy->monitor, END_CRASH);
	} else {
		toy_over(toy, END_CRASH);
	}
	return len;
}

static void toy_describe(void *ctx, json_t *info)
{
	struct toy *toy = ctx;

	mutex_lock(&toy->lock);
	json_object_set_new(info, "count", json_integer((json_int_t)toy->count));
	mutex_unlock(&toy->lock);
}

struct toy_file {
	struct toy *toy;
	int fd;
};

static int toy_job(void *ctx, struct guest_job *job, struct error *err)
{
	static const uint8_t block[65536];
	struct toy_file *file = ctx;
	int r = 0;

	if (file->toy->commits) {
		job_commit(job);
		while (!job_check(job, NULL))
			nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
		return 0;
	}
	for (unsigned i = 0; !r && i < TOY_BLOCKS; i++) {
		job_progress(job, i * sizeof block, TOY_BLOCKS * sizeof block);
		r = job_write(job, file->fd, "toy", block, sizeof block, -1, err);
	}
	while (file->toy->stuck)
		nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
	return r;
}

static json_t *toy_done(void *ctx, int r, const struct error *err)
{
	struct toy_file *file = ctx;

	close(file->fd);
	free(file);
	return r ? NULL : json_pack("{s:i}", "blocks", (int)TOY_BLOCKS);
}

static int toy_request(void *ctx, const struct control_asker *asker,
	const struct monitor_request *request, int fd, json_t **fields, struct error *err)
{
	struct toy *toy = ctx;
	struct toy_file *file;
	struct job_spec spec = {.word = "dump-core",
		.pauses = !request->live,
		.watched = toy->commits,
		.run = toy_job,
		.done = toy_done};
	int r;

	if (request->verb != REQUEST_DUMP_CORE) {
		if (fd >= 0)
			close(fd);
		return error_set(err, ENOSYS, "a toy cannot do that");
	}
	fcntl(fd, F_SETFL, O_WRONLY | O_NONBLOCK);
	spec.ctx = file = malloc(sizeof *file);
	*file = (struct toy_file){toy, fd};
	r = monitor_job(toy->monitor, &spec, asker, err);
	return r ? r : REQUEST_LATER;
}

static const struct guest_ops toy_ops = {
	.create = toy_create,
	.load = toy_load,
	.run = toy_run,
	.destroy = toy_destroy,
	.pause = toy_pause,
	.resume = toy_resume,
	.ask = toy_ask,
	.end = toy_end,
	.input = toy_input,
	.describe = toy_describe,
	.request = toy_request,
};

#endif
