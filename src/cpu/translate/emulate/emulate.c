/* SPDX-License-Identifier: Apache-2.0 */
/* Which function executes an instruction; those are in the emulate_*.c beside this file. */
#include <Zydis/Mnemonic.h>

#include "cpu/translate/emulate/emulate.h"

#include "cpu/translate/hot.h"

/* What has to be enabled (SDM 3A, tables 2-3, 13-1; 2A 2.4; 3A 13.1.3). */
static enum outcome state_check(struct vcpu *v, enum insn_state state)
{
	uint64_t cr0 = v->cpu.cr0, cr4 = v->cpu.cr4;

	switch (state) {
	case STATE_NONE:
		return OUT_OK;
	case STATE_X87:
		return cr0 & (CR0_EM | CR0_TS) ? fault_raise(v, EXC_NM) : OUT_OK;
	case STATE_MMX:
		if (cr0 & CR0_EM)
			return raise_ud(v);
		break;
	case STATE_SSE:
		if ((cr0 & CR0_EM) || !(cr4 & CR4_OSFXSR))
			return raise_ud(v);
		break;
	case STATE_AVX:
		if (mode_paragraphs(v) || !(cr4 & CR4_OSXSAVE) || (v->cpu.xcr0 & 6) != 6)
			return raise_ud(v);
		break;
	default:
		if (mode_paragraphs(v) || !(cr4 & CR4_OSXSAVE) || (v->cpu.xcr0 & 0xe6) != 0xe6)
			return raise_ud(v);
		break;
	}
	return cr0 & CR0_TS ? fault_raise(v, EXC_NM) : OUT_OK;
}

/* MOV that is not plain: control, debug and segment registers. */
static enum outcome emulate_mov(struct vcpu *v, const struct insn *i)
{
	if (i->opcode_map == 1) {
		switch (i->opcode) {
		case 0x20:
		case 0x22:
			return emulate_mov_cr(v, i);
		case 0x21:
		case 0x23:
			return emulate_mov_dr(v, i);
		}
	} else if (i->opcode == 0x8c || i->opcode == 0x8e) {
		return emulate_mov_sreg(v, i);
	}
	return emulate_integer(v, i);
}

static enum outcome emulate_nop(struct vcpu *v, const struct insn *i)
{
	return insn_done(v, i);
}

/* Plain instructions in encodings or places in which no copy can be made of them. */
static enum outcome emulate_plain(struct vcpu *v, const struct insn *i)
{
	TRY(state_check(v, i->state));
	return emulate_integer(v, i);
}

/* The others that are #UD or #NM where their state is not enabled. */
#define WITH_STATE(name)                                                            \
	static enum outcome name##_with_state(struct vcpu *v, const struct insn *i) \
	{                                                                           \
		TRY(state_check(v, i->state));                                      \
		return emulate_##name(v, i);                                        \
	}
WITH_STATE(ldmxcsr)
WITH_STATE(maskmov)
WITH_STATE(gather)

/* --- by mnemonic ---------------------------------------------------------------------------- */

#define M(name, function) [ZYDIS_MNEMONIC_##name] = function
#define E(name, function) M(name, emulate_##function)
/* clang-format off */
emulator *const emulate_by[ZYDIS_MNEMONIC_MAX_VALUE + 1] = {
	/* into the kernel and out of it */
	E(SYSCALL, syscall), E(SYSRET, sysret), E(SYSENTER, sysenter), E(SYSEXIT, sysexit),
	E(IRET, iret), E(IRETD, iret), E(IRETQ, iret), E(SWAPGS, swapgs),
	E(INT, int), E(INT1, int), E(INT3, int), E(INTO, int), E(BOUND, bound),
	E(VMCALL, hypercall), E(VMMCALL, hypercall),
	/* flags */
	E(CLI, cli_sti), E(STI, cli_sti), E(CLAC, clac_stac), E(STAC, clac_stac),
	E(PUSHF, pushf), E(PUSHFD, pushf), E(PUSHFQ, pushf), E(POPF, popf), E(POPFD, popf), E(POPFQ, popf),
	/* the processor's own registers */
	E(MOV, mov), E(CLTS, clts), E(LMSW, lmsw), E(SMSW, smsw), E(RDMSR, rdmsr), E(WRMSR, wrmsr),
	E(RDFSBASE, fsgsbase), E(RDGSBASE, fsgsbase), E(WRFSBASE, fsgsbase), E(WRGSBASE, fsgsbase),
	E(CPUID, cpuid), E(RDPID, rdpid), E(RDPMC, rdpmc),
	E(XGETBV, xgetbv), E(XSETBV, xsetbv),
	/* caches, and waiting */
	E(INVLPG, invlpg), E(INVPCID, invpcid), E(WBINVD, cache), E(INVD, cache),
	E(CLFLUSH, clflush), E(CLFLUSHOPT, clflush), E(CLWB, clflush), E(HLT, hlt), E(PAUSE, pause),
	/* ports */
	E(IN, in), E(OUT, out), E(INSB, string), E(INSW, string), E(INSD, string),
	E(OUTSB, string), E(OUTSW, string), E(OUTSD, string),
	/* segments and their tables; PUSH, POP: of segment registers; JMP, CALL, RET: far */
	E(PUSH, push_sreg), E(POP, pop_sreg), E(JMP, far_jmp), E(CALL, far_call), E(RET, far_ret),
	E(LDS, load_far), E(LES, load_far), E(LFS, load_far), E(LGS, load_far), E(LSS, load_far),
	E(LGDT, lgdt_lidt), E(LIDT, lgdt_lidt), E(SGDT, sgdt_sidt), E(SIDT, sgdt_sidt),
	E(LLDT, lldt), E(LTR, ltr), E(SLDT, sldt_str), E(STR, sldt_str), E(ARPL, arpl),
	E(LAR, lar_lsl), E(LSL, lar_lsl), E(VERR, verr_verw), E(VERW, verr_verw),
	/* several accesses to the stack, or to memory elsewhere */
	E(ENTER, enter), E(PUSHA, pusha), E(PUSHAD, pusha), E(POPA, popa), E(POPAD, popa), E(XLAT, xlat),
	E(MOVDIR64B, plain),
	/* no such thing in 64-bit code */
	E(AAA, bcd), E(AAD, bcd), E(AAM, bcd), E(AAS, bcd), E(DAA, bcd), E(DAS, bcd), E(SALC, salc),
	/* extended state */
	E(XSAVE, xsave), E(XSAVE64, xsave), E(XSAVEOPT, xsave), E(XSAVEOPT64, xsave), E(XSAVEC, xsave),
	E(XSAVEC64, xsave), E(XRSTOR, xrstor), E(XRSTOR64, xrstor),
	E(XSAVES, plain), E(XSAVES64, plain), E(XRSTORS, plain), E(XRSTORS64, plain), /* no guest has them */
	E(FXSAVE, fxsave), E(FXSAVE64, fxsave), E(FXRSTOR, fxrstor), E(FXRSTOR64, fxrstor),
	E(FNSTENV, fnstenv), E(FNSAVE, fnstenv), E(FLDENV, fldenv), E(FRSTOR, fldenv),
	M(LDMXCSR, ldmxcsr_with_state), M(VLDMXCSR, ldmxcsr_with_state),
	M(MASKMOVQ, maskmov_with_state), M(MASKMOVDQU, maskmov_with_state), M(VMASKMOVDQU, maskmov_with_state),
	M(VGATHERDPD, gather_with_state), M(VGATHERDPS, gather_with_state),
	M(VGATHERQPD, gather_with_state), M(VGATHERQPS, gather_with_state),
	M(VPGATHERDD, gather_with_state), M(VPGATHERDQ, gather_with_state),
	M(VPGATHERQD, gather_with_state), M(VPGATHERQQ, gather_with_state),
	M(VSCATTERDPD, gather_with_state), M(VSCATTERDPS, gather_with_state),
	M(VSCATTERQPD, gather_with_state), M(VSCATTERQPS, gather_with_state),
	M(VPSCATTERDD, gather_with_state), M(VPSCATTERDQ, gather_with_state),
	M(VPSCATTERQD, gather_with_state), M(VPSCATTERQQ, gather_with_state),
};
/* clang-format on */

static enum outcome emulate_by_mnemonic(struct vcpu *v, const struct insn *i)
{
	emulator *run = emulate_by[i->mnemonic];

	return run ? run(v, i) : raise_ud(v);
}

/* --- by class ------------------------------------------------------------------------------- */

static enum outcome emulate_undefined(struct vcpu *v, const struct insn *i)
{
	return raise_ud(v);
}

/* What translated code does not copy after all. */
static enum outcome emulate_copy(struct vcpu *v, const struct insn *i)
{
	if (i->mnemonic == ZYDIS_MNEMONIC_LDMXCSR || i->mnemonic == ZYDIS_MNEMONIC_VLDMXCSR)
		return ldmxcsr_with_state(v, i);
	return emulate_plain(v, i);
}

static enum outcome emulate_lea(struct vcpu *v, const struct insn *i)
{
	gpr_set(v, i, insn_reg(i), insn_size(v, i), insn_address(v, i));
	return insn_done(v, i);
}

enum outcome emulate(struct vcpu *v, const struct insn *i)
{
	static emulator *const by_class[] = {
#define X(name, emit, native, emulate, notes) [INSN_##name] = emulate_##emulate,
		INSN_CLASSES(X)
#undef X
	};

	/* Both last for one instruction; STI, MOV SS and IRET set them anew. */
	v->cpu.sti_shadow = 0;
	v->cpu.rflags &= ~(uint64_t)FL_RF;
	return by_class[i->class](v, i);
}
