/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the feature bits are called, as Linux's /proc/cpuinfo calls them where it does; and which of
 * them one policy has and another has not.
 */
#include <stdio.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/cpuid_feature.h"

enum { EAX, EBX, ECX, EDX };

/* One register's names, by bit. */
struct names {
	uint32_t leaf, subleaf;
	int reg;
	const char *bit[32];
};

/* clang-format off */
static const struct names names[] = {
	{1, 0, ECX, {[0] = "sse3", [1] = "pclmulqdq", [9] = "ssse3", [12] = "fma", [13] = "cx16",
		[17] = "pcid", [19] = "sse4_1", [20] = "sse4_2", [21] = "x2apic", [22] = "movbe",
		[23] = "popcnt", [24] = "tsc_deadline", [25] = "aes", [26] = "xsave", [28] = "avx",
		[29] = "f16c", [30] = "rdrand", [31] = "hypervisor"}},
	{1, 0, EDX, {[0] = "fpu", [1] = "vme", [2] = "de", [3] = "pse", [4] = "tsc", [5] = "msr",
		[6] = "pae", [7] = "mce", [8] = "cx8", [9] = "apic", [11] = "sep", [12] = "mtrr",
		[13] = "pge", [14] = "mca", [15] = "cmov", [16] = "pat", [17] = "pse36",
		[19] = "clflush", [23] = "mmx", [24] = "fxsr", [25] = "sse", [26] = "sse2",
		[27] = "ss"}},
	{7, 0, EBX, {[0] = "fsgsbase", [1] = "tsc_adjust", [3] = "bmi1", [5] = "avx2", [6] = "fdp_excptn_only",
		[7] = "smep", [8] = "bmi2", [9] = "erms", [10] = "invpcid", [13] = "zero_fcs_fds",
		[16] = "avx512f", [17] = "avx512dq", [18] = "rdseed", [19] = "adx", [20] = "smap",
		[21] = "avx512ifma", [23] = "clflushopt", [24] = "clwb", [28] = "avx512cd",
		[29] = "sha_ni", [30] = "avx512bw", [31] = "avx512vl"}},
	{7, 0, ECX, {[1] = "avx512vbmi", [2] = "umip", [6] = "avx512_vbmi2", [8] = "gfni",
		[9] = "vaes", [10] = "vpclmulqdq", [11] = "avx512_vnni", [12] = "avx512_bitalg",
		[14] = "avx512_vpopcntdq", [22] = "rdpid", [27] = "movdiri"}},
	{7, 0, EDX, {[4] = "fsrm", [10] = "md_clear", [14] = "serialize", [23] = "avx512_fp16",
		[26] = "spec_ctrl", [27] = "stibp", [29] = "arch_capabilities", [31] = "ssbd"}},
	{7, 1, EAX, {[4] = "avx_vnni", [5] = "avx512_bf16", [10] = "fzrm", [11] = "fsrs",
		[12] = "fsrc"}},
	{7, 2, EDX, {[4] = "bhi_ctrl", [5] = "mcdt_no"}},
	{0xd, 1, EAX, {[0] = "xsaveopt", [1] = "xsavec", [2] = "xgetbv1"}},
	{0x80000001, 0, ECX, {[0] = "lahf_lm", [5] = "abm", [7] = "misalignsse", [8] = "3dnowprefetch"}},
	{0x80000001, 0, EDX, {[11] = "syscall", [20] = "nx", [26] = "pdpe1gb", [27] = "rdtscp",
		[29] = "lm"}},
	{0x80000007, 0, EDX, {[8] = "invtsc"}},
	{0x80000008, 0, EBX, {[2] = "xsaveerptr", [12] = "amd_ibpb", [14] = "amd_ibrs", [15] = "amd_stibp",
		[24] = "amd_ssbd", [26] = "amd_ssb_no", [29] = "btc_no"}},
	{0x80000021, 0, EAX, {[2] = "lfence_serializing", [6] = "null_sel_clr_base",
		[29] = "srso_no"}},
	{0x80000021, 0, ECX, {[1] = "tsa_sq_no", [2] = "tsa_l1_no"}},
};

/* IA32_ARCH_CAPABILITIES, by bit (SDM 4, table 2-2). */
static const char *const capability[64] = {
	[0] = "rdcl_no", [1] = "ibrs_all", [2] = "rsba", [3] = "skip_l1dfl_vmentry", [4] = "ssb_no",
	[5] = "mds_no", [6] = "pschange_mc_no", [7] = "tsx_ctrl", [8] = "taa_no",
	[13] = "sbdr_ssdp_no", [14] = "fbsdp_no", [15] = "psdp_no", [17] = "fb_clear",
	[18] = "fb_clear_ctrl", [19] = "rrsba", [20] = "bhi_no", [24] = "pbrsb_no", [26] = "gds_no",
	[27] = "rfds_no", [28] = "rfds_clear", [62] = "its_no",
};
/* clang-format on */

/* Told the worse way: a processor that has them is no better for it. */
#define CAPABILITY_BAD (1ull << 2 | 1ull << 7 | 1ull << 17 | 1ull << 18 | 1ull << 19 | 1ull << 28)

const char *cpuid_feature_name(uint32_t leaf, uint32_t subleaf, int reg, int bit)
{
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (names[i].leaf == leaf && names[i].subleaf == subleaf && names[i].reg == reg)
			return names[i].bit[bit & 31];
	return NULL;
}

/* People write tsc-deadline too. */
static bool same_name(const char *name, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!name[i] || name[i] != (text[i] == '-' ? '_' : text[i]))
			return false;
	return !name[len];
}

bool cpuid_feature_named(const char *text, size_t len, unsigned *feature, int *bit)
{
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		const struct cpuid_feature *f =
			cpuid_feature_find(names[i].leaf, names[i].subleaf, names[i].reg);

		for (int k = 0; f && k < 32; k++) {
			if (!names[i].bit[k] || !same_name(names[i].bit[k], text, len))
				continue;
			*feature = cpuid_feature_index(f);
			*bit = k;
			return true;
		}
	}
	return false;
}

/* A list of names in a buffer that may be too small for it. */
struct list {
	char *text;
	size_t size, used;
	unsigned count;
};

static void add_name(struct list *list, const char *name)
{
	int n = snprintf(list->text + list->used, list->size - list->used, "%s%s",
		list->count ? ", " : "", name);

	list->count++;
	if (n > 0 && list->used + n < list->size)
		list->used += n;
	else if (list->used)
		list->text[list->used] = '\0'; /* no half names */
}

void cpuid_feature_list(unsigned feature, uint32_t bits, char *text, size_t size, unsigned *count)
{
	const struct cpuid_feature *f = cpuid_feature_at(feature);
	struct list list = {text, size, strlen(text), *count};

	for (int bit = 0; bit < 32; bit++) {
		const char *name = cpuid_feature_name(f->leaf, f->subleaf, f->reg, bit);
		char number[40];

		if (!(bits >> bit & 1))
			continue;
		snprintf(number, sizeof number, "cpuid %x.%x:%d.%d", f->leaf, f->subleaf, f->reg,
			bit);
		add_name(&list, name ? name : number);
	}
	*count = list.count;
}

static uint32_t policy_register(const struct cpuid_policy *policy, const struct cpuid_feature *f)
{
	uint32_t value = 0;

	for (int bit = 0; bit < 32; bit++)
		value |= (uint32_t)cpuid_policy_has(policy, f->leaf, f->subleaf, f->reg, bit)
			<< bit;
	return value;
}

/*
 * Both have the component, but not in the same place: XSAVE's standard format differs, which only the
 * translator can hide; or not of the same size.
 */
static bool layout_differs(const struct cpuid_policy *wanted, const struct cpuid_policy *offered,
	enum cpuid_engine engine)
{
	for (int i = 2; i < 8; i++) {
		uint32_t a[4], b[4];

		if (!(wanted->xcr0 & offered->xcr0 & 1u << i))
			continue;
		cpuid_policy_read(wanted, 0xd, i, 0, 0, XCR0_X87, a);
		cpuid_policy_read(offered, 0xd, i, 0, 0, XCR0_X87, b);
		if (a[0] != b[0] || (a[1] != b[1] && engine == CPUID_KVM))
			return true;
	}
	return false;
}

unsigned cpuid_policy_missing(const struct cpuid_policy *wanted, const struct cpuid_policy *offered,
	enum cpuid_engine engine, char *text, size_t size)
{
	struct list list = {text, size, 0, 0};
	uint64_t capabilities = wanted->arch_capabilities & ~CAPABILITY_BAD;

	text[0] = '\0';
	for (unsigned i = 0; i < CPUID_FEATURES; i++) {
		const struct cpuid_feature *f = cpuid_feature_at(i);
		uint32_t lacks =
			policy_register(wanted, f) & ~policy_register(offered, f) & ~f->fact;

		cpuid_feature_list(i, lacks, text, size, &list.count);
	}
	list.used = strlen(text);
	for (int bit = 0; bit < 64; bit++)
		if ((capabilities & ~offered->arch_capabilities) >> bit & 1)
			add_name(&list, capability[bit] ? capability[bit] : "arch_capabilities");
	if (wanted->xcr0 & ~offered->xcr0)
		add_name(&list, "XSAVE components");
	if (layout_differs(wanted, offered, engine))
		add_name(&list, "the same XSAVE layout");
	if (wanted->phys_bits > offered->phys_bits)
		add_name(&list, "as many physical address bits");
	return list.count;
}
