/* SPDX-License-Identifier: Apache-2.0 */
/* IRET and far RET in all modes (SDM 2A IRET, 2B RET). */
#include "cpu/translate/emulate/emulate.h"
#include "cpu/translate/hot.h"

/* The code segment that a return goes to; its RPL is the CPL to come. */
static enum outcome return_code(struct vcpu *v, uint16_t selector, struct descriptor *d,
	struct segment *cs)
{
	unsigned rpl = selector & 3, dpl;
	uint32_t error = selector & 0xfffc;

	if (!error)
		return raise_gp(v, 0);
	TRY(descriptor_read(v, selector, false, EXC_GP, 0, d));
	descriptor_unpack(cs, selector, d);
	dpl = SEG_ATTR_DPL(cs->attr);
	if ((cs->attr & (SEG_ATTR_S | TYPE_CODE)) != (SEG_ATTR_S | TYPE_CODE) || rpl < v->cpu.cpl)
		return raise_gp(v, error);
	if ((cs->attr & TYPE_CONFORMING) ? dpl > rpl : dpl != rpl)
		return raise_gp(v, error);
	if (mode_long(v) && (cs->attr & SEG_ATTR_L) && (cs->attr & SEG_ATTR_DB))
		return raise_gp(v, error);
	if (!(cs->attr & SEG_ATTR_P))
		return fault_raise_error(v, EXC_NP, error);
	return OUT_OK;
}

/* The stack segment that a return loads: 64-bit code below CPL 3 may have none. */
static enum outcome return_stack(struct vcpu *v, uint16_t selector, const struct segment *cs,
	struct segment *ss)
{
	unsigned rpl = cs->selector & 3;

	if (!(selector & 0xfffc)) {
		if (!mode_long(v) || !(cs->attr & SEG_ATTR_L) || rpl == 3 || (selector & 3u) != rpl)
			return raise_gp(v, 0);
		segment_null(ss, selector);
		ss->attr |= (uint16_t)(rpl << 5);
		return OUT_OK;
	}
	return segment_stack_check(v, selector, rpl, EXC_GP, 0, ss);
}

/* SS:RSP after a return that loads them: a 16-bit stack takes over only SP. */
static void return_rsp(struct vcpu *v, const struct segment *ss, uint64_t rsp, unsigned size)
{
	v->cpu.seg[SEG_SS] = *ss;
	if (!mode_code64(v) && !(ss->attr & SEG_ATTR_DB))
		v->cpu.gpr[RSP] = (v->cpu.gpr[RSP] & ~0xffffull) | (rsp & 0xffff);
	else
		v->cpu.gpr[RSP] = rsp & size_mask(size);
}

/* Which flags IRET may change (SDM 2A IRET), cpl being the one before the return. */
static void return_flags(struct vcpu *v, uint64_t flags, unsigned size, unsigned cpl)
{
	uint64_t mask = FL_STATUS | FL_TF | FL_DF | FL_NT;

	if (size > 2)
		mask |= FL_RF | FL_AC | FL_ID;
	if (cpl <= mode_iopl(v))
		mask |= FL_IF;
	if (cpl == 0) {
		mask |= FL_IOPL;
		if (size > 2)
			mask |= FL_VIF | FL_VIP;
	}
	v->cpu.rflags = (v->cpu.rflags & ~mask) | (flags & mask) | 2;
}

/* --- IRET ---------------------------------------------------------------------------- */

static enum outcome iret_paragraphs(struct vcpu *v, unsigned size)
{
	uint64_t ip, cs, flags, mask = size == 2 ? 0xffff : 0x257fd5;
	struct stack s;

	if (mode_vm86(v) && mode_iopl(v) < 3)
		return raise_gp(v, 0);
	stack_current(v, &s);
	TRY(stack_pop(v, &s, size, &ip));
	TRY(stack_pop(v, &s, size, &cs));
	TRY(stack_pop(v, &s, size, &flags));
	if (ip > v->cpu.seg[SEG_CS].limit)
		return raise_gp(v, 0);
	mask &= FL_STATUS | FL_TF | FL_IF | FL_DF | FL_NT | FL_RF | FL_AC | FL_ID | FL_IOPL;
	if (mode_vm86(v))
		mask &= ~(uint64_t)FL_IOPL;
	stack_commit(v, &s);
	v->cpu.rflags = (v->cpu.rflags & ~mask) | (flags & mask) | 2;
	segment_load_paragraph(v, SEG_CS, (uint16_t)cs);
	v->cpu.rip = ip;
	v->cpu.nmi_masked = 0;
	mode_update(v);
	return OUT_OK;
}

/* The rest of the frame of a return to virtual-8086 mode: ESP SS ES DS FS GS. */
static enum outcome iret_to_vm86(struct vcpu *v, struct stack *s, uint64_t ip, uint64_t cs,
	uint64_t flags)
{
	static const uint8_t order[] = {SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS};
	uint64_t sp, sel[5];

	TRY(stack_pop(v, s, 4, &sp));
	for (unsigned k = 0; k < 5; k++)
		TRY(stack_pop(v, s, 4, &sel[k]));
	if (ip > 0xffff)
		return raise_gp(v, 0);
	v->cpu.rflags = (flags &
				(FL_STATUS | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_RF |
					FL_VM | FL_AC | FL_VIF | FL_VIP | FL_ID)) |
		2;
	v->cpu.cpl = 3;
	v->cpu.gpr[RSP] = sp;
	segment_load_paragraph(v, SEG_CS, (uint16_t)cs);
	for (unsigned k = 0; k < 5; k++)
		segment_load_paragraph(v, order[k], (uint16_t)sel[k]);
	v->cpu.rip = ip;
	v->cpu.nmi_masked = 0;
	mode_update(v);
	return OUT_OK;
}

/* After the frame's first three words: checks, the stack if any, and the switch itself. */
static enum outcome iret_finish(struct vcpu *v, const uint64_t frame[5], unsigned size,
	struct stack *s, bool have_stack)
{
	uint64_t rsp = frame[3], ss_selector = frame[4];
	unsigned cpl = v->cpu.cpl, rpl = frame[1] & 3;
	bool outer = rpl > cpl, load_stack = outer || mode_code64(v);
	struct segment cs, ss;
	struct descriptor d;

	TRY(return_code(v, (uint16_t)frame[1], &d, &cs));
	if (load_stack) {
		if (!have_stack) {
			TRY(stack_pop(v, s, size, &rsp));
			TRY(stack_pop(v, s, size, &ss_selector));
		}
		TRY(return_stack(v, (uint16_t)ss_selector, &cs, &ss));
	}
	TRY(far_target_check(v, &cs, frame[0]));
	TRY(descriptor_accessed(v, &d, &cs));

	if (!load_stack)
		stack_commit(v, s);
	return_flags(v, frame[2], size, cpl);
	v->cpu.seg[SEG_CS] = cs;
	v->cpu.cpl = (uint8_t)rpl;
	v->cpu.rip = frame[0];
	if (load_stack)
		return_rsp(v, &ss, rsp, size);
	if (outer)
		segment_drop_inner(v, rpl);
	v->cpu.nmi_masked = 0;
	mode_update(v);
	return OUT_OK;
}

enum outcome emulate_iret(struct vcpu *v, const struct insn *i)
{
	unsigned size = insn_size(v, i);
	uint64_t frame[5];
	struct stack s;

	if (mode_code64(v) && size == 8 && !(v->cpu.rflags & FL_NT)) {
		uint64_t rsp = v->cpu.gpr[RSP];

		if (!canonical_ok(rsp) || !canonical_ok(rsp + 39))
			return fault_raise_error(v, EXC_SS, 0);
		TRY(mem_read(v, rsp, frame, 40, ACC_READ));
		return iret_finish(v, frame, 8, NULL, true);
	}
	if (mode_paragraphs(v))
		return iret_paragraphs(v, size);
	if (v->cpu.rflags & FL_NT) {
		uint16_t link;

		if (mode_long(v))
			return raise_gp(v, 0);
		TRY(mem_read(v, (uint32_t)v->cpu.tr.base, &link, 2, ACC_READ | ACC_SYSTEM));
		v->cpu.nmi_masked = 0;
		return task_switch(v, link, TASK_IRET, insn_next(v, i), false, 0, 0);
	}
	stack_current(v, &s);
	TRY(stack_pop(v, &s, size, &frame[0]));
	TRY(stack_pop(v, &s, size, &frame[1]));
	TRY(stack_pop(v, &s, size, &frame[2]));
	if (size == 4 && (frame[2] & FL_VM) && !v->cpu.cpl && !mode_long(v))
		return iret_to_vm86(v, &s, frame[0], frame[1], frame[2]);
	return iret_finish(v, frame, size, &s, false);
}

/* --- far RET ------------------------------------------------------------------------- */

static enum outcome ret_paragraphs(struct vcpu *v, unsigned size, unsigned drop)
{
	uint64_t ip, cs;
	struct stack s;

	stack_current(v, &s);
	TRY(stack_pop(v, &s, size, &ip));
	TRY(stack_pop(v, &s, size, &cs));
	if (ip > v->cpu.seg[SEG_CS].limit)
		return raise_gp(v, 0);
	s.sp = (s.sp + drop) & s.mask;
	stack_commit(v, &s);
	segment_load_paragraph(v, SEG_CS, (uint16_t)cs);
	v->cpu.rip = ip;
	mode_update(v);
	return OUT_OK;
}

enum outcome emulate_far_ret(struct vcpu *v, const struct insn *i)
{
	unsigned size = insn_size(v, i), drop = i->opcode == 0xca ? i->imm & 0xffff : 0, rpl;
	uint64_t ip, cs_selector, rsp = 0, ss_selector;
	struct segment cs, ss;
	struct descriptor d;
	struct stack s;
	bool outer;

	if (mode_paragraphs(v))
		return ret_paragraphs(v, size, drop);
	stack_current(v, &s);
	TRY(stack_pop(v, &s, size, &ip));
	TRY(stack_pop(v, &s, size, &cs_selector));
	TRY(return_code(v, (uint16_t)cs_selector, &d, &cs));
	rpl = cs.selector & 3;
	outer = rpl > v->cpu.cpl;
	s.sp = (s.sp + drop) & s.mask;
	if (outer) {
		TRY(stack_pop(v, &s, size, &rsp));
		TRY(stack_pop(v, &s, size, &ss_selector));
		TRY(return_stack(v, (uint16_t)ss_selector, &cs, &ss));
	}
	TRY(far_target_check(v, &cs, ip));
	TRY(descriptor_accessed(v, &d, &cs));

	if (!outer)
		stack_commit(v, &s);
	v->cpu.seg[SEG_CS] = cs;
	v->cpu.cpl = (uint8_t)rpl;
	v->cpu.rip = ip;
	if (outer) {
		return_rsp(v, &ss, rsp, size);
		stack_current(v, &s);
		s.sp = (s.sp + drop) & s.mask;
		stack_commit(v, &s);
		segment_drop_inner(v, rpl);
	}
	mode_update(v);
	return OUT_OK;
}
