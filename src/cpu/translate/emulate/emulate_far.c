/* SPDX-License-Identifier: Apache-2.0 */
/* Far JMP and CALL: code segments, call gates, task gates (SDM 2A CALL, JMP; 3A 5.8). */
#include "cpu/translate/emulate/emulate.h"
#include "cpu/translate/hot.h"

enum outcome far_target_check(struct vcpu *v, const struct segment *cs, uint64_t target)
{
	if (mode_long(v) && (cs->attr & SEG_ATTR_L)) {
		if (!canonical_ok(target))
			return raise_gp(v, 0);
	} else if (target > cs->limit) {
		return raise_gp(v, 0);
	}
	return OUT_OK;
}

/* Pushes the return address, then runs at cs:target with the CPL as it is. */
static enum outcome enter_code(struct vcpu *v, struct segment *cs, uint64_t target, bool call,
	unsigned size, uint64_t next)
{
	struct stack s;

	if (call) {
		stack_current(v, &s);
		TRY(stack_push(v, &s, size, v->cpu.seg[SEG_CS].selector));
		TRY(stack_push(v, &s, size, next));
	}
	TRY(far_target_check(v, cs, target));
	if (call)
		stack_commit(v, &s);
	cs->selector = (cs->selector & 0xfffc) | v->cpu.cpl;
	v->cpu.seg[SEG_CS] = *cs;
	v->cpu.rip = target;
	mode_update(v);
	return OUT_OK;
}

/* A code segment named by the instruction itself. */
static enum outcome far_code(struct vcpu *v, uint16_t selector, const struct descriptor *d,
	uint64_t target, bool call, unsigned size, uint64_t next)
{
	unsigned rpl = selector & 3, dpl, cpl = v->cpu.cpl;
	struct segment cs;

	descriptor_unpack(&cs, selector, d);
	dpl = SEG_ATTR_DPL(cs.attr);
	if ((cs.attr & TYPE_CONFORMING) ? dpl > cpl : rpl > cpl || dpl != cpl)
		return raise_gp(v, selector & 0xfffc);
	if (mode_long(v) && (cs.attr & SEG_ATTR_L) && (cs.attr & SEG_ATTR_DB))
		return raise_gp(v, selector & 0xfffc);
	if (!(cs.attr & SEG_ATTR_P))
		return fault_raise_error(v, EXC_NP, selector & 0xfffc);
	TRY(descriptor_accessed(v, d, &cs));
	return enter_code(v, &cs, target, call, size, next);
}

/* CALL to more privilege in IA-32e mode: RSP from the TSS, SS null. */
static enum outcome gate_inner_long(struct vcpu *v, struct segment *cs, uint64_t target,
	uint64_t next)
{
	unsigned dpl = SEG_ATTR_DPL(cs->attr), offset = 4 + 8 * dpl;
	uint64_t at = v->cpu.tr.base + offset, rsp, frame[4];

	if (offset + 7 > v->cpu.tr.limit)
		return fault_raise_error(v, EXC_TS, v->cpu.tr.selector & 0xfffc);
	if (!canonical_ok(at) || !canonical_ok(at + 7))
		return raise_gp(v, 0);
	TRY(mem_read(v, at, &rsp, 8, ACC_READ | ACC_SYSTEM));
	if (!canonical_ok(rsp) || !canonical_ok(rsp - 32))
		return fault_raise_error(v, EXC_SS, 0);
	TRY(far_target_check(v, cs, target));
	frame[0] = next;
	frame[1] = v->cpu.seg[SEG_CS].selector;
	frame[2] = v->cpu.gpr[RSP];
	frame[3] = v->cpu.seg[SEG_SS].selector;
	TRY(mem_write(v, rsp - 32, frame, 32, ACC_WRITE | ACC_SYSTEM));
	v->cpu.gpr[RSP] = rsp - 32;
	v->cpu.cpl = (uint8_t)dpl;
	segment_null(&v->cpu.seg[SEG_SS], (uint16_t)dpl);
	v->cpu.seg[SEG_SS].attr |= (uint16_t)(dpl << 5);
	cs->selector = (cs->selector & 0xfffc) | v->cpu.cpl;
	v->cpu.seg[SEG_CS] = *cs;
	v->cpu.rip = target;
	mode_update(v);
	return OUT_OK;
}

/* CALL to more privilege through a 16- or 32-bit gate: stack from the TSS, parameters copied. */
static enum outcome gate_inner(struct vcpu *v, struct segment *cs, uint32_t target, unsigned size,
	unsigned count, uint64_t next)
{
	unsigned dpl = SEG_ATTR_DPL(cs->attr);
	struct stack old, s;
	uint64_t value[31];

	TRY(stack_inner(v, dpl, 0, &s));
	stack_current(v, &old);
	for (unsigned k = 0; k < count; k++)
		TRY(stack_pop(v, &old, size, &value[k]));
	TRY(stack_push(v, &s, size, v->cpu.seg[SEG_SS].selector));
	TRY(stack_push(v, &s, size, v->cpu.gpr[RSP]));
	while (count--)
		TRY(stack_push(v, &s, size, value[count]));
	TRY(stack_push(v, &s, size, v->cpu.seg[SEG_CS].selector));
	TRY(stack_push(v, &s, size, next));
	TRY(far_target_check(v, cs, target));
	v->cpu.cpl = (uint8_t)dpl;
	v->cpu.seg[SEG_SS] = s.ss;
	stack_commit(v, &s);
	cs->selector = (cs->selector & 0xfffc) | v->cpu.cpl;
	v->cpu.seg[SEG_CS] = *cs;
	v->cpu.rip = target;
	mode_update(v);
	return OUT_OK;
}

static enum outcome far_call_gate(struct vcpu *v, uint16_t gate_selector,
	const struct descriptor *gate, bool call, uint64_t next)
{
	unsigned type = gate->low >> 40 & 15, dpl, cpl = v->cpu.cpl;
	uint16_t selector = (uint16_t)(gate->low >> 16);
	uint64_t target = gate->low & 0xffff;
	bool wide = mode_long(v);
	struct descriptor d;
	struct segment cs;

	if (type == SYS_CALL)
		target |= gate->low >> 32 & 0xffff0000;
	if (wide)
		target |= gate->high << 32;
	if (!(selector & 0xfffc))
		return raise_gp(v, 0);
	TRY(descriptor_read(v, selector, false, EXC_GP, 0, &d));
	descriptor_unpack(&cs, selector, &d);
	dpl = SEG_ATTR_DPL(cs.attr);
	if ((cs.attr & (SEG_ATTR_S | TYPE_CODE)) != (SEG_ATTR_S | TYPE_CODE) || dpl > cpl)
		return raise_gp(v, selector & 0xfffc);
	if (!call && !(cs.attr & TYPE_CONFORMING) && dpl != cpl)
		return raise_gp(v, selector & 0xfffc);
	if (wide && (cs.attr & (SEG_ATTR_L | SEG_ATTR_DB)) != SEG_ATTR_L)
		return raise_gp(v, selector & 0xfffc);
	if (!(cs.attr & SEG_ATTR_P))
		return fault_raise_error(v, EXC_NP, selector & 0xfffc);
	TRY(descriptor_accessed(v, &d, &cs));
	if (!call || (cs.attr & TYPE_CONFORMING) || dpl == cpl)
		return enter_code(v, &cs, target, call, wide ? 8 : type == SYS_CALL ? 4 : 2, next);
	if (wide)
		return gate_inner_long(v, &cs, target, next);
	return gate_inner(v, &cs, (uint32_t)target, type == SYS_CALL ? 4 : 2, gate->low >> 32 & 31,
		next);
}

/* The selector names a system descriptor. */
static enum outcome far_system(struct vcpu *v, uint16_t selector, struct descriptor *d, bool call,
	uint64_t next)
{
	unsigned attr = descriptor_attr(d->low), type = attr & 15, dpl = SEG_ATTR_DPL(attr);
	uint32_t error = selector & 0xfffc;
	bool gate = type == SYS_CALL ||
		(!mode_long(v) && (type == SYS_CALL16 || type == SYS_TASK_GATE));

	if (!gate && (mode_long(v) || (type != SYS_TSS16 && type != SYS_TSS)))
		return raise_gp(v, error);
	if (dpl < v->cpu.cpl || (selector & 3u) > dpl)
		return raise_gp(v, error);
	if (gate) {
		if (mode_long(v)) {
			TRY(descriptor_read(v, selector, true, EXC_GP, 0, d));
			if (d->high >> 40 & 0x1f)
				return raise_gp(v, error);
		}
		if (!(attr & SEG_ATTR_P))
			return fault_raise_error(v, EXC_NP, error);
		if (type != SYS_TASK_GATE)
			return far_call_gate(v, selector, d, call, next);
		selector = (uint16_t)(d->low >> 16);
	}
	return task_switch(v, selector, call ? TASK_CALL : TASK_JMP, next, false, 0, 0);
}

static enum outcome far_transfer(struct vcpu *v, uint16_t selector, uint64_t target, bool call,
	unsigned size, uint64_t next)
{
	struct descriptor d;
	struct stack s;

	if (mode_paragraphs(v)) {
		if (call) {
			stack_current(v, &s);
			TRY(stack_push(v, &s, size, v->cpu.seg[SEG_CS].selector));
			TRY(stack_push(v, &s, size, next));
		}
		if (target > v->cpu.seg[SEG_CS].limit)
			return raise_gp(v, 0);
		if (call)
			stack_commit(v, &s);
		segment_load_paragraph(v, SEG_CS, selector);
		v->cpu.rip = target;
		mode_update(v);
		return OUT_OK;
	}
	if (!(selector & 0xfffc))
		return raise_gp(v, 0);
	TRY(descriptor_read(v, selector, false, EXC_GP, 0, &d));
	if (!(d.low >> 44 & 1))
		return far_system(v, selector, &d, call, next);
	if (!(d.low >> 43 & 1))
		return raise_gp(v, selector & 0xfffc);
	return far_code(v, selector, &d, target, call, size, next);
}

/* m16:16/32/64 */
static enum outcome far_memory(struct vcpu *v, const struct insn *i, uint16_t *selector,
	uint64_t *target)
{
	unsigned size = insn_size_far(v, i);
	uint64_t linear, raw[2] = {0, 0};

	TRY(linear_address(v, i->mem_seg, insn_address(v, i), size + 2, ACC_READ, &linear));
	TRY(mem_read(v, linear, raw, size + 2, ACC_READ));
	*target = raw[0] & size_mask(size);
	*selector = (uint16_t)(size == 8 ? raw[1] : raw[0] >> 8 * size);
	return OUT_OK;
}

/* ptr16:16/32 from the instruction, or from memory. */
static enum outcome far_operand(struct vcpu *v, const struct insn *i, unsigned size,
	uint16_t *selector, uint64_t *target)
{
	if (i->opcode == 0xff)
		return rm_is_reg(i) ? raise_ud(v) : far_memory(v, i, selector, target);
	if (size == 8 || i->imm_offset + size + 2 > sizeof i->bytes)
		return raise_ud(v);
	*target = 0;
	for (unsigned k = 0; k < size; k++)
		*target |= (uint64_t)i->bytes[i->imm_offset + k] << 8 * k;
	*selector = (uint16_t)(i->bytes[i->imm_offset + size] |
		i->bytes[i->imm_offset + size + 1] << 8);
	return OUT_OK;
}

static enum outcome emulate_far(struct vcpu *v, const struct insn *i, bool call)
{
	unsigned size = insn_size(v, i);
	uint16_t selector;
	uint64_t target;

	TRY(far_operand(v, i, size, &selector, &target));
	return far_transfer(v, selector, target, call, size, insn_next(v, i));
}

enum outcome emulate_far_jmp(struct vcpu *v, const struct insn *i)
{
	return emulate_far(v, i, false);
}

enum outcome emulate_far_call(struct vcpu *v, const struct insn *i)
{
	return emulate_far(v, i, true);
}
