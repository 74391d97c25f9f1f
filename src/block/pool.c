/* SPDX-License-Identifier: Apache-2.0 */
#include "block/pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define STACK_SIZE (256u << 10)

struct block_pool {
	void (*work)(void *ctx, struct block_request *request);
	void *ctx;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct block_request *first, **last; /* lock */
	unsigned idle;                       /* lock: threads that wait and nobody has woken */
	bool stop;                           /* lock */
	unsigned count;
	pthread_t thread[];
};

static void *pool_thread(void *arg)
{
	struct block_pool *pool = arg;

	pthread_setname_np(pthread_self(), "disk");
	pthread_mutex_lock(&pool->lock);
	for (;;) {
		struct block_request *request = pool->first;

		if (!request) {
			if (pool->stop)
				break;
			pool->idle++;
			pthread_cond_wait(&pool->wake, &pool->lock);
			pool->idle--;
			continue;
		}
		pool->first = request->next;
		if (!pool->first)
			pool->last = &pool->first;
		pthread_mutex_unlock(&pool->lock);
		pool->work(pool->ctx, request);
		pthread_mutex_lock(&pool->lock);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

void pool_add(struct block_pool *pool, struct block_request *request)
{
	bool wake;

	request->next = NULL;
	pthread_mutex_lock(&pool->lock);
	*pool->last = request;
	pool->last = &request->next;
	wake = pool->idle > 0;
	pthread_mutex_unlock(&pool->lock);
	/* Without an idle thread there is nobody to wake, and a busy one looks before it sleeps. */
	if (wake)
		pthread_cond_signal(&pool->wake);
}

void pool_destroy(struct block_pool *pool)
{
	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->stop = true;
	pthread_cond_broadcast(&pool->wake);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->count; i++)
		pthread_join(pool->thread[i], NULL);
	pthread_cond_destroy(&pool->wake);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

int pool_create(unsigned threads, void (*work)(void *ctx, struct block_request *request), void *ctx,
	struct block_pool **out, struct error *err)
{
	struct block_pool *pool = calloc(1, sizeof(*pool) + threads * sizeof(pool->thread[0]));
	pthread_attr_t attr;
	sigset_t all, old;
	int r = 0;

	if (!pool)
		return error_set(err, ENOMEM, "out of memory");
	pool->work = work;
	pool->ctx = ctx;
	pool->last = &pool->first;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->wake, NULL);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (unsigned i = 0; i < threads && !r; i++) {
		r = pthread_create(&pool->thread[i], &attr, pool_thread, pool);
		if (!r)
			pool->count++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (r) {
		pool_destroy(pool);
		return error_set(err, r, "cannot start a disk thread: %s", strerror(r));
	}
	*out = pool;
	return 0;
}
