/* SPDX-License-Identifier: Apache-2.0 */
/* Which hosts the translating engine takes, and what it does without: played by made-up leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/translate/host.h"

struct fake {
	uint32_t last;
	bool bmi2, xsaveopt;
	uint64_t xcr0;
	/* what comes of it */
	uint64_t vectors;
	const char *missing[2];
};

/* What lies beyond the last leaf is the last one's, as Intel's processors have it. */
static void fake_read(void *ctx, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	const struct fake *f = ctx;

	memset(out, leaf > f->last ? 0xff : 0, 4 * sizeof *out);
	if (leaf == 0)
		out[0] = f->last;
	if (leaf == 7 && subleaf == 0 && f->last >= 7)
		out[1] = f->bmi2 ? 1u << 8 : ~(1u << 8);
	if (leaf == 0xd && subleaf == 1 && f->last >= 0xd)
		out[0] = f->xsaveopt ? 1 : ~1u;
}

static void hosts(void **state)
{
	static struct fake fakes[] = {
		{0x20, true, true, 0x602e7, 0xe7, {NULL}},
		{0x20, true, true, 0xe7, 0xe7, {NULL}},
		{0x20, true, true, 7, 7, {NULL}},    /* without AVX-512 */
		{0x20, true, true, 3, 3, {NULL}},    /* without AVX */
		{0x20, true, true, 0x27, 7, {NULL}}, /* with a part of AVX-512 */
		{0xd, true, false, 7, 7, {NULL}},    /* without XSAVEOPT */
		{7, true, true, 7, 7, {NULL}},
		{0x20, false, true, 7, 0, {"BMI2"}},
		{6, true, true, 7, 0, {"BMI2"}},
		{0x20, true, true, 0, 0, {"XSAVE"}},
		{0x20, true, true, 1, 0, {"XSAVE"}},
		{0x20, false, false, 0, 0, {"BMI2", "XSAVE"}},
	};

	for (unsigned i = 0; i < sizeof fakes / sizeof *fakes; i++) {
		struct fake *f = &fakes[i];
		struct cpuid_source source = {.read = fake_read, .ctx = f, .xcr0 = f->xcr0};
		struct translate_host host;
		struct error err = {""};
		int r = translate_host(&host, &source, &err);

		assert_int_equal(r, f->missing[0] ? -ENOTSUP : 0);
		for (unsigned k = 0; k < 2 && f->missing[k]; k++)
			assert_non_null(strstr(err.text, f->missing[k]));
		if (!f->missing[1] && f->missing[0])
			assert_null(strstr(err.text, " and "));
		if (r)
			continue;
		assert_int_equal(host.vectors, f->vectors);
		assert_int_equal(host.has_xsaveopt, f->xsaveopt && f->last >= 0xd);
	}
}

static void this_one(void **state)
{
	struct cpuid_source source;
	struct translate_host host;
	struct error err = {""};

	cpuid_host_source(&source);
	assert_int_equal(translate_host(&host, &source, &err), 0);
	assert_int_equal(host.vectors & 3, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts),
		cmocka_unit_test(this_one),
	};

	return cmocka_run_group_tests_name("translate_host", tests, NULL, NULL);
}
