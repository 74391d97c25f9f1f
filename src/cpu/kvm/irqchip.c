/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local APICs in the kernel, and the ways into and out of it that need no vCPU:
 * interrupt messages, ends of level-triggered interrupts, eventfds for writes.
 *
 * Messages go in by KVM_SIGNAL_MSI: one system call on the device's own thread,
 * as a write to an irqfd would be, and without a route for each vector.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>

#include "cpu/kvm/kvm.h"

#define MSR_APIC_BASE 0x1b
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_PV_EOI 0x4b564d04

_Static_assert(sizeof(struct kvm_irq_routing) == offsetof(struct kvm_routes, entry), "layout");
_Static_assert(sizeof((struct kvm_lapic_state){0}.regs) == 1024, "64 registers of 16 bytes");

int kvm_irqchip_init(struct kvm_vm *vm, struct error *err)
{
	/* APIC ids in the architecture's form, also in what is read and written. */
	const uint64_t x2apic =
		KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK;
	struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args[0] = KVM_PINS};
	struct kvm_enable_cap ids = {.cap = KVM_CAP_X2APIC_API, .args[0] = x2apic};
	int has = ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_X2APIC_API);

	if (has < 0 || (has & x2apic) != x2apic ||
		ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_SPLIT_IRQCHIP) <= 0 ||
		ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_SIGNAL_MSI) <= 0 ||
		ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_IRQ_ROUTING) < KVM_PINS)
		return 0;
	if (ioctl(vm->fd, KVM_ENABLE_CAP, &split) < 0 || ioctl(vm->fd, KVM_ENABLE_CAP, &ids) < 0)
		return error_set(err, errno, "KVM: interrupt controllers: %s", strerror(errno));
	vm->apics = true;
	return 0;
}

static bool apic_in_use(struct engine_vm *e)
{
	struct kvm_vm *vm = kvm_vm(e);
	return vm->apics;
}

static void apic_message(struct engine_vm *e, uint64_t address, uint32_t data)
{
	struct kvm_vm *vm = kvm_vm(e);
	struct kvm_msi msi = {
		.address_lo = address,
		.address_hi = address >> 32,
		.data = data,
	};

	/* What it refuses no processor takes: no APIC has that destination, or it is switched off. */
	ioctl(vm->fd, KVM_SIGNAL_MSI, &msi);
	atomic_fetch_add_explicit(&vm->interrupts, 1, memory_order_relaxed);
}

static void apic_route(struct engine_vm *e, unsigned pin, uint64_t address, uint32_t data)
{
	struct kvm_vm *vm = kvm_vm(e);
	const struct kvm_irq_routing_entry entry = {
		.gsi = pin,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi = {.address_lo = address, .address_hi = address >> 32, .data = data},
	};
	struct kvm_routes *routes = &vm->routes;
	unsigned at = 0;

	if (pin >= KVM_PINS)
		return;
	mutex_lock(&vm->lock);
	while (at < routes->nr && routes->entry[at].gsi != pin)
		at++;
	if (address && at < routes->nr && !memcmp(&routes->entry[at], &entry, sizeof entry))
		goto out;
	if (address) {
		routes->entry[at] = entry;
		routes->nr += at == routes->nr;
	} else if (at < routes->nr) {
		routes->entry[at] = routes->entry[--routes->nr];
	} else {
		goto out;
	}
	ioctl(vm->fd, KVM_SET_GSI_ROUTING, routes);
out:
	mutex_unlock(&vm->lock);
}

int kvm_notify_fd(struct engine_vm *e, uint64_t gpa, int fd, bool on)
{
	struct kvm_vm *vm = kvm_vm(e);
	struct kvm_ioeventfd event = {
		.addr = gpa,
		.len = vm->any_write ? 0 : 2, /* what drivers write */
		.fd = fd,
		.flags = on ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN,
	};

	return ioctl(vm->fd, KVM_IOEVENTFD, &event) < 0 ? -errno : 0;
}

static void apic_get(struct engine_vcpu *e, struct engine_apic *apic)
{
	struct kvm_vcpu *vcpu = kvm_vcpu(e);
	struct kvm_lapic_state state = {0};
	struct kvm_mp_state mp = {0};

	memset(apic, 0, sizeof *apic);
	/* First, since this takes INIT and start-up messages that wait. */
	ioctl(vcpu->fd, KVM_GET_MP_STATE, &mp);
	ioctl(vcpu->fd, KVM_GET_LAPIC, &state);
	for (unsigned i = 0; i < 64; i++)
		memcpy(&apic->page[i], &state.regs[16 * i], 4);
	apic->tsc_deadline = kvm_msr_get(vcpu, MSR_TSC_DEADLINE);
	apic->base = kvm_msr_get(vcpu, MSR_APIC_BASE);
	apic->pv_eoi = kvm_msr_get(vcpu, MSR_PV_EOI);
	apic->activity = mp.mp_state == KVM_MP_STATE_HALTED ? ENGINE_HALTED
		: mp.mp_state == KVM_MP_STATE_UNINITIALIZED ||
			mp.mp_state == KVM_MP_STATE_INIT_RECEIVED
		? ENGINE_WAITS_SIPI
		: ENGINE_RUNS;
}

static int apic_set(struct engine_vcpu *e, const struct engine_apic *apic, struct error *err)
{
	struct kvm_vcpu *vcpu = kvm_vcpu(e);
	struct kvm_lapic_state state = {0};
	struct kvm_mp_state mp = {0};
	const char *what = "local APIC";

	for (unsigned i = 0; i < 64; i++)
		memcpy(&state.regs[16 * i], &apic->page[i], 4);
	if (ioctl(vcpu->fd, KVM_SET_LAPIC, &state) < 0)
		goto fail;
	kvm_msr_set(vcpu, MSR_TSC_DEADLINE, apic->tsc_deadline);
	what = "paravirtual end of interrupt";
	if (kvm_msr_set(vcpu, MSR_PV_EOI, apic->pv_eoi) < 0 && apic->pv_eoi) {
		errno = EINVAL;
		goto fail;
	}
	what = "activity";
	mp.mp_state = apic->activity == ENGINE_HALTED ? KVM_MP_STATE_HALTED
		: apic->activity == ENGINE_WAITS_SIPI ? KVM_MP_STATE_INIT_RECEIVED
						      : KVM_MP_STATE_RUNNABLE;
	if (ioctl(vcpu->fd, KVM_SET_MP_STATE, &mp) < 0)
		goto fail;
	return 0;
fail:
	return error_set(err, errno, "KVM: processor %u: %s: %s", vcpu->index, what,
		strerror(errno));
}

const struct engine_apic_ops kvm_apic_ops = {
	.in_use = apic_in_use,
	.message = apic_message,
	.route = apic_route,
	.get = apic_get,
	.set = apic_set,
};
