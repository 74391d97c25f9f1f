/* SPDX-License-Identifier: Apache-2.0 */
/* The sources of a policy: this processor itself, and what KVM says it supports. */
#include "cpu/cpuid.h"

#include <cpuid.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

static void host_read(void *ctx, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	__cpuid_count(leaf, subleaf, out[0], out[1], out[2], out[3]);
}

/* What the operating system has enabled; raw CPUID tells only what could be. */
static uint64_t host_xcr0(void)
{
	uint32_t reg[4], low, high;

	host_read(NULL, 1, 0, reg);
	if (!(reg[2] >> 27 & 1))
		return 0;
	__asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (uint64_t)high << 32 | low;
}

static uint32_t host_mxcsr_mask(void)
{
	uint8_t area[512] __attribute__((aligned(16))) = {0};
	uint32_t mask;

	__asm__ volatile("fxsave %0" : "+m"(area));
	memcpy(&mask, area + XSAVE_MXCSR_MASK, sizeof mask);
	return mask & (MXCSR_BITS | MXCSR_MM);
}

/* One moment on both clocks: the closest of a few tries. */
static struct tsc_moment tsc_now(void)
{
	struct tsc_moment now = {0};
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 8; i++) {
		struct timespec t;
		uint64_t before = __rdtsc(), after;

		clock_gettime(CLOCK_MONOTONIC_RAW, &t);
		after = __rdtsc();
		if (i && after - before >= best)
			continue;
		best = after - before;
		now.tsc = before + best / 2;
		now.ns = (uint64_t)t.tv_sec * 1000000000 + t.tv_nsec;
	}
	return now;
}

uint32_t cpuid_tsc_since(const struct tsc_moment *moment)
{
	struct tsc_moment now = tsc_now();
	uint64_t ns = now.ns - moment->ns;

	if (now.ns <= moment->ns || now.tsc <= moment->tsc)
		return 0;
	return ((__uint128_t)(now.tsc - moment->tsc) * 1000000 + ns / 2) / ns;
}

static uint32_t told_tsc_khz(void)
{
	uint32_t reg[4];

	host_read(NULL, 0, 0, reg);
	if (reg[0] >= 0x15) {
		host_read(NULL, 0x15, 0, reg);
		if (reg[0] && reg[1] && reg[2])
			return (uint64_t)reg[2] * reg[1] / reg[0] / 1000;
	}
	host_read(NULL, 1, 0, reg);
	if (reg[2] >> 31) {
		host_read(NULL, 0x40000000, 0, reg);
		if (reg[0] >= 0x40000010 && reg[0] < 0x40010000) {
			host_read(NULL, 0x40000010, 0, reg);
			if (reg[0] > 100000)
				return reg[0];
		}
	}
	return 0;
}

uint32_t cpuid_tsc_begin(struct tsc_moment *moment)
{
	*moment = tsc_now();
	return told_tsc_khz();
}

uint32_t cpuid_host_tsc_khz(void)
{
	struct timespec wait = {.tv_nsec = 50000000};
	struct tsc_moment begin;
	uint32_t told = cpuid_tsc_begin(&begin);

	if (told)
		return told;
	while (nanosleep(&wait, &wait))
		;
	return cpuid_tsc_since(&begin);
}

void cpuid_host_source(struct cpuid_source *source)
{
	*source = (struct cpuid_source){.read = host_read,
		.xcr0 = host_xcr0(),
		.mxcsr_mask = host_mxcsr_mask()};
}

int cpuid_policy_make(struct cpuid_policy *policy, enum cpuid_engine engine, unsigned vcpus,
	const char *cpu, uint32_t tsc_khz, struct error *err)
{
	struct cpuid_source source;
	struct cpuid_model model;
	int rc = cpuid_model_parse(&model, cpu ? cpu : "host", err);

	if (rc)
		return rc;
	cpuid_host_source(&source);
	source.model = &model;
	if (engine == CPUID_KVM) {
		rc = cpuid_kvm_source(&source, err);
		if (rc)
			return rc;
	}
	if (!source.tsc_khz)
		source.tsc_khz = tsc_khz ? tsc_khz : cpuid_host_tsc_khz();
	rc = cpuid_policy_build(policy, &source, engine, vcpus, err);
	free(source.room);
	return rc;
}

int cpuid_policy_init(struct cpuid_policy *policy, enum cpuid_engine engine, unsigned vcpus,
	const char *cpu, struct error *err)
{
	return cpuid_policy_make(policy, engine, vcpus, cpu, 0, err);
}
