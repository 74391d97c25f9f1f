/* SPDX-License-Identifier: Apache-2.0 */
/* Which address spaces run natively. Runs with the guest's vector state live: no libc. */
#include <sys/syscall.h>
#include <time.h>

#include "cpu/translate/hot.h"
#include "cpu/translate/memory/hostmap_internal.h"
#include "cpu/translate/memory/walk.h"
#include "cpu/translate/native/mirror.h"
#include "cpu/translate/native/native.h"

/* Linux's own, for a guest's users as for ours: what runs in a mirror sees the host's. */
#define USER_CS 0x33u
#define USER_SS 0x2bu

static bool data_alike(const struct cpu_state *s, unsigned seg)
{
	return !s->seg[seg].selector || s->seg[seg].selector == USER_SS;
}

/* Is the processor as a mirror's is, as far as a program can tell? */
static bool alike(const struct vcpu *v)
{
	const struct cpu_state *s = &v->cpu;

	return s->seg[SEG_CS].selector == USER_CS && s->seg[SEG_SS].selector == USER_SS &&
		data_alike(s, SEG_DS) && data_alike(s, SEG_ES) && data_alike(s, SEG_FS) &&
		data_alike(s, SEG_GS) && !(s->rflags & (FL_TF | FL_AC)) &&
		!(s->cr0 & (CR0_EM | CR0_TS)) && !(s->dr7 & 0xff) && s->cr4 & CR4_OSFXSR &&
		s->cr4 & CR4_OSXSAVE && s->xcr0 == vcpu_cpuid(v)->xcr0 && !v->debug.step &&
		!v->debug.breakpoints;
}

bool native_runs(const struct hostmap *w)
{
	return native_on(w) && !w->pause_ticks;
}

/* What lies where the stub is would be out of the program's sight. */
static bool stub_is_free(const struct vcpu *v, const struct mirror *m)
{
	struct walk w;
	uint32_t error;

	for (uint64_t at = m->base; at < m->base + STUB_SIZE; at += 4096)
		if (!walk(v->vm, &v->cpu, at, (struct walk_access){.peek = true}, &w, &error))
			return false;
	return true;
}

static struct mirror *take(const struct vcpu *v)
{
	struct native_pool *pool = &v->vm->native;

	for (unsigned i = 0; i < pool->mirrors; i++)
		if (!pool->used[i] && !pool->mirror[i].dead && stub_is_free(v, &pool->mirror[i])) {
			pool->used[i] = true;
			return &pool->mirror[i];
		}
	return NULL;
}

/* The one of this vCPU's address spaces that has been left the longest has to go without. */
static bool native_steal(struct vcpu *v, const struct hostmap *w)
{
	struct translate_vcpu *p = v->private_data;
	struct tlb *oldest = NULL;

	for (unsigned i = CTX_USER_FIRST; i < CTX_COUNT; i++) {
		struct tlb *t = &p->context[i];

		if (t->hostmap != w && native_on(t->hostmap) && (!oldest || t->used < oldest->used))
			oldest = t;
	}
	if (oldest)
		native_release(oldest->hostmap);
	return oldest;
}

/*
 * Processor time that a thread or a process has used, in microseconds. It is not the TSC that judges: on a host that is
 * busy with others, that would make trips look rare.
 */
static uint64_t used_us(clockid_t clock)
{
	struct timespec t = {0};
	long result;

	asm volatile("syscall"
		     : "=a"(result)
		     : "a"((long)SYS_clock_gettime), "D"((long)clock), "S"(&t)
		     : "rcx", "r11", "memory");
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static bool move_up(struct vcpu *v, struct hostmap *w)
{
	struct mirror *m;

	if (!alike(v))
		return false;
	lock_take(&w->vm->pool.lock);
	m = take(v);
	if (!m && native_steal(v, w))
		m = take(v);
	if (m) {
		hostmap_empty(w);
		hostmap_forget_slots(w);
		hostmap_turn_on(w);
		w->mirror = m;
		w->wipe = true;
		w->quiet_ticks = w->away_ticks = w->weight = 0;
		w->pause_ticks = w->pauses = w->steady_ticks = 0;
		w->debt = 0;
		w->ran = used_us(MIRROR_CLOCK(m->pid));
	}
	lock_drop(&w->vm->pool.lock);
	if (!m)
		return false;
	v->count.native_up++;
	return true;
}

/* Can the code at linear run there, as far as is known? */
static bool may_run_at(struct hostmap *w, uint64_t linear)
{
	struct chunk *c = chunk_find(w, linear);
	uint32_t entry = !c ? 0 : c->whole ? c->whole : c->page[linear >> 12 & (CHUNK_PAGES - 1)];

	return !entry || entry & ENTRY_EXEC;
}

bool native_wanted(struct vcpu *v)
{
	const struct translate_vcpu *p = v->private_data;
	struct hostmap *w = p->user->hostmap;

	if (v->cpu.cpl != 3 || !w || !w->on)
		return false;
	if (w->vm->native.always && !w->mirror)
		move_up(v, w);
	if (!native_runs(w) || p->native_away || !(p->mode & MODE_USER) ||
		(p->mode & MODE_BITS) != MODE_64 || p->mode & MODE_STEP || v->cpu.sti_shadow ||
		p->split_lock || !alike(v))
		return false;
	return may_run_at(w, v->cpu.rip);
}

/* --- up and down ---------------------------------------------------------------------------------- */

/*
 * What a program gains natively is about half of its time. So it moves up if ways to the kernel and back, which
 * translated code has for nothing, would take a quarter of the processor's time at most. Natively they are paid from
 * what the program itself has used. Who owes much, as while it comes by its memory, pauses: it goes on translated for
 * some ticks, and what the mirror has stays. Only if longer and longer pauses do not help, it moves down.
 */
#define TRIP_US 20u /* with what of it counts as the program's own time */
#define GAIN_UP 4u
#define QUIET_TICKS 3u  /* in a row: up; what ends sooner would not gain what its pages cost ... */
#define FILLS_TICK 64u  /* ... and one more for so many TLB fills so far, ... */
#define MOST_TICKS 25u  /* ... but that many at most */
#define ROUND 256u      /* weight of trips that are judged together: 64 calls */
#define DEBT_US 1500u   /* a pause: of a tick, and twice as long each time */
#define MOST_PAUSES 5u  /* then: down */
#define STEADY_TICKS 8u /* without: the next is half as long again */
#define AWAY_TICKS 3u   /* in a row that translated code ran: down */
#define FIRST_HOLD 16u  /* ticks that it stays there; twice as long each time */
#define LONGEST_BACKOFF 6u

static void move_down(struct vcpu *v, struct hostmap *w)
{
	w->native_hold = FIRST_HOLD << w->native_backoff;
	w->native_backoff += w->native_backoff < LONGEST_BACKOFF;
	lock_take(&w->vm->pool.lock);
	native_release(w);
	lock_drop(&w->vm->pool.lock);
	w->misses = v->count.window_miss;
	v->count.native_down++;
}

/*
 * The program is at code that is not to run natively. If some of it has been translated by now, a copy of the page
 * may do (native_patch()): it is asked for again.
 */
static void ask_again(const struct vcpu *v, struct hostmap *w)
{
	if (v->cpu.cpl == 3 && !may_run_at(w, v->cpu.rip))
		hostmap_clear_page(w, v->cpu.rip);
}

/* Of a space with a mirror. True: it has moved down. */
static bool tick_native(struct vcpu *v, struct hostmap *w)
{
	if (w->pause_ticks) {
		w->pause_ticks--;
		return false;
	}
	if (++w->steady_ticks % STEADY_TICKS == 0 && w->pauses)
		w->pauses--;
	/* what cannot run natively is better off with windows */
	w->away_ticks = v->private_data->native_last ? 0 : w->away_ticks + 1;
	v->count.native_tick += v->private_data->native_last;
	v->count.native_away_tick += !v->private_data->native_last;
	if (w->away_ticks < AWAY_TICKS && stub_is_free(v, w->mirror)) {
		ask_again(v, w);
		return false;
	}
	move_down(v, w);
	return true;
}

/* What it has touched so far has to come again: who has many pages proves first that it is in no hurry for more. */
static unsigned pages_ticks(const struct vcpu *v, struct hostmap *w)
{
	uint64_t fills = v->private_data->user->fills, ticks;

	if (!w->known)
		w->first_fills = fills;
	w->known = true;
	ticks = (fills - w->first_fills) / FILLS_TICK;
	return (unsigned)(ticks < MOST_TICKS - QUIET_TICKS ? ticks : MOST_TICKS - QUIET_TICKS);
}

bool native_tick(struct vcpu *v, struct hostmap *w)
{
	uint64_t entries, now;
	bool quiet;

	if (!w->vm->native.mirrors)
		return false;
	if (w->mirror)
		return tick_native(v, w);
	entries = v->count.user_entry - w->entries;
	now = used_us(CLOCK_THREAD_CPUTIME_ID);
	quiet = entries * TRIP_US * GAIN_UP <= now - w->looked;
	w->entries += entries;
	w->looked = now;
	if (w->native_hold) {
		w->native_hold--;
		return false;
	}
	w->quiet_ticks = quiet ? w->quiet_ticks + 1 : 0;
	if (!w->vm->native.always &&
		(w->quiet_ticks < QUIET_TICKS + pages_ticks(v, w) ||
			(!w->on && w->calm_ticks < QUIET_TICKS)))
		return false;
	return move_up(v, w);
}

bool native_weigh(struct vcpu *v, unsigned weight)
{
	struct hostmap *w = v->private_data->user->hostmap;
	uint64_t now, paid;

	w->weight += weight;
	if (!w->mirror || w->weight < ROUND)
		return false;
	now = used_us(MIRROR_CLOCK(w->mirror->pid));
	paid = now - w->ran;
	w->debt += ROUND / NATIVE_CALL_WEIGHT * TRIP_US;
	w->debt -= w->debt < paid ? w->debt : paid;
	w->ran = now;
	w->weight = 0;
	if (w->debt < DEBT_US || w->vm->native.always)
		return false;
	v->count.native_busy++;
	w->debt = 0;
	w->steady_ticks = 0;
	if (w->pauses == MOST_PAUSES)
		move_down(v, w);
	else
		w->pause_ticks = 1u << w->pauses++;
	return true;
}
