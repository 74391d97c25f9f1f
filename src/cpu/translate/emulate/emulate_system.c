/* SPDX-License-Identifier: Apache-2.0 */
/* System instructions that are small: CPUID, flags, TLB, bases, time. */
#include <Zydis/Mnemonic.h>

#include "cpu/translate/emulate/emulate.h"
#include "cpu/translate/hot.h"

#define APIC_BASE 0x1bu /* an MSR that the machine holds; bit 11: the local APIC is on */
#define CPUID_APIC 0x200u

/* A local APIC that is switched off is not there (SDM 3A 10.4.3). */
static bool apic_is_off(struct vcpu *v)
{
	const struct engine_callbacks *callbacks;
	uint64_t base;
	void *ctx;

	callbacks = vcpu_callbacks(v, &ctx);
	return callbacks->msr_read(ctx, v->index, APIC_BASE, &base) && !(base & 0x800);
}

enum outcome emulate_cpuid(struct vcpu *v, const struct insn *i)
{
	uint32_t out[4];

	vcpu_vectors_save(v);
	cpuid_policy_read(vcpu_cpuid(v), (uint32_t)v->cpu.gpr[RAX], (uint32_t)v->cpu.gpr[RCX],
		v->index, v->cpu.cr4, v->cpu.xcr0, out);
	if ((uint32_t)v->cpu.gpr[RAX] == 1 && apic_is_off(v))
		out[3] &= ~CPUID_APIC;
	v->cpu.gpr[RAX] = out[0];
	v->cpu.gpr[RBX] = out[1];
	v->cpu.gpr[RCX] = out[2];
	v->cpu.gpr[RDX] = out[3];
	return insn_done(v, i);
}

/* --- TLB, caches, halt --------------------------------------------------------------- */

enum outcome emulate_invlpg(struct vcpu *v, const struct insn *i)
{
	uint64_t linear = insn_address(v, i);

	if (rm_is_reg(i))
		return raise_ud(v);
	if (v->cpu.cpl)
		return raise_gp(v, 0);
	if (mode_code64(v)) {
		if (i->mem_seg == SEG_FS || i->mem_seg == SEG_GS)
			linear += v->cpu.seg[i->mem_seg].base;
	} else {
		linear = (uint32_t)(linear + v->cpu.seg[i->mem_seg].base);
	}
	if (canonical_ok(linear))
		mmu_flush_page(v, linear);
	return insn_done(v, i);
}

enum outcome emulate_invpcid(struct vcpu *v, const struct insn *i)
{
	uint64_t type, desc[2], linear, current;
	bool pcide = v->cpu.cr4 & CR4_PCIDE;

	if (rm_is_reg(i))
		return raise_ud(v);
	if (v->cpu.cpl || mode_vm86(v))
		return raise_gp(v, 0);
	type = v->cpu.gpr[insn_reg(i)] & size_mask(mode_code64(v) ? 8 : 4);
	if (type > 3)
		return raise_gp(v, 0);
	TRY(linear_address(v, i->mem_seg, insn_address(v, i), 16, ACC_READ, &linear));
	TRY(mem_read(v, linear, desc, 16, ACC_READ));
	if (type < 2 && (desc[0] >> 12 || (!pcide && desc[0])))
		return raise_gp(v, 0);
	if (type == 0 && !canonical_ok(desc[1]))
		return raise_gp(v, 0);
	current = pcide ? v->cpu.cr3 & 0xfff : 0;
	switch (type) {
	case 0:
		if (desc[0] == current)
			mmu_flush_page(v, desc[1]);
		else
			mmu_flush_pcid(v, (unsigned)desc[0]);
		break;
	case 1:
		if (desc[0] == current)
			mmu_flush_nonglobal(v);
		else
			mmu_flush_pcid(v, (unsigned)desc[0]);
		break;
	default: /* 2: everything; 3: all but global, of every PCID */
		mmu_flush_all(v);
		break;
	}
	return insn_done(v, i);
}

/* WBINVD, WBNOINVD, INVD: caches here are always coherent. */
enum outcome emulate_cache(struct vcpu *v, const struct insn *i)
{
	if (v->cpu.cpl)
		return raise_gp(v, 0);
	return insn_done(v, i);
}

/* CLFLUSH, CLFLUSHOPT, CLWB: only the address is checked, as a read of one byte. */
enum outcome emulate_clflush(struct vcpu *v, const struct insn *i)
{
	uint64_t linear;

	if (rm_is_reg(i))
		return raise_ud(v);
	TRY(linear_address(v, i->mem_seg, insn_address(v, i), 1, ACC_READ, &linear));
	TRY(mem_probe(v, linear, 1, ACC_READ));
	return insn_done(v, i);
}

enum outcome emulate_hlt(struct vcpu *v, const struct insn *i)
{
	if (v->cpu.cpl)
		return raise_gp(v, 0);
	insn_done(v, i);
	return OUT_HALT;
}

/* --- flags --------------------------------------------------------------------------- */

enum outcome emulate_cli_sti(struct vcpu *v, const struct insn *i)
{
	if ((v->cpu.cr0 & CR0_PE) && v->cpu.cpl > mode_iopl(v))
		return raise_gp(v, 0);
	if (i->mnemonic == ZYDIS_MNEMONIC_CLI) {
		v->cpu.rflags &= ~(uint64_t)FL_IF;
	} else if (!(v->cpu.rflags & FL_IF)) {
		v->cpu.rflags |= FL_IF;
		v->cpu.sti_shadow = SHADOW_STI;
	}
	return insn_done(v, i);
}

enum outcome emulate_clac_stac(struct vcpu *v, const struct insn *i)
{
	if (v->cpu.cpl || (v->cpu.rflags & FL_VM))
		return raise_ud(v);
	if (i->mnemonic == ZYDIS_MNEMONIC_STAC)
		v->cpu.rflags |= FL_AC;
	else
		v->cpu.rflags &= ~(uint64_t)FL_AC;
	mode_update(v);
	return insn_done(v, i);
}

enum outcome emulate_pushf(struct vcpu *v, const struct insn *i)
{
	unsigned size = insn_size_stack(v, i);
	struct stack s;

	if (mode_vm86(v) && mode_iopl(v) < 3)
		return raise_gp(v, 0);
	stack_current(v, &s);
	TRY(stack_push(v, &s, size, v->cpu.rflags & ~(uint64_t)(FL_VM | FL_RF)));
	stack_commit(v, &s);
	return insn_done(v, i);
}

enum outcome emulate_popf(struct vcpu *v, const struct insn *i)
{
	unsigned size = insn_size_stack(v, i);
	uint64_t mask = FL_STATUS | FL_TF | FL_DF | FL_NT, old = v->cpu.rflags, value;
	struct stack s;

	if (mode_vm86(v) && mode_iopl(v) < 3)
		return raise_gp(v, 0);
	stack_current(v, &s);
	TRY(stack_pop(v, &s, size, &value));
	stack_commit(v, &s);
	if (size > 2)
		mask |= FL_AC | FL_ID;
	if (v->cpu.cpl <= mode_iopl(v))
		mask |= FL_IF;
	if (v->cpu.cpl == 0)
		mask |= FL_IOPL;
	v->cpu.rflags = (old & ~mask & ~(uint64_t)FL_RF) | (value & mask) | 2;
	if ((old ^ v->cpu.rflags) & (FL_AC | FL_TF))
		mode_update(v);
	return insn_done(v, i);
}

/* --- bases, processor number, time --------------------------------------------------- */

enum outcome emulate_swapgs(struct vcpu *v, const struct insn *i)
{
	uint64_t base = v->cpu.seg[SEG_GS].base;

	if (!mode_code64(v))
		return raise_ud(v);
	if (v->cpu.cpl)
		return raise_gp(v, 0);
	v->cpu.seg[SEG_GS].base = v->cpu.kernel_gs_base;
	v->cpu.kernel_gs_base = base;
	mode_update(v);
	return insn_done(v, i);
}

enum outcome emulate_fsgsbase(struct vcpu *v, const struct insn *i)
{
	bool gs = i->mnemonic == ZYDIS_MNEMONIC_RDGSBASE || i->mnemonic == ZYDIS_MNEMONIC_WRGSBASE;
	bool write =
		i->mnemonic == ZYDIS_MNEMONIC_WRFSBASE || i->mnemonic == ZYDIS_MNEMONIC_WRGSBASE;
	struct segment *s = &v->cpu.seg[gs ? SEG_GS : SEG_FS];
	unsigned reg = insn_rm(i), size = (i->rex & 8) ? 8 : 4;
	uint64_t value = v->cpu.gpr[reg] & size_mask(size);

	if (!mode_code64(v) || !(v->cpu.cr4 & CR4_FSGSBASE))
		return raise_ud(v);
	if (!write) {
		v->cpu.gpr[reg] = s->base & size_mask(size);
		return insn_done(v, i);
	}
	if (!canonical_ok(value))
		return raise_gp(v, 0);
	s->base = value;
	mode_update(v);
	return insn_done(v, i);
}

/* RDTSC and RDTSCP. */
enum outcome emulate_rdtsc(struct vcpu *v, const struct insn *i)
{
	uint32_t low, high;
	uint64_t tsc;

	if ((v->cpu.cr4 & CR4_TSD) && v->cpu.cpl)
		return raise_gp(v, 0);
	__asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high));
	tsc = (low | (uint64_t)high << 32) + (uint64_t)v->cpu.tsc_offset;
	v->cpu.gpr[RAX] = (uint32_t)tsc;
	v->cpu.gpr[RDX] = tsc >> 32;
	if (i->mnemonic == ZYDIS_MNEMONIC_RDTSCP)
		v->cpu.gpr[RCX] = (uint32_t)v->cpu.tsc_aux;
	return insn_done(v, i);
}

enum outcome emulate_rdpid(struct vcpu *v, const struct insn *i)
{
	v->cpu.gpr[insn_rm(i)] = (uint32_t)v->cpu.tsc_aux;
	return insn_done(v, i);
}

/* CPUID shows no performance counters, so every index is wrong. */
enum outcome emulate_rdpmc(struct vcpu *v, const struct insn *i)
{
	return raise_gp(v, 0);
}
