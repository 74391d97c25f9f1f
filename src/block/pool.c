/* SPDX-License-Identifier: Apache-2.0 */
#include "block/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"

#define STACK_SIZE (256u << 10)

struct block_pool {
	void (*work)(void *ctx, struct block_request *request);
	void *ctx;
	struct mutex lock;
	pthread_cond_t wake;
	struct block_request *first, **last GUARDED_BY(lock);
	unsigned idle GUARDED_BY(lock); /* threads that wait and nobody has woken */
	bool stop GUARDED_BY(lock);
	unsigned count;
	pthread_t thread[];
};

static void *pool_thread(void *arg)
{
	struct block_pool *pool = arg;

	pthread_setname_np(pthread_self(), "disk");
	mutex_lock(&pool->lock);
	for (;;) {
		struct block_request *request = pool->first;

		if (!request) {
			if (pool->stop)
				break;
			pool->idle++;
			mutex_wait(&pool->lock, &pool->wake);
			pool->idle--;
			continue;
		}
		pool->first = request->next;
		if (!pool->first)
			pool->last = &pool->first;
		mutex_unlock(&pool->lock);
		pool->work(pool->ctx, request);
		mutex_lock(&pool->lock);
	}
	mutex_unlock(&pool->lock);
	return NULL;
}

void pool_add(struct block_pool *pool, struct block_request *request)
{
	bool wake;

	request->next = NULL;
	mutex_lock(&pool->lock);
	*pool->last = request;
	pool->last = &request->next;
	wake = pool->idle > 0;
	mutex_unlock(&pool->lock);
	/* Without an idle thread there is nobody to wake, and a busy one looks before it sleeps. */
	if (wake)
		pthread_cond_signal(&pool->wake);
}

void pool_destroy(struct block_pool *pool)
{
	if (!pool)
		return;
	mutex_lock(&pool->lock);
	pool->stop = true;
	pthread_cond_broadcast(&pool->wake);
	mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->count; i++)
		pthread_join(pool->thread[i], NULL);
	pthread_cond_destroy(&pool->wake);
	mutex_destroy(&pool->lock);
	free(pool);
}

int pool_create(unsigned threads, void (*work)(void *ctx, struct block_request *request), void *ctx,
	struct block_pool **out, struct error *err)
{
	struct block_pool *pool = calloc(1, sizeof *pool + threads * sizeof pool->thread[0]);
	int r = 0;

	if (!pool)
		return error_nomem(err);
	pool->work = work;
	pool->ctx = ctx;
	pool->last = &pool->first;
	mutex_init(&pool->lock);
	pthread_cond_init(&pool->wake, NULL);
	for (unsigned i = 0; i < threads && !r; i++) {
		r = thread_start(&pool->thread[i], STACK_SIZE, pool_thread, pool);
		if (!r)
			pool->count++;
	}
	if (r) {
		pool_destroy(pool);
		return error_set(err, -r, "cannot start a disk thread: %s", thread_error(-r));
	}
	*out = pool;
	return 0;
}
