/* SPDX-License-Identifier: Apache-2.0 */
/* What is seen of the processors and done to them from outside. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "machine/chipset/serial.h"
#include "machine/internal.h"
#include "machine/memory_base.h"
#include "machine/memory_lazy.h"
#include "machine/pci/bus.h"
#include "machine/pci/plug.h"

void machine_vcpu_info(struct machine *machine, unsigned index, struct machine_vcpu_info *info)
{
	const struct machine_vcpu *vcpu = &machine->vcpu[index];
	const volatile uint32_t *cpu;
	struct timespec used;
	clockid_t clock;

	*info = (struct machine_vcpu_info){.cpu = -1};
	if (index >= machine->made)
		return;
	info->halted = atomic_load(&vcpu->sleep_state) != VCPU_AWAKE;
	info->wait_sipi = vcpu->wait_sipi;
	info->tid = atomic_load(&vcpu->tid);
	if (!info->tid || vcpu->joined)
		return;
	cpu = atomic_load(&vcpu->cpu);
	info->cpu = cpu && (int)*cpu >= 0 ? (int)*cpu : -1;
	if (!pthread_getcpuclockid(vcpu->thread, &clock) && !clock_gettime(clock, &used))
		info->time = (uint64_t)used.tv_sec * 1000000000u + used.tv_nsec;
	if (machine->config.engine->vcpu_time)
		info->time += machine->config.engine->vcpu_time(vcpu->engine);
}

static bool may_go_on(struct machine_vcpu *vcpu, const struct cpu_state *state)
{
	if (atomic_load(&vcpu->requests) || (vcpu->halted && atomic_load(&vcpu->unhalted)))
		return true;
	return vcpu->halted ? state->rflags & FL_IF : state->cpl == 3;
}

enum machine_pulse machine_pulse(struct machine *machine, uint64_t *spaces)
{
	enum machine_pulse pulse = MACHINE_STANDS;

	*spaces = 0;
	for (unsigned i = 0; i < machine->made && pulse != MACHINE_ALIVE; i++) {
		struct machine_vcpu *vcpu = &machine->vcpu[i];
		struct cpu_state state;

		vcpu_apic_fetch(vcpu);
		machine->config.engine->vcpu_get_state(vcpu->engine, &state);
		if (!vcpu->wait_sipi && may_go_on(vcpu, &state))
			pulse = MACHINE_ALIVE;
		else if (!vcpu->wait_sipi && !vcpu->halted) {
			pulse = MACHINE_IN_KERNEL;
			*spaces += (i + 1) * state.cr3;
		}
		vcpu_apic_release(vcpu);
	}
	return pulse;
}

void machine_finish(struct machine *machine, enum machine_result result, const char *why)
{
	struct error err = {""};

	error_set(&err, EIO, "%s", why);
	machine_end(machine, result, &err);
}

void machine_nmi(struct machine *machine, unsigned index)
{
	if (index < machine->made)
		machine->apics.owner.nmi(machine->apics.ctx, index);
}

int machine_sysrq(struct machine *machine, char key, struct error *err)
{
	if (serial_break_then(board_find(&machine->board, &serial_com1_device), key))
		return 0;
	return error_set(err, EAGAIN,
		"the guest does not listen to its serial port: it needs console=ttyS0");
}

static struct plug *plug_of(const struct machine *machine)
{
	return board_find(&machine->board, &plug_device);
}

void machine_device_came(struct machine *machine, unsigned slot)
{
	plug_came(plug_of(machine), slot);
}

void machine_device_leaves(struct machine *machine, unsigned slot)
{
	plug_leaves(plug_of(machine), slot);
}

void machine_device_stays(struct machine *machine, unsigned slot)
{
	plug_stays(plug_of(machine), slot);
}

void machine_set_places(struct machine *machine, const uint8_t *slot, unsigned count)
{
	memset(machine->place, 0, sizeof machine->place);
	memcpy(machine->place, slot, count);
}

void machine_memory_over(void *ctx)
{
	struct machine *machine = ctx;

	loop_post(machine->config.loop, &machine->memory_work);
}

bool machine_still(struct machine *machine, void (*call)(void *ctx), void *ctx)
{
	bool paused = machine_paused(machine), frozen;

	mutex_lock(&machine->lock);
	frozen = machine->frozen;
	mutex_unlock(&machine->lock);
	if (frozen)
		return false;
	machine_pause(machine);
	pci_bus_quiesce(machine_pci(machine), true);
	call(ctx);
	pci_bus_quiesce(machine_pci(machine), false);
	if (!paused)
		machine_resume(machine);
	return true;
}

#define TRIM_PAGES 16384u /* that are looked at: some ten milliseconds */

static void trim_memory(void *mem)
{
	memory_base_trim(mem, TRIM_PAGES);
}

void machine_trim(struct machine *machine)
{
	const struct engine *engine = machine->config.engine;
	bool paused = machine_paused(machine);

	if (!engine->vm_trim)
		return;
	machine_pause(machine);
	engine->vm_trim(machine->vm);
	/* Not where a disk of the host's would hold up whoever asks for something. */
	if (!pci_bus_busy(machine_pci(machine)))
		machine_still(machine, trim_memory, &machine->mem);
	if (!paused)
		machine_resume(machine);
}

static void end_lazy(void *mem)
{
	memory_lazy_end(mem);
}

/* Nothing is asked for any page any more; of one that is being saved, machine_thaw() comes back to it. */
void machine_end_lazy(void *ctx)
{
	struct machine *machine = ctx;
	struct error err = {0};

	if (memory_lazy_result(&machine->mem, &err)) {
		machine_end(machine, MACHINE_ENGINE_FAILED, &err);
		return;
	}
	if (!memory_lazy_is_over(&machine->mem))
		return;
	machine_still(machine, end_lazy, &machine->mem);
}
