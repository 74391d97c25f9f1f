/* SPDX-License-Identifier: Apache-2.0 */
/* Which function executes an instruction; those are in the emulate_*.c beside this file. */
#include <Zydis/Mnemonic.h>

#include "cpu/translate/emulate/emulate.h"

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

/* Extended state: what saves and loads it, and what needs it as an image. */
static enum outcome emulate_extended(struct vcpu *v, const struct insn *i)
{
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_XSAVE:
	case ZYDIS_MNEMONIC_XSAVE64:
	case ZYDIS_MNEMONIC_XSAVEOPT:
	case ZYDIS_MNEMONIC_XSAVEOPT64:
	case ZYDIS_MNEMONIC_XSAVEC:
	case ZYDIS_MNEMONIC_XSAVEC64:
		return emulate_xsave(v, i);
	case ZYDIS_MNEMONIC_XRSTOR:
	case ZYDIS_MNEMONIC_XRSTOR64:
		return emulate_xrstor(v, i);
	case ZYDIS_MNEMONIC_FXSAVE:
	case ZYDIS_MNEMONIC_FXSAVE64:
		return emulate_fxsave(v, i);
	case ZYDIS_MNEMONIC_FXRSTOR:
	case ZYDIS_MNEMONIC_FXRSTOR64:
		return emulate_fxrstor(v, i);
	case ZYDIS_MNEMONIC_FNSTENV:
	case ZYDIS_MNEMONIC_FNSAVE:
		return emulate_fnstenv(v, i);
	case ZYDIS_MNEMONIC_FLDENV:
	case ZYDIS_MNEMONIC_FRSTOR:
		return emulate_fldenv(v, i);
	case ZYDIS_MNEMONIC_LDMXCSR:
	case ZYDIS_MNEMONIC_VLDMXCSR:
		TRY(state_check(v, i->state));
		return emulate_ldmxcsr(v, i);
	case ZYDIS_MNEMONIC_MASKMOVQ:
		TRY(state_check(v, STATE_MMX));
		return emulate_maskmov(v, i);
	case ZYDIS_MNEMONIC_MASKMOVDQU:
		TRY(state_check(v, STATE_SSE));
		return emulate_maskmov(v, i);
	case ZYDIS_MNEMONIC_VMASKMOVDQU:
		TRY(state_check(v, STATE_AVX));
		return emulate_maskmov(v, i);
	default:
		/* Gathers are 0F38 90 to 93, scatters A0 to A3. */
		if (i->encoding != ENC_LEGACY &&
			((i->opcode & 0xfc) == 0x90 ||
				(i->encoding == ENC_EVEX && (i->opcode & 0xfc) == 0xa0))) {
			TRY(state_check(v, i->encoding == ENC_EVEX ? STATE_AVX512 : STATE_AVX));
			return emulate_gather(v, i);
		}
		TRY(state_check(v, i->state));
		return emulate_integer(v, i);
	}
}

/* 16- and 32-bit code's own, and others that are seldom seen. */
static enum outcome emulate_seldom(struct vcpu *v, const struct insn *i)
{
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_INT:
	case ZYDIS_MNEMONIC_INT1:
	case ZYDIS_MNEMONIC_INT3:
	case ZYDIS_MNEMONIC_INTO:
		return emulate_int(v, i);
	case ZYDIS_MNEMONIC_ENTER:
		return emulate_enter(v, i);
	case ZYDIS_MNEMONIC_PUSHA:
	case ZYDIS_MNEMONIC_PUSHAD:
		return emulate_pusha(v, i);
	case ZYDIS_MNEMONIC_POPA:
	case ZYDIS_MNEMONIC_POPAD:
		return emulate_popa(v, i);
	case ZYDIS_MNEMONIC_BOUND:
		return emulate_bound(v, i);
	case ZYDIS_MNEMONIC_XLAT:
		return emulate_xlat(v, i);
	case ZYDIS_MNEMONIC_SALC:
		return emulate_salc(v, i);
	case ZYDIS_MNEMONIC_DAA:
	case ZYDIS_MNEMONIC_DAS:
	case ZYDIS_MNEMONIC_AAA:
	case ZYDIS_MNEMONIC_AAS:
	case ZYDIS_MNEMONIC_AAM:
	case ZYDIS_MNEMONIC_AAD:
		return emulate_bcd(v, i);
	case ZYDIS_MNEMONIC_LDS:
		return emulate_load_far(v, i, SEG_DS);
	case ZYDIS_MNEMONIC_LES:
		return emulate_load_far(v, i, SEG_ES);
	case ZYDIS_MNEMONIC_LFS:
		return emulate_load_far(v, i, SEG_FS);
	case ZYDIS_MNEMONIC_LGS:
		return emulate_load_far(v, i, SEG_GS);
	case ZYDIS_MNEMONIC_LSS:
		return emulate_load_far(v, i, SEG_SS);
	case ZYDIS_MNEMONIC_ARPL:
		return emulate_arpl(v, i);
	case ZYDIS_MNEMONIC_LAR:
	case ZYDIS_MNEMONIC_LSL:
		return emulate_lar_lsl(v, i);
	case ZYDIS_MNEMONIC_VERR:
	case ZYDIS_MNEMONIC_VERW:
		return emulate_verr_verw(v, i);
	case ZYDIS_MNEMONIC_LMSW:
		return emulate_lmsw(v, i);
	case ZYDIS_MNEMONIC_SMSW:
		return emulate_smsw(v, i);
	case ZYDIS_MNEMONIC_LGDT:
	case ZYDIS_MNEMONIC_LIDT:
		return emulate_lgdt_lidt(v, i);
	case ZYDIS_MNEMONIC_SGDT:
	case ZYDIS_MNEMONIC_SIDT:
		return emulate_sgdt_sidt(v, i);
	case ZYDIS_MNEMONIC_LLDT:
		return emulate_lldt(v, i);
	case ZYDIS_MNEMONIC_LTR:
		return emulate_ltr(v, i);
	case ZYDIS_MNEMONIC_SLDT:
	case ZYDIS_MNEMONIC_STR:
		return emulate_sldt_str(v, i);
	case ZYDIS_MNEMONIC_BT:
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC:
		return emulate_bitstring(v, i);
	case ZYDIS_MNEMONIC_UD0:
	case ZYDIS_MNEMONIC_UD1:
	case ZYDIS_MNEMONIC_UD2:
	case ZYDIS_MNEMONIC_RSM:
	case ZYDIS_MNEMONIC_MONITOR:
	case ZYDIS_MNEMONIC_MWAIT:
		return raise_ud(v);
	default:
		return emulate_extended(v, i);
	}
}

/* What a running kernel meets all the time comes first. */
static enum outcome emulate_system(struct vcpu *v, const struct insn *i)
{
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_SYSCALL:
		return emulate_syscall(v, i);
	case ZYDIS_MNEMONIC_SYSRET:
		return emulate_sysret(v, i);
	case ZYDIS_MNEMONIC_IRET:
	case ZYDIS_MNEMONIC_IRETD:
	case ZYDIS_MNEMONIC_IRETQ:
		return emulate_iret(v, i);
	case ZYDIS_MNEMONIC_SWAPGS:
		return emulate_swapgs(v, i);
	case ZYDIS_MNEMONIC_CLI:
	case ZYDIS_MNEMONIC_STI:
		return emulate_cli_sti(v, i);
	case ZYDIS_MNEMONIC_CLAC:
	case ZYDIS_MNEMONIC_STAC:
		return emulate_clac_stac(v, i);
	case ZYDIS_MNEMONIC_PUSHF:
	case ZYDIS_MNEMONIC_PUSHFD:
	case ZYDIS_MNEMONIC_PUSHFQ:
		return emulate_pushf(v, i);
	case ZYDIS_MNEMONIC_POPF:
	case ZYDIS_MNEMONIC_POPFD:
	case ZYDIS_MNEMONIC_POPFQ:
		return emulate_popf(v, i);
	case ZYDIS_MNEMONIC_MOV:
		return emulate_mov(v, i);
	case ZYDIS_MNEMONIC_RDMSR:
		return emulate_rdmsr(v, i);
	case ZYDIS_MNEMONIC_WRMSR:
		return emulate_wrmsr(v, i);
	case ZYDIS_MNEMONIC_RDFSBASE:
	case ZYDIS_MNEMONIC_RDGSBASE:
	case ZYDIS_MNEMONIC_WRFSBASE:
	case ZYDIS_MNEMONIC_WRGSBASE:
		return emulate_fsgsbase(v, i);
	case ZYDIS_MNEMONIC_INVLPG:
		return emulate_invlpg(v, i);
	case ZYDIS_MNEMONIC_INVPCID:
		return emulate_invpcid(v, i);
	case ZYDIS_MNEMONIC_CPUID:
		return emulate_cpuid(v, i);
	case ZYDIS_MNEMONIC_HLT:
		return emulate_hlt(v, i);
	case ZYDIS_MNEMONIC_RDTSC:
	case ZYDIS_MNEMONIC_RDTSCP:
		return emulate_rdtsc(v, i);
	case ZYDIS_MNEMONIC_RDPID:
		return emulate_rdpid(v, i);
	case ZYDIS_MNEMONIC_RDPMC:
		return emulate_rdpmc(v, i);
	case ZYDIS_MNEMONIC_IN:
		return emulate_in(v, i);
	case ZYDIS_MNEMONIC_OUT:
		return emulate_out(v, i);
	case ZYDIS_MNEMONIC_CLTS:
		return emulate_clts(v, i);
	case ZYDIS_MNEMONIC_XGETBV:
		return emulate_xgetbv(v, i);
	case ZYDIS_MNEMONIC_XSETBV:
		return emulate_xsetbv(v, i);
	case ZYDIS_MNEMONIC_SYSENTER:
		return emulate_sysenter(v, i);
	case ZYDIS_MNEMONIC_SYSEXIT:
		return emulate_sysexit(v, i);
	case ZYDIS_MNEMONIC_PUSH:
		return emulate_push_sreg(v, i);
	case ZYDIS_MNEMONIC_POP:
		return emulate_pop_sreg(v, i);
	case ZYDIS_MNEMONIC_JMP:
		return emulate_far_jmp(v, i);
	case ZYDIS_MNEMONIC_CALL:
		return emulate_far_call(v, i);
	case ZYDIS_MNEMONIC_RET:
		return emulate_far_ret(v, i);
	case ZYDIS_MNEMONIC_WBINVD:
	case ZYDIS_MNEMONIC_INVD:
		return emulate_cache(v, i);
	case ZYDIS_MNEMONIC_CLFLUSH:
	case ZYDIS_MNEMONIC_CLFLUSHOPT:
	case ZYDIS_MNEMONIC_CLWB:
		return emulate_clflush(v, i);
	case ZYDIS_MNEMONIC_PAUSE:
		return emulate_pause(v, i);
	case ZYDIS_MNEMONIC_VMCALL:
	case ZYDIS_MNEMONIC_VMMCALL:
		return emulate_hypercall(v, i);
	case ZYDIS_MNEMONIC_NOP:
		return insn_done(v, i);
	default:
		return emulate_seldom(v, i);
	}
}

static bool is_string(const struct insn *i)
{
	return i->encoding == ENC_LEGACY && i->opcode_map == 0 &&
		((i->opcode >= 0x6c && i->opcode <= 0x6f) ||
			(i->opcode >= 0xa4 && i->opcode <= 0xaf && (i->opcode & 0xfe) != 0xa8));
}

enum outcome emulate(struct vcpu *v, const struct insn *i)
{
	/* Both last for one instruction; STI, MOV SS and IRET set them anew. */
	v->cpu.sti_shadow = 0;
	v->cpu.rflags &= ~(uint64_t)FL_RF;
	switch ((enum insn_class)i->class) {
	case INSN_EMULATE:
		return is_string(i) ? emulate_string(v, i) : emulate_system(v, i);
	case INSN_STRING:
		return emulate_string(v, i);
	case INSN_BITSTRING:
		return emulate_bitstring(v, i);
	case INSN_JMP:
		return emulate_jmp(v, i);
	case INSN_JCC:
		return emulate_jcc(v, i);
	case INSN_LOOP:
		return emulate_loop(v, i);
	case INSN_CALL:
		return emulate_call(v, i);
	case INSN_JMP_IND:
		return emulate_jmp_ind(v, i);
	case INSN_CALL_IND:
		return emulate_call_ind(v, i);
	case INSN_RET:
		return emulate_ret(v, i);
	case INSN_PUSH:
		return emulate_push(v, i);
	case INSN_POP:
		return emulate_pop(v, i);
	case INSN_LEAVE:
		return emulate_leave(v, i);
	case INSN_RDTSC:
		return emulate_rdtsc(v, i);
	case INSN_NOP:
		return insn_done(v, i);
	case INSN_LEA:
		gpr_set(v, i, insn_reg(i), insn_size(v, i), insn_address(v, i));
		return insn_done(v, i);
	case INSN_COPY:
		return emulate_extended(v, i);
	default:
		return raise_ud(v);
	}
}
