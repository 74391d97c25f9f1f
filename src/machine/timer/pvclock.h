/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The paravirtual clock of KVM (Linux Documentation/virt/kvm/x86/msr.rst): the
 * guest names a place in its memory, and finds there how to turn its TSC into
 * nanoseconds since the machine started, and the time of day at that start.
 *
 * MSRs are written by vCPU threads; the lock covers all fields.
 */
#ifndef DACH_MACHINE_TIMER_PVCLOCK_H
#define DACH_MACHINE_TIMER_PVCLOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "machine/memory.h"

#define PVCLOCK_VCPUS 64

struct pvclock {
	pthread_mutex_t lock;
	struct memory *mem;
	uint32_t tsc_khz;
	int64_t tsc_offset; /* guest TSC minus host TSC */
	uint64_t start;     /* CLOCK_MONOTONIC at the start, ns */
	uint64_t tsc, ns;   /* a guest TSC and the guest's time at that moment, for all vCPUs */
	uint64_t wall_msr;
	uint64_t time_msr[PVCLOCK_VCPUS];
	uint32_t version;
};

void pvclock_init(struct pvclock *clock, struct memory *mem, uint32_t tsc_khz);
void pvclock_destroy(struct pvclock *clock);
/* Power-on: time starts at zero now. tsc_offset: the guest's, the same for all vCPUs. */
void pvclock_reset(struct pvclock *clock, int64_t tsc_offset);

/* False: not one of this clock's MSRs, or a place that is not RAM. */
bool pvclock_msr_read(struct pvclock *clock, unsigned vcpu, uint32_t msr, uint64_t *value);
bool pvclock_msr_write(struct pvclock *clock, unsigned vcpu, uint32_t msr, uint64_t value);

/* How many nanoseconds a TSC tick has: ticks shifted by shift, times mul / 2^32. */
void pvclock_scale(uint32_t tsc_khz, uint32_t *mul, int8_t *shift);

#endif
