/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A processor in a saved state: what the guest sees of it by CPUID, and its
 * registers, by their architectural names. Both engines read and write the same.
 */
#ifndef DACH_CPU_DESCRIBE_H
#define DACH_CPU_DESCRIBE_H

#include "cpu/cpuid.h"
#include "cpu/state.h"
#include "state/state.h"

/*
 * The section "cpuid". Loading, the policy is whole in itself, but may ask for more than this host
 * and engine have: cpuid_policy_missing() tells.
 */
void cpuid_describe(struct cpuid_policy *policy, struct state *s);

/*
 * The fields of a processor, in an open section. Not there, since they are the local APIC's: CR8
 * and IA32_APIC_BASE. After state_clock(): the TSC goes on as real time does. Loading, nothing is
 * left that a processor with this policy could not be in.
 */
void cpu_describe(struct cpu_state *cpu, const struct cpuid_policy *policy, struct state *s);

/* NULL, or what of it cannot be on a processor with this policy. */
const char *cpu_state_check(const struct cpu_state *cpu, const struct cpuid_policy *policy);

#endif
