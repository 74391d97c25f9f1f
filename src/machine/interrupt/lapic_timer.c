/* SPDX-License-Identifier: Apache-2.0 */
/* The local APIC's timer (SDM 3A 11.5.4). */
#include "base/loop.h"
#include "machine/interrupt/lapic.h"

enum { ONE_SHOT, PERIODIC, TSC_DEADLINE };

/* A guest that asks for shorter periods than this gets this one. */
#define MIN_PERIOD 20000u

static unsigned timer_mode(uint32_t lvt)
{
	return lvt >> 17 & 3;
}

/* Nanoseconds a count, from the divide register's scattered bits. */
static unsigned timer_divisor(const struct lapic *lapic)
{
	unsigned code = (lapic->divide & 3) | (lapic->divide >> 1 & 4);

	return code == 7 ? 1 : 2u << code;
}

void lapic_timer_stop(struct lapic *lapic)
{
	atomic_store(&lapic->period, 0);
	atomic_store(&lapic->deadline, 0);
}

/* What a whole count lasts. */
static uint64_t whole(const struct lapic *lapic, bool periodic)
{
	uint64_t length = (uint64_t)lapic->initial * timer_divisor(lapic);

	return periodic && length < MIN_PERIOD ? MIN_PERIOD : length;
}

static void timer_start(struct lapic *lapic, uint64_t deadline, uint64_t period)
{
	/* The period first: firing in between belongs to the old deadline, and is lost. */
	atomic_store(&lapic->deadline, 0);
	atomic_store(&lapic->period, period);
	atomic_store(&lapic->deadline, deadline);
	lapic->set->owner.arm(lapic->set->ctx, lapic->index, deadline);
}

static void timer_fire(struct lapic *lapic)
{
	uint32_t lvt = lapic->lvt[LVT_TIMER];

	if (!(lvt & LVT_MASKED))
		lapic_raise(lapic, lvt & 0xff, false);
}

uint64_t lapic_timer_check(struct lapic *lapic, uint64_t now)
{
	uint64_t deadline = atomic_load(&lapic->deadline);

	while (deadline && deadline <= now) {
		uint64_t period = atomic_load(&lapic->period), next = 0;

		/* Periods that were missed are gone. */
		if (period)
			next = deadline + period * ((now - deadline) / period + 1);
		if (atomic_compare_exchange_weak(&lapic->deadline, &deadline, next)) {
			timer_fire(lapic);
			return next;
		}
	}
	return deadline;
}

void lapic_timer_initial(struct lapic *lapic, uint32_t count)
{
	unsigned how = timer_mode(lapic->lvt[LVT_TIMER]);
	uint64_t length;

	if (how == TSC_DEADLINE)
		return;
	lapic->initial = count;
	if (!count) {
		lapic_timer_stop(lapic);
		return;
	}
	length = whole(lapic, how == PERIODIC);
	timer_start(lapic, clock_now() + length, how == PERIODIC ? length : 0);
}

uint32_t lapic_timer_current(struct lapic *lapic)
{
	uint64_t deadline = atomic_load(&lapic->deadline), now = clock_now();

	if (timer_mode(lapic->lvt[LVT_TIMER]) == TSC_DEADLINE || !deadline)
		return 0;
	if (deadline <= now) {
		uint64_t period = atomic_load(&lapic->period);

		if (!period)
			return 0;
		deadline += period * ((now - deadline) / period + 1);
	}
	return (deadline - now) / timer_divisor(lapic);
}

uint32_t lapic_timer_left(struct lapic *lapic)
{
	uint64_t deadline = lapic_timer_check(lapic, clock_now()), now = clock_now(), left;

	if (timer_mode(lapic->lvt[LVT_TIMER]) == TSC_DEADLINE || !deadline)
		return 0;
	left = deadline <= now ? 1
			       : (deadline - now + timer_divisor(lapic) - 1) / timer_divisor(lapic);
	return left > UINT32_MAX ? UINT32_MAX : left;
}

void lapic_timer_go_on(struct lapic *lapic, uint32_t left, uint64_t ago)
{
	bool periodic = timer_mode(lapic->lvt[LVT_TIMER]) == PERIODIC;
	uint64_t end = clock_now() + (uint64_t)left * timer_divisor(lapic);

	if (!left || timer_mode(lapic->lvt[LVT_TIMER]) == TSC_DEADLINE)
		return;
	timer_start(lapic, ago < end ? end - ago : 1, periodic ? whole(lapic, true) : 0);
}

void lapic_timer_divide(struct lapic *lapic, uint32_t value)
{
	uint32_t left = lapic_timer_current(lapic);

	lapic->divide = value;
	if (left)
		timer_start(lapic, clock_now() + (uint64_t)left * timer_divisor(lapic),
			atomic_load(&lapic->period) ? whole(lapic, true) : 0);
}

void lapic_timer_lvt(struct lapic *lapic, uint32_t old, uint32_t lvt)
{
	unsigned was = timer_mode(old), is = timer_mode(lvt);

	if (was == is)
		return;
	if (was == ONE_SHOT && is == PERIODIC) {
		if (lapic->initial)
			atomic_store(&lapic->period, whole(lapic, true));
		return;
	}
	if (was == PERIODIC && is == ONE_SHOT) {
		atomic_store(&lapic->period, 0);
		return;
	}
	lapic_timer_stop(lapic);
	lapic->initial = 0;
	lapic->tsc_deadline = 0;
}

uint64_t lapic_deadline_read(struct lapic *lapic)
{
	if (timer_mode(lapic->lvt[LVT_TIMER]) != TSC_DEADLINE || !atomic_load(&lapic->deadline))
		return 0;
	return lapic->tsc_deadline;
}

bool lapic_deadline_write(struct lapic *lapic, uint64_t value)
{
	uint64_t tsc, ns;

	if (timer_mode(lapic->lvt[LVT_TIMER]) != TSC_DEADLINE)
		return true;
	lapic->tsc_deadline = value;
	if (!value) {
		lapic_timer_stop(lapic);
		return true;
	}
	tsc = lapic->set->owner.tsc(lapic->set->ctx);
	if (value <= tsc) {
		lapic_timer_stop(lapic);
		timer_fire(lapic);
		return true;
	}
	/* A few years are enough for "never", and cannot overflow. */
	ns = (unsigned __int128)(value - tsc) * 1000000 / lapic->set->tsc_khz;
	if (value - tsc > UINT64_MAX / 1024 || ns > 1ull << 57)
		ns = 1ull << 57;
	timer_start(lapic, clock_now() + ns, 0);
	return true;
}
