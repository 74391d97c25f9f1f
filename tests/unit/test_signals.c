/* SPDX-License-Identifier: Apache-2.0 */
/* What the monitor makes of signals, and of a terminal that goes away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>

#include "monitor/signals.h"

#define MS 1000000ull

struct rig {
	struct loop *loop;
	struct loop_timer end;
	struct signals signals;
	unsigned asked, forced;
};

static void on_ask(void *ctx)
{
	((struct rig *)ctx)->asked++;
}

static void on_force(void *ctx)
{
	((struct rig *)ctx)->forced++;
}

static void on_end(void *ctx)
{
	loop_stop(((struct rig *)ctx)->loop);
}

/* hup: what is done with SIGHUP before, whoever runs this. */
static int start(struct rig *rig, uint64_t grace, void (*hup)(int))
{
	signal(SIGHUP, hup);
	*rig = (struct rig){.signals = {.grace = grace}};
	if (loop_create(&rig->loop, NULL))
		return -1;
	loop_timer_init(&rig->end, rig->loop, on_end, rig);
	return signals_start(&rig->signals, rig->loop, on_ask, on_force, rig, NULL);
}

/* A grace that no test waits for, however busy the host is. */
static int setup(void **state)
{
	static struct rig rig;

	*state = &rig;
	return start(&rig, 60000 * MS, SIG_DFL);
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	signals_stop(&rig->signals);
	loop_destroy(rig->loop);
	return 0;
}

/* A signal, if it is one, and the loop for a while. */
static void sent(struct rig *rig, int number, uint64_t ms)
{
	if (number)
		raise(number);
	loop_timer_arm(&rig->end, clock_now() + ms * MS);
	loop_run(rig->loop);
}

static void twice(void **state)
{
	struct rig *rig = *state;

	sent(rig, SIGTERM, 5);
	assert_int_equal(rig->asked, 1);
	assert_int_equal(rig->forced, 0);
	sent(rig, SIGINT, 5);
	assert_int_equal(rig->asked, 1);
	assert_int_equal(rig->forced, 1);
}

/* As timeout(1) does; and later, in earnest. */
static void two_at_once(void **state)
{
	struct rig *rig = *state;

	sent(rig, SIGTERM, 1);
	sent(rig, SIGTERM, 1);
	if (rig->forced) { /* a host that took so long in between */
		assert_int_equal(rig->asked, 1);
		return;
	}
	sent(rig, 0, SIGNALS_SAME / MS + 10);
	sent(rig, SIGTERM, 5);
	assert_int_equal(rig->asked, 1);
	assert_int_equal(rig->forced, 1);
}

/* The kernel's, the shell's, and what reading the terminal says are one request. */
static void hang_up(void **state)
{
	struct rig *rig = *state;

	sent(rig, SIGHUP, 5);
	sent(rig, SIGHUP, 5);
	signals_hang_up(&rig->signals);
	sent(rig, 0, 5);
	assert_int_equal(rig->asked, 1);
	assert_int_equal(rig->forced, 0);
}

/* Who has been asked once is ended when the grace is over. */
static void grace(void **state)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};

	for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		struct rig rig;
		void *at = &rig;

		assert_int_equal(start(&rig, 20 * MS, SIG_DFL), 0);
		raise(numbers[i]);
		for (unsigned n = 0; n < 1000 && !rig.forced; n++)
			sent(&rig, 0, 10);
		assert_int_equal(rig.asked, 1);
		assert_int_equal(rig.forced, 1);
		teardown(&at);
	}
}

static void hang_up_and_kill(void **state)
{
	struct rig *rig = *state;

	sent(rig, SIGHUP, 5);
	sent(rig, SIGTERM, 5);
	assert_int_equal(rig->asked, 1);
	assert_int_equal(rig->forced, 1);
}

static int setup_nohup(void **state)
{
	static struct rig rig;

	*state = &rig;
	return start(&rig, 60000 * MS, SIG_IGN);
}

static int teardown_nohup(void **state)
{
	signal(SIGHUP, SIG_DFL);
	return teardown(state);
}

static void nohup(void **state)
{
	struct rig *rig = *state;

	sent(rig, SIGHUP, 5);
	signals_hang_up(&rig->signals);
	sent(rig, 0, 100);
	assert_int_equal(rig->asked, 0);
	assert_int_equal(rig->forced, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(twice, setup, teardown),
		cmocka_unit_test_setup_teardown(two_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(hang_up, setup, teardown),
		cmocka_unit_test_setup_teardown(hang_up_and_kill, setup, teardown),
		cmocka_unit_test(grace),
		cmocka_unit_test_setup_teardown(nohup, setup_nohup, teardown_nohup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
