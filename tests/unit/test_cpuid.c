/* SPDX-License-Identifier: Apache-2.0 */
/* The CPUID policy: from made-up processors, and from this one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/cpuid_feature.h"
#include "cpu/state.h"

enum { EAX, EBX, ECX, EDX };

/* A processor with every feature bit set. */
struct fake {
	const char *vendor;
	uint32_t max_basic, max_extended;
};

static void fake_read(void *ctx, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	const struct fake *f = ctx;
	static const uint32_t xsave[8][3] = {[2] = {256, 576, 0},
		[5] = {64, 1088, 0},
		[6] = {512, 1152, 0},
		[7] = {1024, 1664, 2}};

	out[0] = out[1] = out[2] = out[3] = ~0u;
	switch (leaf) {
	case 0:
		out[EAX] = f->max_basic;
		memcpy(&out[EBX], f->vendor, 4);
		memcpy(&out[EDX], f->vendor + 4, 4);
		memcpy(&out[ECX], f->vendor + 8, 4);
		break;
	case 4:
	case 0x8000001d:
		memset(out, 0, 16);
		if (subleaf < 4)
			out[EAX] =
				(subleaf < 3 ? subleaf / 2 + 1 : 3) << 5 | (subleaf == 0 ? 1 : 3);
		break;
	case 0xd:
		memset(out, 0, 16);
		if (subleaf == 0)
			out[EAX] = 0x602e7;
		else if (subleaf == 1)
			out[EAX] = 0x1f;
		else if (subleaf < 8)
			memcpy(out, xsave[subleaf], sizeof xsave[0]);
		break;
	case 0x80000000:
		out[EAX] = f->max_extended;
		break;
	case 0x80000008:
		out[EAX] = 0x392e;
		break;
	}
}

static struct fake intel = {"GenuineIntel", 0x24, 0x80000008};
static struct fake amd = {"AuthenticAMD", 0x10, 0x80000028};

static void build(struct cpuid_policy *p, struct fake *f, enum cpuid_engine engine, unsigned vcpus,
	uint64_t xcr0)
{
	struct cpuid_source source = {
		.read = fake_read,
		.ctx = f,
		.xcr0 = xcr0,
		.arch_capabilities = 0x55,
		.tsc_khz = 2200000,
	};

	assert_int_equal(cpuid_policy_build(p, &source, engine, vcpus, NULL), 0);
}

/* Bits that no guest is to see, whatever the processor has. */
static void test_never(void **state)
{
	static const struct {
		uint32_t leaf, subleaf;
		int reg, bit;
		/* clang-format off */
	} never[] = {
		{1, 0, ECX, 3},   /* MONITOR */
		{1, 0, ECX, 5},   /* VMX */
		{1, 0, ECX, 6},   /* SMX */
		{1, 0, ECX, 15},  /* PDCM */
		{1, 0, ECX, 27},  /* OSXSAVE, while CR4 does not say so */
		{7, 0, EBX, 2},   /* SGX */
		{7, 0, EBX, 4},   /* HLE */
		{7, 0, EBX, 11},  /* RTM */
		{7, 0, EBX, 14},  /* MPX */
		{7, 0, EBX, 25},  /* processor trace */
		{7, 0, ECX, 3},   /* PKU */
		{7, 0, ECX, 4},   /* OSPKE */
		{7, 0, ECX, 5},   /* WAITPKG */
		{7, 0, ECX, 7},   /* CET_SS */
		{7, 0, ECX, 16},  /* LA57 */
		{7, 0, ECX, 23},  /* key locker */
		{7, 0, ECX, 24},  /* bus lock detection */
		{7, 0, ECX, 28},  /* MOVDIR64B */
		{7, 0, ECX, 29},  /* ENQCMD */
		{7, 0, ECX, 30},  /* SGX_LC */
		{7, 0, ECX, 31},  /* PKS */
		{7, 0, EDX, 5},   /* UINTR */
		{7, 0, EDX, 16},  /* TSXLDTRK */
		{7, 0, EDX, 18},  /* PCONFIG */
		{7, 0, EDX, 20},  /* CET_IBT */
		{7, 0, EDX, 22},  /* AMX */
		{7, 0, EDX, 24},
		{7, 0, EDX, 25},
		{7, 1, EAX, 21},  /* AMX_FP16 */
		{7, 1, EDX, 18},  /* CET_SSS */
		{7, 1, EDX, 19},  /* AVX10 */
		{0xd, 1, EAX, 3}, /* XSAVES */
		{0xd, 1, EAX, 4}, /* XFD */
		{0x80000001, 0, ECX, 2},  /* SVM */
		{0x80000001, 0, ECX, 15}, /* LWP */
		{0x80000001, 0, ECX, 29}, /* MONITORX */
	};
	/* clang-format on */
	struct fake *fakes[] = {&intel, &amd};
	struct cpuid_policy p;

	for (int i = 0; i < 4; i++) {
		build(&p, fakes[i / 2], i & 1 ? CPUID_KVM : CPUID_TRANSLATE, 2, 0x602e7);
		for (unsigned j = 0; j < sizeof never / sizeof *never; j++)
			if (cpuid_policy_has(&p, never[j].leaf, never[j].subleaf, never[j].reg,
				    never[j].bit))
				fail_msg("leaf %#x.%u register %d bit %d", never[j].leaf,
					never[j].subleaf, never[j].reg, never[j].bit);
		assert_false(cpuid_policy_has(&p, 0xa, 0, EAX, 0));
		assert_int_equal(p.xcr0, 0xe7);
		assert_int_equal(p.xsave_size, 2688);
		assert_in_range(p.count, 20, sizeof p.leaf / sizeof *p.leaf - 1);
	}
}

/* What the operating system below has not enabled is not there. */
static void test_xcr0(void **state)
{
	struct cpuid_policy p;

	build(&p, &intel, CPUID_TRANSLATE, 1, 7);
	assert_true(cpuid_policy_has(&p, 7, 0, EBX, 5));
	assert_false(cpuid_policy_has(&p, 7, 0, EBX, 16));
	assert_false(cpuid_policy_has(&p, 7, 0, EDX, 23));
	assert_int_equal(p.xcr0, 7);
	assert_int_equal(p.xsave_size, 832);

	build(&p, &intel, CPUID_TRANSLATE, 1, 3);
	assert_false(cpuid_policy_has(&p, 1, 0, ECX, 28));
	assert_true(cpuid_policy_has(&p, 1, 0, ECX, 26));
	assert_false(cpuid_policy_has(&p, 7, 0, ECX, 9));
	assert_true(cpuid_policy_has(&p, 7, 0, ECX, 8));

	build(&p, &intel, CPUID_TRANSLATE, 1, 0);
	assert_false(cpuid_policy_has(&p, 1, 0, ECX, 26));
	assert_true(cpuid_policy_has(&p, 1, 0, EDX, 26));
	assert_int_equal(p.xcr0, 0);
}

/* Hypervisors' interfaces beside each other: KVM's, and what is added. */
static void test_interfaces(void **state)
{
	static const struct cpuid_interface other = {.signature = "OtherOther12",
		.count = 2,
		.leaf = {{1, {0x40011, 0, 0, 0}}, {4, {9, 8, 7, 6}}}};
	struct cpuid_policy p;
	uint32_t reg[4];

	build(&p, &intel, CPUID_TRANSLATE, 1, 7);
	cpuid_policy_read(&p, 0x40000000, 0, 0, 0, 0, reg);
	assert_int_equal(reg[0], 0x40000010);
	assert_memory_equal(reg + 1, "KVMKVMKVM\0\0\0", 12);
	assert_int_equal(p.max_hypervisor, 0x40000010);
	assert_int_equal(cpuid_policy_add_interface(&p, &other), 0x40000100);
	cpuid_policy_read(&p, 0x40000100, 0, 0, 0, 0, reg);
	assert_int_equal(reg[0], 0x40000104);
	assert_memory_equal(reg + 1, "OtherOther12", 12);
	cpuid_policy_read(&p, 0x40000104, 0, 0, 0, 0, reg);
	assert_int_equal(reg[2], 7);
	assert_int_equal(cpuid_policy_add_interface(&p, &other), 0x40000200);
	cpuid_policy_read(&p, 0x40000001, 0, 0, 0, 0, reg);
	assert_true(reg[0] & 1);
	assert_int_equal(p.max_hypervisor, 0x40000010);
	while (cpuid_policy_add_interface(&p, &other))
		assert_true(p.count <= sizeof p.leaf / sizeof *p.leaf);
}

/* The translator brings privileged features of its own; KVM passes on its host's. */
static void test_system(void **state)
{
	struct fake old = {"GenuineIntel", 0xd, 0x80000008};
	struct cpuid_source source = {.read = fake_read, .ctx = &old, .xcr0 = 7, .tsc_khz = 1};
	struct cpuid_policy p;

	assert_int_equal(cpuid_policy_build(&p, &source, CPUID_TRANSLATE, 1, NULL), 0);
	assert_true(cpuid_policy_has(&p, 1, 0, ECX, 17));          /* PCID */
	assert_true(cpuid_policy_has(&p, 7, 0, EBX, 0));           /* FSGSBASE */
	assert_true(cpuid_policy_has(&p, 0x80000001, 0, EDX, 29)); /* long mode */
	assert_true(cpuid_policy_has(&p, 1, 0, ECX, 31));          /* a hypervisor */
	assert_false(cpuid_policy_has(&p, 1, 0, EDX, 1));          /* VME */
	assert_int_equal(p.arch_capabilities, ARCH_CAPABILITIES_TRANSLATE);
	assert_int_equal(p.spec_ctrl_mask, 0x403);

	build(&p, &intel, CPUID_KVM, 1, 0xe7);
	assert_int_equal(p.arch_capabilities, 0x55);
	assert_true(cpuid_policy_has(&p, 7, 0, EDX, 31)); /* SSBD */
}

/* What the translator does as AMD's newer processors do, whichever it runs on. */
static void test_amd_promises(void **state)
{
	static const struct {
		uint32_t leaf;
		int reg, bit;
	} promise[] = {{0x80000008, EBX, 2}, {0x80000021, EAX, 6}};
	struct fake old_amd = {"AuthenticAMD", 0x10, 0x8000001f};
	struct cpuid_policy p;

	for (unsigned i = 0; i < 2; i++) {
		build(&p, &amd, CPUID_TRANSLATE, 1, 7);
		assert_true(
			cpuid_policy_has(&p, promise[i].leaf, 0, promise[i].reg, promise[i].bit));
		build(&p, &amd, CPUID_KVM, 1, 7);
		assert_true(
			cpuid_policy_has(&p, promise[i].leaf, 0, promise[i].reg, promise[i].bit));
		build(&p, &intel, CPUID_TRANSLATE, 1, 7);
		assert_false(
			cpuid_policy_has(&p, promise[i].leaf, 0, promise[i].reg, promise[i].bit));
	}
	build(&p, &old_amd, CPUID_TRANSLATE, 1, 7);
	assert_true(cpuid_policy_has(&p, 0x80000021, 0, EAX, 6));
	build(&p, &old_amd, CPUID_KVM, 1, 7);
	assert_false(cpuid_policy_has(&p, 0x80000021, 0, EAX, 6));
}

static void test_topology(void **state)
{
	static const unsigned counts[] = {1, 2, 3, 5, 64, 255};
	struct cpuid_policy p;
	uint32_t r[4];

	for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++) {
		unsigned n = counts[i], last = n - 1;

		build(&p, &intel, CPUID_TRANSLATE, n, 0xe7);
		cpuid_policy_read(&p, 1, 0, last, 0, 1, r);
		assert_int_equal(r[EBX] >> 24, last);
		assert_int_equal(r[EDX] >> 28 & 1, n > 1);
		assert_true(n == 1 || (r[EBX] >> 16 & 255) >= n);
		for (uint32_t leaf = 0xb; leaf <= 0x1f; leaf += 0x14) {
			cpuid_policy_read(&p, leaf, 0, last, 0, 1, r);
			assert_int_equal(r[EBX], 1);
			assert_int_equal(r[ECX], 0x100);
			assert_int_equal(r[EDX], last);
			cpuid_policy_read(&p, leaf, 1, last, 0, 1, r);
			assert_int_equal(r[EBX], n);
			assert_int_equal(r[ECX], 0x201);
			assert_int_equal(last >> r[EAX], 0);
			cpuid_policy_read(&p, leaf, 7, last, 0, 1, r);
			assert_int_equal(r[EBX], 0);
			assert_int_equal(r[ECX], 7);
			assert_int_equal(r[EDX], last);
		}
		cpuid_policy_read(&p, 4, 1, last, 0, 1, r);
		assert_int_equal(r[EAX] >> 14 & 0xfff, 0);
		cpuid_policy_read(&p, 4, 3, last, 0, 1, r);
		assert_true((r[EAX] >> 14 & 0xfff) >= last);
		cpuid_policy_read(&p, 4, 4, last, 0, 1, r);
		assert_int_equal(r[EAX], 0);

		build(&p, &amd, CPUID_TRANSLATE, n, 0xe7);
		cpuid_policy_read(&p, 0x80000008, 0, last, 0, 1, r);
		assert_int_equal(r[ECX] & 255, last);
		assert_int_equal(last >> (r[ECX] >> 12), 0);
		/* the caches by AMD's leaf, which counts no cores */
		cpuid_policy_read(&p, 4, 1, last, 0, 1, r);
		assert_int_equal(r[EAX], 0);
		cpuid_policy_read(&p, 0x8000001d, 1, last, 0, 1, r);
		assert_int_equal(r[EAX], 1 << 5 | 3);
		cpuid_policy_read(&p, 0x8000001d, 3, last, 0, 1, r);
		assert_true((r[EAX] >> 14 & 0xfff) >= last);
		assert_int_equal(r[EAX] >> 26, 0);
		cpuid_policy_read(&p, 0x8000001d, 4, last, 0, 1, r);
		assert_int_equal(r[EAX], 0);
		assert_true(cpuid_policy_has(&p, 0x80000021, 0, EAX,
			6)); /* null selectors clear bases */
	}
	struct cpuid_source source = {.read = fake_read, .ctx = &intel, .tsc_khz = 1};
	struct error err = {0};

	assert_true(cpuid_policy_build(&p, &source, CPUID_TRANSLATE, 0, &err) < 0);
	assert_string_not_equal(err.text, "");
}

static void test_dynamic(void **state)
{
	struct cpuid_policy p;
	uint32_t r[4];

	build(&p, &intel, CPUID_TRANSLATE, 1, 0xe7);
	cpuid_policy_read(&p, 1, 0, 0, CR4_OSXSAVE, 1, r);
	assert_int_equal(r[ECX] >> 27 & 1, 1);
	cpuid_policy_read(&p, 0xd, 0, 0, 0, 1, r);
	assert_int_equal(r[EAX], 0xe7);
	assert_int_equal(r[EBX], 576);
	assert_int_equal(r[ECX], 2688);
	cpuid_policy_read(&p, 0xd, 0, 0, 0, 7, r);
	assert_int_equal(r[EBX], 832);
	cpuid_policy_read(&p, 0xd, 0, 0, 0, 0xe7, r);
	assert_int_equal(r[EBX], 2688);
	/* Compacted: AVX at 576, opmask after it, ZMM_Hi256, then Hi16_ZMM aligned to 64. */
	cpuid_policy_read(&p, 0xd, 1, 0, 0, 0xe7, r);
	assert_int_equal(r[EBX], 576 + 256 + 64 + 512 + 1024);
	cpuid_policy_read(&p, 0xd, 9, 0, 0, 0xe7, r);
	assert_int_equal(r[EAX] | r[EBX] | r[ECX] | r[EDX], 0);
	cpuid_policy_read(&p, 0x12345678, 0, 0, 0, 0xe7, r);
	assert_int_equal(r[EAX] | r[EBX] | r[ECX] | r[EDX], 0);
}

/* Linux computes crystal kHz * ebx / eax in 32 bits. */
static void test_clocks(void **state)
{
	static const uint32_t rates[] = {1000, 999999, 1000000, 1234567, 2194843, 2200000, 2399998,
		2899999, 3693060, 4200001};

	for (unsigned i = 0; i < sizeof rates / sizeof *rates; i++) {
		struct cpuid_source source = {.read = fake_read,
			.ctx = &intel,
			.xcr0 = 7,
			.tsc_khz = rates[i]};
		struct cpuid_policy p;
		uint32_t r[4], khz;
		double error;

		assert_int_equal(cpuid_policy_build(&p, &source, CPUID_TRANSLATE, 1, NULL), 0);
		cpuid_policy_read(&p, 0x15, 0, 0, 0, 1, r);
		assert_int_equal(r[ECX], CPUID_APIC_TIMER_HZ);
		assert_int_not_equal(r[EAX], 0);
		khz = r[ECX] / 1000 * r[EBX] / r[EAX];
		error = ((double)khz - rates[i]) / rates[i];
		assert_true(error < 2e-6 && error > -2e-6);
		cpuid_policy_read(&p, 0x40000010, 0, 0, 0, 1, r);
		assert_int_equal(r[EAX], rates[i]);
	}
}

static void test_kvm_leaves(void **state)
{
	struct cpuid_policy p;
	uint32_t r[4];

	build(&p, &intel, CPUID_TRANSLATE, 1, 0xe7);
	cpuid_policy_read(&p, 0x40000000, 0, 0, 0, 1, r);
	assert_memory_equal(&r[EBX], "KVMKVMKVM\0\0\0", 12);
	assert_int_equal(r[EAX], 0x40000010);
	cpuid_policy_read(&p, 0x40000001, 0, 0, 0, 1, r);
	assert_int_equal(r[EAX], 0x0100000b);
}

static void test_host(void **state)
{
	struct cpuid_policy p;
	struct error err = {0};

	if (cpuid_policy_init(&p, CPUID_TRANSLATE, 2, NULL, &err))
		fail_msg("%s", err.text);
	assert_true(cpuid_policy_has(&p, 1, 0, EDX, 26));
	assert_in_range(p.tsc_khz, 200000, 10000000);
	assert_in_range(p.phys_bits, 36, 52);
	assert_int_equal(p.virt_bits, 48);
	if (p.xcr0)
		assert_in_range(p.xsave_size, 576, CPU_XSAVE_SIZE);
}

/* Who knows it need not measure; and what is measured meanwhile is what a policy would have. */
static void test_tsc_rate(void **state)
{
	struct cpuid_policy p;
	struct error err = {0};
	struct tsc_moment begin;
	uint32_t told = cpuid_tsc_begin(&begin), host = cpuid_host_tsc_khz();

	if (cpuid_policy_make(&p, CPUID_TRANSLATE, 1, NULL, 2345678, &err))
		fail_msg("%s", err.text);
	assert_int_equal(p.tsc_khz, 2345678);
	if (told)
		assert_int_equal(told, host);
	assert_in_range(cpuid_tsc_since(&begin), host - host / 100, host + host / 100);
	begin.ns += 3600000000000ull;
	assert_int_equal(cpuid_tsc_since(&begin), 0);
}

/* The same with a model, as --cpu names it. */
static int build_model(struct cpuid_policy *p, struct fake *f, const char *cpu, uint64_t xcr0,
	struct error *err)
{
	struct cpuid_model model;
	struct cpuid_source source = {
		.read = fake_read,
		.ctx = f,
		.xcr0 = xcr0,
		.arch_capabilities = 0x55,
		.tsc_khz = 2200000,
		.model = &model,
	};
	int r = cpuid_model_parse(&model, cpu, err);

	return r ? r : cpuid_policy_build(p, &source, CPUID_KVM, 2, err);
}

static void test_models(void **state)
{
	struct cpuid_policy p;
	struct error err = {""};

	assert_int_equal(build_model(&p, &intel, "x86-64-v2", 0xe7, &err), 0);
	assert_true(cpuid_policy_has(&p, 1, 0, ECX, 20));
	assert_false(cpuid_policy_has(&p, 1, 0, ECX, 26)); /* XSAVE */
	assert_false(cpuid_policy_has(&p, 1, 0, ECX, 28)); /* AVX */
	assert_false(cpuid_policy_has(&p, 7, 0, EDX, 29)); /* IA32_ARCH_CAPABILITIES */
	assert_true(cpuid_policy_has(&p, 0x80000007, 0, EDX, 8));
	assert_true(cpuid_policy_has(&p, 7, 0, EBX, 13));          /* as the host behaves */
	assert_false(cpuid_policy_has(&p, 0x80000001, 0, ECX, 7)); /* MXCSR.MM: AMD's only */
	assert_int_equal(p.xcr0, 0);
	assert_int_equal(p.arch_capabilities, 0);
	assert_int_equal(build_model(&p, &amd, "x86-64-v3", 0xe7, &err), 0);
	assert_true(cpuid_policy_has(&p, 7, 0, EBX, 5));
	assert_false(cpuid_policy_has(&p, 7, 0, EBX, 16));
	assert_int_equal(p.xcr0, 7);
	assert_int_equal(build_model(&p, &intel, "x86-64-v4", 0xe7, &err), 0);
	assert_true(cpuid_policy_has(&p, 7, 0, EBX, 31));
	assert_int_equal(p.xcr0, 0xe7);
	assert_int_equal(build_model(&p, &intel, "x86-64-v4,-avx", 0xe7, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "avx2"));
}

static void test_model_flags(void **state)
{
	struct cpuid_policy p;
	struct error err = {""};

	assert_int_equal(build_model(&p, &intel, "x86-64-v2,+aes,-tsc-deadline", 7, &err), 0);
	assert_true(cpuid_policy_has(&p, 1, 0, ECX, 25));
	assert_false(cpuid_policy_has(&p, 1, 0, ECX, 24));
	assert_int_equal(build_model(&p, &intel, "host,-avx512f", 0xe7, &err), 0);
	assert_true(cpuid_policy_has(&p, 7, 0, EBX, 5));
	assert_false(cpuid_policy_has(&p, 7, 0, EBX, 31)); /* AVX-512 goes as a whole */
	assert_int_equal(build_model(&p, &intel, "host,-xsave", 0xe7, &err), 0);
	assert_false(cpuid_policy_has(&p, 7, 0, EBX, 5));
	assert_int_equal(p.xcr0, 0);
}

static void test_model_refused(void **state)
{
	static const struct {
		const char *cpu, *says;
	} bad[] = {
		{"", "\"\""},
		{"x86-64-v5", "x86-64-v5"},
		{"hostess", "hostess"},
		{"host,avx", "+NAME"},
		{"host,", "+NAME"},
		{"host,+", "\"\""},
		{"host,+avx,,", "+NAME"},
		{"host,+avx1024", "avx1024"},
		{"host,+av", "\"av\""},
		{"x86-64-v2,+amd_ibrs", "lacks amd_ibrs"},
		{"x86-64-v3", "x86-64-v3: this host's processor lacks fma, xsave, avx"},
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct error err = {""};
		struct cpuid_policy p;

		assert_true(build_model(&p, &intel, bad[i].cpu, 0, &err) < 0);
		if (!strstr(err.text, bad[i].says))
			fail_msg("%s: %s", bad[i].cpu, err.text);
	}
}

/* Every bit that is offered has a name, no two have one, and the name finds the bit. */
static void test_names(void **state)
{
	for (unsigned i = 0; i < CPUID_FEATURES; i++) {
		const struct cpuid_feature *f = cpuid_feature_at(i);
		uint32_t bits = f->user | f->system | f->machine | f->kvm;

		assert_int_equal(cpuid_feature_index(f), i);
		for (int bit = 0; bit < 32; bit++) {
			const char *name = cpuid_feature_name(f->leaf, f->subleaf, f->reg, bit);
			unsigned feature;
			int found;

			assert_int_equal(name != NULL, bits >> bit & 1);
			if (!name)
				continue;
			assert_true(cpuid_feature_named(name, strlen(name), &feature, &found));
			assert_int_equal(feature, i);
			assert_int_equal(found, bit);
		}
	}
}

static void test_missing(void **state)
{
	struct cpuid_policy v2, v3, host, amd_host, none;
	struct error err = {""};
	char text[64];

	assert_int_equal(build_model(&v2, &intel, "x86-64-v2", 0xe7, &err), 0);
	assert_int_equal(build_model(&v3, &intel, "x86-64-v3", 0xe7, &err), 0);
	build(&host, &intel, CPUID_KVM, 4, 0xe7);
	build(&amd_host, &amd, CPUID_KVM, 4, 0xe7);
	build(&none, &intel, CPUID_KVM, 4, 0);
	assert_int_equal(cpuid_policy_missing(&v2, &host, CPUID_KVM, text, sizeof text), 0);
	assert_string_equal(text, "");
	assert_int_equal(cpuid_policy_missing(&v3, &amd_host, CPUID_KVM, text, sizeof text), 0);
	assert_int_equal(cpuid_policy_missing(&v2, &none, CPUID_KVM, text, sizeof text), 0);
	assert_int_equal(cpuid_policy_missing(&v3, &v2, CPUID_KVM, text, sizeof text), 17);
	/* As many as fit, and none by halves. */
	assert_memory_equal(text, "pclmulqdq, fma, movbe, aes, xsave, ", 35);
	assert_true(strlen(text) < sizeof text);
	assert_int_not_equal(text[strlen(text) - 1], ',');
	amd_host.arch_capabilities = host.arch_capabilities & ~1ull;
	cpuid_policy_missing(&host, &amd_host, CPUID_KVM, text, sizeof text);
	assert_non_null(strstr(text, "rdcl_no"));
	amd_host = host;
	for (unsigned i = 0; i < amd_host.count; i++)
		if (amd_host.leaf[i].leaf == 0xd && amd_host.leaf[i].subleaf == 5)
			amd_host.leaf[i].ebx += 64;
	amd_host.phys_bits = host.phys_bits - 1;
	assert_int_equal(cpuid_policy_missing(&host, &amd_host, CPUID_KVM, text, sizeof text), 2);
	assert_int_equal(cpuid_policy_missing(&host, &amd_host, CPUID_TRANSLATE, text, sizeof text),
		1);
	assert_string_equal(text, "as many physical address bits");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_models),
		cmocka_unit_test(test_model_flags),
		cmocka_unit_test(test_model_refused),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_never),
		cmocka_unit_test(test_xcr0),
		cmocka_unit_test(test_interfaces),
		cmocka_unit_test(test_system),
		cmocka_unit_test(test_amd_promises),
		cmocka_unit_test(test_topology),
		cmocka_unit_test(test_dynamic),
		cmocka_unit_test(test_clocks),
		cmocka_unit_test(test_kvm_leaves),
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_tsc_rate),
	};

	return cmocka_run_group_tests_name("cpuid", tests, NULL, NULL);
}
