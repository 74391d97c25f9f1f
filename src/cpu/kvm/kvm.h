/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The KVM engine's own parts (Linux Documentation/virt/kvm/api.rst).
 *
 * The local APICs are the kernel's where it has split irqchips: halts, timers,
 * interrupts between processors and most ends of interrupts then never leave
 * it. The I/O APIC, the 8259s and the timers behind them stay in machine/ for
 * either engine: guests touch them at start only, and the kernel has the less
 * code that a guest can reach. Without split irqchips the APICs are machine/'s
 * too: interrupts go in by KVM_INTERRUPT and the MSRs come out as exits.
 */
#ifndef DACH_CPU_KVM_KVM_H
#define DACH_CPU_KVM_KVM_H

#include <linux/kvm.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/thread.h"
#include "cpu/cpuid.h"
#include "cpu/engine.h"

/* Interrupts KVM_RUN; has a handler that does nothing. */
#define KVM_KICK_SIGNAL SIGUSR1

#define KVM_EXIT_REASONS 40

#define KVM_VCPUS 64
#define KVM_PINS 24 /* of the I/O APIC */

/* struct kvm_irq_routing with room for a message a pin. */
struct kvm_routes {
	uint32_t nr, flags;
	struct kvm_irq_routing_entry entry[KVM_PINS];
};

struct kvm_vm {
	int kvm, fd;
	unsigned vcpus;
	size_t run_size;
	const struct cpuid_policy *cpuid;
	const struct engine_callbacks *callbacks;
	void *ctx;
	bool apics;         /* the local APICs are the kernel's */
	bool any_write;     /* eventfds on writes of any size */
	unsigned debug;     /* KVM_GUESTDBG_ flags that there are */
	struct mutex slots; /* while one changes, and while its log is read; before lock */
	struct mutex lock;
	struct kvm_routes routes GUARDED_BY(lock);
	struct memory_region
		region[REGIONS_MAX]; /* by slot; size 0: free; by lock while vCPUs run */
	struct kvm_vcpu *vcpu[KVM_VCPUS];
	struct {
		int fd, stop; /* the userfaultfd, and what ends the thread; -1 */
		pthread_t thread;
		bool started;
		bool lost; /* a page could not be had */
	} absent;
	_Atomic uint64_t exits[KVM_EXIT_REASONS]; /* by KVM_EXIT_*; the last counts all others */
	_Atomic uint64_t interrupts, kicks;
};

struct kvm_vcpu {
	struct kvm_vm *vm;
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

/* What engine.h's users hold. */
static inline struct kvm_vm *kvm_vm(struct engine_vm *e)
{
	return (struct kvm_vm *)e;
}
static inline struct kvm_vcpu *kvm_vcpu(struct engine_vcpu *e)
{
	return (struct kvm_vcpu *)e;
}

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

/* Gives the vCPU its policy. */
int kvm_cpuid_set(struct kvm_vcpu *vcpu, struct error *err);

int kvm_probe(struct error *err);

/* irqchip.c. Before the first vCPU: the local APICs become the kernel's, if it can. */
int kvm_irqchip_init(struct kvm_vm *vm, struct error *err);
extern const struct engine_apic_ops kvm_apic_ops;
int kvm_notify_fd(struct engine_vm *e, uint64_t gpa, int fd, bool on);

/* memory.c */
int kvm_map(struct engine_vm *e, const struct memory_region *region, struct error *err);
int kvm_unmap(struct engine_vm *e, uint64_t gpa, uint64_t size, struct error *err);
int kvm_protect(struct engine_vm *e, uint64_t gpa, uint64_t size, bool read_only,
	struct error *err);
int kvm_door(struct engine_vm *e, uint64_t gpa, uint64_t size, struct error *err);
void kvm_log_collect(struct engine_vm *e, const struct memory_region *part);

/*
 * absent.c: between the two, pages of the region that its door says are absent are brought when a vCPU
 * touches them. -ENOTSUP where the host does not let us.
 */
int kvm_absent_watch(struct kvm_vm *vm, const struct memory_region *region, struct error *err);
void kvm_absent_unwatch(struct kvm_vm *vm, const struct memory_region *region);
/* No vCPU runs any more. */
void kvm_absent_end(struct kvm_vm *vm);

enum engine_exit kvm_vcpu_run(struct engine_vcpu *e, struct error *err);
void kvm_kick(struct kvm_vcpu *vcpu, bool force);
void kvm_vcpu_kick(struct engine_vcpu *e, bool force);
void kvm_vcpu_nmi(struct engine_vcpu *e);
bool kvm_vcpu_interruptible(struct engine_vcpu *e);
void kvm_vcpu_debug(struct engine_vcpu *e, const struct engine_debug *debug);

void kvm_vcpu_get_state(struct engine_vcpu *e, struct cpu_state *state);
int kvm_vcpu_set_state(struct engine_vcpu *e, const struct cpu_state *state, struct error *err);
/* Sets one MSR from outside the guest; 0 or -EINVAL. */
int kvm_msr_set(struct kvm_vcpu *vcpu, uint32_t msr, uint64_t value);
uint64_t kvm_msr_get(struct kvm_vcpu *vcpu, uint32_t msr);

#endif
