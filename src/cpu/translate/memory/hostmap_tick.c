/* SPDX-License-Identifier: Apache-2.0 */
/* With each tick of the guest's clock: whether an address space has windows, or a mirror. Runs with the guest's vector state live. */
#include "cpu/translate/hot.h"
#include "cpu/translate/memory/hostmap_internal.h"
#include "cpu/translate/native/native.h"

#define CALM_FILLS 64u    /* TLB fills in a tick that still is calm */
#define CALM_TICKS 6u     /* of them in a row: up */
#define STORM_MISSES 240u /* misses in a tick that is a storm ... */
#define STORM_TICKS 3u    /* ... of which so many in a row: down */
#define FIRST_HOLD 16u    /* ticks that it stays there; twice as long each time */
#define LONGEST_HOLD 1024u

static void tick_down(struct vcpu *v, struct hostmap *w)
{
	w->storm_ticks = v->count.window_miss - w->misses > STORM_MISSES ? w->storm_ticks + 1 : 0;
	w->misses = v->count.window_miss;
	if (w->storm_ticks < STORM_TICKS || w->vm->pool.policy == HOSTMAP_ALWAYS)
		return;
	w->hold_ticks = FIRST_HOLD << w->backoff;
	if (w->hold_ticks < LONGEST_HOLD)
		w->backoff++;
	w->calm_ticks = 0;
	lock_take(&w->vm->pool.lock);
	hostmap_turn_off(w);
	lock_drop(&w->vm->pool.lock);
	v->count.window_down++;
}

bool hostmap_tick(struct vcpu *v)
{
	struct tlb *t = v->private_data->user;
	struct hostmap *w = t->hostmap;

	if (!w || w->vm->pool.policy == HOSTMAP_NEVER || !(v->cpu.efer & EFER_LMA))
		return false;
	if (!w->on && !w->hold_ticks)
		w->calm_ticks = t->fills - w->fills < CALM_FILLS ? w->calm_ticks + 1 : 0;
	if (!w->on && w->hold_ticks) {
		w->hold_ticks--;
	} else if (!native_tick(v, w) && w->on && !w->mirror) {
		tick_down(v, w);
	} else if (!w->on && w->calm_ticks >= CALM_TICKS) {
		hostmap_turn_on(w);
		w->misses = v->count.window_miss;
		v->count.window_up++;
	}
	w->fills = t->fills;
	return true;
}
