/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processors that can be asked for by name. Each is the level of the x86-64
 * psABI (chapter 3.1.1) with the features for kernels that came with the first
 * processors of that level from both vendors, so that a guest given one can
 * move between such hosts.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/cpuid_feature.h"

static const struct {
	const char *name, *features; /* beyond those before it */
} levels[] = {
	{"x86-64-v2",
		"fpu de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx "
		"fxsr sse sse2 sse3 ssse3 cx16 sse4_1 sse4_2 popcnt lahf_lm syscall nx lm rdtscp "
		"x2apic tsc_deadline hypervisor"},
	{"x86-64-v3",
		"avx avx2 bmi1 bmi2 f16c fma abm movbe xsave xsaveopt aes pclmulqdq rdrand smep "
		"fsgsbase pdpe1gb"},
	{"x86-64-v4",
		"avx512f avx512bw avx512cd avx512dq avx512vl pcid invpcid smap adx rdseed "
		"clflushopt clwb erms xsavec xgetbv1 3dnowprefetch"},
};
#define LEVELS (sizeof levels / sizeof *levels)

/* Had where the host has it, in every model: what the clock is made of. */
#define OPTIONAL "invtsc tsc_adjust"

const char *cpuid_model_name(unsigned n, const char **features)
{
	if (n >= LEVELS)
		return NULL;
	if (features)
		*features = levels[n].features;
	return levels[n].name;
}

static void take_names(struct cpuid_model *model, const char *list, bool need)
{
	while (*list) {
		size_t len = strcspn(list, " ");
		unsigned feature;
		int bit;

		if (cpuid_feature_named(list, len, &feature, &bit)) {
			model->allow[feature] |= 1u << bit;
			model->need[feature] |= need ? 1u << bit : 0;
		}
		list += len + (list[len] == ' ');
	}
}

static int take_base(struct cpuid_model *model, const char *text, size_t len, struct error *err)
{
	size_t level = 0;

	if (len == 4 && !strncmp(text, "host", len)) {
		memset(model->allow, 0xff, sizeof model->allow);
		return 0;
	}
	while (level < LEVELS &&
		(strlen(levels[level].name) != len || strncmp(levels[level].name, text, len)))
		level++;
	if (level == LEVELS)
		return error_set(err, EINVAL,
			"no processor is called \"%.*s\" (host, x86-64-v2, x86-64-v3, x86-64-v4)",
			(int)(len > 40 ? 40 : len), text);
	snprintf(model->name, sizeof model->name, "%s", levels[level].name);
	for (size_t i = 0; i <= level; i++)
		take_names(model, levels[i].features, true);
	take_names(model, OPTIONAL, false);
	for (unsigned i = 0; i < CPUID_FEATURES; i++)
		model->allow[i] |= cpuid_feature_at(i)->fact;
	return 0;
}

int cpuid_model_parse(struct cpuid_model *model, const char *text, struct error *err)
{
	size_t len = strcspn(text, ",");
	int r;

	memset(model, 0, sizeof *model);
	r = take_base(model, text, len, err);
	for (text += len; !r && *text == ','; text += len) {
		unsigned feature;
		int bit;
		char sign = *++text;

		if (sign != '+' && sign != '-')
			return error_set(err, EINVAL,
				"features of a processor are written +NAME or -NAME, not \"%.40s\"",
				text);
		len = strcspn(++text, ",");
		if (!cpuid_feature_named(text, len, &feature, &bit))
			return error_set(err, EINVAL,
				"no feature of a processor is called \"%.*s\" (dach run --cpu "
				"list)",
				(int)(len > 40 ? 40 : len), text);
		if (sign == '+') {
			model->allow[feature] |= 1u << bit;
			model->need[feature] |= 1u << bit;
		} else {
			model->allow[feature] &= ~(1u << bit);
			model->need[feature] &= ~(1u << bit);
		}
	}
	return r;
}

/* A feature register without some bit takes what builds on it along. */
static bool allows(const struct cpuid_model *model, const char *name)
{
	unsigned feature;
	int bit;

	return cpuid_feature_named(name, strlen(name), &feature, &bit) &&
		(model->allow[feature] >> bit & 1);
}

uint64_t cpuid_model_xcr0(const struct cpuid_model *model, uint64_t xcr0)
{
	if (!allows(model, "xsave"))
		return 0;
	if (!allows(model, "avx"))
		xcr0 &= ~(uint64_t)(XCR0_AVX | XCR0_AVX512);
	if (!allows(model, "avx512f"))
		xcr0 &= ~(uint64_t)XCR0_AVX512;
	return xcr0;
}
