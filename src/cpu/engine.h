/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one interface that runs guest processors. cpu/kvm and cpu/translate
 * implement it; machine/ uses it without knowing which one it holds.
 *
 * The machine gives the engine memory regions and a set of callbacks; the
 * engine runs each vCPU on the thread that calls engine_vcpu_run() and calls
 * back, on that thread, for all that is not processor: ports, device memory,
 * the local APIC. Callbacks may block but must not call run.
 */
#ifndef DACH_CPU_ENGINE_H
#define DACH_CPU_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "cpu/cpuid.h"
#include "cpu/region.h"
#include "cpu/state.h"

struct engine_vm;
struct engine_vcpu;

/* Why engine_vcpu_run() came back. */
enum engine_exit {
	ENGINE_EXIT_INTERRUPTED, /* engine_vcpu_kick() asked, nothing else to do */
	ENGINE_EXIT_HALT,        /* HLT; interrupts are enabled if RFLAGS.IF says so */
	ENGINE_EXIT_SHUTDOWN,    /* triple fault */
	ENGINE_EXIT_DEBUG,       /* a debugger's breakpoint or step, see engine_vcpu_debug() */
	ENGINE_EXIT_RESET,       /* INIT reached the boot processor, which begins anew */
	ENGINE_EXIT_ERROR,       /* the engine itself failed; the text is in the run's err */
};

/* What the machine does for the engine. ctx is vm_config.ctx; index is the vCPU's. */
struct engine_callbacks {
	/* size is 1, 2, 4 (or 8 for memory). Reads of nothing return all ones. */
	uint64_t (*io_read)(void *ctx, unsigned index, uint16_t port, unsigned size);
	void (*io_write)(void *ctx, unsigned index, uint16_t port, unsigned size, uint64_t value);
	uint64_t (*mmio_read)(void *ctx, unsigned index, uint64_t gpa, unsigned size);
	void (*mmio_write)(void *ctx, unsigned index, uint64_t gpa, unsigned size, uint64_t value);
	/*
	 * MSRs that the processor core does not hold itself: APIC base, x2APIC, TSC deadline,
	 * paravirtual ones. False: there is no such MSR, or the value is refused (#GP).
	 */
	bool (*msr_read)(void *ctx, unsigned index, uint32_t msr, uint64_t *value);
	bool (*msr_write)(void *ctx, unsigned index, uint32_t msr, uint64_t value);
	/* The local APIC's highest deliverable vector, or -1; TPR is already applied. Cheap, lock-free. */
	int (*irq_pending)(void *ctx, unsigned index);
	/* Takes that vector (IRR to ISR) and returns it, or -1 if it has gone. */
	int (*irq_ack)(void *ctx, unsigned index);
	/* CR8, the task priority class (0-15). */
	uint64_t (*tpr_read)(void *ctx, unsigned index);
	void (*tpr_write)(void *ctx, unsigned index, uint64_t value);
	/* FERR#: an x87 exception while CR0.NE is clear. May be NULL: there is no such wire. */
	void (*ferr)(void *ctx, unsigned index);
	/* Where the engine holds the local APICs: a vector that engine_apic_ops.route() told of was ended. */
	void (*eoi)(void *ctx, uint8_t vector);
	/*
	 * VMCALL or VMMCALL by the kernel: its registers (outside of 64-bit code without their upper
	 * halves); the result goes to RAX. May be NULL.
	 */
	int64_t (*hypercall)(void *ctx, unsigned index, const uint64_t gpr[16]);
};

/* A local APIC and what its processor does, of an engine that holds the APICs. */
enum engine_activity { ENGINE_RUNS, ENGINE_HALTED, ENGINE_WAITS_SIPI };
struct engine_apic {
	/* The registers as SDM 3A table 11-1 lays them out: the one at offset 16 * n is page[n]. */
	uint32_t page[64];
	uint64_t base;         /* IA32_APIC_BASE; only told: it goes in with the vCPU's state */
	uint64_t tsc_deadline; /* IA32_TSC_DEADLINE; 0: not armed */
	uint64_t pv_eoi;       /* KVM's paravirtual end of interrupt, MSR 0x4b564d04 */
	uint8_t activity;      /* ENGINE_RUNS.. */
};

struct symbols;

/* What the VM's owner wants to see of where the guest spends its time. */
struct engine_profile {
	FILE *perf_map;                /* names of translated code, for perf; NULL: none */
	FILE *profile;                 /* where the guest's time went; NULL: none */
	const struct symbols *symbols; /* of the guest's kernel, or NULL */
};

#define HYPERCALL_UNKNOWN (-1000) /* KVM_ENOSYS */
#define HYPERCALL_DENIED (-1)     /* KVM_EPERM: not from the kernel */

struct engine_vm_config {
	unsigned vcpus;
	const struct cpuid_policy *cpuid; /* outlives the VM */
	const struct engine_callbacks *callbacks;
	void *ctx;
	uint32_t code_cache;                  /* bytes of translated code; 0: the engine's choice */
	const struct engine_profile *profile; /* NULL: nothing; outlives the VM */
	bool no_apics;      /* the engine is to leave the local APICs to the callbacks */
	bool no_windows;    /* the translator's second tier stays off, to compare (hostmap.h) */
	bool native_always; /* its third is for all user code, to test (native.h) */
};

/*
 * Local APICs that are the engine's own. It serves their registers and MSRs, CR8, HLT, INIT and
 * start-up messages itself (run does not come back for a halt), and irq_pending and irq_ack are
 * asked for the 8259's interrupt only.
 */
struct engine_apic_ops {
	/* Does this VM have them? False: all that is the callbacks', nothing below is called. */
	bool (*in_use)(struct engine_vm *vm);
	/* A message-signalled interrupt (SDM 3A 11.11). Any thread. */
	void (*message)(struct engine_vm *vm, uint64_t address, uint32_t data);
	/*
	 * The message of an I/O APIC's pin, so that callbacks.eoi comes when a level-triggered one
	 * is ended; address 0: none. Any thread.
	 */
	void (*route)(struct engine_vm *vm, unsigned pin, uint64_t address, uint32_t data);
	/* Only while the vCPU is not running. Set after vcpu_set_state, whose APIC base it obeys. */
	void (*get)(struct engine_vcpu *vcpu, struct engine_apic *apic);
	int (*set)(struct engine_vcpu *vcpu, const struct engine_apic *apic, struct error *err);
};

/* Debugger requests on one vCPU, until changed. */
struct engine_debug {
	bool step;
	unsigned breakpoints;    /* how many of the following count */
	uint64_t breakpoint[64]; /* guest virtual addresses */
};

struct engine {
	const char *name; /* "kvm", "translate" */
	enum cpuid_engine kind;
	/*
	 * It wants guest memory as a memfd even where the host's policy gives that no huge pages, and
	 * makes them itself.
	 */
	bool makes_huge_pages;
	const struct engine_apic_ops *apic; /* NULL: local APICs are always the callbacks' */
	/* 0 if it can run guests here; else a negative errno and the reason. */
	int (*probe)(struct error *err);

	int (*vm_create)(const struct engine_vm_config *config, struct engine_vm **vm,
		struct error *err);
	void (*vm_destroy)(struct engine_vm *vm);
	/*
	 * Starts processes that the engine wants beside this one, for speed: within the walls that stand
	 * already, before those of system calls, and before the first vCPU. An error says what this host lacks;
	 * the VM goes on without. Optional (NULL).
	 */
	int (*vm_processes)(struct engine_vm *vm, struct error *err);
	/* Can this host have them? Starts one, and ends it. Optional, like the other. */
	int (*probe_processes)(struct error *err);
	/*
	 * Guest memory (region.h), any of it at any time while no vCPU runs. Where nothing is mapped,
	 * MMIO callbacks run. vm_map() takes another region; what region_check() or region_conflict()
	 * refuses, it refuses (-EINVAL, -EEXIST), and more than REGIONS_MAX (-ENOSPC). The other two
	 * want the address and size of one of them: a part of a region is -EINVAL.
	 */
	int (*vm_map)(struct engine_vm *vm, const struct memory_region *region, struct error *err);
	int (*vm_unmap)(struct engine_vm *vm, uint64_t gpa, uint64_t size, struct error *err);
	int (*vm_protect)(struct engine_vm *vm, uint64_t gpa, uint64_t size, bool read_only,
		struct error *err);
	/*
	 * Somebody other than a vCPU (a device, a loader, the debugger) has written guest memory.
	 * Any thread.
	 */
	void (*vm_written)(struct engine_vm *vm, uint64_t gpa, uint64_t size);

	/*
	 * The door of the region with this address and size (page_door.h) begins or ends to ask, with
	 * no vCPU running; and may ask when a region is mapped. -ENOTSUP where pages that are absent
	 * cannot be had.
	 */
	int (*vm_door)(struct engine_vm *vm, uint64_t gpa, uint64_t size, struct error *err);
	/*
	 * For engine_log_read(), of a part of a region: marks what vCPUs have written and the door has
	 * not heard of; makes them tell of their next write to a page that is in door->taken. Any thread,
	 * also while vCPUs run. Each is optional (NULL).
	 */
	void (*vm_log_collect)(struct engine_vm *vm, const struct memory_region *part);
	void (*vm_log_rearm)(struct engine_vm *vm, const struct memory_region *part);
	/*
	 * From on to off, guest writes of any size to gpa signal the eventfd and call nobody. A
	 * negative errno where that cannot be; then mmio_write goes on. Optional (NULL). Any
	 * thread.
	 */
	int (*vm_notify_fd)(struct engine_vm *vm, uint64_t gpa, int fd, bool on);

	int (*vcpu_create)(struct engine_vm *vm, unsigned index, struct engine_vcpu **vcpu,
		struct error *err);
	void (*vcpu_destroy)(struct engine_vcpu *vcpu);
	/*
	 * Processor time, ns, that its programs have used in the VM's processes, beside its own thread's; what they
	 * have used together is shared out by how long each vCPU was there. Any thread. Optional (NULL).
	 */
	uint64_t (*vcpu_time)(struct engine_vcpu *vcpu);
	/* Runs until an exit. Always on the same thread. */
	enum engine_exit (*vcpu_run)(struct engine_vcpu *vcpu, struct error *err);
	/*
	 * Makes the vCPU look for interrupts soon; if it is not running, its next run does so first.
	 * If force, run returns ENGINE_EXIT_INTERRUPTED. Any thread; also from a signal handler.
	 */
	void (*vcpu_kick)(struct engine_vcpu *vcpu, bool force);
	void (*vcpu_nmi)(struct engine_vcpu *vcpu); /* any thread */
	/* All state out and in. Only while the vCPU is not running. */
	void (*vcpu_get_state)(struct engine_vcpu *vcpu, struct cpu_state *state);
	int (*vcpu_set_state)(struct engine_vcpu *vcpu, const struct cpu_state *state,
		struct error *err);
	void (*vcpu_debug)(struct engine_vcpu *vcpu, const struct engine_debug *debug);
	/*
	 * RFLAGS.IF, on the vCPU's own thread after ENGINE_EXIT_HALT: whether an interrupt ends the
	 * halt. Optional (NULL): the machine reads the whole state instead.
	 */
	bool (*vcpu_interruptible)(struct engine_vcpu *vcpu);
	/*
	 * Guest virtual to guest physical, as a supervisor data read would see it, without side
	 * effects; -EFAULT if unmapped. While not running.
	 */
	int (*vcpu_translate)(struct engine_vcpu *vcpu, uint64_t gva, uint64_t *gpa);
	/*
	 * Gives memory back to the host that the engine can make again, which costs time then. Only
	 * while no vCPU runs. False: there is little to give. Optional (NULL).
	 */
	bool (*vm_trim)(struct engine_vm *vm);
	/* Counters as lines "name value"; any thread. Optional (NULL). */
	void (*vm_stats)(struct engine_vm *vm, FILE *out);
	/* Writes what config.profile asks for. Optional (NULL). Only while no vCPU runs. */
	void (*vm_write_profile)(struct engine_vm *vm);
	/*
	 * The translated block at guest physical address gpa, guest code beside host code, for a
	 * person to read. Optional (NULL). Only while no vCPU runs.
	 */
	void (*vm_dump_block)(struct engine_vm *vm, uint64_t gpa, FILE *out);
};

extern const struct engine engine_kvm, engine_translate;

/*
 * The engine named ("auto", "kvm", "translate"), probed; NULL with the reason in err. For "auto",
 * *why says in one line why KVM was not taken ("" if it was).
 */
const struct engine *engine_find(const char *name, char *why, size_t why_size, struct error *err);
/* All engines, in the order in which "auto" tries them, from 0 to NULL. */
const struct engine *engine_at(unsigned n);

#endif
