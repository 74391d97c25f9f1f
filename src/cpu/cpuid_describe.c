/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/describe.h"

#include "cpu/cpuid.h"

#define LEAVES (sizeof((struct cpuid_policy *)NULL)->leaf / sizeof(struct cpuid_leaf))
#define TSC_KHZ_MIN 100000u
#define SPEC_CTRL_KNOWN 0x407u

/* Leaf 0xd tells of the components of xcr0 and no others, and where none reaches out of the area. */
static bool xsave_whole(const struct cpuid_policy *p)
{
	for (unsigned i = 0; i < p->count; i++) {
		const struct cpuid_leaf *l = &p->leaf[i];

		if (l->leaf != 0xd || l->subleaf < 2)
			continue;
		if (l->subleaf > 7 || !(p->xcr0 >> l->subleaf & 1) || l->ebx > CPU_XSAVE_SIZE ||
			l->eax > CPU_XSAVE_SIZE - l->ebx)
			return false;
	}
	return !p->xcr0 || p->xsave_size == cpuid_policy_xsave_size(p, p->xcr0, false);
}

void cpuid_describe(struct cpuid_policy *policy, struct state *s)
{
	struct cpuid_policy p = *policy;

	state_begin(s, "cpuid", 0, 1);
	state_u32(s, "max_basic", &p.max_basic);
	state_u32(s, "max_hypervisor", &p.max_hypervisor);
	state_u32(s, "max_extended", &p.max_extended);
	state_u64(s, "xcr0", &p.xcr0);
	state_u32(s, "xsave_size", &p.xsave_size);
	state_u8(s, "physical_bits", &p.phys_bits);
	state_u8(s, "linear_bits", &p.virt_bits);
	state_u32(s, "tsc_khz", &p.tsc_khz);
	state_u64(s, "arch_capabilities", &p.arch_capabilities);
	state_u64(s, "spec_ctrl_mask", &p.spec_ctrl_mask);
	state_u32(s, "leaves", &p.count);
	state_require(s, p.count <= LEAVES, "more leaves than a processor has");
	for (unsigned i = 0; i < p.count && state_ok(s); i++) {
		struct cpuid_leaf *leaf = &p.leaf[i];
		uint32_t regs[4] = {leaf->eax, leaf->ebx, leaf->ecx, leaf->edx};

		state_group(s, "leaf", i);
		state_u32(s, "number", &leaf->leaf);
		state_u32(s, "subleaf", &leaf->subleaf);
		state_bool(s, "indexed", &leaf->indexed);
		state_u32s(s, "eax-edx", regs, 4);
		*leaf = (struct cpuid_leaf){leaf->leaf, leaf->subleaf, regs[0], regs[1], regs[2],
			regs[3], leaf->indexed};
	}
	state_group(s, NULL, 0);
	state_require(s, p.tsc_khz >= TSC_KHZ_MIN, "a TSC that hardly counts");
	state_require(s, p.virt_bits == 48 && p.phys_bits >= 32 && p.phys_bits <= 52,
		"addresses of an odd width");
	state_require(s, !(p.spec_ctrl_mask & ~(uint64_t)SPEC_CTRL_KNOWN),
		"unknown bits of IA32_SPEC_CTRL");
	state_require(s,
		!(p.xcr0 & ~(uint64_t)(XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512)) &&
			(!p.xcr0 || (p.xcr0 & XCR0_X87)),
		"unknown bits of XCR0");
	/* Only now, since it looks at what count says. */
	state_require(s, !state_ok(s) || xsave_whole(&p), "an XSAVE layout that no processor has");
	state_end(s);
	if (state_ok(s))
		*policy = p;
}
