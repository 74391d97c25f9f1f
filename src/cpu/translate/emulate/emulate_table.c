/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptor table registers, segment registers, and the instructions that inspect descriptors. */
#include <Zydis/Mnemonic.h>

#include "cpu/translate/emulate/emulate.h"
#include "cpu/translate/hot.h"

/* --- GDTR, IDTR, LDTR, TR ------------------------------------------------------------ */

enum outcome emulate_lgdt_lidt(struct vcpu *v, const struct insn *i)
{
	bool wide = mode_code64(v);
	uint64_t linear, base = 0;
	uint8_t raw[10];

	if (rm_is_reg(i))
		return raise_ud(v);
	if (v->cpu.cpl)
		return raise_gp(v, 0);
	TRY(linear_address(v, i->mem_seg, insn_address(v, i), wide ? 10 : 6, ACC_READ, &linear));
	TRY(mem_read(v, linear, raw, wide ? 10 : 6, ACC_READ));
	for (unsigned k = 0; k < (wide ? 8u : 4u); k++)
		base |= (uint64_t)raw[2 + k] << 8 * k;
	if (!wide && insn_size(v, i) == 2)
		base &= 0xffffff;
	if (wide && !canonical_ok(base))
		return raise_gp(v, 0);
	if (i->mnemonic == ZYDIS_MNEMONIC_LGDT)
		v->cpu.gdtr = (struct table_register){base, (uint16_t)(raw[0] | raw[1] << 8)};
	else
		v->cpu.idtr = (struct table_register){base, (uint16_t)(raw[0] | raw[1] << 8)};
	return insn_done(v, i);
}

static bool umip_forbids(const struct vcpu *v)
{
	return v->cpu.cpl && (v->cpu.cr4 & CR4_UMIP);
}

enum outcome emulate_sgdt_sidt(struct vcpu *v, const struct insn *i)
{
	const struct table_register *t =
		i->mnemonic == ZYDIS_MNEMONIC_SGDT ? &v->cpu.gdtr : &v->cpu.idtr;
	bool wide = mode_code64(v);
	uint64_t linear, base = t->base;
	uint8_t raw[10];

	if (rm_is_reg(i))
		return raise_ud(v);
	if (umip_forbids(v))
		return raise_gp(v, 0);
	if (!wide && insn_size(v, i) == 2)
		base &= 0xffffff;
	raw[0] = (uint8_t)t->limit;
	raw[1] = (uint8_t)(t->limit >> 8);
	for (unsigned k = 0; k < 8; k++)
		raw[2 + k] = (uint8_t)(base >> 8 * k);
	TRY(linear_address(v, i->mem_seg, insn_address(v, i), wide ? 10 : 6, ACC_WRITE, &linear));
	TRY(mem_write(v, linear, raw, wide ? 10 : 6, ACC_WRITE));
	return insn_done(v, i);
}

/* The system descriptor for LLDT or LTR, through its first checks. */
static enum outcome system_descriptor(struct vcpu *v, uint16_t selector, struct descriptor *d,
	struct segment *s)
{
	bool wide = mode_long(v);

	if (selector & 4)
		return raise_gp(v, selector & 0xfffc);
	TRY(descriptor_read(v, selector, wide, EXC_GP, 0, d));
	descriptor_unpack(s, selector, d);
	if (s->attr & SEG_ATTR_S)
		return raise_gp(v, selector & 0xfffc);
	if (wide && ((d->high >> 40 & 0x1f) || !canonical_ok(s->base)))
		return raise_gp(v, selector & 0xfffc);
	return OUT_OK;
}

enum outcome emulate_lldt(struct vcpu *v, const struct insn *i)
{
	struct descriptor d;
	struct segment s;
	uint64_t selector;

	if (mode_paragraphs(v))
		return raise_ud(v);
	if (v->cpu.cpl)
		return raise_gp(v, 0);
	TRY(rm_read(v, i, 2, &selector));
	if (!(selector & 0xfffc)) {
		segment_null(&v->cpu.ldtr, (uint16_t)selector);
		return insn_done(v, i);
	}
	TRY(system_descriptor(v, (uint16_t)selector, &d, &s));
	if ((s.attr & 15) != SYS_LDT)
		return raise_gp(v, selector & 0xfffc);
	if (!(s.attr & SEG_ATTR_P))
		return fault_raise_error(v, EXC_NP, selector & 0xfffc);
	v->cpu.ldtr = s;
	return insn_done(v, i);
}

enum outcome emulate_ltr(struct vcpu *v, const struct insn *i)
{
	struct descriptor d;
	struct segment s;
	uint64_t selector;
	unsigned type;

	if (mode_paragraphs(v))
		return raise_ud(v);
	if (v->cpu.cpl)
		return raise_gp(v, 0);
	TRY(rm_read(v, i, 2, &selector));
	if (!(selector & 0xfffc))
		return raise_gp(v, 0);
	TRY(system_descriptor(v, (uint16_t)selector, &d, &s));
	type = s.attr & 15;
	if (type != SYS_TSS && (mode_long(v) || type != SYS_TSS16))
		return raise_gp(v, selector & 0xfffc);
	if (!(s.attr & SEG_ATTR_P))
		return fault_raise_error(v, EXC_NP, selector & 0xfffc);
	TRY(descriptor_mark(v, &d, 2, 0));
	s.attr |= 2;
	v->cpu.tr = s;
	return insn_done(v, i);
}

enum outcome emulate_sldt_str(struct vcpu *v, const struct insn *i)
{
	uint16_t selector =
		i->mnemonic == ZYDIS_MNEMONIC_STR ? v->cpu.tr.selector : v->cpu.ldtr.selector;

	if (mode_paragraphs(v))
		return raise_ud(v);
	if (umip_forbids(v))
		return raise_gp(v, 0);
	TRY(rm_write(v, i, rm_is_reg(i) ? insn_size(v, i) : 2, selector));
	return insn_done(v, i);
}

/* --- LAR, LSL, VERR, VERW, ARPL ------------------------------------------------------ */

/* Reads a descriptor for inspection: *visible is false where the instruction clears ZF. */
static enum outcome inspect(struct vcpu *v, uint16_t selector, struct descriptor *d, bool *visible)
{
	enum outcome out;

	*visible = false;
	if (!(selector & 0xfffc))
		return OUT_OK;
	out = descriptor_read(v, selector, false, EXC_GP, 0, d);
	if (out == OUT_FAULT && v->fault.vector == EXC_GP)
		return OUT_OK;
	TRY(out);
	*visible = true;
	return OUT_OK;
}

static bool conforming(unsigned attr)
{
	return (attr & (SEG_ATTR_S | TYPE_CODE | TYPE_CONFORMING)) ==
		(SEG_ATTR_S | TYPE_CODE | TYPE_CONFORMING);
}

enum outcome emulate_lar_lsl(struct vcpu *v, const struct insn *i)
{
	/* System types that can be looked at: legacy, then IA-32e mode (SDM 2A, tables 3-52, 3-54).
	 */
	static const uint16_t types[2][2] = {{0x1a3e, 0x0a0e}, {0x1a04, 0x0a04}};
	bool lsl = i->mnemonic == ZYDIS_MNEMONIC_LSL, visible;
	unsigned size = insn_size(v, i), attr, dpl;
	uint64_t selector, value;
	struct descriptor d;
	struct segment s;

	if (mode_paragraphs(v))
		return raise_ud(v);
	TRY(rm_read(v, i, 2, &selector));
	TRY(inspect(v, (uint16_t)selector, &d, &visible));
	v->cpu.rflags &= ~(uint64_t)FL_ZF;
	if (!visible)
		return insn_done(v, i);
	attr = descriptor_attr(d.low);
	dpl = SEG_ATTR_DPL(attr);
	if (!(attr & SEG_ATTR_S) && !(types[mode_long(v)][lsl] >> (attr & 15) & 1))
		return insn_done(v, i);
	if (!conforming(attr) && (v->cpu.cpl > dpl || (selector & 3) > dpl))
		return insn_done(v, i);
	descriptor_unpack(&s, 0, &d);
	value = lsl ? s.limit : (d.low >> 32 & 0x00f0ff00);
	gpr_set(v, i, insn_reg(i), size, value);
	v->cpu.rflags |= FL_ZF;
	return insn_done(v, i);
}

enum outcome emulate_verr_verw(struct vcpu *v, const struct insn *i)
{
	bool verw = i->mnemonic == ZYDIS_MNEMONIC_VERW, visible, ok = false;
	struct descriptor d;
	uint64_t selector;

	if (mode_paragraphs(v))
		return raise_ud(v);
	TRY(rm_read(v, i, 2, &selector));
	TRY(inspect(v, (uint16_t)selector, &d, &visible));
	if (visible) {
		unsigned attr = descriptor_attr(d.low), dpl = SEG_ATTR_DPL(attr);
		bool code = attr & TYPE_CODE;

		ok = attr & SEG_ATTR_S;
		if (!conforming(attr) && (v->cpu.cpl > dpl || (selector & 3) > dpl))
			ok = false;
		if (verw ? code || !(attr & TYPE_WRITABLE) : code && !(attr & TYPE_READABLE))
			ok = false;
	}
	v->cpu.rflags = (v->cpu.rflags & ~(uint64_t)FL_ZF) | (ok ? FL_ZF : 0);
	return insn_done(v, i);
}

enum outcome emulate_arpl(struct vcpu *v, const struct insn *i)
{
	uint64_t selector, rpl = v->cpu.gpr[insn_reg(i)] & 3;

	if (mode_paragraphs(v))
		return raise_ud(v);
	TRY(rm_read(v, i, 2, &selector));
	if ((selector & 3) < rpl) {
		TRY(rm_write(v, i, 2, (selector & ~3ull) | rpl));
		v->cpu.rflags |= FL_ZF;
	} else {
		v->cpu.rflags &= ~(uint64_t)FL_ZF;
	}
	return insn_done(v, i);
}

/* --- segment registers --------------------------------------------------------------- */

static enum outcome load_and_go(struct vcpu *v, unsigned seg, uint16_t selector)
{
	TRY(segment_load(v, seg, selector));
	if (seg == SEG_SS)
		v->cpu.sti_shadow = SHADOW_MOV_SS;
	mode_update(v);
	return OUT_OK;
}

enum outcome emulate_mov_sreg(struct vcpu *v, const struct insn *i)
{
	unsigned seg = i->modrm >> 3 & 7;
	uint64_t selector;

	if (seg >= SEG_COUNT || (i->opcode == 0x8e && seg == SEG_CS))
		return raise_ud(v);
	if (i->opcode == 0x8c) {
		TRY(rm_write(v, i, rm_is_reg(i) ? insn_size(v, i) : 2, v->cpu.seg[seg].selector));
	} else {
		TRY(rm_read(v, i, 2, &selector));
		TRY(load_and_go(v, seg, (uint16_t)selector));
	}
	return insn_done(v, i);
}

/* Which segment register PUSH and POP name. */
static unsigned stack_sreg(const struct insn *i)
{
	return i->opcode_map == 1 ? (i->opcode >= 0xa8 ? SEG_GS : SEG_FS) : i->opcode >> 3 & 3;
}

enum outcome emulate_push_sreg(struct vcpu *v, const struct insn *i)
{
	unsigned size = insn_size_stack(v, i);
	uint16_t selector = v->cpu.seg[stack_sreg(i)].selector;
	struct stack s;

	stack_current(v, &s);
	if (size == 4) {
		/* The room is 4 bytes, what is written 2. */
		uint64_t sp = (s.sp - 4) & s.mask, linear;

		TRY(stack_room(v, &s, sp, 4, ACC_WRITE, &linear));
		TRY(mem_write(v, linear, &selector, 2, ACC_WRITE));
		s.sp = sp;
	} else {
		TRY(stack_push(v, &s, size, selector));
	}
	stack_commit(v, &s);
	return insn_done(v, i);
}

enum outcome emulate_pop_sreg(struct vcpu *v, const struct insn *i)
{
	unsigned seg = stack_sreg(i), size = insn_size_stack(v, i);
	uint64_t next = insn_next(v, i), selector;
	struct stack s;

	if (seg == SEG_CS)
		return raise_ud(v);
	stack_current(v, &s);
	TRY(stack_pop(v, &s, size, &selector));
	TRY(load_and_go(v, seg, (uint16_t)selector));
	stack_commit(v, &s);
	v->cpu.rip = next;
	return OUT_OK;
}

/* LDS, LES, LFS, LGS, LSS. */
enum outcome emulate_load_far(struct vcpu *v, const struct insn *i)
{
	unsigned seg = i->mnemonic == ZYDIS_MNEMONIC_LDS ? SEG_DS
		: i->mnemonic == ZYDIS_MNEMONIC_LES      ? SEG_ES
		: i->mnemonic == ZYDIS_MNEMONIC_LFS      ? SEG_FS
		: i->mnemonic == ZYDIS_MNEMONIC_LGS      ? SEG_GS
							 : SEG_SS;
	unsigned size = insn_size_far(v, i);
	uint64_t linear, raw[2] = {0, 0};
	uint16_t selector;

	if (rm_is_reg(i))
		return raise_ud(v);
	TRY(linear_address(v, i->mem_seg, insn_address(v, i), size + 2, ACC_READ, &linear));
	TRY(mem_read(v, linear, raw, size + 2, ACC_READ));
	selector = (uint16_t)(size == 8 ? raw[1] : raw[0] >> 8 * size);
	TRY(segment_load(v, seg, selector));
	mode_update(v);
	gpr_set(v, i, insn_reg(i), size, raw[0]);
	return insn_done(v, i);
}
