/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local APICs, one a vCPU, as xAPIC (memory) and x2APIC (MSRs); Intel SDM
 * 3A chapter 11. They share a struct lapic_set, through which interrupts are
 * addressed.
 *
 * Threads: an APIC's registers are touched by its own vCPU's thread only. What
 * others do to it goes through IRR and TMR, which are atomic: delivering an
 * interrupt takes no lock and no system call but the machine's kick. Addresses
 * (id, LDR, DFR, mode) are atomic since others compare with them.
 *
 * The timer counts at 1 GHz before its divider. It is kept as a deadline in
 * CLOCK_MONOTONIC nanoseconds; whoever sees first that it has come (the event
 * loop, or the vCPU's thread while halted) delivers it, once.
 */
#ifndef DACH_MACHINE_INTERRUPT_LAPIC_H
#define DACH_MACHINE_INTERRUPT_LAPIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LAPIC_BASE 0xfee00000ull
#define LAPIC_SIZE 0x1000u
#define LAPIC_ALL UINT32_MAX

#define APIC_BASE_BSP 0x100u
#define APIC_BASE_X2 0x400u
#define APIC_BASE_ENABLE 0x800u

/* Delivery modes (SDM 3A 11.6.1) */
enum { LAPIC_FIXED, LAPIC_LOWEST, LAPIC_SMI, LAPIC_NMI = 4, LAPIC_INIT, LAPIC_SIPI, LAPIC_EXTINT };

enum { LVT_TIMER, LVT_THERMAL, LVT_PMC, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };

/* What the APICs need of their owner, the machine. index is the vCPU's; each may run on any thread. */
struct lapic_owner {
	/* An interrupt may be deliverable now. */
	void (*kick)(void *ctx, unsigned index);
	void (*nmi)(void *ctx, unsigned index);
	void (*init)(void *ctx, unsigned index);
	void (*sipi)(void *ctx, unsigned index, uint8_t vector);
	/* A level-triggered vector was ended. */
	void (*eoi)(void *ctx, uint8_t vector);
	/* lapic_timer_check() is wanted at deadline (a hint: earlier and more often do no harm). */
	void (*arm)(void *ctx, unsigned index, uint64_t deadline);
	/* The guest's TSC now. */
	uint64_t (*tsc)(void *ctx);
	/* The 8259's vector, or -1: to look at, and to take. */
	int (*extint_pending)(void *ctx);
	int (*extint_ack)(void *ctx);
	/* Whether the guest may move an APIC's page there: below its physical addresses' end, not over RAM. */
	bool (*page_fits)(void *ctx, uint64_t gpa);
};

struct lapic_set;
struct msr_bus;
struct state;

struct lapic {
	struct lapic_set *set;
	unsigned index; /* the vCPU's, and the x2APIC id */

	_Atomic uint32_t irr[8], tmr[8];    /* any thread */
	_Atomic uint32_t id, ldr, dfr, svr; /* written by the own thread; id and ldr as in xAPIC */
	_Atomic uint64_t base;              /* IA32_APIC_BASE; where the page is: lapic_page() */
	_Atomic uint32_t lvt[LVT_COUNT];
	_Atomic uint64_t deadline, period; /* ns; 0: not armed, not periodic */
	_Atomic uint32_t esr_new;          /* errors since the last write to ESR */
	_Atomic uint64_t delivered;        /* counter: interrupts taken */

	/* The own thread only. */
	uint32_t isr[8], tpr, ppr, esr, icr_high, icr_low, initial, divide;
	uint64_t tsc_deadline;
};

struct lapic_set {
	struct lapic_owner owner;
	void *ctx;
	unsigned count;
	uint32_t tsc_khz;
	struct lapic *apic; /* count of them; the owner's */
};

/* After power-on (init false) or INIT (true, which keeps the mode). */
void lapic_reset(struct lapic *lapic, bool init);
void lapic_set_init(struct lapic_set *set, struct lapic *apic, unsigned count, uint32_t tsc_khz,
	const struct lapic_owner *owner, void *ctx);

/* Puts their MSRs in place: IA32_APIC_BASE, IA32_TSC_DEADLINE and 0x800-0x8ff. As msr_bus_map(). */
int lapic_set_map(struct lapic_set *set, struct msr_bus *msrs);

/* Where this processor finds its registers in memory; elsewhere than LAPIC_BASE if the guest moved them. */
static inline uint64_t lapic_page(const struct lapic *lapic)
{
	return lapic->base & ~(LAPIC_SIZE - 1ull);
}

/* The vCPU's own thread: */
uint64_t lapic_mmio_read(struct lapic *lapic, uint64_t offset, unsigned size);
void lapic_mmio_write(struct lapic *lapic, uint64_t offset, unsigned size, uint64_t value);
/* IA32_APIC_BASE, IA32_TSC_DEADLINE and 0x800-0x8ff; false is #GP. */
bool lapic_msr_read(struct lapic *lapic, uint32_t msr, uint64_t *value);
bool lapic_msr_write(struct lapic *lapic, uint32_t msr, uint64_t value);
int lapic_pending(struct lapic *lapic);
int lapic_ack(struct lapic *lapic);
uint64_t lapic_cr8_read(struct lapic *lapic);
void lapic_cr8_write(struct lapic *lapic, uint64_t value);

/*
 * The registers as the architecture lays them out (SDM 3A table 11-1), the one at offset 16 * n as
 * page[n], whatever the mode; so that an APIC moves between this one and a kernel's. The timer's
 * current count goes along, rounded up: what is due has been delivered before. The vCPU does not
 * run.
 */
#define LAPIC_PAGE 64
void lapic_page_get(struct lapic *lapic, uint32_t page[LAPIC_PAGE]);
/*
 * ago: how long ago the page was so, ns. tsc_deadline: as IA32_TSC_DEADLINE had it. false: there
 * is no such mode (base: IA32_APIC_BASE).
 */
bool lapic_page_set(struct lapic *lapic, const uint32_t page[LAPIC_PAGE], uint64_t base,
	uint64_t tsc_deadline, uint64_t ago);

/*
 * Its section in a saved state. After state_clock(), and loading, with the guest's TSC already right.
 * No vCPU runs.
 */
void lapic_describe(struct lapic *lapic, struct state *s);

/* Any thread: */
/* A message: from a device (dest of 8 bits) or another APIC. level: level-triggered. */
void lapic_deliver(struct lapic_set *set, uint32_t dest, bool logical, unsigned mode,
	uint8_t vector, bool level);
/* Fires the timer if its time has come; returns its next deadline or 0. */
uint64_t lapic_timer_check(struct lapic *lapic, uint64_t now);

/* Between the files of this device: */
#define LVT_MASKED 0x10000u
bool lapic_enabled(struct lapic *lapic);
void lapic_raise(struct lapic *lapic, uint8_t vector, bool level);
void lapic_icr_write(struct lapic *lapic, uint64_t icr, bool x2);
void lapic_error(struct lapic *lapic, uint32_t bit);
void lapic_timer_stop(struct lapic *lapic);
void lapic_timer_lvt(struct lapic *lapic, uint32_t old, uint32_t lvt);
void lapic_timer_initial(struct lapic *lapic, uint32_t count);
uint32_t lapic_timer_current(struct lapic *lapic);
void lapic_timer_divide(struct lapic *lapic, uint32_t value);
bool lapic_deadline_write(struct lapic *lapic, uint64_t value);
uint64_t lapic_deadline_read(struct lapic *lapic);
uint32_t lapic_timer_left(struct lapic *lapic); /* like the current count, but rounded up */
/* The timer had left of its count to go so long ago. */
void lapic_timer_go_on(struct lapic *lapic, uint32_t left, uint64_t ago);

#endif
