/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a vCPU. A kick must not be lost between the look for interrupts and
 * KVM_RUN: the kicker publishes its cause, then sets immediate_exit, then
 * signals a vCPU that says it is running; the runner says so, then clears
 * immediate_exit, then looks for causes. Either the runner sees the cause or
 * KVM_RUN sees immediate_exit.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cpu/kvm/kvm.h"

#define MSR_APIC_BASE 0x1b

void kvm_kick(struct kvm_vcpu *vcpu, bool force)
{
	if (force)
		atomic_store(&vcpu->forced, true);
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	if (atomic_load(&vcpu->running)) {
		atomic_fetch_add(&vcpu->vm->kicks, 1);
		syscall(SYS_tgkill, getpid(), atomic_load(&vcpu->thread), KVM_KICK_SIGNAL);
	}
}

void kvm_vcpu_kick(struct engine_vcpu *e, bool force)
{
	kvm_kick(kvm_vcpu(e), force);
}

void kvm_vcpu_nmi(struct engine_vcpu *e)
{
	struct kvm_vcpu *vcpu = kvm_vcpu(e);
	atomic_store(&vcpu->nmi, true);
	kvm_kick(vcpu, false);
}

void kvm_vcpu_debug(struct engine_vcpu *e, const struct engine_debug *debug)
{
	struct kvm_vcpu *vcpu = kvm_vcpu(e);
	struct kvm_guest_debug set = {0};

	vcpu->debug = *debug;
	vcpu->breakpoints_by_step = debug->breakpoints > 4;
	if (debug->step || vcpu->breakpoints_by_step)
		set.control |= KVM_GUESTDBG_SINGLESTEP;
	/* A step is not to end in the timer's handler; the machine sees to it that none is taken. */
	if (debug->step && vcpu->vm->apics)
		set.control |= vcpu->vm->debug & KVM_GUESTDBG_BLOCKIRQ;
	if (debug->breakpoints && !vcpu->breakpoints_by_step) {
		set.control |= KVM_GUESTDBG_USE_HW_BP;
		set.arch.debugreg[7] = 0x400;
		for (unsigned i = 0; i < debug->breakpoints; i++) {
			set.arch.debugreg[i] = debug->breakpoint[i];
			set.arch.debugreg[7] |= 2u << (2 * i); /* on execution, global */
		}
	}
	if (set.control)
		set.control |= KVM_GUESTDBG_ENABLE;
	ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &set);
}

bool kvm_vcpu_interruptible(struct engine_vcpu *e)
{
	struct kvm_vcpu *vcpu = kvm_vcpu(e);
	return vcpu->run->if_flag;
}

/* KVM_EXIT_DEBUG comes after each instruction when breakpoints are looked for by stepping. */
static bool debug_wanted(const struct kvm_vcpu *vcpu)
{
	const struct engine_debug *d = &vcpu->debug;

	if (d->step || !vcpu->breakpoints_by_step)
		return true;
	for (unsigned i = 0; i < d->breakpoints && i < 64; i++)
		if (d->breakpoint[i] == vcpu->run->debug.arch.pc)
			return true;
	return false;
}

static void serve_io(struct kvm_vcpu *vcpu)
{
	const struct engine_callbacks *cb = vcpu->vm->callbacks;
	struct kvm_run *run = vcpu->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	unsigned size = run->io.size;

	for (unsigned i = 0; i < run->io.count; i++, data += size) {
		uint64_t value = 0;

		if (run->io.direction == KVM_EXIT_IO_OUT) {
			memcpy(&value, data, size);
			cb->io_write(vcpu->vm->ctx, vcpu->index, run->io.port, size, value);
		} else {
			value = cb->io_read(vcpu->vm->ctx, vcpu->index, run->io.port, size);
			memcpy(data, &value, size);
		}
	}
}

/* KVM hands over up to 8 bytes, of any number where an access crosses a page. */
static void serve_mmio(struct kvm_vcpu *vcpu)
{
	const struct engine_callbacks *cb = vcpu->vm->callbacks;
	struct kvm_run *run = vcpu->run;
	unsigned len = run->mmio.len > 8 ? 8 : run->mmio.len;
	unsigned size = len == 1 || len == 2 || len == 4 || len == 8 ? len : 1;

	for (unsigned at = 0; at < len; at += size) {
		uint64_t value = 0, gpa = run->mmio.phys_addr + at;

		if (run->mmio.is_write) {
			memcpy(&value, run->mmio.data + at, size);
			cb->mmio_write(vcpu->vm->ctx, vcpu->index, gpa, size, value);
		} else {
			value = cb->mmio_read(vcpu->vm->ctx, vcpu->index, gpa, size);
			memcpy(run->mmio.data + at, &value, size);
		}
	}
}

static void serve_msr(struct kvm_vcpu *vcpu, bool write)
{
	const struct engine_callbacks *cb = vcpu->vm->callbacks;
	struct kvm_run *run = vcpu->run;
	uint64_t value = run->msr.data;
	bool ok;

	if (write)
		ok = cb->msr_write(vcpu->vm->ctx, vcpu->index, run->msr.index, value);
	else
		ok = cb->msr_read(vcpu->vm->ctx, vcpu->index, run->msr.index, &value);
	run->msr.error = !ok;
	if (ok && !write)
		run->msr.data = value;
	/* KVM shows in CPUID whether the APIC is on. */
	if (ok && write && run->msr.index == MSR_APIC_BASE)
		kvm_msr_set(vcpu, MSR_APIC_BASE, value);
}

/* What waits for the vCPU goes in, or asks KVM to say when it can. */
static void inject(struct kvm_vcpu *vcpu)
{
	const struct engine_callbacks *cb = vcpu->vm->callbacks;
	struct kvm_run *run = vcpu->run;
	void *ctx = vcpu->vm->ctx;
	int vector;

	if (atomic_exchange(&vcpu->nmi, false))
		ioctl(vcpu->fd, KVM_NMI);
	vector = cb->irq_pending(ctx, vcpu->index);
	if (vector >= 0 && run->ready_for_interrupt_injection) {
		vector = cb->irq_ack(ctx, vcpu->index);
		if (vector >= 0) {
			struct kvm_interrupt irq = {.irq = vector};

			ioctl(vcpu->fd, KVM_INTERRUPT, &irq);
			run->ready_for_interrupt_injection = 0;
			atomic_fetch_add(&vcpu->vm->interrupts, 1);
		}
		vector = cb->irq_pending(ctx, vcpu->index);
	}
	run->request_interrupt_window = vector >= 0;
}

static enum engine_exit fail(struct kvm_vcpu *vcpu, struct error *err)
{
	struct kvm_run *run = vcpu->run;
	struct kvm_regs regs = {0};
	struct kvm_sregs sregs = {0};

	/* An SMI that the guest has sent: system management mode has no memory, as on a PC without one. */
	if (run->flags & KVM_RUN_X86_SMM)
		return ENGINE_EXIT_SHUTDOWN;
	ioctl(vcpu->fd, KVM_GET_REGS, &regs);
	ioctl(vcpu->fd, KVM_GET_SREGS, &sregs);
	/* After INIT the boot processor begins where firmware would be, and nothing is. */
	if (vcpu->index == 0 && regs.rip == 0xfff0 && sregs.cs.base == 0xffff0000)
		return ENGINE_EXIT_RESET;
	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		error_set(err, EIO, "KVM: internal error %u on processor %u at %#llx",
			run->internal.suberror, vcpu->index, (unsigned long long)regs.rip);
	else if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		error_set(err, EIO, "KVM: the host refuses to enter processor %u (reason %#llx)",
			vcpu->index,
			(unsigned long long)run->fail_entry.hardware_entry_failure_reason);
	else
		error_set(err, EIO, "KVM: unknown exit %u on processor %u at %#llx",
			run->exit_reason, vcpu->index, (unsigned long long)regs.rip);
	return ENGINE_EXIT_ERROR;
}

/* Serves the exit. False: KVM_RUN goes on; true: *exit is why not. */
static bool serve(struct kvm_vcpu *vcpu, enum engine_exit *exit, struct error *err)
{
	struct kvm_run *run = vcpu->run;
	unsigned reason = run->exit_reason;

	atomic_fetch_add_explicit(&vcpu->vm->exits[reason < KVM_EXIT_REASONS
						  ? reason
						  : KVM_EXIT_REASONS - 1],
		1, memory_order_relaxed);
	switch (reason) {
	case KVM_EXIT_IO:
		serve_io(vcpu);
		vcpu->unfinished = true;
		return false;
	case KVM_EXIT_MMIO:
		serve_mmio(vcpu);
		vcpu->unfinished = true;
		return false;
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		serve_msr(vcpu, reason == KVM_EXIT_X86_WRMSR);
		vcpu->unfinished = true;
		return false;
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_SET_TPR:
	case KVM_EXIT_INTR:
		return false;
	case KVM_EXIT_IOAPIC_EOI:
		vcpu->vm->callbacks->eoi(vcpu->vm->ctx, run->eoi.vector);
		return false;
	case KVM_EXIT_HLT:
		*exit = ENGINE_EXIT_HALT;
		return true;
	case KVM_EXIT_SHUTDOWN:
		*exit = ENGINE_EXIT_SHUTDOWN;
		return true;
	case KVM_EXIT_DEBUG:
		if (!debug_wanted(vcpu))
			return false;
		*exit = ENGINE_EXIT_DEBUG;
		return true;
	}
	*exit = fail(vcpu, err);
	return true;
}

/* One KVM_RUN. 0, -EINTR, or another negative errno. */
static int enter(struct kvm_vcpu *vcpu)
{
	const struct engine_callbacks *cb = vcpu->vm->callbacks;
	struct kvm_run *run = vcpu->run;
	bool apics = vcpu->vm->apics;
	uint64_t tpr = apics ? 0 : cb->tpr_read(vcpu->vm->ctx, vcpu->index);
	int rc;

	run->cr8 = tpr;
	rc = ioctl(vcpu->fd, KVM_RUN, 0) < 0 ? -errno : 0;
	vcpu->unfinished = false;
	if (!apics && run->cr8 != tpr)
		cb->tpr_write(vcpu->vm->ctx, vcpu->index, run->cr8);
	return rc;
}

static void first_run(struct kvm_vcpu *vcpu)
{
	sigset_t kick;

	atomic_store(&vcpu->thread, (pid_t)syscall(SYS_gettid));
	sigemptyset(&kick);
	sigaddset(&kick, KVM_KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
}

enum engine_exit kvm_vcpu_run(struct engine_vcpu *e, struct error *err)
{
	struct kvm_vcpu *vcpu = kvm_vcpu(e);
	struct kvm_run *run = vcpu->run;
	enum engine_exit exit = ENGINE_EXIT_INTERRUPTED;

	if (!atomic_load(&vcpu->thread))
		first_run(vcpu);
	atomic_store(&vcpu->running, true);
	for (;;) {
		bool leave;
		int rc;

		if (__atomic_load_n(&vcpu->vm->absent.lost, __ATOMIC_SEQ_CST)) {
			error_set(err, EIO, "a page of the guest's memory cannot be had");
			exit = ENGINE_EXIT_ERROR;
			break;
		}
		__atomic_store_n(&run->immediate_exit, 0, __ATOMIC_SEQ_CST);
		leave = atomic_load(&vcpu->forced);
		if (leave && !vcpu->unfinished)
			break;
		if (leave)
			/* Finish the access that was served, so that the state is whole. */
			__atomic_store_n(&run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		else
			inject(vcpu);
		rc = enter(vcpu);
		if (rc == -EINTR || rc == -EAGAIN)
			continue;
		/*
		 * The kernel has given the VM up, for good. A guest brings that about where it sends an
		 * SMI and the kernel (6.12) finds no memory to save the processor's state in.
		 */
		if (rc == -EIO) {
			exit = ENGINE_EXIT_SHUTDOWN;
			break;
		}
		if (rc) {
			error_set(err, -rc, "KVM_RUN: %s", strerror(-rc));
			exit = ENGINE_EXIT_ERROR;
			break;
		}
		if (serve(vcpu, &exit, err))
			break;
	}
	atomic_store(&vcpu->running, false);
	if (exit == ENGINE_EXIT_INTERRUPTED)
		atomic_store(&vcpu->forced, false);
	return exit;
}
