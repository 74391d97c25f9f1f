/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/hypercall.h"

#include <errno.h>

#include "cpu/engine.h"

void hypercall_bus_init(struct hypercall_bus *bus)
{
	bus->count = 0;
}

int hypercall_bus_map(struct hypercall_bus *bus, uint64_t first, uint64_t last, hypercall_fn *call,
	void *ctx)
{
	if (first > last)
		return -EINVAL;
	for (unsigned i = 0; i < bus->count; i++)
		if (bus->range[i].first <= last && first <= bus->range[i].last)
			return -EEXIST;
	if (bus->count == HYPERCALL_RANGES)
		return -ENOSPC;
	bus->range[bus->count++] = (struct hypercall_range){first, last, call, ctx};
	return 0;
}

int64_t hypercall_bus_call(const struct hypercall_bus *bus, unsigned vcpu, const uint64_t gpr[16])
{
	for (unsigned i = 0; i < bus->count; i++) {
		const struct hypercall_range *range = &bus->range[i];

		if (gpr[RAX] >= range->first && gpr[RAX] <= range->last)
			return range->call(range->ctx, vcpu, gpr);
	}
	return HYPERCALL_UNKNOWN;
}
