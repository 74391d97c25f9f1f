/* SPDX-License-Identifier: Apache-2.0 */
/* What this processor has of the extended state. */
#ifndef DACH_TESTS_NATIVE_STATE_H
#define DACH_TESTS_NATIVE_STATE_H

#include <cpuid.h>
#include <stdint.h>
#include <string.h>

#include "cpu/xsave.h"

/* State components that XCR0 enables, of those that guests have. */
static inline uint64_t native_components(void)
{
	uint32_t low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return low & 0xe7;
}

/* Where this processor's XSAVE has a component from 2 on (standard format); 0: nowhere. */
static inline unsigned native_component(unsigned n)
{
	static unsigned at[8];
	uint32_t a, b, c, d;

	if (n < 2 || n > 7 || !(native_components() >> n & 1))
		return 0;
	if (!at[n]) {
		__cpuid_count(0xd, n, a, b, c, d);
		at[n] = b;
	}
	return at[n];
}

/* Which bits of MXCSR can be set here: what FXSAVE tells. */
static inline uint32_t native_mxcsr_mask(void)
{
	uint8_t area[512] __attribute__((aligned(16))) = {0};
	uint32_t mask;

	__asm__ volatile("fxsave %0" : "+m"(area));
	memcpy(&mask, area + XSAVE_MXCSR_MASK, sizeof mask);
	return mask ? mask : 0xffbf; /* SDM 1, 11.6.6 */
}

#endif
