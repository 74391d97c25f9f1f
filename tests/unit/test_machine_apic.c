/* SPDX-License-Identifier: Apache-2.0 */
/* Local APICs: priorities, addressing, timer; the I/O APIC and the 8259s in front of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/loop.h"
#include "machine/interrupt/ioapic.h"
#include "machine/interrupt/lapic.h"
#include "machine/interrupt/pic.h"

#define CPUS 4
#define TPR 0x80
#define EOI 0xb0
#define LDR 0xd0
#define DFR 0xe0
#define SVR 0xf0
#define ISR 0x100
#define ESR 0x280
#define ICR 0x300
#define ICR_HIGH 0x310
#define LVT 0x320
#define INITIAL 0x380
#define CURRENT 0x390
#define DIVIDE 0x3e0

struct rig {
	uint64_t route_addr[IOAPIC_PINS];
	uint32_t route_data[IOAPIC_PINS];
	struct lapic_set set;
	struct lapic apic[CPUS];
	struct board board;
	struct ioapic *ioapic;
	struct pic *pic;
	unsigned kicks[CPUS], nmis[CPUS], inits[CPUS], sipis[CPUS], eois, raised;
	uint8_t sipi_vector;
	uint64_t armed[CPUS], tsc;
};

static void on_kick(void *ctx, unsigned i)
{
	((struct rig *)ctx)->kicks[i]++;
}

static void on_nmi(void *ctx, unsigned i)
{
	((struct rig *)ctx)->nmis[i]++;
}

static void on_init(void *ctx, unsigned i)
{
	((struct rig *)ctx)->inits[i]++;
}

static void on_sipi(void *ctx, unsigned i, uint8_t vector)
{
	((struct rig *)ctx)->sipis[i]++;
	((struct rig *)ctx)->sipi_vector = vector;
}

static void on_eoi(void *ctx, uint8_t vector)
{
	struct rig *rig = ctx;

	rig->eois++;
	ioapic_eoi(rig->ioapic, vector);
}

static void on_arm(void *ctx, unsigned i, uint64_t deadline)
{
	((struct rig *)ctx)->armed[i] = deadline;
}

static uint64_t on_tsc(void *ctx)
{
	return ((struct rig *)ctx)->tsc;
}

static int on_extint(void *ctx)
{
	return pic_pending(((struct rig *)ctx)->pic);
}

static int on_extint_ack(void *ctx)
{
	return pic_ack(((struct rig *)ctx)->pic);
}

static void on_raised(void *ctx)
{
	((struct rig *)ctx)->raised++;
}

#define RAM_END 0x20000000ull

static bool on_page_fits(void *ctx, uint64_t gpa)
{
	return gpa >= RAM_END && gpa < 1ull << 36;
}

static const struct lapic_owner apic_owner = {on_kick, on_nmi, on_init, on_sipi, on_eoi, on_arm,
	on_tsc, on_extint, on_extint_ack, on_page_fits};

static void put(struct rig *rig, unsigned cpu, unsigned reg, uint32_t value)
{
	lapic_mmio_write(&rig->apic[cpu], reg, 4, value);
}

static uint32_t get(struct rig *rig, unsigned cpu, unsigned reg)
{
	return lapic_mmio_read(&rig->apic[cpu], reg, 4);
}

static void on_message(void *ctx, uint64_t addr, uint32_t data)
{
	lapic_msi(&((struct rig *)ctx)->set, addr, data);
}

static void on_route(void *ctx, unsigned pin, uint64_t addr, uint32_t data)
{
	struct rig *rig = ctx;

	rig->route_addr[pin] = addr;
	rig->route_data[pin] = data;
}

static const struct board_owner owner = {
	.message = on_message,
	.route = on_route,
	.intr = on_raised,
};

static int setup(void **state)
{
	static struct rig rig;
	struct error err = {0};

	if (rig.board.count)
		board_destroy(&rig.board);
	memset(&rig, 0, sizeof rig);
	rig.board = (struct board){.owner = &owner, .ctx = &rig};
	board_init(&rig.board);
	lapic_set_init(&rig.set, rig.apic, CPUS, 1000000, &apic_owner, &rig);
	assert_int_equal(board_add(&rig.board, &ioapic_device, &err), 0);
	assert_int_equal(board_add(&rig.board, &pic_device, &err), 0);
	rig.ioapic = board_find(&rig.board, &ioapic_device);
	rig.pic = board_find(&rig.board, &pic_device);
	for (unsigned i = 0; i < CPUS; i++)
		put(&rig, i, SVR, 0x1ff);
	*state = &rig;
	return 0;
}

static void priorities(void **state)
{
	struct rig *rig = *state;
	struct lapic *apic = &rig->apic[1];

	lapic_raise(apic, 0x41, false);
	lapic_raise(apic, 0x52, false);
	lapic_raise(apic, 0x52, false);
	assert_int_equal(rig->kicks[1], 2); /* the second 0x52 was pending already */
	assert_int_equal(lapic_pending(apic), 0x52);
	assert_int_equal(lapic_ack(apic), 0x52);
	/* In service: only a higher class comes through. */
	assert_int_equal(lapic_pending(apic), -1);
	assert_int_equal(lapic_ack(apic), -1);
	lapic_raise(apic, 0x5f, false);
	assert_int_equal(lapic_pending(apic), -1);
	lapic_raise(apic, 0x60, false);
	assert_int_equal(lapic_ack(apic), 0x60);
	assert_int_equal(get(rig, 1, ISR + 0x20), 1u << 18);
	assert_int_equal(get(rig, 1, ISR + 0x30), 1);
	put(rig, 1, EOI, 0);
	assert_int_equal(lapic_pending(apic), -1);
	put(rig, 1, EOI, 0);
	assert_int_equal(lapic_ack(apic), 0x5f);
	put(rig, 1, EOI, 0);
	lapic_cr8_write(apic, 4);
	assert_int_equal(get(rig, 1, TPR), 0x40);
	assert_int_equal(lapic_pending(apic), -1);
	rig->kicks[1] = 0;
	lapic_cr8_write(apic, 3);
	assert_int_equal(rig->kicks[1], 1);
	assert_int_equal(lapic_ack(apic), 0x41);
	put(rig, 1, EOI, 0);
	put(rig, 1, EOI, 0); /* one too many */
	assert_int_equal(lapic_pending(apic), -1);
}

static void bad_vectors(void **state)
{
	struct rig *rig = *state;

	put(rig, 0, ICR, 0x40000 | 5);
	put(rig, 0, ESR, 0);
	assert_int_equal(get(rig, 0, ESR), 0x20);
	lapic_deliver(&rig->set, 0, false, LAPIC_FIXED, 3, false);
	put(rig, 0, ESR, 0);
	assert_int_equal(get(rig, 0, ESR), 0x40);
	put(rig, 0, ESR, 0);
	assert_int_equal(get(rig, 0, ESR), 0);
	/* Software-disabled: nothing is taken, and the LVT stays masked. */
	put(rig, 0, SVR, 0xff);
	lapic_deliver(&rig->set, 0, false, LAPIC_FIXED, 0x33, false);
	assert_int_equal(lapic_pending(&rig->apic[0]), -1);
	put(rig, 0, LVT, 0x33);
	assert_int_equal(get(rig, 0, LVT), 0x10033);
}

static int takes(struct rig *rig, unsigned cpu)
{
	int vector = lapic_ack(&rig->apic[cpu]);

	if (vector >= 0)
		put(rig, cpu, EOI, 0);
	return vector;
}

static void addressing(void **state)
{
	struct rig *rig = *state;

	/* Physical, and physical broadcast. */
	put(rig, 0, ICR_HIGH, 2u << 24);
	put(rig, 0, ICR, 0x44);
	assert_int_equal(takes(rig, 2), 0x44);
	assert_int_equal(takes(rig, 1), -1);
	put(rig, 0, ICR_HIGH, 0xffu << 24);
	put(rig, 0, ICR, 0x45);
	for (unsigned i = 0; i < CPUS; i++)
		assert_int_equal(takes(rig, i), 0x45);
	/* Shorthands: self, all, all but self. */
	put(rig, 1, ICR, 0x40046);
	assert_int_equal(takes(rig, 1), 0x46);
	put(rig, 1, ICR, 0xc0047);
	assert_int_equal(takes(rig, 1), -1);
	assert_int_equal(takes(rig, 3), 0x47);
	takes(rig, 0);
	takes(rig, 2);
	put(rig, 1, ICR, 0x80048);
	for (unsigned i = 0; i < CPUS; i++)
		assert_int_equal(takes(rig, i), 0x48);
	/* Logical flat. */
	for (unsigned i = 0; i < CPUS; i++)
		put(rig, i, LDR, 1u << (24 + i));
	put(rig, 0, ICR_HIGH, 0x0au << 24);
	put(rig, 0, ICR, 0x849);
	assert_int_equal(takes(rig, 0), -1);
	assert_int_equal(takes(rig, 1), 0x49);
	assert_int_equal(takes(rig, 3), 0x49);
	/* Logical cluster: high half names it, low half its members. */
	for (unsigned i = 0; i < CPUS; i++) {
		put(rig, i, DFR, 0);
		put(rig, i, LDR, (i / 2) << 28 | 1u << (24 + i % 2));
	}
	put(rig, 0, ICR_HIGH, 0x12u << 24);
	put(rig, 0, ICR, 0x84a);
	assert_int_equal(takes(rig, 1), -1);
	assert_int_equal(takes(rig, 3), 0x4a);
	assert_int_equal(takes(rig, 2), -1);
	/* Lowest priority: exactly one takes it. */
	lapic_deliver(&rig->set, 0xff, true, LAPIC_LOWEST, 0x4b, false);
	unsigned taken = 0;
	for (unsigned i = 0; i < CPUS; i++)
		taken += takes(rig, i) == 0x4b;
	assert_int_equal(taken, 1);
	/* A destination that nobody has. */
	lapic_deliver(&rig->set, 77, false, LAPIC_LOWEST, 0x4b, false);
}

static void startup(void **state)
{
	struct rig *rig = *state;

	put(rig, 0, ICR, 0xc4500); /* INIT, all but self */
	put(rig, 0, ICR, 0xc8500); /* de-assert: nothing */
	put(rig, 0, ICR_HIGH, 3u << 24);
	put(rig, 0, ICR, 0x4699);
	put(rig, 0, ICR, 0x4400); /* NMI */
	for (unsigned i = 0; i < CPUS; i++)
		assert_int_equal(rig->inits[i], i != 0);
	assert_int_equal(rig->sipis[3], 1);
	assert_int_equal(rig->sipis[1], 0);
	assert_int_equal(rig->sipi_vector, 0x99);
	assert_int_equal(rig->nmis[3], 1);
}

static void x2apic(void **state)
{
	struct rig *rig = *state;
	struct lapic *apic = &rig->apic[2];
	uint64_t value;

	assert_false(lapic_msr_read(apic, 0x802, &value));             /* not yet on */
	assert_false(lapic_msr_write(apic, 0x1b, LAPIC_BASE | 0x400)); /* x2 without enable */
	assert_true(lapic_msr_write(apic, 0x1b, LAPIC_BASE | 0xc00));
	assert_false(lapic_msr_write(apic, 0x1b, LAPIC_BASE | 0x800)); /* no way back but off */
	assert_true(lapic_msr_read(apic, 0x802, &value));
	assert_int_equal(value, 2);
	assert_true(lapic_msr_read(apic, 0x80d, &value));
	assert_int_equal(value, 4);
	assert_false(lapic_msr_read(apic, 0x80e, &value)); /* no DFR */
	assert_false(lapic_msr_read(apic, 0x831, &value));
	assert_false(lapic_msr_write(apic, 0x80b, 1));
	assert_false(lapic_msr_write(apic, 0x808, 0x100));
	assert_false(lapic_msr_write(apic, 0x808, 1ull << 32));
	assert_false(lapic_msr_write(apic, 0x802, 0));
	assert_int_equal(lapic_mmio_read(apic, 0x20, 4) & 0xffffffff, 0xffffffff);
	/* To itself by logical id, to another by physical one. */
	assert_true(lapic_msr_write(apic, 0x830, (4ull << 32) | 0x850));
	assert_int_equal(lapic_ack(apic), 0x50);
	assert_true(lapic_msr_write(apic, 0x80b, 0));
	assert_true(lapic_msr_write(apic, 0x83f, 0x51));
	assert_int_equal(lapic_ack(apic), 0x51);
	assert_true(lapic_msr_write(apic, 0x80b, 0));
	assert_true(lapic_msr_write(apic, 0x830, (1ull << 32) | 0x52));
	assert_int_equal(takes(rig, 1), 0x52);
	/* Off forgets everything. */
	assert_true(lapic_msr_write(apic, 0x1b, LAPIC_BASE));
	assert_false(lapic_msr_read(apic, 0x802, &value));
	assert_false(lapic_msr_write(apic, 0x1b, LAPIC_BASE | 0xc00)); /* off to x2 in one step */
}

/* SDM 3A 11.4.5: the page moves, the registers do not change. */
static void moved(void **state)
{
	struct rig *rig = *state;
	struct lapic *apic = &rig->apic[1];
	uint32_t page[LAPIC_PAGE];
	uint64_t value;

	put(rig, 1, 0xf0, 0x1ff);
	assert_true(lapic_msr_write(apic, 0x1b, 0xf42000800));
	assert_true(lapic_msr_read(apic, 0x1b, &value));
	assert_int_equal(value, 0xf42000800);
	assert_int_equal(lapic_page(apic), 0xf42000000);
	assert_int_equal(lapic_page(&rig->apic[0]), LAPIC_BASE);
	assert_int_equal(get(rig, 1, 0xf0), 0x1ff);
	assert_false(lapic_msr_write(apic, 0x1b, RAM_END - 0x1000 + 0x800));
	assert_false(lapic_msr_write(apic, 0x1b, (1ull << 36) + 0x800));
	assert_false(lapic_msr_write(apic, 0x1b, 1ull << 63 | 0xf42000800));
	assert_false(lapic_msr_write(apic, 0x1b, 0xf42000801));
	assert_false(lapic_msr_write(apic, 0x1b, 0xf42000a00));
	assert_int_equal(lapic_page(apic), 0xf42000000);
	lapic_reset(apic, true); /* INIT leaves it there */
	assert_int_equal(lapic_page(apic), 0xf42000000);
	/* So it is saved, also by a guest that has dropped the boot processor's bit, or taken it. */
	lapic_page_get(apic, page);
	assert_true(lapic_page_set(apic, page, 0xf42000900, 0, 0));
	assert_int_equal(apic->base, 0xf42000900);
	assert_false(lapic_page_set(apic, page, 0xf42000801, 0, 0));
	lapic_reset(apic, false);
	assert_int_equal(lapic_page(apic), LAPIC_BASE);
}

static void timer(void **state)
{
	struct rig *rig = *state;
	struct lapic *apic = &rig->apic[0];
	uint64_t now = clock_now(), next;

	put(rig, 0, DIVIDE, 0xb); /* by 1 */
	put(rig, 0, LVT, 0x61);
	put(rig, 0, INITIAL, 5000000);
	assert_in_range(rig->armed[0], now + 5000000, clock_now() + 5000000);
	assert_in_range(get(rig, 0, CURRENT), 1, 5000000);
	assert_int_equal(lapic_timer_check(apic, now), rig->armed[0]);
	assert_int_equal(lapic_timer_check(apic, rig->armed[0]), 0);
	assert_int_equal(lapic_timer_check(apic, rig->armed[0]), 0); /* once */
	assert_int_equal(takes(rig, 0), 0x61);
	assert_int_equal(takes(rig, 0), -1);
	assert_int_equal(get(rig, 0, CURRENT), 0);
	/* Periodic; missed periods are gone. */
	put(rig, 0, LVT, 0x20062);
	put(rig, 0, INITIAL, 1000000);
	next = lapic_timer_check(apic, rig->armed[0] + 3500000);
	assert_int_equal(next, rig->armed[0] + 4000000);
	assert_int_equal(takes(rig, 0), 0x62);
	put(rig, 0, INITIAL, 0);
	assert_int_equal(lapic_timer_check(apic, UINT64_MAX), 0);
	/* The shortest period does not keep the host busy. */
	put(rig, 0, INITIAL, 1);
	now = clock_now();
	assert_true(lapic_timer_check(apic, now + 1000000) > now + 1000000);
	assert_true(apic->period >= 20000);
}

static void deadline(void **state)
{
	struct rig *rig = *state;
	struct lapic *apic = &rig->apic[0];
	uint64_t value, now = clock_now();

	assert_true(lapic_msr_write(apic, 0x6e0, 1)); /* ignored in other modes */
	assert_true(lapic_msr_read(apic, 0x6e0, &value));
	assert_int_equal(value, 0);
	put(rig, 0, LVT, 0x40063);
	rig->tsc = 1000;
	assert_true(lapic_msr_write(apic, 0x6e0, 2001000)); /* at 1 GHz: 2 ms */
	assert_in_range(rig->armed[0], now + 2000000, clock_now() + 2000000);
	assert_true(lapic_msr_read(apic, 0x6e0, &value));
	assert_int_equal(value, 2001000);
	lapic_timer_check(apic, rig->armed[0]);
	assert_int_equal(takes(rig, 0), 0x63);
	assert_true(lapic_msr_read(apic, 0x6e0, &value));
	assert_int_equal(value, 0);
	assert_true(lapic_msr_write(apic, 0x6e0, 999)); /* past: at once */
	assert_int_equal(takes(rig, 0), 0x63);
	assert_true(lapic_msr_write(apic, 0x6e0, UINT64_MAX)); /* never, without overflow */
	assert_true(rig->armed[0] > now + 1000000000);
	assert_true(lapic_msr_write(apic, 0x6e0, 0));
	assert_int_equal(lapic_timer_check(apic, UINT64_MAX), 0);
}

static void pin(struct rig *rig, unsigned n, uint64_t entry)
{
	bus_write(&rig->board.mmio, IOAPIC_BASE, 4, 0x10 + 2 * n + 1);
	bus_write(&rig->board.mmio, IOAPIC_BASE + 0x10, 4, entry >> 32);
	bus_write(&rig->board.mmio, IOAPIC_BASE, 4, 0x10 + 2 * n);
	bus_write(&rig->board.mmio, IOAPIC_BASE + 0x10, 4, entry);
}

/* Whoever holds the APICs is told of the messages whose ends matter: level-triggered ones'. */
static void ioapic_tells_routes(void **state)
{
	struct rig *rig = *state;

	pin(rig, 4, 0x0300000000000830);
	assert_int_equal(rig->route_addr[4], 0);
	pin(rig, 9, 0x0300000000008931);
	assert_int_equal(rig->route_addr[9], LAPIC_BASE | 3 << 12 | 4);
	assert_int_equal(rig->route_data[9], 0xc131);
	/* Masked it may still have to be ended; edge-triggered not. */
	pin(rig, 9, 0x0300000000018931);
	assert_int_equal(rig->route_addr[9], LAPIC_BASE | 3 << 12 | 4);
	pin(rig, 9, 0x0300000000000931);
	assert_int_equal(rig->route_addr[9], 0);
	pin(rig, 9, 0x8032);
	assert_int_equal(rig->route_data[9], 0xc032);
	ioapic_device.reset(rig->ioapic);
	assert_int_equal(rig->route_addr[9], 0);
}

static void ioapic_pins(void **state)
{
	struct rig *rig = *state;

	bus_write(&rig->board.mmio, IOAPIC_BASE, 4, 1);
	assert_int_equal(bus_read(&rig->board.mmio, IOAPIC_BASE + 0x10, 4), 0x170020);
	/* Edge: one interrupt a rise. */
	pin(rig, 4, (1ull << 56) | 0x71);
	ioapic_set(rig->ioapic, 4, true);
	ioapic_set(rig->ioapic, 4, true);
	assert_int_equal(takes(rig, 1), 0x71);
	assert_int_equal(takes(rig, 1), -1);
	ioapic_set(rig->ioapic, 4, false);
	assert_int_equal(rig->eois, 0);
	/* Level: again after the end while the line is up; not before. */
	pin(rig, 9, 0x8072);
	ioapic_set(rig->ioapic, 9, true);
	assert_int_equal(lapic_ack(&rig->apic[0]), 0x72);
	ioapic_set(rig->ioapic, 9, false);
	ioapic_set(rig->ioapic, 9, true);
	assert_int_equal(lapic_pending(&rig->apic[0]), -1);
	bus_write(&rig->board.mmio, IOAPIC_BASE, 4, 0x10 + 18);
	assert_true(bus_read(&rig->board.mmio, IOAPIC_BASE + 0x10, 4) & 0x4000);
	put(rig, 0, EOI, 0);
	assert_int_equal(rig->eois, 1);
	assert_int_equal(lapic_ack(&rig->apic[0]), 0x72);
	ioapic_set(rig->ioapic, 9, false);
	put(rig, 0, EOI, 0);
	assert_int_equal(lapic_pending(&rig->apic[0]), -1);
	/* Masked level: comes when unmasked. */
	pin(rig, 9, 0x18072);
	ioapic_set(rig->ioapic, 9, true);
	assert_int_equal(lapic_pending(&rig->apic[0]), -1);
	pin(rig, 9, 0x8072);
	assert_int_equal(takes(rig, 0), 0x72);
	ioapic_set(rig->ioapic, 9, false);
	takes(rig, 0);
	/* Out of range: nothing. */
	ioapic_set(rig->ioapic, 24, true);
	ioapic_set(rig->ioapic, 200, true);
	bus_write(&rig->board.mmio, IOAPIC_BASE, 4, 0xff);
	bus_write(&rig->board.mmio, IOAPIC_BASE + 0x10, 4, 0xffffffff);
	assert_int_equal(bus_read(&rig->board.mmio, IOAPIC_BASE + 0x10, 4), 0);
}

static void messages(void **state)
{
	struct rig *rig = *state;

	lapic_msi(&rig->set, LAPIC_BASE | 2 << 12, 0x4081);
	assert_int_equal(takes(rig, 2), 0x81);
	lapic_msi(&rig->set, 0x1000, 0x82);
	lapic_msi(&rig->set, UINT64_MAX, 0xffffffff);
	for (unsigned i = 0; i < CPUS; i++)
		assert_int_equal(lapic_pending(&rig->apic[i]), -1);
}

static void pic_pair(void **state)
{
	struct rig *rig = *state;
	struct lapic *apic = &rig->apic[0];

	for (unsigned chip = 0; chip < 2; chip++) {
		unsigned port = chip ? 0xa0 : 0x20;

		bus_write(&rig->board.io, port, 1, 0x11);
		bus_write(&rig->board.io, port + 1, 1, chip ? 0x38 : 0x30);
		bus_write(&rig->board.io, port + 1, 1, chip ? 2 : 4);
		bus_write(&rig->board.io, port + 1, 1, 1);
		bus_write(&rig->board.io, port + 1, 1, 0);
	}
	put(rig, 0, LVT + 0x30, 0x700); /* LINT0 takes it */
	pic_set(rig->pic, 0, true);
	pic_set(rig->pic, 10, true);
	assert_int_equal(rig->raised, 1);
	assert_int_equal(lapic_ack(apic), 0x30);
	assert_int_equal(lapic_ack(apic), -1); /* the first is in service */
	bus_write(&rig->board.io, 0x20, 1, 0x20);
	assert_int_equal(lapic_pending(apic), 0x3a);
	assert_int_equal(lapic_ack(apic), 0x3a);
	bus_write(&rig->board.io, 0xa0, 1, 0x0b);
	assert_int_equal(bus_read(&rig->board.io, 0xa0, 1), 4);
	bus_write(&rig->board.io, 0xa0, 1, 0x20);
	bus_write(&rig->board.io, 0x20, 1, 0x20);
	assert_int_equal(lapic_ack(apic), -1);
	/* Masked by the chip, then by LINT0. */
	bus_write(&rig->board.io, 0x21, 1, 0x08);
	pic_set(rig->pic, 3, true);
	assert_int_equal(lapic_pending(apic), -1);
	bus_write(&rig->board.io, 0x21, 1, 0);
	assert_int_equal(lapic_pending(apic), 0x33);
	put(rig, 0, LVT + 0x30, 0x10700);
	assert_int_equal(lapic_pending(apic), -1);
	pic_set(rig->pic, 16, true);
	pic_set(rig->pic, 1000, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(priorities, setup),
		cmocka_unit_test_setup(bad_vectors, setup),
		cmocka_unit_test_setup(addressing, setup),
		cmocka_unit_test_setup(startup, setup),
		cmocka_unit_test_setup(x2apic, setup),
		cmocka_unit_test_setup(moved, setup),
		cmocka_unit_test_setup(timer, setup),
		cmocka_unit_test_setup(deadline, setup),
		cmocka_unit_test_setup(ioapic_tells_routes, setup),
		cmocka_unit_test_setup(ioapic_pins, setup),
		cmocka_unit_test_setup(messages, setup),
		cmocka_unit_test_setup(pic_pair, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
