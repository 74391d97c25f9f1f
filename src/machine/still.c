/* SPDX-License-Identifier: Apache-2.0 */
/* Who may run; and what is done while nobody does. */
#include "machine/internal.h"
#include "machine/memory_lazy.h"
#include "machine/pci/bus.h"

void machine_update(struct machine *machine)
{
	for (unsigned i = 0; i < machine->made; i++) {
		struct machine_vcpu *vcpu = &machine->vcpu[i];
		bool may = !machine->paused && !machine->resetting && !machine->remapping;

		if (machine->only != ALL && machine->only != i)
			may = false;
		if (may == vcpu->run_allowed)
			continue;
		vcpu->run_allowed = may;
		if (!may)
			vcpu_look_soon(vcpu);
	}
	pthread_cond_broadcast(&machine->changed);
}

void machine_wait_parked(struct machine *machine)
{
	for (unsigned i = 0; machine->running && i < machine->made; i++)
		while (!machine->vcpu[i].parked)
			mutex_wait(&machine->lock, &machine->changed);
}

void machine_pause(struct machine *machine)
{
	mutex_lock(&machine->lock);
	machine->paused = true;
	machine->only = ALL;
	machine_update(machine);
	machine_wait_parked(machine);
	mutex_unlock(&machine->lock);
}

void machine_unpark(struct machine *machine)
{
	bool stand = machine->paused || machine->resetting || machine->remapping ||
		atomic_load(&machine->over);

	/* They count as running from here on, so that a pause right behind waits for them. */
	for (unsigned i = 0; i < machine->made && !stand; i++)
		if (machine->only == ALL || machine->only == i)
			machine->vcpu[i].parked = false;
	machine_update(machine);
}

static void resume(struct machine *machine, unsigned only)
{
	mutex_lock(&machine->lock);
	if (machine->held || machine->frozen) {
		mutex_unlock(&machine->lock);
		return;
	}
	machine->paused = false;
	machine->only = only;
	machine_unpark(machine);
	mutex_unlock(&machine->lock);
}

void machine_resume(struct machine *machine)
{
	resume(machine, ALL);
}

void machine_resume_one(struct machine *machine, unsigned vcpu)
{
	resume(machine, vcpu);
}

bool machine_paused(struct machine *machine)
{
	bool paused;

	mutex_lock(&machine->lock);
	paused = machine->paused;
	mutex_unlock(&machine->lock);
	return paused;
}

bool machine_frozen(struct machine *machine)
{
	bool frozen;

	mutex_lock(&machine->lock);
	frozen = machine->frozen;
	mutex_unlock(&machine->lock);
	return frozen;
}

bool machine_freeze(struct machine *machine)
{
	bool still;

	mutex_lock(&machine->lock);
	still = machine->paused && !machine->resetting && !machine->frozen &&
		!atomic_load(&machine->over);
	machine->frozen |= still;
	mutex_unlock(&machine->lock);
	return still;
}

void machine_thaw(struct machine *machine)
{
	mutex_lock(&machine->lock);
	machine->frozen = false;
	if (machine->resetting)
		loop_post(machine->config.loop, &machine->reset_work);
	if (machine->remapping)
		loop_post(machine->config.loop, &machine->remap_work);
	mutex_unlock(&machine->lock);
	if (memory_lazy_is_over(&machine->mem))
		machine_memory_over(machine);
}

/* Work of the loop's for which all stand still */

void machine_ask(struct machine *machine, bool *asked, struct loop_work *work)
{
	mutex_lock(&machine->lock);
	if (!*asked) {
		*asked = true;
		machine_update(machine);
		loop_post(machine->config.loop, work);
	}
	mutex_unlock(&machine->lock);
}

bool machine_stands(struct machine *machine)
{
	bool frozen;

	mutex_lock(&machine->lock);
	machine_wait_parked(machine);
	frozen = machine->frozen; /* machine_thaw() comes back to it */
	mutex_unlock(&machine->lock);
	return !frozen && !atomic_load(&machine->over);
}

void machine_done(struct machine *machine, bool *asked)
{
	mutex_lock(&machine->lock);
	*asked = false;
	machine_unpark(machine);
	mutex_unlock(&machine->lock);
}

/* Memory's map */

void machine_ask_remap(void *ctx)
{
	struct machine *machine = ctx;

	machine_ask(machine, &machine->remapping, &machine->remap_work);
}

void machine_remap(void *ctx)
{
	struct machine *machine = ctx;
	struct error err = {0};
	int r;

	if (!machine_stands(machine))
		return;
	pci_bus_quiesce(machine_pci(machine), true);
	r = board_remap(&machine->board, &err);
	pci_bus_quiesce(machine_pci(machine), false);
	if (r)
		machine_end(machine, MACHINE_ENGINE_FAILED, &err);
	else
		machine_done(machine, &machine->remapping);
}
