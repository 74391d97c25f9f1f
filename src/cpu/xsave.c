/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/xsave.h"

#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/state.h"

void xsave_layout(struct xsave_layout *l, const struct cpuid_policy *policy)
{
	uint32_t reg[4];

	memset(l, 0, sizeof *l);
	l->mxcsr_mask = cpuid_policy_mxcsr(policy) & policy->area.mxcsr_mask;
	for (unsigned c = 2; c < COMP_COUNT; c++) {
		cpuid_policy_read(policy, 0xd, c, 0, 0, XCR0_X87, reg);
		if (!(policy->xcr0 >> c & 1) || reg[0] != policy->area.size[c] ||
			reg[1] < XSAVE_END || reg[1] > CPU_XSAVE_SIZE - reg[0])
			continue;
		l->offset[c] = reg[1];
		l->size[c] = reg[0];
		l->align |= (reg[2] >> 1 & 1) << c;
	}
}

const char *xsave_check(const uint8_t *xsave, uint64_t components, uint32_t mxcsr_mask)
{
	uint64_t header[8];
	uint32_t mxcsr;

	memcpy(&mxcsr, xsave + XSAVE_MXCSR, sizeof mxcsr);
	memcpy(header, xsave + XSAVE_BV, sizeof header);
	if (mxcsr & ~mxcsr_mask)
		return "an MXCSR that cannot be";
	if (header[0] & ~components)
		return "vector state that its processor does not have";
	for (unsigned i = 1; i < 8; i++)
		if (header[i])
			return "vector state in another format";
	return NULL;
}
