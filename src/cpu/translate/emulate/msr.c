/* SPDX-License-Identifier: Apache-2.0 */
/* Model-specific registers (SDM 4, chapter 2; 3A 11.11 and 11.12 for MTRRs and the PAT). */
#include "cpu/translate/emulate/emulate.h"
#include "cpu/translate/hot.h"

#define MSR_TSC 0x10
#define MSR_TSC_ADJUST 0x3b
#define MSR_PLATFORM_ID 0x17
#define MSR_FEATURE_CONTROL 0x3a
#define MSR_SPEC_CTRL 0x48
#define MSR_PRED_CMD 0x49
#define MSR_UCODE_REV 0x8b
#define MSR_PLATFORM_INFO 0xce
#define MSR_MTRRCAP 0xfe
#define MSR_ARCH_CAPABILITIES 0x10a
#define MSR_FLUSH_CMD 0x10b
#define MSR_MISC_FEATURES_ENABLES 0x140
#define MSR_SYSENTER_CS 0x174
#define MSR_SYSENTER_ESP 0x175
#define MSR_SYSENTER_EIP 0x176
#define MSR_MCG_CAP 0x179
#define MSR_MCG_STATUS 0x17a
#define MSR_MISC_ENABLE 0x1a0
#define MSR_MTRR_BASE0 0x200
#define MSR_MTRR_FIX64K 0x250
#define MSR_MTRR_FIX16K_80000 0x258
#define MSR_MTRR_FIX16K_A0000 0x259
#define MSR_MTRR_FIX4K 0x268
#define MSR_PAT 0x277
#define MSR_MTRR_DEF_TYPE 0x2ff
#define MSR_EFER 0xc0000080
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_CSTAR 0xc0000083
#define MSR_SFMASK 0xc0000084
#define MSR_FS_BASE 0xc0000100
#define MSR_GS_BASE 0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_TSC_AUX 0xc0000103

#define MSR_HWCR 0xc0010015

#define HWCR_TSC_FREQ_SEL (1u << 24) /* the TSC counts at P0's rate (AMD's PPR, MSRC001_0015) */
#define MTRR_PAIRS 8
#define MTRRCAP_VALUE (MTRR_PAIRS | 1u << 8 | 1u << 10) /* fixed ranges, write-combining */
#define MISC_ENABLE_FAST_STRING 1u
#define MISC_ENABLE_NO_BTS_PEBS 0x1800u

static uint64_t host_tsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return low | (uint64_t)high << 32;
}

/* --- memory types -------------------------------------------------------------------- */

static bool type_valid(unsigned type, bool pat)
{
	return type <= 1 || (type >= 4 && type <= 6) || (pat && type == 7);
}

static bool types_valid(uint64_t value, bool pat)
{
	for (unsigned k = 0; k < 64; k += 8)
		if (!type_valid(value >> k & 0xff, pat))
			return false;
	return true;
}

/* Where an MTRR lives; NULL if msr is none. */
static uint64_t *mtrr_find(struct cpu_state *c, uint32_t msr)
{
	if (msr >= MSR_MTRR_BASE0 && msr < MSR_MTRR_BASE0 + 2 * MTRR_PAIRS) {
		unsigned n = (msr - MSR_MTRR_BASE0) / 2;

		return msr & 1 ? &c->mtrr_mask[n] : &c->mtrr_base[n];
	}
	switch (msr) {
	case MSR_MTRR_FIX64K:
		return &c->mtrr_fixed[0];
	case MSR_MTRR_FIX16K_80000:
	case MSR_MTRR_FIX16K_A0000:
		return &c->mtrr_fixed[1 + msr - MSR_MTRR_FIX16K_80000];
	case MSR_MTRR_DEF_TYPE:
		return &c->mtrr_def_type;
	default:
		if (msr >= MSR_MTRR_FIX4K && msr < MSR_MTRR_FIX4K + 8)
			return &c->mtrr_fixed[3 + msr - MSR_MTRR_FIX4K];
		return NULL;
	}
}

static bool mtrr_valid(struct vcpu *v, uint32_t msr, uint64_t value)
{
	uint64_t beyond = ~0ull << vcpu_cpuid(v)->phys_bits;

	if (msr == MSR_MTRR_DEF_TYPE)
		return !(value & ~0xcffull) && type_valid(value & 0xff, false);
	if (msr >= MSR_MTRR_FIX64K)
		return types_valid(value, false);
	if (msr & 1)
		return !(value & (beyond | 0x7ff));
	return !(value & (beyond | 0xf00)) && type_valid(value & 0xff, false);
}

/* --- RDMSR --------------------------------------------------------------------------- */

static bool read_callback(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	const struct engine_callbacks *callbacks;
	void *ctx;

	vcpu_vectors_save(v);
	callbacks = vcpu_callbacks(v, &ctx);
	return callbacks->msr_read(ctx, v->index, msr, value);
}

/* Those that software reads without asking first; they say "nothing here". */
static bool read_constant(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	*value = 0;
	switch (msr) {
	case MSR_MTRRCAP:
		*value = MTRRCAP_VALUE;
		return true;
	case MSR_UCODE_REV:
		*value = 1ull << 32;
		return true;
	case MSR_FEATURE_CONTROL:
		*value = 1; /* locked, nothing enabled */
		return true;
	case MSR_ARCH_CAPABILITIES:
		vcpu_vectors_save(v);
		*value = vcpu_cpuid(v)->arch_capabilities;
		return cpuid_policy_has(vcpu_cpuid(v), 7, 0, 3, 29);
	case MSR_SPEC_CTRL:
		*value = v->cpu.spec_ctrl;
		return vcpu_cpuid(v)->spec_ctrl_mask;
	case MSR_HWCR:
		*value = guest_amd(v) ? HWCR_TSC_FREQ_SEL : 0;
		return true;
	case MSR_PLATFORM_ID:
	case MSR_PLATFORM_INFO:
	case MSR_MISC_FEATURES_ENABLES:
	case MSR_MCG_CAP:
	case MSR_MCG_STATUS:
	case 0x0:                       /* P5_MC_ADDR */
	case 0x1:                       /* P5_MC_TYPE */
	case 0x2a:                      /* EBL_CR_POWERON */
	case 0x2c:                      /* EBC_FREQUENCY_ID */
	case 0x34:                      /* SMI_COUNT */
	case 0xcd:                      /* FSB_FREQ */
	case 0x119:                     /* BBL_CR_CTL */
	case 0x198:                     /* PERF_STATUS */
	case 0x19a:                     /* CLOCK_MODULATION */
	case 0x19b:                     /* THERM_INTERRUPT */
	case 0x19c:                     /* THERM_STATUS */
	case 0x1a4:                     /* MISC_FEATURE_CONTROL */
	case 0x1ad:                     /* TURBO_RATIO_LIMIT */
	case 0x1c9:                     /* LASTBRANCH_TOS */
	case 0x1d9:                     /* DEBUGCTL */
	case 0x1db:                     /* LASTBRANCHFROMIP */
	case 0x1dc:                     /* LASTBRANCHTOIP */
	case 0x1dd:                     /* LASTINTFROMIP */
	case 0x1de:                     /* LASTINTTOIP */
	case 0x606:                     /* RAPL_POWER_UNIT */
	case 0x611:                     /* PKG_ENERGY_STATUS */
	case 0xc0010000 ... 0xc0010007: /* AMD: K7 counters, which do not count */
	case 0xc0010010:                /* AMD: SYSCFG */
	case 0xc001001f:                /* NB_CFG */
	case 0xc0011029:                /* DE_CFG */
		return true;
	default:
		return false;
	}
}

static bool has_tsc_adjust(struct vcpu *v)
{
	vcpu_vectors_save(v);
	return cpuid_policy_has(vcpu_cpuid(v), 7, 0, 1, 1);
}

static bool msr_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	struct cpu_state *c = &v->cpu;
	const uint64_t *mtrr;

	switch (msr) {
	case MSR_FS_BASE:
		*value = c->seg[SEG_FS].base;
		return true;
	case MSR_GS_BASE:
		*value = c->seg[SEG_GS].base;
		return true;
	case MSR_KERNEL_GS_BASE:
		*value = c->kernel_gs_base;
		return true;
	case MSR_TSC:
		*value = host_tsc() + (uint64_t)c->tsc_offset;
		return true;
	case MSR_TSC_ADJUST:
		*value = c->tsc_adjust;
		return has_tsc_adjust(v);
	case MSR_TSC_AUX:
		*value = c->tsc_aux;
		return true;
	case MSR_EFER:
		*value = c->efer;
		return true;
	case MSR_STAR:
		*value = c->star;
		return true;
	case MSR_LSTAR:
		*value = c->lstar;
		return true;
	case MSR_CSTAR:
		*value = c->cstar;
		return true;
	case MSR_SFMASK:
		*value = c->sfmask;
		return true;
	case MSR_SYSENTER_CS:
		*value = c->sysenter_cs;
		return true;
	case MSR_SYSENTER_ESP:
		*value = c->sysenter_esp;
		return true;
	case MSR_SYSENTER_EIP:
		*value = c->sysenter_eip;
		return true;
	case MSR_PAT:
		*value = c->pat;
		return true;
	case MSR_MISC_ENABLE:
		*value = c->misc_enable;
		return true;
	default:
		mtrr = mtrr_find(c, msr);
		if (mtrr) {
			*value = *mtrr;
			return true;
		}
		return read_constant(v, msr, value) || read_callback(v, msr, value);
	}
}

enum outcome emulate_rdmsr(struct vcpu *v, const struct insn *i)
{
	uint64_t value;

	if (v->cpu.cpl)
		return raise_gp(v, 0);
	v->count.msr++;
	if (!msr_read(v, (uint32_t)v->cpu.gpr[RCX], &value))
		return raise_gp(v, 0);
	v->cpu.gpr[RAX] = (uint32_t)value;
	v->cpu.gpr[RDX] = value >> 32;
	return insn_done(v, i);
}

/* --- WRMSR --------------------------------------------------------------------------- */

static bool write_callback(struct vcpu *v, uint32_t msr, uint64_t value)
{
	const struct engine_callbacks *callbacks;
	void *ctx;

	vcpu_vectors_save(v);
	callbacks = vcpu_callbacks(v, &ctx);
	return callbacks->msr_write(ctx, v->index, msr, value);
}

static bool write_efer(struct vcpu *v, uint64_t value)
{
	uint64_t old = v->cpu.efer, known = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;

	if (value & ~known)
		return false;
	if ((v->cpu.cr0 & CR0_PG) && ((old ^ value) & EFER_LME))
		return false;
	v->cpu.efer = (value & ~(uint64_t)EFER_LMA) | (old & EFER_LMA);
	if ((old ^ value) & EFER_NXE)
		mmu_flush_all(v);
	mode_update(v);
	return true;
}

static bool write_canonical(uint64_t *field, uint64_t value)
{
	if (!canonical_ok(value))
		return false;
	*field = value;
	return true;
}

static bool write_base(struct vcpu *v, uint64_t *field, uint64_t value)
{
	if (!write_canonical(field, value))
		return false;
	mode_update(v);
	return true;
}

/* Writes that are taken and have no effect. */
static bool write_ignored(struct vcpu *v, uint32_t msr, uint64_t value)
{
	switch (msr) {
	case MSR_UCODE_REV:
	case 0x79: /* BIOS_UPDT_TRIG */
	case MSR_MCG_STATUS:
	case MSR_MISC_FEATURES_ENABLES:
	case 0x19a:
	case 0x19b:
	case 0x1a4:
	case 0xc0010000 ... 0xc0010007:
	case 0xc0010010:
	case MSR_HWCR:
	case 0xc001001f:
	case 0xc0011029:
		return true;
	case 0x1d9: /* DEBUGCTL: no LBR, no BTF */
		return !value;
	case MSR_PRED_CMD:
		vcpu_vectors_save(v);
		return !(value & ~1ull) &&
			(cpuid_policy_has(vcpu_cpuid(v), 7, 0, 3, 26) ||
				cpuid_policy_has(vcpu_cpuid(v), 0x80000008, 0, 1, 12));
	case MSR_FLUSH_CMD:
		vcpu_vectors_save(v);
		return !(value & ~1ull) && cpuid_policy_has(vcpu_cpuid(v), 7, 0, 3, 28);
	default:
		return false;
	}
}

/* By either of its MSRs (SDM 3B, 17.17.3). */
static void move_tsc(struct cpu_state *c, uint64_t by)
{
	c->tsc_offset += (int64_t)by;
	c->tsc_adjust += by;
}

static bool msr_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
	struct cpu_state *c = &v->cpu;
	uint64_t *mtrr;

	switch (msr) {
	case MSR_FS_BASE:
		return write_base(v, &c->seg[SEG_FS].base, value);
	case MSR_GS_BASE:
		return write_base(v, &c->seg[SEG_GS].base, value);
	case MSR_KERNEL_GS_BASE:
		return write_canonical(&c->kernel_gs_base, value);
	case MSR_TSC:
		move_tsc(c, value - host_tsc() - (uint64_t)c->tsc_offset);
		return true;
	case MSR_TSC_ADJUST:
		if (!has_tsc_adjust(v))
			return false;
		move_tsc(c, value - c->tsc_adjust);
		return true;
	case MSR_SPEC_CTRL:
		if (value & ~vcpu_cpuid(v)->spec_ctrl_mask)
			return false;
		c->spec_ctrl = value;
		return vcpu_cpuid(v)->spec_ctrl_mask;
	case MSR_TSC_AUX:
		if (value >> 32)
			return false;
		c->tsc_aux = value;
		return true;
	case MSR_EFER:
		return write_efer(v, value);
	case MSR_STAR:
		c->star = value;
		return true;
	case MSR_LSTAR:
		return write_canonical(&c->lstar, value);
	case MSR_CSTAR:
		return write_canonical(&c->cstar, value);
	case MSR_SFMASK:
		if (value >> 32)
			return false;
		c->sfmask = value;
		return true;
	case MSR_SYSENTER_CS:
		c->sysenter_cs = (uint32_t)value;
		return true;
	case MSR_SYSENTER_ESP:
		return write_canonical(&c->sysenter_esp, value);
	case MSR_SYSENTER_EIP:
		return write_canonical(&c->sysenter_eip, value);
	case MSR_PAT:
		if (!types_valid(value, true))
			return false;
		c->pat = value;
		return true;
	case MSR_MISC_ENABLE:
		c->misc_enable = value;
		return true;
	default:
		mtrr = mtrr_find(c, msr);
		if (mtrr) {
			if (!mtrr_valid(v, msr, value))
				return false;
			*mtrr = value;
			return true;
		}
		return write_ignored(v, msr, value) || write_callback(v, msr, value);
	}
}

enum outcome emulate_wrmsr(struct vcpu *v, const struct insn *i)
{
	uint64_t value = (uint32_t)v->cpu.gpr[RAX] | v->cpu.gpr[RDX] << 32;

	if (v->cpu.cpl)
		return raise_gp(v, 0);
	v->count.msr++;
	if (!msr_write(v, (uint32_t)v->cpu.gpr[RCX], value))
		return raise_gp(v, 0);
	return insn_done(v, i);
}
