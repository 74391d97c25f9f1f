/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine calls on vCPU threads. */
#include <x86intrin.h>

#include "machine/chipset/fpu.h"
#include "machine/internal.h"

static uint64_t io_read(void *ctx, unsigned index, uint16_t port, unsigned size)
{
	struct machine *machine = ctx;

	count(&machine->vcpu[index], COUNT_IO);
	return bus_read(&machine->board.io, port, size);
}

static void io_write(void *ctx, unsigned index, uint16_t port, unsigned size, uint64_t value)
{
	struct machine *machine = ctx;

	count(&machine->vcpu[index], COUNT_IO);
	bus_write(&machine->board.io, port, size, value);
}

/* Each vCPU finds its own APIC, at the same address unless it has moved it. */
static struct lapic *lapic_at(struct machine *machine, unsigned index, uint64_t gpa,
	uint64_t *offset)
{
	struct lapic *lapic = &machine->lapic[index];

	*offset = gpa - lapic_page(lapic);
	return *offset < LAPIC_SIZE ? lapic : NULL;
}

static uint64_t mmio_read(void *ctx, unsigned index, uint64_t gpa, unsigned size)
{
	struct machine *machine = ctx;
	uint64_t offset;
	struct lapic *lapic = lapic_at(machine, index, gpa, &offset);

	if (lapic) {
		count(&machine->vcpu[index], COUNT_APIC);
		return lapic_mmio_read(lapic, offset, size);
	}
	count(&machine->vcpu[index], COUNT_MMIO);
	return bus_read(&machine->board.mmio, gpa, size);
}

static void mmio_write(void *ctx, unsigned index, uint64_t gpa, unsigned size, uint64_t value)
{
	struct machine *machine = ctx;
	uint64_t offset;
	struct lapic *lapic = lapic_at(machine, index, gpa, &offset);

	if (lapic) {
		count(&machine->vcpu[index], COUNT_APIC);
		lapic_mmio_write(lapic, offset, size, value);
		return;
	}
	count(&machine->vcpu[index], COUNT_MMIO);
	bus_write(&machine->board.mmio, gpa, size, value);
}

static bool msr_read(void *ctx, unsigned index, uint32_t msr, uint64_t *value)
{
	struct machine *machine = ctx;

	count(&machine->vcpu[index], COUNT_MSR);
	return msr_bus_read(&machine->board.msrs, index, msr, value);
}

static bool msr_write(void *ctx, unsigned index, uint32_t msr, uint64_t value)
{
	struct machine *machine = ctx;

	count(&machine->vcpu[index], COUNT_MSR);
	return msr_bus_write(&machine->board.msrs, index, msr, value);
}

static int irq_pending(void *ctx, unsigned index)
{
	struct machine *machine = ctx;

	/* machine_resume_one(): a step is not to end in the timer's handler. Set while parked. */
	if (machine->only != ALL)
		return -1;
	if (machine->engine_apic)
		return index ? -1 : pic_pending(machine_pic(machine));
	return lapic_pending(&machine->lapic[index]);
}

static int irq_ack(void *ctx, unsigned index)
{
	struct machine *machine = ctx;

	if (machine->engine_apic)
		return pic_ack(machine_pic(machine));
	return lapic_ack(&machine->lapic[index]);
}

static uint64_t tpr_read(void *ctx, unsigned index)
{
	struct machine *machine = ctx;

	return lapic_cr8_read(&machine->lapic[index]);
}

static void tpr_write(void *ctx, unsigned index, uint64_t value)
{
	struct machine *machine = ctx;

	lapic_cr8_write(&machine->lapic[index], value);
}

static void on_eoi(void *ctx, uint8_t vector)
{
	struct machine *machine = ctx;

	ioapic_eoi(machine_ioapic(machine), vector);
}

static int64_t on_hypercall(void *ctx, unsigned index, const uint64_t gpr[16])
{
	struct machine *machine = ctx;

	return hypercall_bus_call(&machine->board.hypercalls, index, gpr);
}

static void on_ferr(void *ctx, unsigned index)
{
	machine_irq(ctx, IRQ_FPU, true);
}

const struct engine_callbacks machine_callbacks = {
	.io_read = io_read,
	.io_write = io_write,
	.mmio_read = mmio_read,
	.mmio_write = mmio_write,
	.msr_read = msr_read,
	.msr_write = msr_write,
	.irq_pending = irq_pending,
	.irq_ack = irq_ack,
	.tpr_read = tpr_read,
	.tpr_write = tpr_write,
	.eoi = on_eoi,
	.hypercall = on_hypercall,
	.ferr = on_ferr,
};

uint64_t machine_tsc(void *ctx)
{
	struct machine *machine = ctx;

	return __rdtsc() + atomic_load_explicit(&machine->tsc_offset, memory_order_relaxed);
}
