/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Never offered, on purpose: MONITOR, VMX, SVM, SMX, TSX, MPX, SGX, PKU, PKS, CET, AMX, LA57,
 * XSAVES, WAITPKG, ENQCMD, UINTR, key locker, bus lock detection, PCONFIG, performance counters,
 * virtual-8086 extensions, MOVDIR64B.
 */
#include "cpu/cpuid_feature.h"

#include <stddef.h>

#define B(n) (1u << (n))

enum { EAX, EBX, ECX, EDX };

/* clang-format off */
static const struct cpuid_feature features[] = {
	{
		.leaf = 1,
		.reg = ECX,
		.user = B(0)        /* SSE3 */
			| B(1)      /* PCLMULQDQ */
			| B(9)      /* SSSE3 */
			| B(12)     /* FMA */
			| B(13)     /* CMPXCHG16B */
			| B(19)     /* SSE4.1 */
			| B(20)     /* SSE4.2 */
			| B(22)     /* MOVBE */
			| B(23)     /* POPCNT */
			| B(25)     /* AES */
			| B(26)     /* XSAVE */
			| B(28)     /* AVX */
			| B(29)     /* F16C */
			| B(30),    /* RDRAND */
		.system = B(17),    /* PCID */
		.machine = B(21)    /* x2APIC */
			| B(24)     /* TSC deadline */
			| B(31),    /* a hypervisor is there */
		.needs_xsave = B(26),
		.needs_avx = B(12) | B(28) | B(29),
	},
	{
		.leaf = 1,
		.reg = EDX,
		.user = B(0)        /* x87 */
			| B(8)      /* CMPXCHG8B */
			| B(15)     /* CMOV */
			| B(19)     /* CLFLUSH */
			| B(23)     /* MMX */
			| B(24)     /* FXSAVE */
			| B(25)     /* SSE */
			| B(26)     /* SSE2 */
			| B(27),    /* self snoop */
		.fact = B(27),
		.system = B(2)      /* debug extensions */
			| B(3)      /* PSE */
			| B(4)      /* TSC */
			| B(5)      /* MSRs */
			| B(6)      /* PAE */
			| B(7)      /* MCE */
			| B(11)     /* SYSENTER */
			| B(12)     /* MTRR */
			| B(13)     /* PGE */
			| B(14)     /* MCA */
			| B(16)     /* PAT */
			| B(17),    /* PSE-36 */
		.machine = B(9),    /* APIC */
		.kvm = B(1),        /* virtual-8086 extensions */
	},
	{
		.leaf = 7,
		.reg = EBX,
		.user = B(3)        /* BMI1 */
			| B(5)      /* AVX2 */
			| B(6)      /* x87 data pointer is updated on exceptions only */
			| B(8)      /* BMI2 */
			| B(9)      /* fast REP MOVSB */
			| B(13)     /* no x87 CS and DS */
			| B(16)     /* AVX512F */
			| B(17)     /* AVX512DQ */
			| B(18)     /* RDSEED */
			| B(19)     /* ADX */
			| B(21)     /* AVX512IFMA */
			| B(23)     /* CLFLUSHOPT */
			| B(24)     /* CLWB */
			| B(28)     /* AVX512CD */
			| B(29)     /* SHA */
			| B(30)     /* AVX512BW */
			| B(31),    /* AVX512VL */
		.system = B(0)      /* FSGSBASE */
			| B(1)      /* TSC_ADJUST: with it Linux does not watch the TSC */
			| B(7)      /* SMEP */
			| B(10)     /* INVPCID */
			| B(20),    /* SMAP */
		.needs_avx = B(5),
		.needs_avx512 = B(16) | B(17) | B(21) | B(28) | B(30) | B(31),
		.fact = B(6) | B(13),
	},
	{
		.leaf = 7,
		.reg = ECX,
		.user = B(1)        /* AVX512_VBMI */
			| B(6)      /* AVX512_VBMI2 */
			| B(8)      /* GFNI */
			| B(9)      /* VAES */
			| B(10)     /* VPCLMULQDQ */
			| B(11)     /* AVX512_VNNI */
			| B(12)     /* AVX512_BITALG */
			| B(14)     /* AVX512_VPOPCNTDQ */
			| B(27),    /* MOVDIRI */
		.system = B(2)      /* UMIP */
			| B(22),    /* RDPID */
		.needs_avx = B(9) | B(10),
		.needs_avx512 = B(1) | B(6) | B(11) | B(12) | B(14),
	},
	{
		.leaf = 7,
		.reg = EDX,
		.user = B(4)        /* fast short REP MOVSB */
			| B(14)     /* SERIALIZE */
			| B(23),    /* AVX512_FP16 */
		.system = B(26)     /* IBRS and IBPB */
			| B(27)     /* STIBP */
			| B(29),    /* IA32_ARCH_CAPABILITIES */
		.kvm = B(10)        /* VERW clears buffers */
			| B(31),    /* SSBD */
		.needs_avx512 = B(23),
	},
	{
		.leaf = 7,
		.subleaf = 1,
		.reg = EAX,
		.user = B(4)        /* AVX_VNNI */
			| B(5)      /* AVX512_BF16 */
			| B(10)     /* fast zero-length REP MOVSB */
			| B(11)     /* fast short REP STOSB */
			| B(12),    /* fast short REP CMPSB, SCASB */
		.needs_avx = B(4),
		.needs_avx512 = B(5),
	},
	{
		.leaf = 7,
		.subleaf = 2,
		.reg = EDX,
		.system = B(4)      /* BHI_DIS_S */
			| B(5),     /* MCDT_NO */
	},
	{
		.leaf = 0xd,
		.subleaf = 1,
		.reg = EAX,
		.user = B(0)        /* XSAVEOPT */
			| B(1)      /* XSAVEC */
			| B(2),     /* XGETBV with ecx 1 */
	},
	{
		.leaf = 0x80000001,
		.reg = ECX,
		.user = B(0)        /* LAHF in 64-bit code */
			| B(5)      /* LZCNT */
			| B(7)      /* MXCSR.MM */
			| B(8),     /* PREFETCHW */
	},
	{
		.leaf = 0x80000001,
		.reg = EDX,
		.system = B(11)     /* SYSCALL */
			| B(20)     /* NX */
			| B(26)     /* 1 GiB pages */
			| B(27)     /* RDTSCP */
			| B(29),    /* long mode */
	},
	{
		.leaf = 0x80000007,
		.reg = EDX,
		.system = B(8),     /* invariant TSC */
	},
	{
		.leaf = 0x80000008,
		.reg = EBX,
		.system = B(2)      /* XSAVE always saves the x87 pointers, XRSTOR loads them */
			| B(29),    /* no branch type confusion */
		.kvm = B(12)        /* IBPB */
			| B(14)     /* IBRS */
			| B(15)     /* STIBP */
			| B(24)     /* SSBD */
			| B(26),    /* SSB_NO */
		/* Linux believes B(29) of anyone */
		.amd_only = B(2) | B(12) | B(14) | B(15) | B(24) | B(26),
	},
	{
		.leaf = 0x80000021,
		.reg = EAX,
		.user = B(2),       /* LFENCE serializes */
		.system = B(6)      /* a null selector clears the base */
			| B(29),    /* SRSO_NO */
	},
	{
		.leaf = 0x80000021,
		.reg = ECX,
		.system = B(1)      /* TSA_SQ_NO */
			| B(2),     /* TSA_L1_NO */
	},
};
/* clang-format on */
_Static_assert(sizeof features / sizeof *features == CPUID_FEATURES, "registers");

const struct cpuid_feature *cpuid_feature_at(unsigned n)
{
	return &features[n < CPUID_FEATURES ? n : 0];
}

unsigned cpuid_feature_index(const struct cpuid_feature *feature)
{
	return feature - features;
}

const struct cpuid_feature *cpuid_feature_find(uint32_t leaf, uint32_t subleaf, int reg)
{
	for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
		const struct cpuid_feature *f = &features[i];

		if (f->leaf == leaf && f->subleaf == subleaf && f->reg == reg)
			return f;
	}
	return NULL;
}
