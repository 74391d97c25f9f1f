/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/watch.h"

#define LOOK_NS 1000000000ull
#define STILL_NS 200000u /* a guest that used more between two looks does something */
#define CLOSE_NS 100000000u
#define STANDS 2u /* looks until it is believed */
#define LOOPS 60u
#define LIVES 3u
#define SKIPS 6u /* log2 of the most looks that are skipped of a guest that sleeps */

static const char panicked[] = "the guest's kernel panicked";

static enum words_said said(const struct guest_watch *watch)
{
	enum words_said most = WORDS_NONE;

	for (unsigned i = 0; i < WATCH_CONSOLES; i++)
		if (words_said(&watch->console[i]) > most)
			most = words_said(&watch->console[i]);
	return most;
}

static void forget(struct guest_watch *watch)
{
	for (unsigned i = 0; i < WATCH_CONSOLES; i++)
		words_forget(&watch->console[i]);
	__atomic_store_n(&watch->lives, 0, __ATOMIC_RELAXED);
}

static bool still(struct guest_watch *watch)
{
	uint64_t now = 0, before = watch->used;

	for (unsigned i = 0; i < machine_vcpus(watch->machine); i++) {
		struct machine_vcpu_info info;

		machine_vcpu_info(watch->machine, i, &info);
		now += info.time;
	}
	watch->used = now;
	return now - before < STILL_NS;
}

static void finish(struct guest_watch *watch)
{
	switch (said(watch)) {
	case WORDS_HALTED:
		machine_finish(watch->machine, MACHINE_POWEROFF, "");
		break;
	case WORDS_PANIC:
	case WORDS_END:
		machine_finish(watch->machine, MACHINE_CRASH, panicked);
		break;
	case WORDS_NONE:
		machine_finish(watch->machine, MACHINE_CRASH,
			"the guest has halted its processors, with interrupts off");
	}
}

/* The words have been said; is it true? Other processors may live on for a moment, but not to the end. */
static void judge(struct guest_watch *watch, enum machine_pulse pulse, uint64_t spaces)
{
	const bool end = said(watch) == WORDS_END, alive = pulse == MACHINE_ALIVE;
	const bool loops = end && pulse == MACHINE_IN_KERNEL && spaces == watch->spaces;

	__atomic_store_n(&watch->lives, alive ? watch->lives + 1 : 0, __ATOMIC_RELAXED);
	watch->loops = loops ? watch->loops + 1 : 0;
	watch->spaces = spaces;
	if (watch->lives == LIVES || (alive && end))
		forget(watch);
	else if (watch->loops == LOOPS)
		machine_finish(watch->machine, MACHINE_CRASH, panicked);
}

static void look_closer(struct guest_watch *watch)
{
	enum machine_pulse pulse;
	uint64_t spaces;

	machine_pause(watch->machine);
	pulse = machine_pulse(watch->machine, &spaces);
	machine_resume(watch->machine);
	watch->stands = pulse == MACHINE_STANDS ? watch->stands + 1 : 0;
	watch->asleep = pulse == MACHINE_ALIVE ? watch->asleep + 1 : 0;
	watch->skip = watch->asleep ? 1u << (watch->asleep < SKIPS ? watch->asleep : SKIPS) : 0;
	if (watch->stands == STANDS)
		finish(watch);
	else if (said(watch) >= WORDS_PANIC)
		judge(watch, pulse, spaces);
}

/* It does nothing: is it time to see why? */
static bool is_due(struct guest_watch *watch, bool is_still)
{
	if (!is_still)
		watch->asleep = watch->skip = 0;
	else if (watch->skip)
		watch->skip--;
	return is_still && !watch->skip;
}

static void look(void *ctx)
{
	struct guest_watch *watch = ctx;
	bool due = is_due(watch, still(watch));

	if (machine_paused(watch->machine))
		watch->stands = watch->loops = 0;
	else if (due || said(watch) >= WORDS_PANIC)
		look_closer(watch);
	loop_timer_arm(&watch->timer,
		clock_now() + (said(watch) == WORDS_END ? CLOSE_NS : LOOK_NS));
}

void watch_start(struct guest_watch *watch, struct machine *machine)
{
	watch->machine = machine;
	loop_timer_init(&watch->timer, machine_loop(machine), look, watch);
	loop_timer_arm(&watch->timer, clock_now() + LOOK_NS);
}

void watch_stop(struct guest_watch *watch)
{
	if (watch->machine)
		loop_timer_cancel(&watch->timer);
	watch->machine = NULL;
}

void watch_read(struct guest_watch *watch, unsigned console, const uint8_t *data, size_t len)
{
	words_read(&watch->console[console], data, len);
}

const char *watch_reset(struct guest_watch *watch)
{
	bool did = watch->machine && said(watch) >= WORDS_PANIC &&
		!__atomic_load_n(&watch->lives, __ATOMIC_RELAXED);

	forget(watch);
	return did ? panicked : NULL;
}
