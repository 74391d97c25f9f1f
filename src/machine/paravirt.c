/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KVM's interface of guests to their hypervisor, but for its clock (timer/pvclock.h): calls (Linux,
 * Documentation/virt/kvm/x86/hypercalls.rst) and the word by which a guest need not end interrupts.
 */
#include "machine/internal.h"

/*
 * Where KVM tells a guest that it need not end an interrupt. A guest that began under an engine that
 * has this finds it here too: its word stays as it is, so that it ends all of them.
 */
#define MSR_PV_EOI 0x4b564d04u

#define CALL_KICK 5u
#define CALL_SEND_IPI 10u
#define CALL_LAST 15u /* what may be KVM's some day; nobody else's numbers begin there */
#define IPI_BITS 128u

static bool pv_eoi_read(void *ctx, unsigned index, uint32_t msr, uint64_t *value)
{
	struct machine *machine = ctx;

	*value = machine->vcpu[index].pv_eoi;
	return true;
}

static bool pv_eoi_write(void *ctx, unsigned index, uint32_t msr, uint64_t value)
{
	struct machine *machine = ctx;

	machine->vcpu[index].pv_eoi = value;
	return true;
}

static const struct msr_ops pv_eoi_ops = {.read = pv_eoi_read, .write = pv_eoi_write};

static void kick_halted(struct machine *machine, uint64_t apic_id)
{
	if (apic_id >= machine->made)
		return;
	/* first the reason, then a look at whether it sleeps: see the head of vcpu.c */
	atomic_store(&machine->vcpu[apic_id].unhalted, true);
	vcpu_unhalt(&machine->vcpu[apic_id]);
}

/* A bit for each of up to 128 APICs from `first` on; icr is the low half of an ICR. */
static int64_t send_ipis(struct machine *machine, unsigned index, const uint64_t bits[2],
	uint64_t first, uint64_t icr)
{
	unsigned mode = icr >> 8 & 7;
	int64_t count = 0;

	if (mode != LAPIC_FIXED && mode != LAPIC_NMI)
		return HYPERCALL_UNKNOWN;
	if (first >= machine->made)
		return 0;
	for (unsigned i = 0; i < IPI_BITS; i++) {
		if (!(bits[i / 64] >> i % 64 & 1) || first + i >= machine->made)
			continue;
		lapic_icr_write(&machine->lapic[index], (first + i) << 32 | (icr & 0x7ff), true);
		count++;
	}
	return count;
}

/* Arguments in RBX, RCX, RDX and RSI. */
static int64_t kvm_call(void *ctx, unsigned index, const uint64_t gpr[16])
{
	struct machine *machine = ctx;

	switch (gpr[RAX]) {
	case CALL_KICK:
		kick_halted(machine, gpr[RCX]);
		return 0;
	case CALL_SEND_IPI:
		return send_ipis(machine, index, (const uint64_t[2]){gpr[RBX], gpr[RCX]}, gpr[RDX],
			gpr[RSI]);
	}
	return HYPERCALL_UNKNOWN;
}

int machine_paravirt_init(struct machine *machine, struct error *err)
{
	int r = msr_bus_map(&machine->board.msrs, MSR_PV_EOI, MSR_PV_EOI, &pv_eoi_ops, machine);

	if (!r)
		r = hypercall_bus_map(&machine->board.hypercalls, 0, CALL_LAST, kvm_call, machine);
	return r < 0 ? error_set(err, -r, "paravirtual calls: another's numbers") : 0;
}
