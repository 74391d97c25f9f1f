/* SPDX-License-Identifier: Apache-2.0 */
/* Control, debug and extended control registers (SDM 3A 2.5, 2.6, 17.2; 2B MOV). */
#include "cpu/translate/emulate/emulate.h"
#include "cpu/translate/emulate/event.h"
#include "cpu/translate/hot.h"

#define CR0_KNOWN                                                                                  \
	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | \
		CR0_PG)
/* What every processor that runs 64-bit kernels has; the rest is looked up. */
#define CR4_BASE                                                                           \
	(CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE | CR4_OSFXSR | \
		CR4_OSXMMEXCPT)

/* --- CR0 ----------------------------------------------------------------------------- */

static enum outcome cr0_check(struct vcpu *v, uint64_t value)
{
	uint64_t old = v->cpu.cr0;

	if (value >> 32 || ((value & CR0_PG) && !(value & CR0_PE)) ||
		((value & CR0_NW) && !(value & CR0_CD)))
		return raise_gp(v, 0);
	if ((value & CR0_PG) && !(old & CR0_PG) && (v->cpu.efer & EFER_LME)) {
		unsigned tr = v->cpu.tr.attr & 15;
		/* After reset TR looks like a busy 16-bit TSS that nobody has loaded. */
		bool tss16 =
			(tr == SYS_TSS16 || tr == SYS_TSS16_BUSY) && (v->cpu.tr.selector & 0xfffc);

		if (!(v->cpu.cr4 & CR4_PAE) || (v->cpu.seg[SEG_CS].attr & SEG_ATTR_L) || tss16)
			return raise_gp(v, 0);
	}
	if (!(value & CR0_PG) && (old & CR0_PG) && (mode_code64(v) || (v->cpu.cr4 & CR4_PCIDE)))
		return raise_gp(v, 0);
	return OUT_OK;
}

/* PAE paging loads four entries at once, and refuses bad ones. */
static bool pae_good(struct vcpu *v, uint64_t cr0, uint64_t cr3, uint64_t cr4)
{
	if (!(cr0 & CR0_PG) || !(cr4 & CR4_PAE) || v->cpu.efer & EFER_LME)
		return true;
	return mmu_pdptes_good(v, cr3);
}

static enum outcome cr0_write(struct vcpu *v, uint64_t value)
{
	uint64_t old = v->cpu.cr0, changed;

	TRY(cr0_check(v, value));
	if ((value ^ old) & CR0_PG && !pae_good(v, value, v->cpu.cr3, v->cpu.cr4))
		return raise_gp(v, 0);
	value = (value & CR0_KNOWN) | CR0_ET;
	changed = old ^ value;
	v->cpu.cr0 = value;
	if (changed & CR0_PG) {
		if ((value & CR0_PG) && (v->cpu.efer & EFER_LME))
			v->cpu.efer |= EFER_LMA;
		else
			v->cpu.efer &= ~(uint64_t)EFER_LMA;
	}
	if (changed & (CR0_PG | CR0_PE | CR0_WP))
		mmu_flush_all(v);
	mode_update(v);
	return OUT_OK;
}

/* --- CR3, CR4 ------------------------------------------------------------------------ */

static enum outcome cr3_write(struct vcpu *v, uint64_t value)
{
	bool keep = false;

	if (mode_long(v)) {
		if (v->cpu.cr4 & CR4_PCIDE) {
			keep = value >> 63;
			value &= ~(1ull << 63);
		}
		if (value >> vcpu_cpuid(v)->phys_bits)
			return raise_gp(v, 0);
	} else {
		value = (uint32_t)value;
		if (!pae_good(v, v->cpu.cr0, value, v->cpu.cr4))
			return raise_gp(v, 0);
	}
	v->cpu.cr3 = value;
	mmu_cr3_loaded(v, keep);
	return OUT_OK;
}

/* CR4 bits that the CPUID policy makes legal. */
static uint64_t cr4_allowed(struct vcpu *v)
{
	static const struct {
		uint32_t bit;
		uint8_t leaf, reg, index;
	} feature[] = {
		{CR4_VME | CR4_PVI, 1, 3, 1},
		{CR4_UMIP, 7, 2, 2},
		{CR4_FSGSBASE, 7, 1, 0},
		{CR4_PCIDE, 1, 2, 17},
		{CR4_OSXSAVE, 1, 2, 26},
		{CR4_SMEP, 7, 1, 7},
		{CR4_SMAP, 7, 1, 20},
	};
	const struct cpuid_policy *policy = vcpu_cpuid(v);
	uint64_t allowed = CR4_BASE;

	vcpu_vectors_save(v);
	for (unsigned k = 0; k < sizeof feature / sizeof feature[0]; k++)
		if (cpuid_policy_has(policy, feature[k].leaf, 0, feature[k].reg, feature[k].index))
			allowed |= feature[k].bit;
	return allowed;
}

static enum outcome cr4_write(struct vcpu *v, uint64_t value)
{
	uint64_t old = v->cpu.cr4, changed = old ^ value;

	if ((changed & value & ~(uint64_t)CR4_BASE) && (changed & value & ~cr4_allowed(v)))
		return raise_gp(v, 0);
	if (mode_long(v) && !(value & CR4_PAE))
		return raise_gp(v, 0);
	if ((changed & value & CR4_PCIDE) && (!mode_long(v) || (v->cpu.cr3 & 0xfff)))
		return raise_gp(v, 0);
	if (changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP) &&
		!pae_good(v, v->cpu.cr0, v->cpu.cr3, value))
		return raise_gp(v, 0);
	v->cpu.cr4 = value;
	if (changed & (CR4_PGE | CR4_PSE | CR4_PAE | CR4_PCIDE | CR4_SMEP | CR4_SMAP))
		mmu_flush_all(v);
	mode_update(v);
	return OUT_OK;
}

/* --- MOV CRn ------------------------------------------------------------------------- */

static enum outcome cr8_access(struct vcpu *v, unsigned reg, bool write)
{
	const struct engine_callbacks *callbacks;
	uint64_t value = v->cpu.gpr[reg];
	void *ctx;

	if (write && (value & ~15ull))
		return raise_gp(v, 0);
	vcpu_vectors_save(v);
	callbacks = vcpu_callbacks(v, &ctx);
	if (write) {
		v->cpu.cr8 = value;
		callbacks->tpr_write(ctx, v->index, value);
	} else {
		v->cpu.gpr[reg] = callbacks->tpr_read(ctx, v->index);
	}
	return OUT_OK;
}

enum outcome emulate_mov_cr(struct vcpu *v, const struct insn *i)
{
	bool write = i->opcode == 0x22;
	unsigned cr = insn_reg(i), reg = insn_rm(i), size = mode_code64(v) ? 8 : 4;
	uint64_t value = v->cpu.gpr[reg] & size_mask(size);

	/* LOCK MOV CR0 is another way to say CR8 on some processors, none that is shown here. */
	if ((cr > 4 && cr != 8) || cr == 1 || i->prefix_lock)
		return raise_ud(v);
	if (v->cpu.cpl)
		return raise_gp(v, 0);
	if (cr == 8) {
		TRY(cr8_access(v, reg, write));
	} else if (write) {
		uint64_t next = insn_next(v, i);

		switch (cr) {
		case 0:
			TRY(cr0_write(v, value));
			break;
		case 2:
			v->cpu.cr2 = value;
			break;
		case 3:
			TRY(cr3_write(v, value));
			break;
		default:
			TRY(cr4_write(v, value));
			break;
		}
		v->cpu.rip = next;
		return OUT_OK;
	} else {
		value = cr == 0   ? v->cpu.cr0
			: cr == 2 ? v->cpu.cr2
			: cr == 3 ? v->cpu.cr3
				  : v->cpu.cr4;
		v->cpu.gpr[reg] = value & size_mask(size);
	}
	return insn_done(v, i);
}

enum outcome emulate_clts(struct vcpu *v, const struct insn *i)
{
	if (v->cpu.cpl)
		return raise_gp(v, 0);
	if (v->cpu.cr0 & CR0_TS) {
		v->cpu.cr0 &= ~(uint64_t)CR0_TS;
		mode_update(v);
	}
	return insn_done(v, i);
}

enum outcome emulate_lmsw(struct vcpu *v, const struct insn *i)
{
	uint64_t value, next = insn_next(v, i);

	if (v->cpu.cpl)
		return raise_gp(v, 0);
	TRY(rm_read(v, i, 2, &value));
	value = (value & 15) | (v->cpu.cr0 & CR0_PE);
	TRY(cr0_write(v, (v->cpu.cr0 & ~15ull) | value));
	v->cpu.rip = next;
	return OUT_OK;
}

enum outcome emulate_smsw(struct vcpu *v, const struct insn *i)
{
	if (v->cpu.cpl && (v->cpu.cr4 & CR4_UMIP))
		return raise_gp(v, 0);
	TRY(rm_write(v, i, rm_is_reg(i) ? insn_size(v, i) : 2, v->cpu.cr0));
	return insn_done(v, i);
}

/* --- MOV DRn ------------------------------------------------------------------------- */

enum outcome emulate_mov_dr(struct vcpu *v, const struct insn *i)
{
	bool write = i->opcode == 0x23, wide = mode_code64(v);
	unsigned dr = insn_reg(i), reg = insn_rm(i);
	uint64_t value = v->cpu.gpr[reg] & size_mask(wide ? 8 : 4);

	if (dr > 7 || i->prefix_lock || ((dr == 4 || dr == 5) && (v->cpu.cr4 & CR4_DE)))
		return raise_ud(v);
	if (v->cpu.cpl)
		return raise_gp(v, 0);
	if (v->cpu.dr7 & DR7_GD) {
		v->cpu.dr6 = (v->cpu.dr6 & ~(uint64_t)DR6_B_MASK) | DR6_FIXED | DR6_BD;
		return fault_raise(v, EXC_DB);
	}
	if (dr >= 4)
		dr |= 2;
	if (!write) {
		value = dr == 6   ? v->cpu.dr6 | DR6_FIXED
			: dr == 7 ? v->cpu.dr7 | DR7_FIXED
				  : v->cpu.dr[dr];
		v->cpu.gpr[reg] = value & size_mask(wide ? 8 : 4);
		return insn_done(v, i);
	}
	if (dr >= 6 && value >> 32)
		return raise_gp(v, 0);
	if (dr == 6)
		v->cpu.dr6 = (value & (DR6_B_MASK | DR6_BD | DR6_BS | DR6_BT)) | DR6_FIXED;
	else if (dr == 7)
		v->cpu.dr7 = (value & 0xffff23ff) | DR7_FIXED;
	else
		v->cpu.dr[dr] = value;
	mode_update(v);
	return insn_done(v, i);
}

/* --- XCR0 ---------------------------------------------------------------------------- */

#define XCR0_MPX 0x18u

static bool xcr0_valid(struct vcpu *v, uint64_t value)
{
	if (!(value & XCR0_X87) || (value & ~vcpu_cpuid(v)->xcr0))
		return false;
	if ((value & XCR0_AVX) && !(value & XCR0_SSE))
		return false;
	if ((value & XCR0_MPX) && (value & XCR0_MPX) != XCR0_MPX)
		return false;
	return !(value & XCR0_AVX512) ||
		((value & XCR0_AVX512) == XCR0_AVX512 && (value & XCR0_AVX));
}

enum outcome emulate_xsetbv(struct vcpu *v, const struct insn *i)
{
	uint64_t value = (uint32_t)v->cpu.gpr[RAX] | v->cpu.gpr[RDX] << 32;

	if (!(v->cpu.cr4 & CR4_OSXSAVE))
		return raise_ud(v);
	if (v->cpu.cpl || (uint32_t)v->cpu.gpr[RCX] || !xcr0_valid(v, value))
		return raise_gp(v, 0);
	/* The saved image must be made and put back under the same mask. */
	vcpu_vectors_save(v);
	v->cpu.xcr0 = value;
	mode_update(v);
	return insn_done(v, i);
}

enum outcome emulate_xgetbv(struct vcpu *v, const struct insn *i)
{
	uint64_t value = v->cpu.xcr0;
	uint32_t index = (uint32_t)v->cpu.gpr[RCX];

	if (!(v->cpu.cr4 & CR4_OSXSAVE))
		return raise_ud(v);
	if (index > 1)
		return raise_gp(v, 0);
	if (index == 1) {
		vcpu_vectors_save(v);
		if (!cpuid_policy_has(vcpu_cpuid(v), 13, 1, 0, 2))
			return raise_gp(v, 0);
		value &= *xsave_bv(v->cpu.xsave);
	}
	v->cpu.gpr[RAX] = (uint32_t)value;
	v->cpu.gpr[RDX] = value >> 32;
	return insn_done(v, i);
}
