/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/msr.h"

#include <errno.h>
#include <string.h>

void msr_bus_init(struct msr_bus *bus)
{
	bus->count = 0;
}

/* The first range that ends at msr or behind it; count if there is none. */
static unsigned find_range(const struct msr_bus *bus, uint32_t msr)
{
	unsigned at = 0;

	while (at < bus->count && bus->range[at].last < msr)
		at++;
	return at;
}

int msr_bus_map(struct msr_bus *bus, uint32_t first, uint32_t last, const struct msr_ops *ops,
	void *ctx)
{
	unsigned at = find_range(bus, first);

	if (first > last)
		return -EINVAL;
	if (at < bus->count && bus->range[at].first <= last)
		return -EEXIST;
	if (bus->count == MSR_RANGES)
		return -ENOSPC;
	memmove(&bus->range[at + 1], &bus->range[at], (bus->count - at) * sizeof bus->range[0]);
	bus->range[at] = (struct msr_range){first, last, ops, ctx};
	bus->count++;
	return 0;
}

bool msr_bus_read(const struct msr_bus *bus, unsigned vcpu, uint32_t msr, uint64_t *value)
{
	const struct msr_range *range = &bus->range[find_range(bus, msr)];

	if (range == &bus->range[bus->count] || range->first > msr)
		return false;
	return range->ops->read(range->ctx, vcpu, msr, value);
}

bool msr_bus_write(const struct msr_bus *bus, unsigned vcpu, uint32_t msr, uint64_t value)
{
	const struct msr_range *range = &bus->range[find_range(bus, msr)];

	if (range == &bus->range[bus->count] || range->first > msr)
		return false;
	return range->ops->write(range->ctx, vcpu, msr, value);
}
