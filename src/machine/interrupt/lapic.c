/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/interrupt/lapic.h"

#include <string.h>

#include "machine/msr.h"
#include "state/state.h"

/* Register numbers: the xAPIC offset, or the MSR number, without its lowest 4 bits. */
enum {
	REG_ID = 0x02,
	REG_VERSION = 0x03,
	REG_TPR = 0x08,
	REG_APR = 0x09,
	REG_PPR = 0x0a,
	REG_EOI = 0x0b,
	REG_LDR = 0x0d,
	REG_DFR = 0x0e,
	REG_SVR = 0x0f,
	REG_ISR = 0x10,
	REG_TMR = 0x18,
	REG_IRR = 0x20,
	REG_ESR = 0x28,
	REG_ICR_LOW = 0x30,
	REG_ICR_HIGH = 0x31,
	REG_LVT = 0x32,
	REG_INITIAL = 0x38,
	REG_CURRENT = 0x39,
	REG_DIVIDE = 0x3e,
	REG_SELF_IPI = 0x3f,
};

#define VERSION (0x14u | (LVT_COUNT - 1) << 16)
#define SVR_ENABLE 0x100u
#define ESR_ILLEGAL_REGISTER 0x80u
#define MSR_APIC_BASE 0x1bu
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_X2APIC 0x800u

static const uint32_t lvt_writable[LVT_COUNT] = {
	[LVT_TIMER] = 0x700ff,
	[LVT_THERMAL] = 0x107ff,
	[LVT_PMC] = 0x107ff,
	[LVT_LINT0] = 0x1a7ff,
	[LVT_LINT1] = 0x1a7ff,
	[LVT_ERROR] = 0x100ff,
};

void lapic_reset(struct lapic *lapic, bool init)
{
	uint64_t base = LAPIC_BASE | APIC_BASE_ENABLE | (lapic->index ? 0 : APIC_BASE_BSP);

	lapic_timer_stop(lapic);
	for (unsigned i = 0; i < 8; i++) {
		atomic_store(&lapic->irr[i], 0);
		atomic_store(&lapic->tmr[i], 0);
		lapic->isr[i] = 0;
	}
	for (unsigned i = 0; i < LVT_COUNT; i++)
		lapic->lvt[i] = LVT_MASKED;
	if (!init) {
		lapic->base = base;
		lapic->id = lapic->index << 24;
	}
	lapic->ldr = 0;
	lapic->dfr = UINT32_MAX;
	lapic->svr = 0xff;
	lapic->esr = 0;
	lapic->esr_new = 0;
	lapic->tpr = lapic->ppr = 0;
	lapic->icr_high = lapic->icr_low = lapic->initial = lapic->divide = 0;
	lapic->tsc_deadline = 0;
	if (!init && !lapic->index) {
		/* As firmware leaves it: the 8259 reaches this processor (virtual wire mode). */
		lapic->svr = SVR_ENABLE | 0x0f;
		lapic->lvt[LVT_LINT0] = LAPIC_EXTINT << 8;
		lapic->lvt[LVT_LINT1] = LAPIC_NMI << 8;
	}
}

void lapic_set_init(struct lapic_set *set, struct lapic *apic, unsigned count, uint32_t tsc_khz,
	const struct lapic_owner *owner, void *ctx)
{
	*set = (struct lapic_set){.owner = *owner,
		.ctx = ctx,
		.count = count,
		.tsc_khz = tsc_khz,
		.apic = apic};
	for (unsigned i = 0; i < count; i++) {
		memset(&apic[i], 0, sizeof apic[i]);
		apic[i].set = set;
		apic[i].index = i;
		lapic_reset(&apic[i], false);
	}
}

static bool x2(struct lapic *lapic)
{
	return lapic->base & APIC_BASE_X2;
}

bool lapic_enabled(struct lapic *lapic)
{
	return (lapic->base & APIC_BASE_ENABLE) && (lapic->svr & SVR_ENABLE);
}

/* Priorities */

static int highest_vector(const uint32_t bits[8])
{
	for (int i = 7; i >= 0; i--)
		if (bits[i])
			return i * 32 + 31 - __builtin_clz(bits[i]);
	return -1;
}

static int highest_irr(struct lapic *lapic)
{
	for (int i = 7; i >= 0; i--) {
		uint32_t bits = atomic_load_explicit(&lapic->irr[i], memory_order_acquire);

		if (bits)
			return i * 32 + 31 - __builtin_clz(bits);
	}
	return -1;
}

static void update_ppr(struct lapic *lapic)
{
	int isr = highest_vector(lapic->isr);
	uint32_t class = isr < 0 ? 0 : isr & 0xf0;

	lapic->ppr = (lapic->tpr & 0xf0) >= class ? lapic->tpr : class;
}

static bool extint_open(struct lapic *lapic)
{
	uint32_t lvt = lapic->lvt[LVT_LINT0];

	if (lapic->index)
		return false;
	/* With the APIC off, its pin is the processor's INTR. */
	if (!(lapic->base & APIC_BASE_ENABLE))
		return true;
	return !(lvt & LVT_MASKED) && (lvt >> 8 & 7) == LAPIC_EXTINT;
}

int lapic_pending(struct lapic *lapic)
{
	int vector = highest_irr(lapic);

	if (vector >= 0 && (vector & 0xf0) > (lapic->ppr & 0xf0) && lapic_enabled(lapic))
		return vector;
	if (extint_open(lapic) && lapic->set->owner.extint_pending)
		return lapic->set->owner.extint_pending(lapic->set->ctx);
	return -1;
}

int lapic_ack(struct lapic *lapic)
{
	int vector = highest_irr(lapic);

	if (vector >= 0 && (vector & 0xf0) > (lapic->ppr & 0xf0) && lapic_enabled(lapic)) {
		atomic_fetch_and(&lapic->irr[vector / 32], ~(1u << vector % 32));
		lapic->isr[vector / 32] |= 1u << vector % 32;
		update_ppr(lapic);
		/* Only this thread writes it; others may look. */
		atomic_store_explicit(&lapic->delivered,
			atomic_load_explicit(&lapic->delivered, memory_order_relaxed) + 1,
			memory_order_relaxed);
		return vector;
	}
	if (extint_open(lapic) && lapic->set->owner.extint_ack)
		return lapic->set->owner.extint_ack(lapic->set->ctx);
	return -1;
}

/* The priority fell: what was held back may be deliverable. */
static void recheck_pending(struct lapic *lapic)
{
	if (lapic_pending(lapic) >= 0)
		lapic->set->owner.kick(lapic->set->ctx, lapic->index);
}

static void end_of_interrupt(struct lapic *lapic)
{
	int vector = highest_vector(lapic->isr);

	if (vector < 0)
		return;
	lapic->isr[vector / 32] &= ~(1u << vector % 32);
	update_ppr(lapic);
	if (lapic->tmr[vector / 32] >> vector % 32 & 1)
		lapic->set->owner.eoi(lapic->set->ctx, vector);
	recheck_pending(lapic);
}

static void tpr_set(struct lapic *lapic, uint32_t value)
{
	lapic->tpr = value & 0xff;
	update_ppr(lapic);
	recheck_pending(lapic);
}

uint64_t lapic_cr8_read(struct lapic *lapic)
{
	return lapic->tpr >> 4;
}

void lapic_cr8_write(struct lapic *lapic, uint64_t value)
{
	tpr_set(lapic, (value & 15) << 4);
}

/* Registers, the same for both modes but for what their callers look at first. */

static uint32_t reg_read(struct lapic *lapic, unsigned reg)
{
	switch (reg) {
	case REG_ID:
		return x2(lapic) ? lapic->index : lapic->id;
	case REG_VERSION:
		return VERSION;
	case REG_TPR:
		return lapic->tpr;
	case REG_PPR:
		return lapic->ppr;
	case REG_LDR:
		if (x2(lapic))
			return lapic->index >> 4 << 16 | 1u << (lapic->index & 15);
		return lapic->ldr;
	case REG_DFR:
		return lapic->dfr;
	case REG_SVR:
		return lapic->svr;
	case REG_ISR ... REG_ISR + 7:
		return lapic->isr[reg - REG_ISR];
	case REG_TMR ... REG_TMR + 7:
		return lapic->tmr[reg - REG_TMR];
	case REG_IRR ... REG_IRR + 7:
		return lapic->irr[reg - REG_IRR];
	case REG_ESR:
		return lapic->esr;
	case REG_ICR_LOW:
		return lapic->icr_low;
	case REG_ICR_HIGH:
		return lapic->icr_high;
	case REG_LVT ... REG_LVT + LVT_COUNT - 1:
		return lapic->lvt[reg - REG_LVT];
	case REG_INITIAL:
		return lapic->initial;
	case REG_CURRENT:
		return lapic_timer_current(lapic);
	case REG_DIVIDE:
		return lapic->divide;
	}
	return 0;
}

static void lvt_set(struct lapic *lapic, unsigned which, uint32_t value)
{
	uint32_t old = lapic->lvt[which];

	value &= lvt_writable[which];
	if (!(lapic->svr & SVR_ENABLE))
		value |= LVT_MASKED;
	lapic->lvt[which] = value;
	if (which == LVT_TIMER)
		lapic_timer_lvt(lapic, old, value);
	if (which == LVT_LINT0)
		recheck_pending(lapic);
}

static void svr_set(struct lapic *lapic, uint32_t value)
{
	lapic->svr = value & 0x1ff;
	if (!(value & SVR_ENABLE))
		for (unsigned i = 0; i < LVT_COUNT; i++)
			lapic->lvt[i] |= LVT_MASKED;
	recheck_pending(lapic);
}

static void reg_write(struct lapic *lapic, unsigned reg, uint32_t value)
{
	switch (reg) {
	case REG_TPR:
		tpr_set(lapic, value);
		break;
	case REG_EOI:
		end_of_interrupt(lapic);
		break;
	case REG_SVR:
		svr_set(lapic, value);
		break;
	case REG_ESR:
		lapic->esr = atomic_exchange(&lapic->esr_new, 0);
		break;
	case REG_LVT ... REG_LVT + LVT_COUNT - 1:
		lvt_set(lapic, reg - REG_LVT, value);
		break;
	case REG_INITIAL:
		lapic_timer_initial(lapic, value);
		break;
	case REG_DIVIDE:
		lapic_timer_divide(lapic, value & 0xb);
		break;
	}
}

static bool reg_exists(unsigned reg)
{
	switch (reg) {
	case REG_ID:
	case REG_VERSION:
	case REG_TPR ... REG_EOI:
	case REG_LDR ... REG_ESR:
	case REG_ICR_LOW ... REG_CURRENT:
	case REG_DIVIDE:
		return true;
	}
	return false;
}

void lapic_page_get(struct lapic *lapic, uint32_t page[LAPIC_PAGE])
{
	uint32_t left = lapic_timer_left(lapic);

	for (unsigned reg = 0; reg < LAPIC_PAGE; reg++)
		page[reg] = reg_exists(reg) ? reg_read(lapic, reg) : 0;
	page[REG_CURRENT] = left;
}

/* A mode that there is, and no reserved bit (SDM 3A figure 11-5). */
static bool base_possible(uint64_t base)
{
	uint32_t mode = APIC_BASE_ENABLE | APIC_BASE_X2;

	return !(base & (LAPIC_SIZE - 1) & ~(mode | APIC_BASE_BSP)) && !(base >> 52) &&
		(base & mode) != APIC_BASE_X2;
}

bool lapic_page_set(struct lapic *lapic, const uint32_t page[LAPIC_PAGE], uint64_t base,
	uint64_t tsc_deadline, uint64_t ago)
{
	if (!base_possible(base))
		return false;
	lapic_timer_stop(lapic);
	lapic->base = base;
	if (!x2(lapic)) {
		lapic->id = page[REG_ID] & 0xff000000;
		lapic->ldr = page[REG_LDR] & 0xff000000;
		lapic->dfr = page[REG_DFR] | 0x0fffffff;
	}
	for (unsigned i = 0; i < 8; i++) {
		uint32_t valid = i ? UINT32_MAX : 0xffff0000; /* vectors 0 to 15 are none */

		lapic->isr[i] = page[REG_ISR + i] & valid;
		lapic->tmr[i] = page[REG_TMR + i] & valid;
		lapic->irr[i] = page[REG_IRR + i] & valid;
	}
	for (unsigned i = 0; i < LVT_COUNT; i++)
		lapic->lvt[i] = page[REG_LVT + i] & (lvt_writable[i] | LVT_MASKED);
	lapic->svr = page[REG_SVR] & 0x1ff;
	lapic->esr = page[REG_ESR];
	lapic->icr_low = page[REG_ICR_LOW];
	lapic->icr_high = page[REG_ICR_HIGH];
	lapic->initial = page[REG_INITIAL];
	lapic->divide = page[REG_DIVIDE] & 0xb;
	lapic->tpr = page[REG_TPR] & 0xff;
	update_ppr(lapic);
	lapic_timer_go_on(lapic, page[REG_CURRENT], ago);
	if (tsc_deadline)
		lapic_deadline_write(lapic, tsc_deadline);
	return true;
}

void lapic_describe(struct lapic *lapic, struct state *s)
{
	uint64_t base = lapic->base, deadline = lapic_deadline_read(lapic);
	uint32_t page[LAPIC_PAGE] = {0}, errors = lapic->esr_new;

	if (!state_loading(s))
		lapic_page_get(lapic, page);
	state_begin(s, "lapic", lapic->index, 1);
	state_u64(s, "apic_base", &base);
	state_u32s(s, "page", page, LAPIC_PAGE);
	state_u64(s, "tsc_deadline", &deadline);
	state_u32(s, "esr_next", &errors);
	if (state_loading(s) && state_ok(s)) {
		lapic->esr_new = errors;
		state_require(s, lapic_page_set(lapic, page, base, deadline, state_elapsed(s)),
			"an unknown mode");
	}
	state_end(s);
}

/* Registers are 32 bits at multiples of 16; other accesses are undefined (SDM 3A 11.4.1). */
uint64_t lapic_mmio_read(struct lapic *lapic, uint64_t offset, unsigned size)
{
	unsigned reg = offset >> 4 & 0xff, shift = 8 * (offset & 15);
	uint64_t value;

	if (!(lapic->base & APIC_BASE_ENABLE) || x2(lapic))
		return UINT64_MAX;
	if (!reg_exists(reg)) {
		lapic_error(lapic, ESR_ILLEGAL_REGISTER);
		return 0;
	}
	value = reg_read(lapic, reg);
	return shift < 32 ? value >> shift : 0;
}

void lapic_mmio_write(struct lapic *lapic, uint64_t offset, unsigned size, uint64_t value)
{
	unsigned reg = offset >> 4 & 0xff;

	if (!(lapic->base & APIC_BASE_ENABLE) || x2(lapic) || (offset & 15) || size < 4)
		return;
	switch (reg) {
	case REG_ID:
		lapic->id = value & 0xff000000;
		break;
	case REG_LDR:
		lapic->ldr = value & 0xff000000;
		break;
	case REG_DFR:
		lapic->dfr = value | 0x0fffffff;
		break;
	case REG_ICR_HIGH:
		lapic->icr_high = value & 0xff000000;
		break;
	case REG_ICR_LOW:
		lapic->icr_low = value & 0xccfff;
		lapic_icr_write(lapic, (uint64_t)lapic->icr_high << 32 | lapic->icr_low, false);
		break;
	default:
		if (reg_exists(reg))
			reg_write(lapic, reg, value);
		else
			lapic_error(lapic, ESR_ILLEGAL_REGISTER);
	}
}

/*
 * IA32_APIC_BASE: the modes of SDM 3A figure 11-27; the page goes where it is told to (11.4.5). The engine
 * reaches RAM without asking, so that a page over it could not be found: that is #GP.
 */
static bool base_write(struct lapic *lapic, uint64_t value)
{
	uint64_t old = lapic->base, mode = APIC_BASE_ENABLE | APIC_BASE_X2;
	uint64_t page = value & ~(LAPIC_SIZE - 1ull);

	if (!base_possible(value))
		return false;
	if (page != lapic_page(lapic) && !lapic->set->owner.page_fits(lapic->set->ctx, page))
		return false;
	if ((old & mode) == mode && (value & mode) == APIC_BASE_ENABLE)
		return false;
	if (!(old & APIC_BASE_ENABLE) && (value & mode) == mode)
		return false;
	if ((old & mode) && !(value & mode))
		lapic_reset(lapic, true);
	if (!(old & APIC_BASE_ENABLE) && (value & APIC_BASE_ENABLE))
		lapic->id = lapic->index << 24;
	lapic->base = value;
	return true;
}

static bool x2_read(struct lapic *lapic, unsigned reg, uint64_t *value)
{
	if (!reg_exists(reg) || reg == REG_EOI || reg == REG_APR || reg == REG_DFR ||
		reg == REG_ICR_HIGH)
		return false;
	*value = reg_read(lapic, reg);
	if (reg == REG_ICR_LOW)
		*value |= (uint64_t)lapic->icr_high << 32;
	return true;
}

static bool x2_write(struct lapic *lapic, unsigned reg, uint64_t value)
{
	if (reg == REG_ICR_LOW) {
		if (value & 0xfff33000)
			return false;
		lapic->icr_low = value;
		lapic->icr_high = value >> 32;
		lapic_icr_write(lapic, value, true);
		return true;
	}
	if (value >> 32)
		return false;
	switch (reg) {
	case REG_SELF_IPI:
		if (value > 0xff)
			return false;
		lapic_icr_write(lapic, 0x40000 | value, true);
		return true;
	case REG_EOI:
	case REG_ESR:
		if (value)
			return false;
		break;
	case REG_TPR:
		if (value > 0xff)
			return false;
		break;
	case REG_SVR:
		if (value & ~0x1fffull)
			return false;
		break;
	case REG_LVT ... REG_LVT + LVT_COUNT - 1:
		/* Delivery status and remote IRR are read-only, but may be written back. */
		if (value & ~(uint64_t)(lvt_writable[reg - REG_LVT] | 0x5000))
			return false;
		break;
	case REG_INITIAL:
		break;
	case REG_DIVIDE:
		if (value & ~0xbull)
			return false;
		break;
	default:
		return false;
	}
	reg_write(lapic, reg, value);
	return true;
}

bool lapic_msr_read(struct lapic *lapic, uint32_t msr, uint64_t *value)
{
	switch (msr) {
	case MSR_APIC_BASE:
		*value = lapic->base;
		return true;
	case MSR_TSC_DEADLINE:
		*value = lapic_deadline_read(lapic);
		return true;
	case MSR_X2APIC ... MSR_X2APIC + 0xff:
		return x2(lapic) && x2_read(lapic, msr - MSR_X2APIC, value);
	}
	return false;
}

bool lapic_msr_write(struct lapic *lapic, uint32_t msr, uint64_t value)
{
	switch (msr) {
	case MSR_APIC_BASE:
		return base_write(lapic, value);
	case MSR_TSC_DEADLINE:
		return lapic_deadline_write(lapic, value);
	case MSR_X2APIC ... MSR_X2APIC + 0xff:
		return x2(lapic) && x2_write(lapic, msr - MSR_X2APIC, value);
	}
	return false;
}

static bool set_msr_read(void *ctx, unsigned vcpu, uint32_t msr, uint64_t *value)
{
	struct lapic_set *set = ctx;

	return lapic_msr_read(&set->apic[vcpu], msr, value);
}

static bool set_msr_write(void *ctx, unsigned vcpu, uint32_t msr, uint64_t value)
{
	struct lapic_set *set = ctx;

	return lapic_msr_write(&set->apic[vcpu], msr, value);
}

int lapic_set_map(struct lapic_set *set, struct msr_bus *msrs)
{
	static const struct msr_ops ops = {.read = set_msr_read, .write = set_msr_write};
	int r = msr_bus_map(msrs, MSR_APIC_BASE, MSR_APIC_BASE, &ops, set);

	if (!r)
		r = msr_bus_map(msrs, MSR_TSC_DEADLINE, MSR_TSC_DEADLINE, &ops, set);
	if (!r)
		r = msr_bus_map(msrs, MSR_X2APIC, MSR_X2APIC + 0xff, &ops, set);
	return r;
}
