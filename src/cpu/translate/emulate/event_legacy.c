/* SPDX-License-Identifier: Apache-2.0 */
/* Event delivery in real, virtual-8086 and 16/32-bit protected mode (SDM 3A 6.12, 20.1.4). */
#include "cpu/translate/emulate/emulate.h"
#include "cpu/translate/emulate/event.h"
#include "cpu/translate/hot.h"

#define IDT_BIT 2u

enum outcome event_enter_real(struct vcpu *v, const struct event *e)
{
	unsigned offset = e->vector * 4u;
	struct stack s;
	uint32_t vector;

	if (offset + 3 > v->cpu.idtr.limit)
		return raise_gp(v, 0);
	TRY(mem_read(v, (uint32_t)(v->cpu.idtr.base + offset), &vector, 4, ACC_READ | ACC_SYSTEM));
	stack_current(v, &s);
	TRY(stack_push(v, &s, 2, v->cpu.rflags));
	TRY(stack_push(v, &s, 2, v->cpu.seg[SEG_CS].selector));
	TRY(stack_push(v, &s, 2, e->next));
	stack_commit(v, &s);
	v->cpu.rflags &= ~(uint64_t)(FL_IF | FL_TF | FL_AC | FL_RF);
	segment_load_paragraph(v, SEG_CS, (uint16_t)(vector >> 16));
	v->cpu.rip = vector & 0xffff;
	return OUT_OK;
}

/* SS:SP of privilege dpl from the TSS (SDM 3A 7.2.1). */
static enum outcome tss_stack_legacy(struct vcpu *v, unsigned dpl, unsigned ext, uint16_t *ss,
	uint32_t *sp)
{
	bool wide = (v->cpu.tr.attr & 15) == SYS_TSS_BUSY || (v->cpu.tr.attr & 15) == SYS_TSS;
	unsigned offset = wide ? 4 + 8 * dpl : 2 + 4 * dpl, size = wide ? 6 : 4;
	uint32_t at = (uint32_t)(v->cpu.tr.base + offset);
	uint16_t raw[3] = {0};

	if ((v->cpu.tr.attr & SEG_ATTR_UNUSABLE) || offset + size - 1 > v->cpu.tr.limit)
		return fault_raise_error(v, EXC_TS, (v->cpu.tr.selector & 0xfffc) | ext);
	TRY(mem_read(v, at, raw, size, ACC_READ | ACC_SYSTEM));
	*sp = wide ? raw[0] | (uint32_t)raw[1] << 16 : raw[0];
	*ss = wide ? raw[2] : raw[1];
	return OUT_OK;
}

enum outcome stack_inner(struct vcpu *v, unsigned dpl, unsigned ext, struct stack *s)
{
	uint16_t selector;
	uint32_t sp;

	TRY(tss_stack_legacy(v, dpl, ext, &selector, &sp));
	TRY(segment_stack_check(v, selector, dpl, EXC_TS, ext, &s->ss));
	s->mask = (s->ss.attr & SEG_ATTR_DB) ? 0xffffffff : 0xffff;
	s->sp = sp & s->mask;
	s->access = ACC_SYSTEM;
	s->error = (selector & 0xfffc) | ext;
	s->flat = false;
	return OUT_OK;
}

static enum outcome push_frame(struct vcpu *v, const struct event *e, struct stack *s,
	unsigned size, bool inner)
{
	if (mode_vm86(v)) {
		TRY(stack_push(v, s, size, v->cpu.seg[SEG_GS].selector));
		TRY(stack_push(v, s, size, v->cpu.seg[SEG_FS].selector));
		TRY(stack_push(v, s, size, v->cpu.seg[SEG_DS].selector));
		TRY(stack_push(v, s, size, v->cpu.seg[SEG_ES].selector));
	}
	if (inner) {
		TRY(stack_push(v, s, size, v->cpu.seg[SEG_SS].selector));
		TRY(stack_push(v, s, size, v->cpu.gpr[RSP]));
	}
	TRY(stack_push(v, s, size, v->cpu.rflags | (e->fault ? FL_RF : 0)));
	TRY(stack_push(v, s, size, v->cpu.seg[SEG_CS].selector));
	TRY(stack_push(v, s, size, e->next));
	if (e->has_error)
		TRY(stack_push(v, s, size, e->error));
	return OUT_OK;
}

static enum outcome gate_enter(struct vcpu *v, const struct event *e, uint64_t gate)
{
	unsigned ext = !e->soft, type = gate >> 40 & 15, size = type >= SYS_INT ? 4 : 2, dpl;
	uint16_t selector = (uint16_t)(gate >> 16);
	uint32_t target = (uint32_t)(gate & 0xffff);
	bool inner, vm86 = mode_vm86(v);
	struct descriptor d;
	struct segment cs;
	struct stack s;

	if (size == 4)
		target |= (uint32_t)(gate >> 32 & 0xffff0000);
	if (!(selector & 0xfffc))
		return raise_gp(v, ext);
	TRY(descriptor_read(v, selector, false, EXC_GP, ext, &d));
	descriptor_unpack(&cs, selector, &d);
	dpl = SEG_ATTR_DPL(cs.attr);
	if ((cs.attr & (SEG_ATTR_S | TYPE_CODE)) != (SEG_ATTR_S | TYPE_CODE) || dpl > v->cpu.cpl)
		return raise_gp(v, (selector & 0xfffc) | ext);
	if (!(cs.attr & SEG_ATTR_P))
		return fault_raise_error(v, EXC_NP, (selector & 0xfffc) | ext);
	inner = !(cs.attr & TYPE_CONFORMING) && dpl < v->cpu.cpl;
	if (vm86 && (!inner || dpl != 0))
		return raise_gp(v, (selector & 0xfffc) | ext);
	if (inner) {
		TRY(stack_inner(v, dpl, ext, &s));
	} else {
		stack_current(v, &s);
		s.error = ext;
	}
	TRY(push_frame(v, e, &s, size, inner));
	if (target > cs.limit)
		return raise_gp(v, ext);
	TRY(descriptor_accessed(v, &d, &cs));

	if (inner) {
		v->cpu.seg[SEG_SS] = s.ss;
		v->cpu.cpl = (uint8_t)dpl;
	}
	stack_commit(v, &s);
	if (vm86) {
		segment_null(&v->cpu.seg[SEG_DS], 0);
		segment_null(&v->cpu.seg[SEG_ES], 0);
		segment_null(&v->cpu.seg[SEG_FS], 0);
		segment_null(&v->cpu.seg[SEG_GS], 0);
	}
	cs.selector = (cs.selector & 0xfffc) | v->cpu.cpl;
	v->cpu.seg[SEG_CS] = cs;
	v->cpu.rip = target;
	v->cpu.rflags &= ~(uint64_t)(FL_TF | FL_VM | FL_RF | FL_NT);
	if (!(type & 1))
		v->cpu.rflags &= ~(uint64_t)FL_IF;
	return OUT_OK;
}

enum outcome event_enter_protected(struct vcpu *v, const struct event *e)
{
	unsigned ext = !e->soft, offset = e->vector * 8u, attr, type;
	uint32_t error = e->vector * 8u | IDT_BIT | ext;
	uint64_t gate;

	if (offset + 7 > v->cpu.idtr.limit)
		return raise_gp(v, error);
	TRY(mem_read(v, (uint32_t)(v->cpu.idtr.base + offset), &gate, 8, ACC_READ | ACC_SYSTEM));
	attr = gate >> 40 & 0xff;
	type = attr & 0x1f;
	if (type != SYS_TASK_GATE && type != SYS_INT16 && type != SYS_TRAP16 && type != SYS_INT &&
		type != SYS_TRAP)
		return raise_gp(v, error);
	if (e->soft && SEG_ATTR_DPL(attr) < v->cpu.cpl)
		return raise_gp(v, error);
	if (!(attr & SEG_ATTR_P))
		return fault_raise_error(v, EXC_NP, error);
	if (type == SYS_TASK_GATE)
		return task_switch(v, (uint16_t)(gate >> 16), TASK_EVENT, e->next, e->has_error,
			e->error, ext);
	return gate_enter(v, e, gate);
}
