/* SPDX-License-Identifier: Apache-2.0 */
#include "oracle.h"

void policy_maker(struct cpuid_policy *policy, const char *maker, uint32_t signature)
{
	cpuid_policy_vendor(policy, maker);
	for (unsigned i = 0; i < policy->count; i++)
		if (policy->leaf[i].leaf == 1)
			policy->leaf[i].eax = signature;
}
