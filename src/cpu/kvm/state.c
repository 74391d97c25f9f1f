/* SPDX-License-Identifier: Apache-2.0 */
/* Between struct cpu_state and KVM's several pieces of the same. */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <x86intrin.h>

#include "cpu/kvm/kvm.h"

_Static_assert(sizeof(struct kvm_xsave) == CPU_XSAVE_SIZE, "KVM_GET_XSAVE's area");

struct msr_field {
	uint32_t msr;
	size_t offset;
};

#define FIELD(msr, name)                              \
	{                                             \
		msr, offsetof(struct cpu_state, name) \
	}
#define MTRR_PAIR(n) FIELD(0x200 + 2 * (n), mtrr_base[n]), FIELD(0x201 + 2 * (n), mtrr_mask[n])

static const struct msr_field msr_fields[] = {
	FIELD(0xc0000081, star),
	FIELD(0xc0000082, lstar),
	FIELD(0xc0000083, cstar),
	FIELD(0xc0000084, sfmask),
	FIELD(0xc0000102, kernel_gs_base),
	FIELD(0xc0000103, tsc_aux),
	FIELD(0x3b, tsc_adjust),
	FIELD(0x174, sysenter_cs),
	FIELD(0x175, sysenter_esp),
	FIELD(0x176, sysenter_eip),
	FIELD(0x277, pat),
	FIELD(0x1a0, misc_enable),
	FIELD(0x48, spec_ctrl),
	FIELD(0x2ff, mtrr_def_type),
	FIELD(0x250, mtrr_fixed[0]),
	FIELD(0x258, mtrr_fixed[1]),
	FIELD(0x259, mtrr_fixed[2]),
	FIELD(0x268, mtrr_fixed[3]),
	FIELD(0x269, mtrr_fixed[4]),
	FIELD(0x26a, mtrr_fixed[5]),
	FIELD(0x26b, mtrr_fixed[6]),
	FIELD(0x26c, mtrr_fixed[7]),
	FIELD(0x26d, mtrr_fixed[8]),
	FIELD(0x26e, mtrr_fixed[9]),
	FIELD(0x26f, mtrr_fixed[10]),
	MTRR_PAIR(0),
	MTRR_PAIR(1),
	MTRR_PAIR(2),
	MTRR_PAIR(3),
	MTRR_PAIR(4),
	MTRR_PAIR(5),
	MTRR_PAIR(6),
	MTRR_PAIR(7),
};

#define MSR_TSC 0x10

_Static_assert(sizeof(struct kvm_msrs) == offsetof(struct kvm_one_msr, entry), "layout");

int kvm_msr_set(struct kvm_vcpu *vcpu, uint32_t msr, uint64_t value)
{
	struct kvm_one_msr one = {.nmsrs = 1, .entry = {.index = msr, .data = value}};

	return ioctl(vcpu->fd, KVM_SET_MSRS, &one) == 1 ? 0 : -EINVAL;
}

uint64_t kvm_msr_get(struct kvm_vcpu *vcpu, uint32_t msr)
{
	struct kvm_one_msr one = {.nmsrs = 1, .entry.index = msr};

	return ioctl(vcpu->fd, KVM_GET_MSRS, &one) == 1 ? one.entry.data : 0;
}

static struct segment segment_get(const struct kvm_segment *k)
{
	return (struct segment){
		.selector = k->selector,
		.base = k->base,
		.limit = k->limit,
		.attr = k->type | k->s << 4 | k->dpl << 5 | k->present << 7 | k->avl << 12 |
			k->l << 13 | k->db << 14 | k->g << 15 |
			(k->unusable ? SEG_ATTR_UNUSABLE : 0),
	};
}

static struct kvm_segment segment_set(const struct segment *s)
{
	return (struct kvm_segment){
		.selector = s->selector,
		.base = s->base,
		.limit = s->limit,
		.type = s->attr & 15,
		.s = s->attr >> 4 & 1,
		.dpl = s->attr >> 5 & 3,
		.present = s->attr >> 7 & 1,
		.avl = s->attr >> 12 & 1,
		.l = s->attr >> 13 & 1,
		.db = s->attr >> 14 & 1,
		.g = s->attr >> 15 & 1,
		.unusable = !!(s->attr & SEG_ATTR_UNUSABLE),
	};
}

/* KVM's order of the general registers is its own. */
static uint64_t *kvm_gpr(struct kvm_regs *regs, int index)
{
	static const size_t offset[8] = {
		[RAX] = offsetof(struct kvm_regs, rax),
		[RCX] = offsetof(struct kvm_regs, rcx),
		[RDX] = offsetof(struct kvm_regs, rdx),
		[RBX] = offsetof(struct kvm_regs, rbx),
		[RSP] = offsetof(struct kvm_regs, rsp),
		[RBP] = offsetof(struct kvm_regs, rbp),
		[RSI] = offsetof(struct kvm_regs, rsi),
		[RDI] = offsetof(struct kvm_regs, rdi),
	};

	if (index >= 8)
		return (uint64_t *)&regs->r8 + (index - 8);
	return (uint64_t *)((char *)regs + offset[index]);
}

static struct kvm_device_attr tsc_offset_attr(int64_t *offset)
{
	return (struct kvm_device_attr){
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)offset,
	};
}

static void get_events(struct kvm_vcpu *vcpu, struct cpu_state *state)
{
	struct kvm_vcpu_events e = {0};

	if (ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &e) < 0)
		return;
	if (e.exception.injected) {
		state->event.pending = 1;
		state->event.vector = e.exception.nr;
		state->event.has_error = e.exception.has_error_code;
		state->event.error = e.exception.error_code;
	} else if (e.interrupt.injected) {
		state->event.pending = 1;
		state->event.vector = e.interrupt.nr;
		state->event.soft = e.interrupt.soft;
	}
	state->sti_shadow = e.interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS ? SHADOW_MOV_SS
		: e.interrupt.shadow                                       ? SHADOW_STI
									   : 0;
	/* One that is on its way in goes in again, as if it had not begun. */
	state->nmi_masked = e.nmi.masked && !e.nmi.injected;
	state->nmi_pending = e.nmi.pending || e.nmi.injected || atomic_load(&vcpu->nmi);
}

void kvm_vcpu_get_state(struct engine_vcpu *e, struct cpu_state *state)
{
	struct kvm_vcpu *vcpu = kvm_vcpu(e);
	struct kvm_regs regs = {0};
	struct kvm_sregs s = {0};
	struct kvm_debugregs d = {0};
	struct kvm_xcrs x = {0};
	struct kvm_device_attr attr = tsc_offset_attr(&state->tsc_offset);

	memset(state, 0, sizeof *state);
	ioctl(vcpu->fd, KVM_GET_REGS, &regs);
	ioctl(vcpu->fd, KVM_GET_SREGS, &s);
	ioctl(vcpu->fd, KVM_GET_DEBUGREGS, &d);
	ioctl(vcpu->fd, KVM_GET_XSAVE, state->xsave);
	for (int i = 0; i < 16; i++)
		state->gpr[i] = *kvm_gpr(&regs, i);
	state->rip = regs.rip;
	state->rflags = regs.rflags;
	state->seg[SEG_ES] = segment_get(&s.es);
	state->seg[SEG_CS] = segment_get(&s.cs);
	state->seg[SEG_SS] = segment_get(&s.ss);
	state->seg[SEG_DS] = segment_get(&s.ds);
	state->seg[SEG_FS] = segment_get(&s.fs);
	state->seg[SEG_GS] = segment_get(&s.gs);
	state->tr = segment_get(&s.tr);
	state->ldtr = segment_get(&s.ldt);
	state->gdtr = (struct table_register){s.gdt.base, s.gdt.limit};
	state->idtr = (struct table_register){s.idt.base, s.idt.limit};
	state->cr0 = s.cr0;
	state->cr2 = s.cr2;
	state->cr3 = s.cr3;
	state->cr4 = s.cr4;
	state->cr8 = s.cr8;
	state->efer = s.efer;
	state->apic_base = s.apic_base;
	state->cpl = s.cr0 & CR0_PE ? (regs.rflags & FL_VM ? 3 : s.ss.dpl) : 0;
	state->xcr0 = XCR0_X87;
	if (ioctl(vcpu->fd, KVM_GET_XCRS, &x) == 0 && x.nr_xcrs)
		state->xcr0 = x.xcrs[0].value;
	memcpy(state->dr, d.db, sizeof state->dr);
	state->dr6 = d.dr6;
	state->dr7 = d.dr7;
	for (unsigned i = 0; i < sizeof msr_fields / sizeof *msr_fields; i++)
		*(uint64_t *)((char *)state + msr_fields[i].offset) =
			kvm_msr_get(vcpu, msr_fields[i].msr);
	if (ioctl(vcpu->fd, KVM_GET_DEVICE_ATTR, &attr) < 0)
		state->tsc_offset = kvm_msr_get(vcpu, MSR_TSC) - __rdtsc();
	get_events(vcpu, state);
}

static int set_sregs(struct kvm_vcpu *vcpu, const struct cpu_state *state)
{
	struct kvm_sregs s = {
		.es = segment_set(&state->seg[SEG_ES]),
		.cs = segment_set(&state->seg[SEG_CS]),
		.ss = segment_set(&state->seg[SEG_SS]),
		.ds = segment_set(&state->seg[SEG_DS]),
		.fs = segment_set(&state->seg[SEG_FS]),
		.gs = segment_set(&state->seg[SEG_GS]),
		.tr = segment_set(&state->tr),
		.ldt = segment_set(&state->ldtr),
		.gdt = {.base = state->gdtr.base, .limit = state->gdtr.limit},
		.idt = {.base = state->idtr.base, .limit = state->idtr.limit},
		.cr0 = state->cr0,
		.cr2 = state->cr2,
		.cr3 = state->cr3,
		.cr4 = state->cr4,
		.cr8 = state->cr8,
		.efer = state->efer,
		.apic_base = state->apic_base,
	};

	/* Hardware knows TR only as a busy TSS; a guest that has loaded none has an available one. */
	if (s.tr.present && !s.tr.s)
		s.tr.type |= s.tr.type == 1 || s.tr.type == 9 ? 2 : 0;
	return ioctl(vcpu->fd, KVM_SET_SREGS, &s) < 0 ? -errno : 0;
}

static int set_events(struct kvm_vcpu *vcpu, const struct cpu_state *state)
{
	const struct cpu_event *event = &state->event;
	struct kvm_vcpu_events e = {
		.nmi.masked = state->nmi_masked,
		.nmi.pending = state->nmi_pending,
		.interrupt.shadow = state->sti_shadow == SHADOW_MOV_SS ? KVM_X86_SHADOW_INT_MOV_SS
			: state->sti_shadow                            ? KVM_X86_SHADOW_INT_STI
								       : 0,
		/* KVM takes no INIT in system management mode, where an SMI has brought the guest. */
		.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW |
			KVM_VCPUEVENT_VALID_SMM,
	};

	if (event->pending && !event->soft && event->vector < 32) {
		e.exception.injected = 1;
		e.exception.nr = event->vector;
		e.exception.has_error_code = event->has_error;
		e.exception.error_code = event->error;
	} else if (event->pending) {
		e.interrupt.injected = 1;
		e.interrupt.nr = event->vector;
		e.interrupt.soft = event->soft;
	}
	return ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &e) < 0 ? -errno : 0;
}

static void set_tsc(struct kvm_vcpu *vcpu, int64_t offset)
{
	struct kvm_device_attr attr = tsc_offset_attr(&offset);

	if (ioctl(vcpu->fd, KVM_SET_DEVICE_ATTR, &attr) < 0)
		kvm_msr_set(vcpu, MSR_TSC, __rdtsc() + offset);
}

int kvm_vcpu_set_state(struct engine_vcpu *e, const struct cpu_state *state, struct error *err)
{
	struct kvm_vcpu *vcpu = kvm_vcpu(e);
	struct kvm_regs regs = {.rip = state->rip, .rflags = state->rflags | 2};
	struct kvm_debugregs d = {.dr6 = state->dr6, .dr7 = state->dr7};
	struct kvm_xcrs x = {.nr_xcrs = 1, .xcrs[0].value = state->xcr0};
	const char *what = "registers";
	int rc;

	for (int i = 0; i < 16; i++)
		*kvm_gpr(&regs, i) = state->gpr[i];
	memcpy(d.db, state->dr, sizeof d.db);
	rc = set_sregs(vcpu, state);
	if (rc == 0 && ioctl(vcpu->fd, KVM_SET_REGS, &regs) < 0)
		rc = -errno;
	if (rc == 0 && ioctl(vcpu->fd, KVM_SET_DEBUGREGS, &d) < 0)
		rc = -errno;
	if (rc)
		goto fail;
	what = "vector state";
	if (vcpu->vm->cpuid->xcr0 && ioctl(vcpu->fd, KVM_SET_XCRS, &x) < 0)
		rc = -errno;
	if (rc == 0 && ioctl(vcpu->fd, KVM_SET_XSAVE, state->xsave) < 0)
		rc = -errno;
	if (rc)
		goto fail;
	for (unsigned i = 0; i < sizeof msr_fields / sizeof *msr_fields; i++) {
		uint64_t value = *(const uint64_t *)((const char *)state + msr_fields[i].offset);

		if (kvm_msr_set(vcpu, msr_fields[i].msr, value) < 0 && value)
			return error_set(err, EINVAL,
				"KVM: processor %u: MSR %#x cannot be %#llx here", vcpu->index,
				msr_fields[i].msr, (unsigned long long)value);
	}
	set_tsc(vcpu, state->tsc_offset);
	what = "events";
	rc = set_events(vcpu, state);
	if (rc)
		goto fail;
	atomic_store(&vcpu->nmi, false);
	/* Of the state before; KVM_RUN tells anew. */
	vcpu->run->ready_for_interrupt_injection = 0;
	vcpu->run->if_flag = !!(state->rflags & FL_IF);
	vcpu->unfinished = false;
	return 0;
fail:
	return error_set(err, -rc, "KVM: processor %u: %s: %s", vcpu->index, what, strerror(-rc));
}
