/* SPDX-License-Identifier: Apache-2.0 */
/* The leaves from 0x40000000 on: which hypervisors' interfaces a guest finds. */
#include <string.h>

#include "cpu/cpuid.h"

#define FIRST_BASE 0x40000000u
#define LAST_BASE 0x40010000u /* Linux looks no further */
#define STEP 0x100u

static uint32_t free_base(const struct cpuid_policy *policy)
{
	uint32_t base = FIRST_BASE;

	for (unsigned i = 0; i < policy->count; i++) {
		uint32_t leaf = policy->leaf[i].leaf;

		if (leaf >= base && leaf < LAST_BASE)
			base = leaf - leaf % STEP + STEP;
	}
	return base;
}

static void put_leaf(struct cpuid_policy *policy, uint32_t leaf, const uint32_t value[4])
{
	policy->leaf[policy->count++] = (struct cpuid_leaf){
		.leaf = leaf,
		.eax = value[0],
		.ebx = value[1],
		.ecx = value[2],
		.edx = value[3],
	};
}

uint32_t cpuid_policy_add_interface(struct cpuid_policy *policy,
	const struct cpuid_interface *interface)
{
	uint32_t base = free_base(policy), last = base, head[4];
	unsigned room = sizeof policy->leaf / sizeof *policy->leaf - policy->count;

	if (base >= LAST_BASE || room < interface->count + 1)
		return 0;
	if (interface->count)
		last += interface->leaf[interface->count - 1].offset;
	head[0] = last;
	memcpy(head + 1, interface->signature, 12);
	put_leaf(policy, base, head);
	for (unsigned i = 0; i < interface->count; i++)
		put_leaf(policy, base + interface->leaf[i].offset, interface->leaf[i].value);
	if (base == FIRST_BASE)
		policy->max_hypervisor = last;
	return base;
}
