/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/sandbox.h"

enum nest_state { NEST_STARTS, NEST_READY, NEST_GO };

struct nest {
	pthread_t thread;
	unsigned roles;
	const struct sandbox *sandbox; /* until it is ready */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum nest_state state; /* by lock */
	int (*run)(void *ctx);
	void *ctx;
	int result;
	struct error err;
};

static void *nest_thread(void *ctx)
{
	struct nest *nest = ctx;

	nest->result = sandbox_calls(nest->roles, nest->sandbox, &nest->err);
	pthread_mutex_lock(&nest->lock);
	nest->state = NEST_READY;
	pthread_cond_broadcast(&nest->changed);
	while (nest->state != NEST_GO)
		pthread_cond_wait(&nest->changed, &nest->lock);
	pthread_mutex_unlock(&nest->lock);
	if (nest->run)
		nest->result = nest->run(nest->ctx);
	return NULL;
}

int nest_create(unsigned roles, const struct sandbox *sandbox, struct nest **out, struct error *err)
{
	struct nest *nest = calloc(1, sizeof *nest);
	sigset_t all, old;
	int r;

	*out = NULL;
	if (!nest)
		return error_set(err, ENOMEM, "out of memory");
	nest->roles = roles;
	nest->sandbox = sandbox;
	pthread_mutex_init(&nest->lock, NULL);
	pthread_cond_init(&nest->changed, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&nest->thread, NULL, nest_thread, nest);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r) {
		free(nest);
		return error_set(err, r, "cannot start a thread: %s", strerror(r));
	}
	pthread_mutex_lock(&nest->lock);
	while (nest->state != NEST_READY)
		pthread_cond_wait(&nest->changed, &nest->lock);
	pthread_mutex_unlock(&nest->lock);
	if (nest->result) {
		r = error_set(err, -nest->result, "%s", nest->err.text);
		nest_destroy(nest);
		return r;
	}
	*out = nest;
	return 0;
}

int nest_run(struct nest *nest, int (*run)(void *ctx), void *ctx)
{
	int r;

	pthread_mutex_lock(&nest->lock);
	nest->run = run;
	nest->ctx = ctx;
	nest->state = NEST_GO;
	pthread_cond_broadcast(&nest->changed);
	pthread_mutex_unlock(&nest->lock);
	pthread_join(nest->thread, NULL);
	r = nest->result;
	pthread_cond_destroy(&nest->changed);
	pthread_mutex_destroy(&nest->lock);
	free(nest);
	return r;
}

void nest_destroy(struct nest *nest)
{
	if (nest)
		nest_run(nest, NULL, NULL);
}
