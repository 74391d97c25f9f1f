/* SPDX-License-Identifier: Apache-2.0 */
#include "base/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/thread.h"

struct loop {
	int wake_fd, timer_fd;
	bool stop; /* any thread */

	/* The loop's thread only. */
	struct loop_fd *fds;
	struct loop_source *sources, *next_source;
	struct pollfd *poll;
	struct loop_fd **owner; /* of each poll entry; NULL: removed, or a source's */
	unsigned count, room;

	struct mutex lock;
	struct loop_timer timers GUARDED_BY(lock); /* head of a ring sorted by deadline */
	uint64_t armed GUARDED_BY(lock);           /* what timer_fd waits for, 0: nothing */
	struct loop_work *work GUARDED_BY(lock), **work_end GUARDED_BY(lock);
};

uint64_t clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + ts.tv_nsec;
}

int loop_create(struct loop **out, struct error *err)
{
	struct loop *loop = calloc(1, sizeof *loop);

	*out = NULL;
	if (!loop)
		return error_nomem(err);
	mutex_init(&loop->lock);
	loop->timers.next = loop->timers.prev = &loop->timers;
	loop->work_end = &loop->work;
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (loop->wake_fd < 0 || loop->timer_fd < 0) {
		int code = errno;

		error_set(err, code, "cannot make the event loop: %s", strerror(code));
		loop_destroy(loop);
		return -code;
	}
	*out = loop;
	return 0;
}

void loop_destroy(struct loop *loop)
{
	if (!loop)
		return;
	if (loop->wake_fd >= 0)
		close(loop->wake_fd);
	if (loop->timer_fd >= 0)
		close(loop->timer_fd);
	mutex_destroy(&loop->lock);
	free(loop->poll);
	free(loop->owner);
	free(loop);
}

static void wake(struct loop *loop)
{
	uint64_t one = 1;

	/* It fails only when the counter is full, and then the loop wakes anyway. */
	if (write(loop->wake_fd, &one, sizeof one) < 0)
		return;
}

void loop_stop(struct loop *loop)
{
	int saved = errno;

	__atomic_store_n(&loop->stop, true, __ATOMIC_SEQ_CST);
	wake(loop);
	errno = saved;
}

/* Descriptors */

void loop_fd_add(struct loop *loop, struct loop_fd *watch)
{
	watch->index = -1;
	watch->next = loop->fds;
	loop->fds = watch;
}

void loop_fd_remove(struct loop *loop, struct loop_fd *watch)
{
	for (struct loop_fd **at = &loop->fds; *at; at = &(*at)->next) {
		if (*at == watch) {
			*at = watch->next;
			break;
		}
	}
	/* Events of this round that were not told yet are dropped. */
	if (watch->index >= 0 && watch->index < loop->count && loop->owner[watch->index] == watch)
		loop->owner[watch->index] = NULL;
	watch->index = -1;
}

static int poll_add(struct loop *loop, int fd, short events, struct loop_fd *owner)
{
	if (loop->count == loop->room) {
		unsigned room = loop->room ? loop->room * 2 : 16;
		struct pollfd *poll = realloc(loop->poll, room * sizeof *poll);
		struct loop_fd **owners;

		if (!poll)
			return -1;
		loop->poll = poll;
		owners = realloc(loop->owner, room * sizeof *owners);
		if (!owners)
			return -1;
		loop->owner = owners;
		loop->room = room;
	}
	loop->poll[loop->count] = (struct pollfd){.fd = fd, .events = events};
	loop->owner[loop->count] = owner;
	return loop->count++;
}

void loop_source_add(struct loop *loop, struct loop_source *source)
{
	source->next = loop->sources;
	loop->sources = source;
}

void loop_source_remove(struct loop *loop, struct loop_source *source)
{
	if (loop->next_source == source)
		loop->next_source = source->next;
	for (struct loop_source **at = &loop->sources; *at; at = &(*at)->next) {
		if (*at == source) {
			*at = source->next;
			return;
		}
	}
}

int loop_source_poll(struct loop *loop, int fd, short events)
{
	return poll_add(loop, fd, events, NULL);
}

short loop_source_revents(struct loop *loop, int index)
{
	return index >= 0 && index < loop->count ? loop->poll[index].revents : 0;
}

/* Timers */

void loop_timer_init(struct loop_timer *timer, struct loop *loop, void (*fire)(void *ctx),
	void *ctx)
{
	*timer = (struct loop_timer){.loop = loop, .fire = fire, .ctx = ctx};
}

static void timer_unlink(struct loop *loop, struct loop_timer *timer) REQUIRES(loop->lock)
{
	if (!timer->deadline)
		return;
	timer->prev->next = timer->next;
	timer->next->prev = timer->prev;
	timer->deadline = 0;
}

static void program(struct loop *loop, uint64_t deadline) REQUIRES(loop->lock)
{
	struct itimerspec when = {
		.it_value = {.tv_sec = deadline / 1000000000u, .tv_nsec = deadline % 1000000000u}};

	loop->armed = deadline;
	timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

void loop_timer_arm(struct loop_timer *timer, uint64_t deadline)
{
	struct loop *loop = timer->loop;
	struct loop_timer *at;

	if (!deadline)
		deadline = 1;
	mutex_lock(&loop->lock);
	timer_unlink(loop, timer);
	timer->deadline = deadline;
	for (at = loop->timers.prev; at != &loop->timers && at->deadline > deadline; at = at->prev)
		;
	timer->prev = at;
	timer->next = at->next;
	at->next->prev = timer;
	at->next = timer;
	/* Moving the first deadline back costs nothing here: the loop wakes once too often. */
	if (!loop->armed || deadline < loop->armed)
		program(loop, deadline);
	mutex_unlock(&loop->lock);
}

void loop_timer_cancel(struct loop_timer *timer)
{
	struct loop *loop = timer->loop;

	mutex_lock(&loop->lock);
	timer_unlink(loop, timer);
	mutex_unlock(&loop->lock);
}

static void run_timers(struct loop *loop)
{
	uint64_t now = clock_now(), ticks;

	if (read(loop->timer_fd, &ticks, sizeof ticks) < 0 && errno != EAGAIN)
		return;
	mutex_lock(&loop->lock);
	for (;;) {
		struct loop_timer *first = loop->timers.next;
		void (*fire)(void *ctx) = first->fire;
		void *ctx = first->ctx;

		if (first == &loop->timers || first->deadline > now)
			break;
		timer_unlink(loop, first);
		mutex_unlock(&loop->lock);
		fire(ctx);
		mutex_lock(&loop->lock);
	}
	loop->armed = 0;
	if (loop->timers.next != &loop->timers)
		program(loop, loop->timers.next->deadline);
	mutex_unlock(&loop->lock);
}

/* Work */

void loop_post(struct loop *loop, struct loop_work *work)
{
	bool first;

	mutex_lock(&loop->lock);
	if (work->posted) {
		mutex_unlock(&loop->lock);
		return;
	}
	work->posted = true;
	work->next = NULL;
	first = !loop->work;
	*loop->work_end = work;
	loop->work_end = &work->next;
	mutex_unlock(&loop->lock);
	if (first)
		wake(loop);
}

void loop_unpost(struct loop *loop, struct loop_work *work)
{
	struct loop_work **at;

	mutex_lock(&loop->lock);
	for (at = &loop->work; *at && *at != work;)
		at = &(*at)->next;
	if (*at) {
		*at = work->next;
		if (!*at)
			loop->work_end = at;
		work->posted = false;
	}
	mutex_unlock(&loop->lock);
}

static void run_work(struct loop *loop)
{
	uint64_t count;

	if (read(loop->wake_fd, &count, sizeof count) < 0 && errno != EAGAIN)
		return;
	mutex_lock(&loop->lock);
	while (loop->work && !__atomic_load_n(&loop->stop, __ATOMIC_SEQ_CST)) {
		struct loop_work *work = loop->work;
		void (*run)(void *ctx) = work->run;
		void *ctx = work->ctx;

		loop->work = work->next;
		if (!loop->work)
			loop->work_end = &loop->work;
		work->posted = false;
		mutex_unlock(&loop->lock);
		run(ctx);
		mutex_lock(&loop->lock);
	}
	mutex_unlock(&loop->lock);
}

/* The loop */

static void gather(struct loop *loop, uint32_t *timeout)
{
	loop->count = 0;
	poll_add(loop, loop->wake_fd, POLLIN, NULL);
	poll_add(loop, loop->timer_fd, POLLIN, NULL);
	for (struct loop_fd *watch = loop->fds; watch; watch = watch->next)
		watch->index = watch->events ? poll_add(loop, watch->fd, watch->events, watch) : -1;
	for (struct loop_source *source = loop->sources; source; source = loop->next_source) {
		loop->next_source = source->next;
		source->prepare(source->ctx, loop, timeout);
	}
}

static void dispatch(struct loop *loop, int ready)
{
	if (ready > 0) {
		if (loop->poll[0].revents)
			run_work(loop);
		if (loop->poll[1].revents)
			run_timers(loop);
	}
	for (unsigned i = 2; ready > 0 && i < loop->count; i++) {
		struct loop_fd *watch = loop->owner[i];

		if (watch && loop->poll[i].revents && watch->events)
			watch->ready(watch->ctx, loop->poll[i].revents);
	}
	for (struct loop_source *source = loop->sources; source; source = loop->next_source) {
		loop->next_source = source->next;
		source->check(source->ctx, loop, ready < 0);
	}
}

void loop_run(struct loop *loop)
{
	while (!__atomic_exchange_n(&loop->stop, false, __ATOMIC_SEQ_CST)) {
		uint32_t timeout = UINT32_MAX;
		int ready;

		gather(loop, &timeout);
		ready = poll(loop->poll, loop->count, timeout > INT32_MAX ? -1 : (int)timeout);
		dispatch(loop, ready);
	}
}
