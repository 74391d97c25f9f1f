/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who serves a call of the guest's kernel to its hypervisor (VMCALL, VMMCALL),
 * by the number in RAX: what bus.h is for ports. An interface (KVM's, Xen's) is
 * one or more ranges of numbers; it takes its arguments from the registers that
 * it says, and answers calls in its ranges that it does not know in its own way.
 * Two interfaces side by side have numbers apart: where both begin at 0, the
 * second one's pages of call instructions add a base.
 *
 * Ranges are put in place before the first vCPU runs and stay; so there is no
 * lock. Calls run on the vCPU's own thread.
 */
#ifndef DACH_MACHINE_HYPERCALL_H
#define DACH_MACHINE_HYPERCALL_H

#include <stdint.h>

/* gpr: the caller's 16 registers by number, the upper halves zero outside of 64-bit code. */
typedef int64_t hypercall_fn(void *ctx, unsigned vcpu, const uint64_t gpr[16]);

struct hypercall_range {
	uint64_t first, last;
	hypercall_fn *call;
	void *ctx;
};

#define HYPERCALL_RANGES 16

struct hypercall_bus {
	unsigned count;
	struct hypercall_range range[HYPERCALL_RANGES];
};

void hypercall_bus_init(struct hypercall_bus *bus);
/* first to last, both included. -EEXIST, -ENOSPC, -EINVAL as bus_map(). */
int hypercall_bus_map(struct hypercall_bus *bus, uint64_t first, uint64_t last, hypercall_fn *call,
	void *ctx);
/* The answer; HYPERCALL_UNKNOWN (cpu/engine.h) if nobody serves the number in gpr[0]. */
int64_t hypercall_bus_call(const struct hypercall_bus *bus, unsigned vcpu, const uint64_t gpr[16]);

#endif
