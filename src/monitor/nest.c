/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"
#include "monitor/sandbox.h"

enum nest_state { NEST_STARTS, NEST_READY, NEST_GO, NEST_END };

struct nest {
	pthread_t thread;
	unsigned roles;
	const struct sandbox *sandbox; /* until it is ready */
	struct mutex lock;
	pthread_cond_t changed;
	enum nest_state state GUARDED_BY(lock);
	int (*run)(void *ctx);
	void *ctx;
	int result;
	struct error err;
};

static void *nest_thread(void *ctx)
{
	struct nest *nest = ctx;

	nest->result = sandbox_calls(nest->roles, nest->sandbox, &nest->err);
	mutex_lock(&nest->lock);
	for (;;) {
		nest->state = NEST_READY;
		pthread_cond_broadcast(&nest->changed);
		while (nest->state == NEST_READY)
			mutex_wait(&nest->lock, &nest->changed);
		if (nest->state == NEST_END)
			break;
		mutex_unlock(&nest->lock);
		nest->result = nest->run(nest->ctx);
		mutex_lock(&nest->lock);
	}
	mutex_unlock(&nest->lock);
	return NULL;
}

int nest_create(unsigned roles, const struct sandbox *sandbox, struct nest **out, struct error *err)
{
	struct nest *nest = calloc(1, sizeof *nest);
	int r;

	*out = NULL;
	if (!nest)
		return error_nomem(err);
	nest->roles = roles;
	nest->sandbox = sandbox;
	mutex_init(&nest->lock);
	pthread_cond_init(&nest->changed, NULL);
	r = thread_start(&nest->thread, 0, nest_thread, nest);
	if (r) {
		free(nest);
		return error_set(err, -r, "cannot start a thread: %s", thread_error(-r));
	}
	mutex_lock(&nest->lock);
	while (nest->state != NEST_READY)
		mutex_wait(&nest->lock, &nest->changed);
	mutex_unlock(&nest->lock);
	if (nest->result) {
		r = error_set(err, -nest->result, "%s", nest->err.text);
		nest_destroy(nest);
		return r;
	}
	*out = nest;
	return 0;
}

int nest_call(struct nest *nest, int (*run)(void *ctx), void *ctx)
{
	int r;

	mutex_lock(&nest->lock);
	nest->run = run;
	nest->ctx = ctx;
	nest->state = NEST_GO;
	pthread_cond_broadcast(&nest->changed);
	while (nest->state != NEST_READY)
		mutex_wait(&nest->lock, &nest->changed);
	r = nest->result;
	mutex_unlock(&nest->lock);
	return r;
}

void nest_destroy(struct nest *nest)
{
	if (!nest)
		return;
	mutex_lock(&nest->lock);
	nest->state = NEST_END;
	pthread_cond_broadcast(&nest->changed);
	mutex_unlock(&nest->lock);
	pthread_join(nest->thread, NULL);
	pthread_cond_destroy(&nest->changed);
	mutex_destroy(&nest->lock);
	free(nest);
}

int nest_run(struct nest *nest, int (*run)(void *ctx), void *ctx)
{
	int r = nest_call(nest, run, ctx);

	nest_destroy(nest);
	return r;
}
