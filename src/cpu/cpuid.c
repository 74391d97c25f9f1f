/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy is made of four kinds of leaf: feature bits by the table below,
 * topology, clocks, and what is passed on as the host has it (names, caches).
 * A leaf or a bit that is not named here does not reach the guest.
 */
#include "cpu/cpuid.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cpu/cpuid_feature.h"
#include "cpu/state.h"

struct build {
	struct cpuid_policy *policy;
	const struct cpuid_source *source;
	enum cpuid_engine engine;
	uint64_t xcr0; /* what the source and the model leave */
	unsigned vcpus;
	bool amd; /* AMD or Hygon */
	uint32_t source_basic, source_extended;
};

static void source_read(const struct build *b, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	uint32_t last = leaf & 0x80000000u ? b->source_extended : b->source_basic;

	memset(out, 0, 4 * sizeof *out);
	if (leaf <= last)
		b->source->read(b->source->ctx, leaf, subleaf, out);
}

/* A policy never has more leaves than its table: the build adds a fixed number of them. */
static void add_leaf(struct build *b, uint32_t leaf, int subleaf, const uint32_t reg[4])
{
	struct cpuid_policy *p = b->policy;

	if (p->count == sizeof p->leaf / sizeof *p->leaf)
		return;
	p->leaf[p->count++] = (struct cpuid_leaf){
		.leaf = leaf,
		.subleaf = subleaf < 0 ? 0 : subleaf,
		.indexed = subleaf >= 0,
		.eax = reg[0],
		.ebx = reg[1],
		.ecx = reg[2],
		.edx = reg[3],
	};
}

static void pass_leaf(struct build *b, uint32_t leaf)
{
	uint32_t reg[4];

	source_read(b, leaf, 0, reg);
	add_leaf(b, leaf, -1, reg);
}

/* The bits of one feature register that the guest gets. */
static uint32_t feature_bits(const struct build *b, uint32_t leaf, uint32_t subleaf, int reg)
{
	const struct cpuid_feature *f = cpuid_feature_find(leaf, subleaf, reg);
	uint32_t host[4], bits;

	if (!f)
		return 0;
	source_read(b, leaf, subleaf, host);
	bits = host[reg] & f->user;
	if (b->engine == CPUID_TRANSLATE)
		bits |= f->system | f->machine;
	else
		bits |= (host[reg] & (f->system | f->kvm)) | f->machine;
	if (!b->amd)
		bits &= ~f->amd_only;
	if (!(b->xcr0 & XCR0_AVX))
		bits &= ~f->needs_avx;
	if ((b->xcr0 & XCR0_AVX512) != XCR0_AVX512)
		bits &= ~f->needs_avx512;
	if (!b->xcr0)
		bits &= ~f->needs_xsave;
	if (b->source->model)
		bits &= b->source->model->allow[cpuid_feature_index(f)];
	return bits;
}

static void feature_leaf(const struct build *b, uint32_t leaf, uint32_t subleaf, uint32_t reg[4])
{
	for (int i = 0; i < 4; i++)
		reg[i] = feature_bits(b, leaf, subleaf, i);
}

/* The smallest n with 1 << n >= count. */
static unsigned log2_up(unsigned count)
{
	unsigned n = 0;

	while ((1u << n) < count)
		n++;
	return n;
}

static void add_identity(struct build *b)
{
	uint32_t host[4], reg[4];
	unsigned logical = 1u << log2_up(b->vcpus);

	source_read(b, 0, 0, reg);
	reg[0] = b->policy->max_basic;
	add_leaf(b, 0, -1, reg);

	source_read(b, 1, 0, host);
	feature_leaf(b, 1, 0, reg);
	reg[0] = host[0];
	reg[1] = host[1] & 0xff00; /* CLFLUSH line; the APIC id is filled in at run time */
	if (b->vcpus > 1) {
		reg[1] |= (logical > 255 ? 255 : logical) << 16;
		reg[3] |= 1u << 28; /* the field is valid */
	}
	add_leaf(b, 1, -1, reg);
	pass_leaf(b, 2);
}

/*
 * Leaf 4 (SDM 2A), AMD's 0x8000001d (APM 3 E.4.15), which has no count of cores: L1 and L2 are a
 * core's own, what lies beyond is shared by all.
 */
static void add_caches(struct build *b)
{
	unsigned bits = log2_up(b->vcpus);
	unsigned cores = b->amd ? 0 : bits > 6 ? 63 : (1u << bits) - 1;
	uint32_t leaf = b->amd ? 0x8000001d : 4;

	for (int i = 0; i < 8; i++) {
		uint32_t reg[4];

		source_read(b, leaf, i, reg);
		if (!(reg[0] & 31)) {
			memset(reg, 0, sizeof reg);
			add_leaf(b, leaf, i, reg);
			return;
		}
		reg[0] &= 0x3ff;
		reg[0] |= cores << 26;
		if (((reg[0] >> 5) & 7) >= 3)
			reg[0] |= ((1u << bits) - 1) << 14;
		add_leaf(b, leaf, i, reg);
	}
}

/* Leaves 0xb and 0x1f: one socket, a thread a core. edx is filled in at run time. */
static void add_topology(struct build *b, uint32_t leaf)
{
	add_leaf(b, leaf, 0, (uint32_t[4]){0, 1, 0x100, 0});
	add_leaf(b, leaf, 1, (uint32_t[4]){log2_up(b->vcpus), b->vcpus, 0x201, 0});
	add_leaf(b, leaf, 2, (uint32_t[4]){0, 0, 2, 0});
}

static void add_features(struct build *b)
{
	uint32_t reg[4];

	/* Leaf 6: only that the APIC timer does not stop when the processor halts (ARAT). */
	add_leaf(b, 6, -1, (uint32_t[4]){4, 0, 0, 0});
	feature_leaf(b, 7, 0, reg);
	reg[0] = 2;
	add_leaf(b, 7, 0, reg);
	for (uint32_t i = 1; i <= 2; i++) {
		feature_leaf(b, 7, i, reg);
		add_leaf(b, 7, i, reg);
	}
}

/* Where this host's own XSAVE keeps what its operating system has enabled. */
static int find_area(struct build *b, struct error *err)
{
	struct xsave_layout *area = &b->policy->area;
	uint32_t reg[4];

	area->mxcsr_mask = b->source->mxcsr_mask;
	for (unsigned i = 2; i < COMP_COUNT; i++) {
		if (!(b->source->xcr0 & (XCR0_AVX | XCR0_AVX512) & 1u << i))
			continue;
		source_read(b, 0xd, i, reg);
		if (reg[1] < XSAVE_END || reg[1] > CPU_XSAVE_SIZE ||
			reg[0] > CPU_XSAVE_SIZE - reg[1])
			return error_set(err, EINVAL,
				"the processor's XSAVE layout is not one that this program knows "
				"(component %u: %u bytes at %u)",
				i, reg[0], reg[1]);
		area->offset[i] = reg[1];
		area->size[i] = reg[0];
		area->align |= (reg[2] >> 1 & 1) << i;
	}
	return 0;
}

/* Leaf 0xd: a guest that begins here is told of this host's layout. */
static int add_xsave(struct build *b, struct error *err)
{
	struct cpuid_policy *p = b->policy;
	const struct xsave_layout *area = &p->area;
	int rc = find_area(b, err);
	uint32_t reg[4];

	p->xcr0 = 0;
	if (rc)
		return rc;
	if (!cpuid_policy_has(p, 1, 0, 2, 26))
		return 0;
	p->xcr0 = b->xcr0 & (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512);
	if (!(p->xcr0 & XCR0_AVX) || (p->xcr0 & XCR0_AVX512) != XCR0_AVX512)
		p->xcr0 &= ~(uint64_t)XCR0_AVX512;
	p->xsave_size = XSAVE_END;
	for (unsigned i = 2; i < COMP_COUNT; i++) {
		if (!(p->xcr0 >> i & 1))
			continue;
		if (p->xsave_size < area->offset[i] + area->size[i])
			p->xsave_size = area->offset[i] + area->size[i];
		add_leaf(b, 0xd, i,
			(uint32_t[4]){area->size[i], area->offset[i], (area->align >> i & 1) << 1});
	}
	add_leaf(b, 0xd, 0, (uint32_t[4]){p->xcr0, 0, p->xsave_size, 0});
	reg[0] = feature_bits(b, 0xd, 1, 0);
	reg[1] = reg[2] = reg[3] = 0;
	add_leaf(b, 0xd, 1, reg);
	return 0;
}

/*
 * The fraction nearest to num/den with a numerator of at most limit, by continued fractions.
 * Exact where it can be.
 */
static void approximate(uint32_t num, uint32_t den, uint32_t limit, uint32_t *p, uint32_t *q)
{
	uint64_t p0 = 0, q0 = 1, p1 = 1, q1 = 0, n = num, d = den;

	while (d) {
		uint64_t a = n / d, r = n % d, p2 = a * p1 + p0, q2 = a * q1 + q0;

		if (p2 > limit)
			break;
		p0 = p1;
		q0 = q1;
		p1 = p2;
		q1 = q2;
		n = d;
		d = r;
	}
	*p = p1;
	*q = q1;
}

/*
 * Leaf 0x15: TSC = crystal * ebx / eax. Linux multiplies kHz by ebx in 32 bits, so ebx is kept
 * small. Leaf 0x16 is in MHz.
 */
static void add_clocks(struct build *b)
{
	uint32_t khz = b->policy->tsc_khz, mhz = khz / 1000, crystal = CPUID_APIC_TIMER_HZ / 1000;
	uint32_t num, den;

	approximate(khz, crystal, UINT32_MAX / crystal, &num, &den);
	if (num && den)
		add_leaf(b, 0x15, -1, (uint32_t[4]){den, num, CPUID_APIC_TIMER_HZ, 0});
	add_leaf(b, 0x16, -1, (uint32_t[4]){mhz, mhz, 100, 0});
}

/*
 * KVM's leaves, so that kernels find a paravirtual clock: both pairs of clock MSRs, a clock that
 * is stable across processors, and no need for delays after port I/O. Under KVM also ends of
 * interrupts without an exit: a guest that goes on under the translator finds its word in memory
 * always clear, and ends its interrupts by the APIC. Where several vCPUs are translated, calls to wake
 * a halted one (so that locks are waited for halted) and to send interrupts to many. Leaf 0x40000010
 * tells TSC and bus rates in kHz.
 */
static void add_hypervisor(struct build *b)
{
	struct cpuid_interface kvm = {
		.signature = "KVMKVMKVM",
		.count = 2,
		.leaf = {{1, {1u << 0 | 1u << 1 | 1u << 3 | 1u << 24, 0, 0, 0}},
			{0x10, {b->policy->tsc_khz, CPUID_APIC_TIMER_HZ / 1000, 0, 0}}},
	};

	if (b->engine == CPUID_TRANSLATE && b->vcpus > 1)
		kvm.leaf[0].value[0] |= 1u << 7 | 1u << 11;
	if (b->engine == CPUID_KVM)
		kvm.leaf[0].value[0] |= 1u << 6;
	cpuid_policy_add_interface(b->policy, &kvm);
}

/* Its name for people (leaves 0x80000002 to 4); a model's does not tell of the host. */
static void add_name(struct build *b)
{
	const struct cpuid_model *model = b->source->model;
	uint32_t text[12] = {0};

	if (model && model->name[0])
		snprintf((char *)text, sizeof text, "dach %s processor", model->name);
	for (unsigned i = 0; i < 3; i++) {
		if (model && model->name[0])
			add_leaf(b, 0x80000002 + i, -1, text + 4 * i);
		else
			pass_leaf(b, 0x80000002 + i);
	}
}

static void add_extended(struct build *b)
{
	struct cpuid_policy *p = b->policy;
	uint32_t host[4], reg[4];

	source_read(b, 0x80000000, 0, reg);
	reg[0] = p->max_extended;
	add_leaf(b, 0x80000000, -1, reg);
	source_read(b, 0x80000001, 0, host);
	feature_leaf(b, 0x80000001, 0, reg);
	if (b->amd) {
		reg[0] = host[0];
		reg[1] = host[1] & 0xf0000000u; /* package type */
		/* AMD repeats these bits of leaf 1. */
		reg[3] |= feature_bits(b, 1, 0, 3) & 0x0183f3ffu;
		if (b->vcpus > 1)
			reg[2] |= 2; /* leaf 1's count is one of cores */
	}
	add_leaf(b, 0x80000001, -1, reg);
	add_name(b);
	if (b->amd)
		pass_leaf(b, 0x80000005);
	pass_leaf(b, 0x80000006);
	feature_leaf(b, 0x80000007, 0, reg);
	add_leaf(b, 0x80000007, -1, reg);

	source_read(b, 0x80000008, 0, host);
	feature_leaf(b, 0x80000008, 0, reg);
	p->phys_bits = host[0] & 0xff;
	if (p->phys_bits < 36)
		p->phys_bits = 36;
	if (p->phys_bits > 52)
		p->phys_bits = 52;
	p->virt_bits = 48;
	reg[0] = p->phys_bits | p->virt_bits << 8;
	if (b->amd)
		reg[2] = log2_up(b->vcpus) << 12 | (b->vcpus - 1 > 255 ? 255 : b->vcpus - 1);
	add_leaf(b, 0x80000008, -1, reg);
	if (b->amd) {
		feature_leaf(b, 0x80000021, 0, reg);
		add_leaf(b, 0x80000021, -1, reg);
	}
}

/*
 * Under the translator the guest's speculation is not the host's: what a guest can train and what
 * it could read is its own monitor's, and a kernel's workarounds cost most exactly here. So all
 * flaws are told as absent, and enhanced IBRS and BHI_DIS_S as what handles branch injection: each
 * is one MSR write at start.
 */
static void set_msrs(struct build *b)
{
	struct cpuid_policy *p = b->policy;

	p->arch_capabilities = p->spec_ctrl_mask = 0;
	if (cpuid_policy_has(p, 7, 0, 3, 29)) {
		p->arch_capabilities = b->source->arch_capabilities;
		if (b->engine == CPUID_TRANSLATE)
			p->arch_capabilities = ARCH_CAPABILITIES_TRANSLATE;
	}
	if (cpuid_policy_has(p, 7, 0, 3, 26) || cpuid_policy_has(p, 0x80000008, 0, 1, 14))
		p->spec_ctrl_mask |= 1; /* IBRS */
	if (cpuid_policy_has(p, 7, 0, 3, 27) || cpuid_policy_has(p, 0x80000008, 0, 1, 15))
		p->spec_ctrl_mask |= 2; /* STIBP */
	if (cpuid_policy_has(p, 7, 0, 3, 31) || cpuid_policy_has(p, 0x80000008, 0, 1, 24))
		p->spec_ctrl_mask |= 4; /* SSBD */
	if (cpuid_policy_has(p, 7, 2, 3, 4))
		p->spec_ctrl_mask |= 1u << 10; /* BHI_DIS_S */
}

/* What the model cannot do without is there, or is named. */
static int check_needs(const struct build *b, struct error *err)
{
	const struct cpuid_model *model = b->source->model;
	char names[200] = "";
	unsigned count = 0;

	for (unsigned i = 0; model && i < CPUID_FEATURES; i++) {
		const struct cpuid_feature *f = cpuid_feature_at(i);
		uint32_t lacks = model->need[i] & ~feature_bits(b, f->leaf, f->subleaf, f->reg);

		cpuid_feature_list(i, lacks, names, sizeof names, &count);
	}
	if (!count)
		return 0;
	return error_set(err, ENOTSUP, "%s%sthis host's processor lacks %s%s", model->name,
		model->name[0] ? ": " : "", names, count > 12 ? " and more" : "");
}

int cpuid_policy_build(struct cpuid_policy *policy, const struct cpuid_source *source,
	enum cpuid_engine engine, unsigned vcpus, struct error *err)
{
	struct build b = {.policy = policy,
		.source = source,
		.engine = engine,
		.xcr0 = source->xcr0,
		.vcpus = vcpus};
	uint32_t reg[4];
	int rc;

	if (!vcpus || vcpus > 255)
		return error_set(err, EINVAL, "%u processors: 1 to 255 are possible", vcpus);
	if (!source->tsc_khz)
		return error_set(err, EINVAL, "the rate of this processor's TSC is not known");
	memset(policy, 0, sizeof *policy);
	policy->tsc_khz = source->tsc_khz;
	source->read(source->ctx, 0, 0, reg);
	b.source_basic = reg[0];
	b.amd = cpuid_maker_amd(reg[1]);
	source->read(source->ctx, 0x80000000, 0, reg);
	b.source_extended = reg[0];
	if (b.source_basic < 7 || b.source_extended < 0x80000008)
		return error_set(err, ENOTSUP,
			"the processor is too old: its CPUID ends at %#x and %#x", b.source_basic,
			b.source_extended);
	if (source->model)
		b.xcr0 = cpuid_model_xcr0(source->model, source->xcr0);
	rc = check_needs(&b, err);
	if (rc)
		return rc;

	policy->max_basic = b.source_basic >= 0x1f && !b.amd ? 0x1f : 0x16;
	policy->max_extended = b.amd ? 0x80000021 : 0x80000008;
	add_identity(&b);
	add_caches(&b);
	add_features(&b);
	add_topology(&b, 0xb);
	rc = add_xsave(&b, err);
	if (rc)
		return rc;
	add_clocks(&b);
	if (policy->max_basic >= 0x1f)
		add_topology(&b, 0x1f);
	add_hypervisor(&b);
	add_extended(&b);
	set_msrs(&b);
	return 0;
}

static const struct cpuid_leaf *find_leaf(const struct cpuid_policy *policy, uint32_t leaf,
	uint32_t subleaf)
{
	for (unsigned i = 0; i < policy->count; i++) {
		const struct cpuid_leaf *l = &policy->leaf[i];

		if (l->leaf == leaf && (!l->indexed || l->subleaf == subleaf))
			return l;
	}
	return NULL;
}

uint32_t cpuid_policy_xsave_size(const struct cpuid_policy *policy, uint64_t xcr0, bool compacted)
{
	uint32_t size = XSAVE_END;

	for (int i = 2; i < 8; i++) {
		const struct cpuid_leaf *l = find_leaf(policy, 0xd, i);

		if (!(xcr0 >> i & 1) || !l)
			continue;
		if (!compacted && size < l->eax + l->ebx)
			size = l->eax + l->ebx;
		if (compacted)
			size = (l->ecx & 2 ? (size + 63) & ~63u : size) + l->eax;
	}
	return size;
}

void cpuid_policy_read(const struct cpuid_policy *policy, uint32_t leaf, uint32_t subleaf,
	uint32_t apic_id, uint64_t cr4, uint64_t xcr0, uint32_t out[4])
{
	const struct cpuid_leaf *l = find_leaf(policy, leaf, subleaf);

	memset(out, 0, 4 * sizeof *out);
	if (l) {
		out[0] = l->eax;
		out[1] = l->ebx;
		out[2] = l->ecx;
		out[3] = l->edx;
	}
	switch (leaf) {
	case 1:
		out[1] = (out[1] & 0x00ffffff) | apic_id << 24;
		if (cr4 & CR4_OSXSAVE)
			out[2] |= 1u << 27;
		break;
	case 0xb:
	case 0x1f:
		if (leaf > policy->max_basic)
			break;
		if (!l)
			out[2] = subleaf & 0xff;
		out[3] = apic_id;
		break;
	case 0xd:
		if (l && subleaf == 0)
			out[1] = cpuid_policy_xsave_size(policy, xcr0, false);
		if (l && subleaf == 1 && (out[0] & 2))
			out[1] = cpuid_policy_xsave_size(policy, xcr0, true);
		break;
	}
}

void cpuid_policy_limit_addresses(struct cpuid_policy *policy, unsigned bits)
{
	if (policy->phys_bits <= bits)
		return;
	policy->phys_bits = bits;
	for (unsigned i = 0; i < policy->count; i++)
		if (policy->leaf[i].leaf == 0x80000008)
			policy->leaf[i].eax = (policy->leaf[i].eax & ~0xffu) | bits;
}

void cpuid_policy_vendor(struct cpuid_policy *policy, const char *vendor)
{
	for (unsigned i = 0; i < policy->count; i++) {
		struct cpuid_leaf *l = &policy->leaf[i];

		if (l->leaf & 0x7fffffff)
			continue;
		memcpy(&l->ebx, vendor, 4);
		memcpy(&l->edx, vendor + 4, 4);
		memcpy(&l->ecx, vendor + 8, 4);
	}
}

bool cpuid_policy_has(const struct cpuid_policy *policy, uint32_t leaf, uint32_t subleaf, int reg,
	int bit)
{
	const struct cpuid_leaf *l = find_leaf(policy, leaf, subleaf);
	uint32_t value;

	if (!l)
		return false;
	value = reg == 0 ? l->eax : reg == 1 ? l->ebx : reg == 2 ? l->ecx : l->edx;
	return value >> bit & 1;
}
