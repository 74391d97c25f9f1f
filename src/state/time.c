/* SPDX-License-Identifier: Apache-2.0 */
/* The moment that all times of a state are told from. */
#include <time.h>
#include <x86intrin.h>

#include "state/internal.h"

#define NS 1000000000u

static uint64_t read_clock(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * NS + t.tv_nsec;
}

void state_clock(struct state *s)
{
	struct state_moment now = {
		.real = read_clock(CLOCK_REALTIME),
		.monotonic = read_clock(CLOCK_MONOTONIC),
		.tsc = __rdtsc(),
	};
	uint64_t real = now.real;

	state_begin(s, "clock", 0, 1);
	state_u64(s, "realtime", &real);
	state_end(s);
	/* A time of day that went back, here or on another host, counts as no time. */
	s->elapsed = now.real > real ? now.real - real : 0;
	s->moment = now;
}

uint64_t state_elapsed(const struct state *s)
{
	return s->elapsed;
}

const struct state_moment *state_now(const struct state *s)
{
	return &s->moment;
}

void state_time(struct state *s, const char *name, uint64_t *time)
{
	/* In the stream: after the moment, ns; the smallest number says that there is none. */
	int64_t after = *time ? (int64_t)(*time - s->moment.monotonic) : INT64_MIN;
	__int128 here;

	state_i64(s, name, &after);
	if (!s->loading || s->rc)
		return;
	if (after == INT64_MIN) {
		*time = 0;
		return;
	}
	here = (__int128)s->moment.monotonic - s->elapsed + after;
	*time = here < 1 ? 1 : here > INT64_MAX ? INT64_MAX : (uint64_t)here;
}
