/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"

#include <signal.h>
#include <string.h>
#include <time.h>

#define NS 1000000000u

int mutex_wait_until(struct mutex *mutex, pthread_cond_t *cond, uint64_t deadline)
{
	const struct timespec when = {.tv_sec = deadline / NS, .tv_nsec = deadline % NS};
	int r;

	mutex_assert_held(mutex);
	__atomic_store_n(&mutex->owner, 0, __ATOMIC_RELAXED);
	r = pthread_cond_clockwait(cond, &mutex->os, CLOCK_MONOTONIC, &when);
	__atomic_store_n(&mutex->owner, pthread_self(), __ATOMIC_RELAXED);
	return -r;
}

const char *thread_error(int code)
{
	return code == EAGAIN
		? "no more threads are allowed here (ulimit -u, or the limit of pids that a "
		  "control group or a container has)"
		: strerror(code);
}

int thread_start(pthread_t *thread, size_t stack, void *(*run)(void *ctx), void *ctx)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int r;

	pthread_attr_init(&attr);
	if (stack)
		pthread_attr_setstacksize(&attr, stack);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(thread, &attr, run, ctx);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return -r;
}
