/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop: descriptors, timers from several threads, work, sources. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/loop.h"

struct rig {
	struct loop *loop;
	struct loop_timer timer[4];
	struct loop_work work;
	struct loop_fd fd[2];
	unsigned order[8], fired, worked;
	int pipe[2], index;
	short revents;
};

struct tagged {
	struct rig *rig;
	unsigned tag;
};

static void tagged_fired(void *ctx)
{
	struct tagged *t = ctx;

	t->rig->order[t->rig->fired++] = t->tag;
	if (t->tag == 9)
		loop_stop(t->rig->loop);
}

static void make(struct rig *rig)
{
	struct error err = {0};

	*rig = (struct rig){0};
	assert_int_equal(loop_create(&rig->loop, &err), 0);
}

static void timers_fire_in_order(void **state)
{
	struct rig rig;
	struct tagged tag[4] = {{&rig, 1}, {&rig, 2}, {&rig, 3}, {&rig, 9}};
	uint64_t now = clock_now(), started = now;

	make(&rig);
	for (unsigned i = 0; i < 4; i++)
		loop_timer_init(&rig.timer[i], rig.loop, tagged_fired, &tag[i]);
	loop_timer_arm(&rig.timer[3], now + 8000000);
	loop_timer_arm(&rig.timer[1], now + 4000000);
	loop_timer_arm(&rig.timer[0], now + 2000000);
	loop_timer_arm(&rig.timer[2], now + 1000000);
	loop_timer_cancel(&rig.timer[2]);
	loop_timer_arm(&rig.timer[1], now + 1500000); /* moved to the front */
	loop_run(rig.loop);
	assert_int_equal(rig.fired, 3);
	assert_int_equal(rig.order[0], 2);
	assert_int_equal(rig.order[1], 1);
	assert_int_equal(rig.order[2], 9);
	assert_true(clock_now() - started >= 8000000);
	loop_destroy(rig.loop);
}

static void *arm_from_outside(void *ctx)
{
	struct loop_timer *timer = ctx;

	usleep(5000);
	loop_timer_arm(timer, clock_now() + 1000000);
	return NULL;
}

static void other_threads_arm(void **state)
{
	struct rig rig;
	struct tagged tag = {&rig, 9};
	pthread_t thread;

	make(&rig);
	loop_timer_init(&rig.timer[0], rig.loop, tagged_fired, &tag);
	pthread_create(&thread, NULL, arm_from_outside, &rig.timer[0]);
	loop_run(rig.loop);
	pthread_join(thread, NULL);
	assert_int_equal(rig.fired, 1);
	loop_destroy(rig.loop);
}

static void do_work(void *ctx)
{
	struct rig *rig = ctx;

	if (++rig->worked == 3)
		loop_stop(rig->loop);
	else
		loop_post(rig->loop, &rig->work);
}

static void work_posts_itself(void **state)
{
	struct rig rig;

	make(&rig);
	rig.work = (struct loop_work){.run = do_work, .ctx = &rig};
	loop_post(rig.loop, &rig.work);
	loop_post(rig.loop, &rig.work); /* once is enough */
	loop_run(rig.loop);
	assert_int_equal(rig.worked, 3);
	loop_destroy(rig.loop);
}

static void no_work(void *ctx)
{
	fail_msg("was taken back");
}

/* Wherever it stands in the queue, its memory may go at once. */
static void work_taken_back(void **state)
{
	for (int at = 0; at < 3; at++) {
		struct loop_work *back = calloc(1, sizeof *back);
		struct rig rig;

		make(&rig);
		*back = (struct loop_work){.run = no_work};
		rig.work = (struct loop_work){.run = do_work, .ctx = &rig};
		rig.worked = 2; /* the next ends it */
		if (at < 2)
			loop_post(rig.loop, back);
		if (at == 0)
			loop_unpost(rig.loop, back);
		loop_post(rig.loop, &rig.work);
		if (at == 2)
			loop_post(rig.loop, back);
		loop_unpost(rig.loop, back);
		loop_unpost(rig.loop, back); /* twice is no harm */
		free(back);
		loop_unpost(rig.loop, &rig.work);
		loop_post(rig.loop, &rig.work);
		loop_run(rig.loop);
		assert_int_equal(rig.worked, 3);
		loop_destroy(rig.loop);
	}
}

/* The first that is told removes the other: that one must hear nothing more. */
static void removes_other(void *ctx, short revents)
{
	struct rig *rig = ctx;

	rig->fired++;
	loop_fd_remove(rig->loop, &rig->fd[0]);
	loop_fd_remove(rig->loop, &rig->fd[1]);
	loop_stop(rig->loop);
}

static void removing_in_a_callback(void **state)
{
	struct rig rig;

	make(&rig);
	assert_int_equal(pipe(rig.pipe), 0);
	assert_int_equal(write(rig.pipe[1], "x", 1), 1);
	for (unsigned i = 0; i < 2; i++) {
		rig.fd[i] = (struct loop_fd){.fd = rig.pipe[0],
			.events = POLLIN,
			.ready = removes_other,
			.ctx = &rig};
		loop_fd_add(rig.loop, &rig.fd[i]);
	}
	loop_run(rig.loop);
	assert_int_equal(rig.fired, 1);
	close(rig.pipe[0]);
	close(rig.pipe[1]);
	loop_destroy(rig.loop);
}

static void prepare(void *ctx, struct loop *loop, uint32_t *timeout)
{
	struct rig *rig = ctx;

	rig->index = loop_source_poll(loop, rig->pipe[0], POLLIN);
	if (*timeout > 1000)
		*timeout = 1000;
}

static void check(void *ctx, struct loop *loop, bool failed)
{
	struct rig *rig = ctx;

	rig->revents = loop_source_revents(loop, rig->index);
	assert_int_equal(loop_source_revents(loop, 1000), 0);
	loop_stop(loop);
}

static void sources_poll(void **state)
{
	struct rig rig;
	struct loop_source source = {.prepare = prepare, .check = check, .ctx = &rig};

	make(&rig);
	assert_int_equal(pipe(rig.pipe), 0);
	assert_int_equal(write(rig.pipe[1], "x", 1), 1);
	loop_source_add(rig.loop, &source);
	loop_run(rig.loop);
	assert_true(rig.revents & POLLIN);
	loop_source_remove(rig.loop, &source);
	close(rig.pipe[0]);
	close(rig.pipe[1]);
	loop_destroy(rig.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_fire_in_order),
		cmocka_unit_test(other_threads_arm),
		cmocka_unit_test(work_posts_itself),
		cmocka_unit_test(work_taken_back),
		cmocka_unit_test(removing_in_a_callback),
		cmocka_unit_test(sources_poll),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
