/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SYSCALL, SYSRET, SYSENTER, SYSEXIT (SDM 2B), as Intel's processors do them. A guest that is told
 * that its processor is AMD's (APM 3) enters its kernel by SYSCALL from 32-bit programs too, has no
 * SYSENTER and SYSEXIT in long mode, and SYSRET does not look at where it leads: what is no address
 * faults there, at CPL 3.
 */
#include "cpu/translate/emulate/emulate.h"
#include "cpu/translate/emulate/event.h"
#include "cpu/translate/hot.h"

/* In long mode, on a processor that is told to be AMD's? */
static bool amd_long(const struct vcpu *v)
{
	return mode_long(v) && guest_amd(v);
}

enum outcome emulate_syscall(struct vcpu *v, const struct insn *i)
{
	uint16_t cs = (v->cpu.star >> 32) & 0xfffc;
	uint64_t target = v->cpu.lstar;

	if (!(v->cpu.efer & EFER_SCE))
		return raise_ud(v);
	if (!mode_code64(v)) {
		if (!amd_long(v))
			return raise_ud(v);
		target = v->cpu.cstar;
	}
	v->cpu.gpr[RCX] = insn_next(v, i);
	v->cpu.gpr[R11] = v->cpu.rflags & ~(uint64_t)FL_RF;
	v->cpu.rip = target;
	v->cpu.rflags = (v->cpu.rflags & ~v->cpu.sfmask & ~(uint64_t)(FL_RF | FL_VM)) | 2;
	segment_flat(&v->cpu.seg[SEG_CS], cs, ATTR_FLAT_CODE(0) | SEG_ATTR_L);
	segment_flat(&v->cpu.seg[SEG_SS], (uint16_t)((v->cpu.star >> 32) + 8), ATTR_FLAT_DATA(0));
	v->cpu.cpl = 0;
	mode_update(v);
	return OUT_OK;
}

enum outcome emulate_sysret(struct vcpu *v, const struct insn *i)
{
	uint16_t base = (uint16_t)(v->cpu.star >> 48);
	bool wide = i->rex & 8;

	if (!mode_code64(v) || !(v->cpu.efer & EFER_SCE))
		return raise_ud(v);
	if (v->cpu.cpl)
		return raise_gp(v, 0);
	if (wide) {
		if (!canonical_ok(v->cpu.gpr[RCX]) && !guest_amd(v))
			return raise_gp(v, 0);
		v->cpu.rip = v->cpu.gpr[RCX];
		segment_flat(&v->cpu.seg[SEG_CS], (uint16_t)(base + 16) | 3,
			ATTR_FLAT_CODE(3) | SEG_ATTR_L);
	} else {
		v->cpu.rip = (uint32_t)v->cpu.gpr[RCX];
		segment_flat(&v->cpu.seg[SEG_CS], base | 3, ATTR_FLAT_CODE(3) | SEG_ATTR_DB);
	}
	v->cpu.rflags = (v->cpu.gpr[R11] & 0x3c7fd7) | 2;
	segment_flat(&v->cpu.seg[SEG_SS], (uint16_t)(base + 8) | 3, ATTR_FLAT_DATA(3));
	v->cpu.cpl = 3;
	mode_update(v);
	/*
	 * TF counts at the end of SYSCALL and SYSRET, so that a program that is stepped over its system
	 * call traps behind it.
	 */
	return v->cpu.rflags & FL_TF ? event_debug(v, DR6_BS, true) : OUT_OK;
}

enum outcome emulate_sysenter(struct vcpu *v, const struct insn *i)
{
	uint16_t cs = v->cpu.sysenter_cs & 0xfffc;
	bool wide = mode_long(v);

	if (amd_long(v))
		return raise_ud(v);
	if (!(v->cpu.cr0 & CR0_PE) || !cs)
		return raise_gp(v, 0);
	v->cpu.rflags &= ~(uint64_t)(FL_VM | FL_IF | FL_RF);
	v->cpu.gpr[RSP] = wide ? v->cpu.sysenter_esp : (uint32_t)v->cpu.sysenter_esp;
	v->cpu.rip = wide ? v->cpu.sysenter_eip : (uint32_t)v->cpu.sysenter_eip;
	segment_flat(&v->cpu.seg[SEG_CS], cs,
		ATTR_FLAT_CODE(0) | (wide ? SEG_ATTR_L : SEG_ATTR_DB));
	segment_flat(&v->cpu.seg[SEG_SS], (uint16_t)(cs + 8), ATTR_FLAT_DATA(0));
	v->cpu.cpl = 0;
	mode_update(v);
	return OUT_OK;
}

enum outcome emulate_sysexit(struct vcpu *v, const struct insn *i)
{
	uint16_t base = v->cpu.sysenter_cs & 0xfffc;
	bool wide = mode_code64(v) && (i->rex & 8);

	if (v->cpu.cpl)
		return raise_gp(v, 0); /* seen before #UD on AMD's */
	if (amd_long(v))
		return raise_ud(v);
	if (!base || !(v->cpu.cr0 & CR0_PE))
		return raise_gp(v, 0);
	if (wide) {
		if (!canonical_ok(v->cpu.gpr[RCX]) || !canonical_ok(v->cpu.gpr[RDX]))
			return raise_gp(v, 0);
		v->cpu.gpr[RSP] = v->cpu.gpr[RCX];
		v->cpu.rip = v->cpu.gpr[RDX];
	} else {
		v->cpu.gpr[RSP] = (uint32_t)v->cpu.gpr[RCX];
		v->cpu.rip = (uint32_t)v->cpu.gpr[RDX];
	}
	segment_flat(&v->cpu.seg[SEG_CS], (uint16_t)(base + (wide ? 32 : 16)) | 3,
		ATTR_FLAT_CODE(3) | (wide ? SEG_ATTR_L : SEG_ATTR_DB));
	segment_flat(&v->cpu.seg[SEG_SS], (uint16_t)(base + (wide ? 40 : 24)) | 3,
		ATTR_FLAT_DATA(3));
	v->cpu.cpl = 3;
	mode_update(v);
	return OUT_OK;
}
