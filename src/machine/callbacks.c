/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine calls on vCPU threads. */
#include <x86intrin.h>

#include "machine/internal.h"

/*
 * Where KVM tells a guest that it need not end an interrupt. A guest that began under an engine that
 * has this finds it here too: its word stays as it is, so that it ends all of them.
 */
#define MSR_PV_EOI 0x4b564d04u

static uint64_t io_read(void *ctx, unsigned index, uint16_t port, unsigned size)
{
	struct machine *machine = ctx;

	count(&machine->vcpu[index], COUNT_IO);
	return bus_read(&machine->io, port, size);
}

static void io_write(void *ctx, unsigned index, uint16_t port, unsigned size, uint64_t value)
{
	struct machine *machine = ctx;

	count(&machine->vcpu[index], COUNT_IO);
	bus_write(&machine->io, port, size, value);
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
	return bus_read(&machine->mmio, gpa, size);
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
	bus_write(&machine->mmio, gpa, size, value);
}

static bool msr_read(void *ctx, unsigned index, uint32_t msr, uint64_t *value)
{
	struct machine *machine = ctx;

	count(&machine->vcpu[index], COUNT_MSR);
	if (msr == MSR_PV_EOI) {
		*value = machine->vcpu[index].pv_eoi;
		return true;
	}
	return lapic_msr_read(&machine->lapic[index], msr, value) ||
		pvclock_msr_read(&machine->clock, index, msr, value);
}

static bool msr_write(void *ctx, unsigned index, uint32_t msr, uint64_t value)
{
	struct machine *machine = ctx;

	count(&machine->vcpu[index], COUNT_MSR);
	if (msr == MSR_PV_EOI) {
		machine->vcpu[index].pv_eoi = value;
		return true;
	}
	return lapic_msr_write(&machine->lapic[index], msr, value) ||
		pvclock_msr_write(&machine->clock, index, msr, value);
}

static int irq_pending(void *ctx, unsigned index)
{
	struct machine *machine = ctx;

	/* machine_resume_one(): a step is not to end in the timer's handler. Set while parked. */
	if (machine->only != ALL)
		return -1;
	if (machine->engine_apics)
		return index ? -1 : pic_pending(&machine->pic);
	return lapic_pending(&machine->lapic[index]);
}

static int irq_ack(void *ctx, unsigned index)
{
	struct machine *machine = ctx;

	if (machine->engine_apics)
		return pic_ack(&machine->pic);
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

static void eoi(void *ctx, uint8_t vector)
{
	struct machine *machine = ctx;

	ioapic_eoi(&machine->ioapic, vector);
}

/* Linux, Documentation/virt/kvm/x86/hypercalls.rst */
#define CALL_KICK 5u
#define CALL_SEND_IPI 10u
#define IPI_BITS 128u

static void kick_halted(struct machine *machine, uint64_t apic_id)
{
	if (apic_id >= machine->made)
		return;
	/* first the reason, then a look at whether it sleeps: see the head of vcpu.c */
	atomic_store(&machine->vcpu[apic_id].unhalted, true);
	vcpu_unhalt(&machine->vcpu[apic_id]);
}

/* Bits of up to 128 APICs from arg[2] on; arg[3] as the low half of an ICR. */
static int64_t send_ipis(struct machine *machine, unsigned index, const uint64_t arg[4])
{
	unsigned mode = arg[3] >> 8 & 7;
	int64_t count = 0;

	if (mode != LAPIC_FIXED && mode != LAPIC_NMI)
		return HYPERCALL_UNKNOWN;
	if (arg[2] >= machine->made)
		return 0;
	for (unsigned i = 0; i < IPI_BITS; i++) {
		if (!(arg[i / 64] >> i % 64 & 1) || arg[2] + i >= machine->made)
			continue;
		lapic_icr_write(&machine->lapic[index], (arg[2] + i) << 32 | (arg[3] & 0x7ff),
			true);
		count++;
	}
	return count;
}

static int64_t hypercall(void *ctx, unsigned index, uint64_t number, const uint64_t arg[4])
{
	struct machine *machine = ctx;

	switch (number) {
	case CALL_KICK:
		kick_halted(machine, arg[1]);
		return 0;
	case CALL_SEND_IPI:
		return send_ipis(machine, index, arg);
	}
	return HYPERCALL_UNKNOWN;
}

static void ferr(void *ctx, unsigned index)
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
	.eoi = eoi,
	.hypercall = hypercall,
	.ferr = ferr,
};

uint64_t machine_tsc(void *ctx)
{
	struct machine *machine = ctx;

	return __rdtsc() + atomic_load_explicit(&machine->tsc_offset, memory_order_relaxed);
}
