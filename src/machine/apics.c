/* SPDX-License-Identifier: Apache-2.0 */
/* The local APICs' wires: to the processors, to the 8259s and the I/O APIC, to the event loop's timers. */
#include <string.h>

#include "machine/internal.h"

static void apic_nmi(void *ctx, unsigned index)
{
	struct machine *machine = ctx;

	machine->config.engine->vcpu_nmi(machine->vcpu[index].engine);
	vcpu_request(&machine->vcpu[index], VCPU_NMI);
}

static void apic_init(void *ctx, unsigned index)
{
	struct machine *machine = ctx;

	/* A start-up message that came before does not survive it. */
	atomic_fetch_and(&machine->vcpu[index].requests, ~VCPU_SIPI);
	vcpu_request(&machine->vcpu[index], VCPU_INIT);
}

static void apic_sipi(void *ctx, unsigned index, uint8_t vector)
{
	struct machine *machine = ctx;

	atomic_store(&machine->vcpu[index].sipi_vector, vector);
	vcpu_request(&machine->vcpu[index], VCPU_SIPI);
}

static void apic_eoi(void *ctx, uint8_t vector)
{
	struct machine *machine = ctx;

	ioapic_eoi(machine_ioapic(machine), vector);
}

static void apic_arm(void *ctx, unsigned index, uint64_t deadline)
{
	struct machine *machine = ctx;

	loop_timer_arm(&machine->apic_timer[index], deadline);
}

static void apic_timer_fired(void *ctx)
{
	struct lapic *lapic = ctx;
	uint64_t next = lapic_timer_check(lapic, clock_now());

	if (next)
		lapic->set->owner.arm(lapic->set->ctx, lapic->index, next);
}

static int apic_extint_pending(void *ctx)
{
	struct machine *machine = ctx;

	return pic_pending(machine_pic(machine));
}

static int apic_extint_ack(void *ctx)
{
	struct machine *machine = ctx;

	return pic_ack(machine_pic(machine));
}

static bool apic_page_fits(void *ctx, uint64_t gpa)
{
	struct machine *machine = ctx;

	return !(gpa >> machine->config.cpuid->phys_bits) &&
		!memory_ptr_read(&machine->mem, gpa, LAPIC_SIZE);
}

static const struct lapic_owner wires = {
	.kick = vcpu_kick,
	.nmi = apic_nmi,
	.init = apic_init,
	.sipi = apic_sipi,
	.eoi = apic_eoi,
	.arm = apic_arm,
	.tsc = machine_tsc,
	.extint_pending = apic_extint_pending,
	.extint_ack = apic_extint_ack,
	.page_fits = apic_page_fits,
};

int machine_apics_init(struct machine *machine, struct error *err)
{
	int r;

	lapic_set_init(&machine->apics, machine->lapic, machine->config.vcpus,
		machine->config.cpuid->tsc_khz, &wires, machine);
	for (unsigned i = 0; i < machine->config.vcpus; i++)
		loop_timer_init(&machine->apic_timer[i], machine->config.loop, apic_timer_fired,
			&machine->lapic[i]);
	r = lapic_set_map(&machine->apics, &machine->board.msrs);
	return r < 0 ? error_set(err, -r, "local APICs: their MSRs are another device's") : 0;
}

void machine_apics_reset(struct machine *machine)
{
	for (unsigned i = 0; i < machine->config.vcpus; i++)
		lapic_reset(&machine->lapic[i], false);
}

void machine_apics_destroy(struct machine *machine)
{
	for (unsigned i = 0; i < machine->config.vcpus; i++)
		loop_timer_cancel(&machine->apic_timer[i]);
}
