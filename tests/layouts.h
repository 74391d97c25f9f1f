/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layouts that an XSAVE area can have: both makers', and what is left without AVX-512 and without
 * AVX. Where a test takes one of them for the guest's or for this host's, it need not run on such a
 * host.
 */
#ifndef DACH_TESTS_LAYOUTS_H
#define DACH_TESTS_LAYOUTS_H

#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/xsave.h"

struct layout {
	const char *name;
	uint64_t xcr0;
	struct xsave_layout area;
};

#define LAYOUT_SIZES                           \
	{                                      \
		0, 0, 256, 0, 0, 64, 512, 1024 \
	}

/* Intel keeps a place for MPX between AVX and the opmasks. */
static const struct layout layouts[] = {
	{"intel", 0xe7, {{0, 0, 576, 0, 0, 1088, 1152, 1664}, LAYOUT_SIZES, 0x80, MXCSR_BITS}},
	{"amd", 0xe7,
		{{0, 0, 576, 0, 0, 832, 896, 1408}, LAYOUT_SIZES, 0x80, MXCSR_BITS | MXCSR_MM}},
	{"avx", 7, {{0, 0, 576}, {0, 0, 256}, 0, MXCSR_BITS}},
	{"sse", 3, {{0}, {0}, 0, MXCSR_BITS}},
};
#define LAYOUTS (sizeof layouts / sizeof *layouts)

/* Tells a guest of this layout by leaf 0xd; features: eax of its subleaf 1. */
static inline void layout_tell(struct cpuid_policy *policy, const struct layout *layout,
	uint32_t features)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < policy->count; i++)
		if (policy->leaf[i].leaf != 0xd)
			policy->leaf[kept++] = policy->leaf[i];
	policy->xcr0 = layout->xcr0;
	policy->leaf[kept++] = (struct cpuid_leaf){0xd, 1, features, 0, 0, 0, true};
	for (unsigned c = 2; c < COMP_COUNT; c++)
		if (layout->xcr0 >> c & 1)
			policy->leaf[kept++] = (struct cpuid_leaf){0xd, c, layout->area.size[c],
				layout->area.offset[c], (layout->area.align >> c & 1) << 1, 0,
				true};
	policy->count = kept;
	policy->xsave_size = cpuid_policy_xsave_size(policy, layout->xcr0, false);
	policy->leaf[policy->count++] =
		(struct cpuid_leaf){0xd, 0, (uint32_t)layout->xcr0, 0, policy->xsave_size, 0, true};
}

/* The legacy region, the header and the components that both have. */
static inline void layout_move(uint8_t *to, const struct xsave_layout *its, const uint8_t *from,
	const struct xsave_layout *theirs)
{
	memcpy(to, from, XSAVE_END);
	for (unsigned c = 2; c < COMP_COUNT; c++)
		if (its->size[c] && theirs->size[c])
			memcpy(to + its->offset[c], from + theirs->offset[c], its->size[c]);
}

#endif
