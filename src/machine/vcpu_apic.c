/* SPDX-License-Identifier: Apache-2.0 */
/* Local APICs that the engine holds: between it and the machine's own form of them. */
#include <string.h>

#include "machine/internal.h"

_Static_assert(sizeof((struct engine_apic){0}.page) == LAPIC_PAGE * sizeof(uint32_t), "page");

void vcpu_apic_fetch(struct machine_vcpu *vcpu)
{
	struct machine *machine = vcpu->machine;
	struct engine_apic apic;

	if (!machine->engine_apic)
		return;
	machine->engine_apic->get(vcpu->engine, &apic);
	lapic_page_set(&machine->lapic[vcpu->index], apic.page, apic.base, apic.tsc_deadline, 0);
	vcpu->pv_eoi = apic.pv_eoi;
	vcpu->halted = apic.activity == ENGINE_HALTED;
	vcpu->wait_sipi = apic.activity == ENGINE_WAITS_SIPI;
}

void vcpu_apic_release(struct machine_vcpu *vcpu)
{
	if (!vcpu->machine->engine_apic)
		return;
	/* Its interrupts are the engine's to send. */
	lapic_timer_stop(&vcpu->machine->lapic[vcpu->index]);
	vcpu->halted = false;
	vcpu->wait_sipi = false;
}

int vcpu_apic_store(struct machine_vcpu *vcpu, struct error *err)
{
	struct machine *machine = vcpu->machine;
	struct lapic *lapic = &machine->lapic[vcpu->index];
	struct engine_apic apic = {
		.tsc_deadline = lapic_deadline_read(lapic),
		.pv_eoi = vcpu->pv_eoi,
		.activity = vcpu->wait_sipi ? ENGINE_WAITS_SIPI
			: vcpu->halted      ? ENGINE_HALTED
					    : ENGINE_RUNS,
	};

	if (!machine->engine_apic)
		return 0;
	lapic_page_get(lapic, apic.page);
	vcpu_apic_release(vcpu);
	return machine->engine_apic->set(vcpu->engine, &apic, err);
}
