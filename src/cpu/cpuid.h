/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which processor the guest sees: a table of CPUID leaves made once per VM
 * from what the host has, what the engine can do and what the user asked for
 * (Intel SDM 2A, CPUID; AMD APM 3 appendix E; KVM's paravirtual leaves).
 */
#ifndef DACH_CPU_CPUID_H
#define DACH_CPU_CPUID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "cpu/xsave.h"

/*
 * What the leaves tell of clocks: the crystal of leaf 0x15, from which Linux takes the local
 * APIC timer's rate too, and the bus clock of leaf 0x40000010. The machine's local APIC timer
 * counts at this rate before its divider.
 */
#define CPUID_APIC_TIMER_HZ 1000000000u

/* XCR0 (SDM 1, 13.3): x87, SSE, AVX, and AVX-512's opmask, ZMM_Hi256, Hi16_ZMM. */
#define XCR0_X87 0x1u
#define XCR0_SSE 0x2u
#define XCR0_AVX 0x4u
#define XCR0_AVX512 0xe0u

struct cpuid_leaf {
	uint32_t leaf, subleaf;
	uint32_t eax, ebx, ecx, edx;
	bool indexed; /* subleaf counts */
};

struct cpuid_policy {
	struct cpuid_leaf leaf[96];
	unsigned count;
	uint32_t max_basic, max_hypervisor, max_extended;
	uint64_t xcr0;       /* state components the guest may enable; 0: no XSAVE at all */
	uint32_t xsave_size; /* bytes for all of them, standard format */
	/* Where cpu_state.xsave has the components: this host's places, and no part of what a guest is told. */
	struct xsave_layout area;
	uint8_t phys_bits, virt_bits;
	uint32_t tsc_khz; /* of the host's and the guest's TSC */
	/* MSRs that follow from the leaves. */
	uint64_t arch_capabilities; /* IA32_ARCH_CAPABILITIES (0x10a); there if leaf 7 says so */
	uint64_t spec_ctrl_mask;    /* bits that can be set in IA32_SPEC_CTRL (0x48); 0: no MSR */
};

/* Privileged features depend on who runs the guest. */
enum cpuid_engine { CPUID_TRANSLATE, CPUID_KVM };

/*
 * Which of the features there are a guest is to have, and which it cannot do without. Bits by
 * cpuid_feature_at()'s numbers.
 */
struct cpuid_model {
	char name[16]; /* "" for the host's own processor */
	uint32_t allow[14], need[14];
};

/*
 * "host", or the name of a model, and then ",+NAME" or ",-NAME" for features that are to be there
 * or not. -EINVAL and a sentence.
 */
int cpuid_model_parse(struct cpuid_model *model, const char *text, struct error *err);
/*
 * The models' names, from 0 to NULL; *features (may be NULL): what the model has that the one
 * before it has not, names with spaces between them.
 */
const char *cpuid_model_name(unsigned n, const char **features);

/*
 * The processor under the engine, which a policy is made from: the host's own for the
 * translator, what KVM says it supports for KVM.
 */
struct cpuid_source {
	/* out is eax, ebx, ecx, edx; zeros for what there is not. */
	void (*read)(void *ctx, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
	void *ctx;
	void *room;                 /* what its owner is to free in the end; NULL: nothing */
	uint64_t xcr0;              /* what its operating system has enabled; 0: no XSAVE */
	uint32_t mxcsr_mask;        /* as FXSAVE tells it */
	uint64_t arch_capabilities; /* IA32_ARCH_CAPABILITIES, if leaf 7 tells of it */
	uint32_t tsc_khz;
	const struct cpuid_model *model; /* NULL: all that there is */
};

/*
 * Fills the policy. vcpus: how many processors the topology leaves tell of. cpu is as for
 * cpuid_model_parse(), NULL like "host"; a model that needs what is not there is refused by the
 * names of the features. tsc_khz is the host's TSC's rate where it is known; 0: it is looked for, which
 * takes 50 ms where it has to be measured.
 */
int cpuid_policy_make(struct cpuid_policy *policy, enum cpuid_engine engine, unsigned vcpus,
	const char *cpu, uint32_t tsc_khz, struct error *err);
/* The same, with a rate that is not known. */
int cpuid_policy_init(struct cpuid_policy *policy, enum cpuid_engine engine, unsigned vcpus,
	const char *cpu, struct error *err);

/*
 * How CPUID tells of a hypervisor's interface to its guests (calls: machine/hypercall.h): a signature
 * and the last leaf at its base, the others behind. A policy has KVM's at 0x40000000.
 */
struct cpuid_interface {
	char signature[13]; /* 12 letters, or zeros behind fewer */
	unsigned count;
	struct {
		uint32_t offset;   /* from the base, 1 to 0xff, rising */
		uint32_t value[4]; /* eax, ebx, ecx, edx */
	} leaf[4];
};

/*
 * Puts an interface beside those there are, at the next base: they lie 0x100 apart, where kernels look
 * for them. Returns the base, or 0 if there is no room.
 */
uint32_t cpuid_policy_add_interface(struct cpuid_policy *policy,
	const struct cpuid_interface *interface);

/* This host's processor as a source, without the model and the TSC's rate. */
void cpuid_host_source(struct cpuid_source *source);

/*
 * What KVM supports, over a source that this host's processor has filled: all but xcr0, which is narrowed;
 * tsc_khz is 0 where the kernel does not say. Opens /dev/kvm for the moment. In cpu/kvm/.
 */
int cpuid_kvm_source(struct cpuid_source *source, struct error *err);

/* The same from a given source. */
int cpuid_policy_build(struct cpuid_policy *policy, const struct cpuid_source *source,
	enum cpuid_engine engine, unsigned vcpus, struct error *err);

/*
 * Is this word of leaf 0 (EBX) the beginning of a maker's name whose processors are AMD's in all that
 * this program tells apart: AuthenticAMD, HygonGenuine?
 */
static inline bool cpuid_maker_amd(uint32_t ebx)
{
	return ebx == 0x68747541 || ebx == 0x6f677948; /* "Auth", "Hygo" */
}

/*
 * What a guest that was told of this maker expects where makers differ. Leaf 0 is the first of a
 * policy's. Inline, since code that calls no libc asks it.
 */
static inline bool cpuid_policy_amd(const struct cpuid_policy *policy)
{
	for (unsigned i = 0; i < policy->count; i++)
		if (policy->leaf[i].leaf == 0)
			return cpuid_maker_amd(policy->leaf[i].ebx);
	return false;
}

/* Leaf 1's EAX, which is also what EDX holds after INIT: family, model, stepping. */
static inline uint32_t cpuid_policy_signature(const struct cpuid_policy *policy)
{
	for (unsigned i = 0; i < policy->count; i++)
		if (policy->leaf[i].leaf == 1)
			return policy->leaf[i].eax;
	return 0;
}

/* The family that a signature tells of (SDM 2A, CPUID; APM 3 E.3.2). */
static inline unsigned cpuid_family(uint32_t signature)
{
	unsigned base = signature >> 8 & 15;

	return base == 15 ? base + (signature >> 20 & 0xff) : base;
}

/* At most so many bits of physical addresses, 36 to 52. */
void cpuid_policy_limit_addresses(struct cpuid_policy *policy, unsigned bits);

/* For tests: another vendor, 12 characters. Its ways where makers differ come with it. */
void cpuid_policy_vendor(struct cpuid_policy *policy, const char *vendor);

/* The host's TSC rate: told by CPUID, or else measured. */
uint32_t cpuid_host_tsc_khz(void);

/* One moment on the host's TSC and on its clock (CLOCK_MONOTONIC_RAW). */
struct tsc_moment {
	uint64_t tsc, ns;
};
/*
 * For who has other things to do meanwhile: the rate, if CPUID tells it; else 0, and the moment from which
 * it is to be measured, a tenth of a second or so.
 */
uint32_t cpuid_tsc_begin(struct tsc_moment *moment);
/* The rate since that moment, in kHz; 0: one of the clocks has not gone on. */
uint32_t cpuid_tsc_since(const struct tsc_moment *moment);

/*
 * The guest's view of one leaf, with the fields that depend on the running vCPU filled in: APIC
 * id (apic_id), OSXSAVE (cr4), XSAVE size for xcr0. out is eax, ebx, ecx, edx.
 */
void cpuid_policy_read(const struct cpuid_policy *policy, uint32_t leaf, uint32_t subleaf,
	uint32_t apic_id, uint64_t cr4, uint64_t xcr0, uint32_t out[4]);

/* A feature bit of a leaf: reg is 0-3 for eax..edx. */
bool cpuid_policy_has(const struct cpuid_policy *policy, uint32_t leaf, uint32_t subleaf, int reg,
	int bit);

/* The bits that MXCSR has for the guest. */
static inline uint32_t cpuid_policy_mxcsr(const struct cpuid_policy *policy)
{
	return MXCSR_BITS | (cpuid_policy_has(policy, 0x80000001, 0, 2, 7) ? MXCSR_MM : 0);
}

/*
 * What a guest that has been given wanted would miss where only offered can be had, as names with
 * ", " between them (as many as fit); returns how many, 0 if it can go on there. Names, caches and
 * topology may differ: a guest keeps the leaves that it started with. So may the layout of XSAVE's
 * areas, except under KVM, where the processor itself writes them.
 */
unsigned cpuid_policy_missing(const struct cpuid_policy *wanted, const struct cpuid_policy *offered,
	enum cpuid_engine engine, char *text, size_t size);

/*
 * Bytes that XSAVE writes for the components in xcr0 (header included): standard format, or
 * compacted (XSAVEC).
 */
uint32_t cpuid_policy_xsave_size(const struct cpuid_policy *policy, uint64_t xcr0, bool compacted);

/* Between the files of cpuid: what is left of XCR0's components in a model. */
uint64_t cpuid_model_xcr0(const struct cpuid_model *model, uint64_t xcr0);

#endif
