/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads, and locks whose rules a compiler checks (lock_rules.h).
 *
 * Code that must call no libc (cpu/translate/hot.h) has locks of its own: cpu/translate/lock.h.
 */
#ifndef DACH_BASE_THREAD_H
#define DACH_BASE_THREAD_H

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/lock_rules.h"

/* A lock that knows its holder. Not recursive. */
struct CAPABILITY("mutex") mutex {
	pthread_mutex_t os;
	pthread_t owner; /* 0: nobody; only its own thread finds itself in it */
};

static inline void mutex_init(struct mutex *mutex)
{
	pthread_mutex_init(&mutex->os, NULL);
	mutex->owner = 0;
}

/* Nobody holds it. */
static inline void mutex_destroy(struct mutex *mutex)
{
	pthread_mutex_destroy(&mutex->os);
}

static inline void mutex_lock(struct mutex *mutex) ACQUIRE(mutex) UNCHECKED_LOCKS
{
	pthread_mutex_lock(&mutex->os);
	__atomic_store_n(&mutex->owner, pthread_self(), __ATOMIC_RELAXED);
}

/* Without waiting; whether it is held now. */
static inline bool mutex_try(struct mutex *mutex) TRY_ACQUIRE(true, mutex) UNCHECKED_LOCKS
{
	if (pthread_mutex_trylock(&mutex->os))
		return false;
	__atomic_store_n(&mutex->owner, pthread_self(), __ATOMIC_RELAXED);
	return true;
}

static inline void mutex_unlock(struct mutex *mutex) RELEASE(mutex) UNCHECKED_LOCKS
{
	__atomic_store_n(&mutex->owner, 0, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&mutex->os);
}

/* Ends the process if this thread does not hold it: the caller broke the rule, and data with it. */
static inline void mutex_assert_held(const struct mutex *mutex) ASSERTS(mutex)
{
	assert(__atomic_load_n(&mutex->owner, __ATOMIC_RELAXED) == pthread_self());
}

/* Gives it back, waits for cond, takes it again. Ask for what you wait for in a loop. */
static inline void mutex_wait(struct mutex *mutex, pthread_cond_t *cond) REQUIRES(mutex)
{
	mutex_assert_held(mutex);
	__atomic_store_n(&mutex->owner, 0, __ATOMIC_RELAXED);
	pthread_cond_wait(cond, &mutex->os);
	__atomic_store_n(&mutex->owner, pthread_self(), __ATOMIC_RELAXED);
}

/* The same, but at most until deadline, nanoseconds of CLOCK_MONOTONIC (clock_now()). 0 or -ETIMEDOUT. */
int mutex_wait_until(struct mutex *mutex, pthread_cond_t *cond, uint64_t deadline) REQUIRES(mutex);

/* Why none could be started; code is positive. */
const char *thread_error(int code);
/*
 * Starts a thread in which every signal is blocked: signals are the main thread's, and what a thread
 * wants for itself it lets through. stack: bytes, 0 is the system's own size. 0 or a negative errno.
 */
int thread_start(pthread_t *thread, size_t stack, void *(*run)(void *ctx), void *ctx);

#endif
