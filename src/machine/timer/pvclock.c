/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/timer/pvclock.h"

#include <pthread.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#include "base/thread.h"
#include "base/loop.h"
#include "machine/memory.h"
#include "state/state.h"

#define MSR_WALL_OLD 0x11u
#define MSR_TIME_OLD 0x12u
#define MSR_WALL 0x4b564d00u
#define MSR_TIME 0x4b564d01u
#define TIME_ENABLED 1u
#define FLAG_TSC_STABLE 1u
#define FLAG_GUEST_STOPPED 2u

#define PVCLOCK_VCPUS 64

struct pvclock {
	struct mutex lock;
	struct board *board;
	int64_t tsc_offset; /* guest TSC minus host TSC */
	uint64_t start;     /* CLOCK_MONOTONIC at the start, ns */
	uint64_t tsc, ns;   /* a guest TSC and the guest's time at that moment, for all vCPUs */
	uint64_t wall_msr;
	uint64_t time_msr[PVCLOCK_VCPUS];
	uint32_t version;
};

/* What the guest reads. version is odd while the rest changes. */
struct time_info {
	uint32_t version, pad0;
	uint64_t tsc, ns;
	uint32_t mul;
	int8_t shift;
	uint8_t flags, pad1[2];
} __attribute__((packed, aligned(4))); /* as the guest's address has to be */

struct wall_info {
	uint32_t version, sec, nsec;
};

void pvclock_scale(uint32_t tsc_khz, uint32_t *mul, int8_t *shift)
{
	/* As many bits as fit in mul: it is to lie between 2^31 and 2^32. */
	uint64_t ns = 1000000, ticks = tsc_khz ? tsc_khz : 1;
	int by = 0;

	while (ns >= ticks) {
		ticks *= 2;
		by++;
	}
	while (ns * 2 < ticks) {
		ns *= 2;
		by--;
	}
	*mul = (ns << 32) / ticks;
	*shift = by;
}

static bool write_time(struct pvclock *clock, uint64_t msr, uint8_t flags) REQUIRES(clock->lock)
{
	uint64_t gpa = msr & ~(uint64_t)TIME_ENABLED;
	struct time_info *to = memory_ptr(clock->board->memory, gpa, sizeof *to), info;

	if (!to || gpa % 4)
		return false;
	clock->version += 2;
	memset(&info, 0, sizeof info);
	info.tsc = clock->tsc;
	info.ns = clock->ns;
	pvclock_scale(clock->board->tsc_khz, &info.mul, &info.shift);
	/* All vCPUs are told the same pair, and TSCs that differ by nothing. */
	info.flags = FLAG_TSC_STABLE | flags;

	__atomic_exchange_n(&to->version, clock->version - 1, __ATOMIC_SEQ_CST);
	memcpy((char *)to + sizeof to->version, (char *)&info + sizeof info.version,
		sizeof info - sizeof info.version);
	__atomic_store_n(&to->version, clock->version, __ATOMIC_RELEASE);
	memory_written(clock->board->memory, gpa, sizeof *to);
	return true;
}

static bool write_wall(struct pvclock *clock, uint64_t gpa) REQUIRES(clock->lock)
{
	struct wall_info *to = memory_ptr(clock->board->memory, gpa, sizeof *to);
	struct timespec ts;
	uint64_t real;

	if (!to || gpa % 4)
		return false;
	clock_gettime(CLOCK_REALTIME, &ts);
	real = (uint64_t)ts.tv_sec * 1000000000u + ts.tv_nsec - (clock_now() - clock->start);
	clock->version += 2;
	__atomic_exchange_n(&to->version, clock->version - 1, __ATOMIC_SEQ_CST);
	to->sec = real / 1000000000u;
	to->nsec = real % 1000000000u;
	__atomic_store_n(&to->version, clock->version, __ATOMIC_RELEASE);
	memory_written(clock->board->memory, gpa, sizeof *to);
	return true;
}

/* The guest's time at a TSC of its, computed as the guest does. */
static uint64_t time_at(const struct pvclock *clock, uint64_t tsc) REQUIRES(clock->lock)
{
	uint64_t ticks = tsc - clock->tsc;
	uint32_t mul;
	int8_t shift;

	pvclock_scale(clock->board->tsc_khz, &mul, &shift);
	ticks = shift < 0 ? ticks >> -shift : ticks << shift;
	return clock->ns + (uint64_t)((unsigned __int128)ticks * mul >> 32);
}

/* Time starts anew from here for the guest's clocks, without a step back. */
static void go_on(struct pvclock *clock, uint64_t ns, struct state *s) REQUIRES(clock->lock)
{
	clock->version &= ~1u;
	clock->ns = ns + state_elapsed(s);
	clock->tsc = state_now(s)->tsc + clock->tsc_offset;
	clock->start = state_now(s)->monotonic - clock->ns;
	/* So that the guest does not take the time that has gone for a hanging processor. */
	for (unsigned i = 0; i < PVCLOCK_VCPUS; i++)
		if (clock->time_msr[i] & TIME_ENABLED)
			state_require(s, write_time(clock, clock->time_msr[i], FLAG_GUEST_STOPPED),
				"a clock outside of the guest's memory");
}

/* MSRs */

static bool pvclock_msr_read(void *ctx, unsigned vcpu, uint32_t msr, uint64_t *value)
{
	struct pvclock *clock = ctx;

	switch (msr) {
	case MSR_WALL:
	case MSR_WALL_OLD:
		*value = clock->wall_msr;
		return true;
	case MSR_TIME:
	case MSR_TIME_OLD:
		*value = clock->time_msr[vcpu];
		return true;
	}
	return false;
}

static bool pvclock_msr_write(void *ctx, unsigned vcpu, uint32_t msr, uint64_t value)
{
	struct pvclock *clock = ctx;
	bool ok = false;

	mutex_lock(&clock->lock);
	switch (msr) {
	case MSR_WALL:
	case MSR_WALL_OLD:
		ok = write_wall(clock, value);
		if (ok)
			clock->wall_msr = value;
		break;
	case MSR_TIME:
	case MSR_TIME_OLD:
		ok = !(value & TIME_ENABLED) || write_time(clock, value, 0);
		if (ok)
			clock->time_msr[vcpu] = value;
		break;
	}
	mutex_unlock(&clock->lock);
	return ok;
}

static const struct msr_ops pvclock_msrs = {.read = pvclock_msr_read, .write = pvclock_msr_write};

/* On the board */

/* Power-on: time starts at zero now. */
static void pvclock_power_on(void *device)
{
	struct pvclock *clock = device;

	mutex_lock(&clock->lock);
	clock->tsc_offset = clock->board->owner->tsc_offset(clock->board->ctx);
	clock->start = clock_now();
	clock->tsc = __rdtsc() + clock->tsc_offset;
	clock->ns = 0;
	clock->wall_msr = 0;
	memset(clock->time_msr, 0, sizeof clock->time_msr);
	mutex_unlock(&clock->lock);
}

/* Loading, the guest's TSC is right already; the pages in guest memory are written anew. */
static void pvclock_describe(void *device, struct state *s)
{
	struct pvclock *clock = device;
	uint64_t ns;

	mutex_lock(&clock->lock);
	ns = time_at(clock, state_now(s)->tsc + clock->tsc_offset);
	state_begin(s, "pvclock", 0, 1);
	state_u64(s, "time", &ns);
	state_u32(s, "version", &clock->version);
	state_u64(s, "wall_msr", &clock->wall_msr);
	state_u64s(s, "time_msr", clock->time_msr, PVCLOCK_VCPUS);
	if (state_loading(s) && state_ok(s)) {
		clock->tsc_offset = clock->board->owner->tsc_offset(clock->board->ctx);
		go_on(clock, ns, s);
	}
	state_end(s);
	mutex_unlock(&clock->lock);
}

static int pvclock_init(void *device, struct board *board, struct error *err)
{
	struct pvclock *clock = device;
	int r;

	mutex_init(&clock->lock);
	clock->board = board;
	r = msr_bus_map(&board->msrs, MSR_WALL_OLD, MSR_TIME_OLD, &pvclock_msrs, clock);
	if (!r)
		r = msr_bus_map(&board->msrs, MSR_WALL, MSR_TIME, &pvclock_msrs, clock);
	return r;
}

static void pvclock_destroy(void *device)
{
	struct pvclock *clock = device;

	mutex_destroy(&clock->lock);
}

const struct board_device pvclock_device = {
	.name = "paravirtual clock",
	.size = sizeof(struct pvclock),
	.init = pvclock_init,
	.power_on = pvclock_power_on,
	.destroy = pvclock_destroy,
	.describe = pvclock_describe,
};
