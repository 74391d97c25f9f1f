/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The KVM engine's own parts (Linux Documentation/virt/kvm/api.rst). Interrupt
 * controllers stay in machine/: there is no in-kernel irqchip, so interrupts go
 * in by KVM_INTERRUPT, and the MSRs that machine/ holds come out as exits.
 */
#ifndef DACH_CPU_KVM_KVM_H
#define DACH_CPU_KVM_KVM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "cpu/cpuid.h"
#include "cpu/engine.h"

/* Interrupts KVM_RUN; has a handler that does nothing. */
#define KVM_KICK_SIGNAL SIGUSR1

#define KVM_EXIT_REASONS 40

struct engine_vm {
	int kvm, fd;
	unsigned vcpus, slots;
	size_t run_size;
	const struct cpuid_policy *cpuid;
	const struct engine_callbacks *callbacks;
	void *ctx;
	_Atomic uint64_t exits[KVM_EXIT_REASONS]; /* by KVM_EXIT_*; the last counts all others */
	_Atomic uint64_t interrupts, kicks;
};

struct engine_vcpu {
	struct engine_vm *vm;
	unsigned index;
	int fd;
	struct kvm_run *run;
	_Atomic pid_t thread; /* that runs it, 0 before its first run */
	_Atomic bool running; /* in or about to enter KVM_RUN */
	_Atomic bool forced;  /* the next run is to come back */
	_Atomic bool nmi;
	bool unfinished;          /* an access was served but KVM has not finished it */
	bool breakpoints_by_step; /* more breakpoints than debug registers */
	struct engine_debug debug;
};

/* struct kvm_cpuid2 with room for its entries: KVM_GET_SUPPORTED_CPUID, as the source of a policy. */
struct kvm_cpuid_table {
	uint32_t nent, padding;
	struct kvm_cpuid_entry2 entry[256];
};

/* struct kvm_msrs with one entry. */
struct kvm_one_msr {
	uint32_t nmsrs, padding;
	struct kvm_msr_entry entry;
};

/*
 * source->xcr0 and tsc_khz are the host's; the rest is filled in. table outlives source. Opens
 * /dev/kvm for the moment.
 */
int kvm_cpuid_source(struct kvm_cpuid_table *table, struct cpuid_source *source, struct error *err);
/* Gives the vCPU its policy. */
int kvm_cpuid_set(struct engine_vcpu *vcpu, struct error *err);

int kvm_probe(struct error *err);

enum engine_exit kvm_vcpu_run(struct engine_vcpu *vcpu, struct error *err);
void kvm_vcpu_kick(struct engine_vcpu *vcpu, bool force);
void kvm_vcpu_nmi(struct engine_vcpu *vcpu);
bool kvm_vcpu_interruptible(struct engine_vcpu *vcpu);
void kvm_vcpu_debug(struct engine_vcpu *vcpu, const struct engine_debug *debug);

void kvm_vcpu_get_state(struct engine_vcpu *vcpu, struct cpu_state *state);
int kvm_vcpu_set_state(struct engine_vcpu *vcpu, const struct cpu_state *state, struct error *err);
/* Sets one MSR from outside the guest; 0 or -EINVAL. */
int kvm_msr_set(struct engine_vcpu *vcpu, uint32_t msr, uint64_t value);

#endif
