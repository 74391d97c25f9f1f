/* SPDX-License-Identifier: Apache-2.0 */
/* The whole machine in a saved state: the order of its sections. */
#include "machine/describe.h"

#include <errno.h>
#include <string.h>

#include "cpu/describe.h"
#include "machine/internal.h"
#include "machine/memory_lazy.h"
#include "machine/pci/bus.h"

#define MIB 0x100000ull

_Static_assert(MACHINE_PLACES == PCI_SLOTS, "a place for each slot");

enum { MP_RUNNING, MP_HALTED, MP_WAITS_FOR_SIPI };

/* The TSC that timers compare with. Each processor has its own, the same unless it was written. */
static void describe_time(struct machine *machine, struct state *s)
{
	uint64_t tsc = state_now(s)->tsc + atomic_load(&machine->tsc_offset);

	state_begin(s, "machine", 0, 1);
	state_u64(s, "tsc", &tsc);
	state_end(s);
	if (!state_loading(s) || !state_ok(s))
		return;
	tsc += (unsigned __int128)state_elapsed(s) * machine->config.cpuid->tsc_khz / 1000000;
	atomic_store(&machine->tsc_offset, tsc - state_now(s)->tsc);
}

/* What the processor does, and what it was asked to and has not yet looked at. */
static void describe_activity(struct machine_vcpu *vcpu, struct state *s)
{
	uint32_t requests = atomic_load(&vcpu->requests);
	uint8_t activity = vcpu->wait_sipi               ? MP_WAITS_FOR_SIPI
		: vcpu->halted && !(requests & VCPU_NMI) ? MP_HALTED
							 : MP_RUNNING;
	bool init = requests & VCPU_INIT, sipi = requests & VCPU_SIPI;
	uint8_t vector = atomic_load(&vcpu->sipi_vector);

	state_u8(s, "mp_state", &activity);
	state_bool(s, "init_pending", &init);
	state_bool(s, "sipi_pending", &sipi);
	state_u8(s, "sipi_vector", &vector);
	state_u64(s, "pv_eoi", &vcpu->pv_eoi);
	state_require(s, activity <= MP_WAITS_FOR_SIPI, "an unknown activity");
	if (!state_loading(s) || !state_ok(s))
		return;
	vcpu->halted = activity == MP_HALTED;
	/* a call that came meanwhile was not saved: one that comes in vain does no harm */
	atomic_store(&vcpu->unhalted, true);
	vcpu->wait_sipi = activity == MP_WAITS_FOR_SIPI;
	atomic_store(&vcpu->sipi_vector, vector);
	atomic_store(&vcpu->requests, (init ? VCPU_INIT : 0) | (sipi ? VCPU_SIPI : 0));
}

static void describe_vcpu(struct machine *machine, struct machine_vcpu *vcpu, struct state *s)
{
	const struct engine *engine = machine->config.engine;
	struct lapic *lapic = &machine->lapic[vcpu->index];
	struct error err = {0};
	struct cpu_state cpu;

	if (state_loading(s))
		cpu_state_reset(&cpu);
	else
		engine->vcpu_get_state(vcpu->engine, &cpu);
	state_begin(s, "cpu", vcpu->index, 1);
	cpu_describe(&cpu, machine->config.cpuid, s);
	describe_activity(vcpu, s);
	if (state_loading(s) && state_ok(s)) {
		cpu.apic_base = lapic->base;
		cpu.cr8 = lapic_cr8_read(lapic);
		if (engine->vcpu_set_state(vcpu->engine, &cpu, &err) < 0)
			state_fail(s, EINVAL, "%s", err.text);
	}
	state_end(s);
}

/* All but memory. */
static void describe_rest(struct machine *machine, struct state *s)
{
	state_clock(s);
	describe_time(machine, s);
	/* Before the processors, which take their APIC's mode and priority from there. */
	for (unsigned i = 0; i < machine->made; i++) {
		lapic_describe(&machine->lapic[i], s);
		describe_vcpu(machine, &machine->vcpu[i], s);
	}
	board_describe(&machine->board, s);
}

void machine_describe_head(struct machine_head *head, struct state *s)
{
	state_begin(s, "guest", 0, 1);
	state_u32(s, "vcpus", &head->vcpus);
	state_u64(s, "memory", &head->memory);
	state_text(s, "engine", head->engine, sizeof head->engine);
	state_text(s, "program", head->program, sizeof head->program);
	state_require(s, head->vcpus >= 1 && head->vcpus <= MACHINE_VCPUS_MAX,
		"a number of processors that cannot be");
	state_require(s, head->memory && head->memory % MIB == 0, "an odd size of memory");
	/* Only where devices came while the guest ran: else they are in the order in which they are added. */
	if (state_optional(s, "places", head->place[0]))
		state_bytes(s, "slots", head->place, sizeof head->place);
	for (unsigned i = 0; i < MACHINE_PLACES; i++)
		state_require(s, head->place[i] < PCI_SLOTS, "a PCI slot that cannot be");
	state_end(s);
	cpuid_describe(&head->cpuid, s);
}

void machine_save_head(struct machine *machine, struct state *s)
{
	struct machine_head head = {
		.vcpus = machine->config.vcpus,
		.memory = machine->mem.size,
		.cpuid = *machine->config.cpuid,
		.program = DACH_VERSION,
	};

	snprintf(head.engine, sizeof head.engine, "%s", machine->config.engine->name);
	memcpy(head.place, machine->place, sizeof head.place);
	machine_describe_head(&head, s);
}

int machine_save_stop(struct machine *machine, struct state *s)
{
	if (!machine_freeze(machine)) {
		state_fail(s, EBUSY, "the guest is being reset, or has ended");
		return -EBUSY;
	}
	pci_bus_quiesce(machine_pci(machine), true);
	return 0;
}

int machine_save_begin(struct machine *machine, struct state *s)
{
	int r = machine_save_stop(machine, s);

	if (!r)
		machine_save_head(machine, s);
	return r;
}

void machine_save_memory(struct machine *machine, struct state *s)
{
	memory_describe(&machine->mem, s);
}

void machine_save_devices(struct machine *machine, struct state *s)
{
	for (unsigned i = 0; i < machine->made; i++)
		vcpu_apic_fetch(&machine->vcpu[i]);
	describe_rest(machine, s);
	for (unsigned i = 0; i < machine->made; i++)
		vcpu_apic_release(&machine->vcpu[i]);
}

void machine_save_end(struct machine *machine)
{
	pci_bus_quiesce(machine_pci(machine), false);
	machine_thaw(machine);
}

void machine_save(struct machine *machine, struct state *s)
{
	if (machine_save_begin(machine, s))
		return;
	machine_save_memory(machine, s);
	machine_save_devices(machine, s);
	machine_save_end(machine);
}

void machine_load(struct machine *machine, struct state *s)
{
	pci_bus_quiesce(machine_pci(machine), true);
	memory_describe(&machine->mem, s);
	describe_rest(machine, s);
	for (unsigned i = 0; i < machine->made && state_ok(s); i++) {
		struct error err = {0};

		if (vcpu_apic_store(&machine->vcpu[i], &err) < 0)
			state_fail(s, EINVAL, "%s", err.text);
	}
}

int machine_load_end(struct machine *machine, struct error *err)
{
	pci_bus_quiesce(machine_pci(machine), false);
	return memory_lazy_start(&machine->mem, machine_memory_over, machine, err);
}
