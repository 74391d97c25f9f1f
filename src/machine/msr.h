/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which device serves an MSR that the processor core does not hold itself: what
 * bus.h is for ports. An MSR is a vCPU's: a device is told whose.
 *
 * Ranges are put in place before the first vCPU runs and stay; so there is no
 * lock. Callbacks run on the vCPU's own thread; devices lock for themselves.
 */
#ifndef DACH_MACHINE_MSR_H
#define DACH_MACHINE_MSR_H

#include <stdbool.h>
#include <stdint.h>

/* False is #GP: there is no such MSR now, or it does not take the value. */
struct msr_ops {
	bool (*read)(void *ctx, unsigned vcpu, uint32_t msr, uint64_t *value);
	bool (*write)(void *ctx, unsigned vcpu, uint32_t msr, uint64_t value);
};

struct msr_range {
	uint32_t first, last;
	const struct msr_ops *ops;
	void *ctx;
};

#define MSR_RANGES 32

struct msr_bus {
	unsigned count;
	struct msr_range range[MSR_RANGES]; /* sorted, apart */
};

void msr_bus_init(struct msr_bus *bus);
/* first to last, both included. -EEXIST, -ENOSPC, -EINVAL as bus_map(). */
int msr_bus_map(struct msr_bus *bus, uint32_t first, uint32_t last, const struct msr_ops *ops,
	void *ctx);
/* False: #GP, as nobody has it, or who has it says so. */
bool msr_bus_read(const struct msr_bus *bus, unsigned vcpu, uint32_t msr, uint64_t *value);
bool msr_bus_write(const struct msr_bus *bus, unsigned vcpu, uint32_t msr, uint64_t value);

#endif
