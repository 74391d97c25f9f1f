/* SPDX-License-Identifier: Apache-2.0 */
/* How interrupt messages find the APICs that they are for (SDM 3A 11.6). */
#include "machine/interrupt/lapic.h"

#define ESR_SEND_ILLEGAL 0x20u
#define ESR_RECEIVE_ILLEGAL 0x40u
#define ICR_LOGICAL 0x800u
#define ICR_ASSERT 0x4000u
#define ICR_LEVEL 0x8000u

void lapic_error(struct lapic *lapic, uint32_t bit)
{
	uint32_t lvt = lapic->lvt[LVT_ERROR], old = atomic_fetch_or(&lapic->esr_new, bit);

	if (!(old & bit) && !(lvt & LVT_MASKED) && (lvt & 0xff) >= 16)
		lapic_raise(lapic, lvt & 0xff, false);
}

void lapic_raise(struct lapic *lapic, uint8_t vector, bool level)
{
	uint32_t bit = 1u << vector % 32;

	if (!lapic_enabled(lapic))
		return;
	if (vector < 16) {
		lapic_error(lapic, ESR_RECEIVE_ILLEGAL);
		return;
	}
	if (level)
		atomic_fetch_or(&lapic->tmr[vector / 32], bit);
	else if (lapic->tmr[vector / 32] & bit)
		atomic_fetch_and(&lapic->tmr[vector / 32], ~bit);
	/* Whoever set the bit first has kicked. */
	if (!(atomic_fetch_or(&lapic->irr[vector / 32], bit) & bit))
		lapic->set->owner.kick(lapic->set->ctx, lapic->index);
}

/* x2 destinations are 32 bits wide, others 8 (SDM 3A 11.6.2). */
static bool matches_dest(struct lapic *lapic, uint32_t dest, bool logical, bool wide)
{
	uint32_t ldr;

	if (!(lapic->base & APIC_BASE_ENABLE))
		return false;
	if (dest == (wide ? LAPIC_ALL : 0xff))
		return true;
	if (lapic->base & APIC_BASE_X2) {
		if (!logical)
			return dest == lapic->index;
		return dest >> 16 == lapic->index >> 4 && (dest >> (lapic->index & 15) & 1);
	}
	if (!logical)
		return dest == lapic->id >> 24;
	ldr = lapic->ldr >> 24;
	if (lapic->dfr >> 28 == 0xf)
		return ldr & dest;
	return ldr >> 4 == dest >> 4 && (ldr & dest & 15);
}

static void accept_ipi(struct lapic *lapic, unsigned mode, uint8_t vector, bool level)
{
	const struct lapic_owner *owner = &lapic->set->owner;
	void *ctx = lapic->set->ctx;

	switch (mode) {
	case LAPIC_FIXED:
	case LAPIC_LOWEST:
		lapic_raise(lapic, vector, level);
		break;
	case LAPIC_NMI:
		owner->nmi(ctx, lapic->index);
		break;
	case LAPIC_INIT:
		owner->init(ctx, lapic->index);
		break;
	case LAPIC_SIPI:
		owner->sipi(ctx, lapic->index, vector);
		break;
	case LAPIC_EXTINT:
		owner->kick(ctx, lapic->index);
		break;
	}
}

static void deliver_to(struct lapic_set *set, uint32_t dest, bool logical, bool wide, unsigned mode,
	uint8_t vector, bool level)
{
	unsigned found = 0, pick;

	if (mode != LAPIC_LOWEST) {
		for (unsigned i = 0; i < set->count; i++)
			if (matches_dest(&set->apic[i], dest, logical, wide))
				accept_ipi(&set->apic[i], mode, vector, level);
		return;
	}
	/* Any one of them may be chosen; the vector chooses, so that a source stays where it is. */
	for (unsigned i = 0; i < set->count; i++)
		found += matches_dest(&set->apic[i], dest, logical, wide) &&
			lapic_enabled(&set->apic[i]);
	pick = found ? vector % found : 0;
	for (unsigned i = 0; found && i < set->count; i++) {
		if (!matches_dest(&set->apic[i], dest, logical, wide) ||
			!lapic_enabled(&set->apic[i]))
			continue;
		if (!pick--) {
			accept_ipi(&set->apic[i], mode, vector, level);
			return;
		}
	}
}

void lapic_deliver(struct lapic_set *set, uint32_t dest, bool logical, unsigned mode,
	uint8_t vector, bool level)
{
	deliver_to(set, dest & 0xff, logical, false, mode, vector, level);
}

void lapic_icr_write(struct lapic *lapic, uint64_t icr, bool x2)
{
	struct lapic_set *set = lapic->set;
	unsigned mode = icr >> 8 & 7, shorthand = icr >> 18 & 3;
	uint8_t vector = icr;
	uint32_t dest = x2 ? icr >> 32 : icr >> 56;

	/* INIT level de-assert: only old APICs' arbitration ids care. */
	if (mode == LAPIC_INIT && (icr & ICR_LEVEL) && !(icr & ICR_ASSERT))
		return;
	if ((mode == LAPIC_FIXED || mode == LAPIC_LOWEST) && vector < 16) {
		lapic_error(lapic, ESR_SEND_ILLEGAL);
		return;
	}
	switch (shorthand) {
	case 0:
		deliver_to(set, dest, icr & ICR_LOGICAL, x2, mode, vector, false);
		break;
	case 1:
		if (mode == LAPIC_FIXED || mode == LAPIC_NMI)
			accept_ipi(lapic, mode, vector, false);
		break;
	default:
		for (unsigned i = 0; i < set->count; i++)
			if (&set->apic[i] != lapic ||
				(shorthand == 2 && (mode == LAPIC_FIXED || mode == LAPIC_NMI)))
				accept_ipi(&set->apic[i], mode, vector, false);
	}
}
