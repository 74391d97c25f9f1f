/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/translate/host.h"

#include <errno.h>
#include <sys/auxv.h>

#include "cpu/cpuid.h"
#include "cpu/translate/cold.h"

#define HWCAP2_FSGSBASE 2u

static void read_leaf(const struct cpuid_source *source, uint32_t leaf, uint32_t subleaf,
	uint32_t out[4])
{
	uint32_t last[4];

	source->read(source->ctx, 0, 0, last);
	if (leaf <= last[0])
		source->read(source->ctx, leaf, subleaf, out);
	else
		out[0] = out[1] = out[2] = out[3] = 0;
}

int translate_host(struct translate_host *host, const struct cpuid_source *source,
	struct error *err)
{
	uint32_t seven[4], xsave[4];
	bool bmi2, xsaves = source->xcr0 & XCR0_X87 && source->xcr0 & XCR0_SSE;

	read_leaf(source, 7, 0, seven);
	read_leaf(source, 0xd, 1, xsave);
	bmi2 = seven[1] >> 8 & 1;
	*host = (struct translate_host){
		.vectors = source->xcr0 & (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512),
		.has_xsaveopt = xsave[0] & 1,
		.has_adx = seven[1] >> 19 & 1,
	};
	if ((host->vectors & XCR0_AVX512) != XCR0_AVX512)
		host->vectors &= ~(uint64_t)XCR0_AVX512;
	if (bmi2 && xsaves)
		return 0;
	return error_set(err, ENOTSUP, "the translating engine needs %s%s%s",
		bmi2 ? "" : "a processor with BMI2 (Haswell, Zen, or newer)",
		bmi2 || xsaves ? "" : " and ", xsaves ? "" : "XSAVE, enabled by the host's kernel");
}

bool translate_host_has_fsgsbase(void)
{
	return getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE;
}
