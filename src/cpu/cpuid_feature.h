/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The feature bits that may reach a guest, by CPUID register. What is not in
 * the table is not offered.
 */
#ifndef DACH_CPU_CPUID_FEATURE_H
#define DACH_CPU_CPUID_FEATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Masks of bits of one register. */
struct cpuid_feature {
	uint32_t leaf, subleaf;
	int reg;          /* 0-3 for eax..edx */
	uint32_t user;    /* unprivileged: offered where the source has it */
	uint32_t system;  /* privileged: the translator's own work; under KVM where KVM has it */
	uint32_t machine; /* machine/ implements it for either engine */
	uint32_t kvm;     /* passed on under KVM only */
	/* Which of these bits are worth nothing without ... */
	uint32_t needs_xsave, needs_avx, needs_avx512;
	uint32_t amd_only; /* not told by other vendors' processors */
	uint32_t fact;     /* how instructions behave, not whether there are some: in any model */
};
#define CPUID_FEATURES 14 /* such registers */

/* NULL: no bit of that register is offered. */
const struct cpuid_feature *cpuid_feature_find(uint32_t leaf, uint32_t subleaf, int reg);
/* By number, 0 to CPUID_FEATURES - 1, and back. */
const struct cpuid_feature *cpuid_feature_at(unsigned n);
unsigned cpuid_feature_index(const struct cpuid_feature *feature);

/* NULL for a bit that is not offered. */
const char *cpuid_feature_name(uint32_t leaf, uint32_t subleaf, int reg, int bit);
/* The bit with the name text[0..len), where '-' may stand for '_'. */
bool cpuid_feature_named(const char *text, size_t len, unsigned *feature, int *bit);
/*
 * Appends the names of bits, with ", " between them, to the string in text[size], as many as fit
 * whole; *count of names that are there already goes up by how many there were.
 */
void cpuid_feature_list(unsigned feature, uint32_t bits, char *text, size_t size, unsigned *count);

/*
 * IA32_ARCH_CAPABILITIES under the translator: no flaw there is (RDCL, SSB, MDS, PSCHANGE_MC, TAA,
 * SBDR_SSDP, FBSDP, PSDP, BHI, PBRSB, GDS, RFDS, ITS: the _NO bits), enhanced IBRS (bit 1), no L1D
 * flush needed (bit 3).
 */
#define ARCH_CAPABILITIES_TRANSLATE                                                           \
	(1ull << 0 | 1ull << 1 | 1ull << 3 | 1ull << 4 | 1ull << 5 | 1ull << 6 | 1ull << 8 |  \
		1ull << 13 | 1ull << 14 | 1ull << 15 | 1ull << 20 | 1ull << 24 | 1ull << 26 | \
		1ull << 27 | 1ull << 62)

#endif
