/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Event delivery in IA-32e mode, and what all modes share: double faults,
 * debug exceptions (SDM 3A 6.12 to 6.15).
 */
#include "cpu/translate/emulate/emulate.h"
#include "cpu/translate/emulate/event.h"
#include "cpu/translate/hot.h"

#define IDT_BIT 2u

/*
 * The handler's stack from the 64-bit TSS: RSP0-2 at 4, IST1-7 at 36 (SDM 3A 7.7). offset is the
 * byte in the TSS.
 */
static enum outcome tss_stack(struct vcpu *v, unsigned offset, unsigned ext, uint64_t *rsp)
{
	uint64_t at = v->cpu.tr.base + offset;

	if (offset + 7 > v->cpu.tr.limit)
		return fault_raise_error(v, EXC_TS, (v->cpu.tr.selector & 0xfffc) | ext);
	if (!canonical_ok(at) || !canonical_ok(at + 7))
		return raise_gp(v, ext);
	TRY(mem_read(v, at, rsp, 8, ACC_READ | ACC_SYSTEM));
	if (!canonical_ok(*rsp))
		return fault_raise_error(v, EXC_SS, ext);
	return OUT_OK;
}

/* The gate of a vector after all checks of its own. */
static enum outcome gate64_read(struct vcpu *v, const struct event *e, uint64_t gate[2])
{
	unsigned ext = !e->soft, offset = e->vector * 16u;
	uint32_t error = e->vector * 8u | IDT_BIT | ext;
	uint64_t at = v->cpu.idtr.base + offset;
	unsigned attr;

	if (offset + 15 > v->cpu.idtr.limit || !canonical_ok(at) || !canonical_ok(at + 15))
		return raise_gp(v, error);
	TRY(mem_read(v, at, gate, 16, ACC_READ | ACC_SYSTEM));
	attr = gate[0] >> 40 & 0xff;
	if ((attr & 0x1e) != SYS_INT)
		return raise_gp(v, error);
	if (e->soft && SEG_ATTR_DPL(attr) < v->cpu.cpl)
		return raise_gp(v, error);
	if (!(attr & SEG_ATTR_P))
		return fault_raise_error(v, EXC_NP, error);
	return OUT_OK;
}

/* The handler's code segment. */
static enum outcome gate64_code(struct vcpu *v, uint16_t selector, unsigned ext, struct segment *cs)
{
	struct descriptor d;

	if (!(selector & 0xfffc))
		return raise_gp(v, ext);
	TRY(descriptor_read(v, selector, false, EXC_GP, ext, &d));
	descriptor_unpack(cs, selector, &d);
	if ((cs->attr & (SEG_ATTR_S | TYPE_CODE)) != (SEG_ATTR_S | TYPE_CODE) ||
		SEG_ATTR_DPL(cs->attr) > v->cpu.cpl ||
		(cs->attr & (SEG_ATTR_L | SEG_ATTR_DB)) != SEG_ATTR_L)
		return raise_gp(v, (selector & 0xfffc) | ext);
	if (!(cs->attr & SEG_ATTR_P))
		return fault_raise_error(v, EXC_NP, (selector & 0xfffc) | ext);
	return descriptor_accessed(v, &d, cs);
}

static enum outcome event_enter_long(struct vcpu *v, const struct event *e)
{
	unsigned ext = !e->soft, dpl, ist, access = ACC_WRITE, size = e->has_error ? 48 : 40;
	uint64_t gate[2], target, rsp, frame[6], *f = frame;
	struct segment cs;
	bool inner;

	TRY(gate64_read(v, e, gate));
	TRY(gate64_code(v, (uint16_t)(gate[0] >> 16), ext, &cs));
	target = (gate[0] & 0xffff) | (gate[0] >> 32 & 0xffff0000) | gate[1] << 32;
	dpl = SEG_ATTR_DPL(cs.attr);
	inner = !(cs.attr & TYPE_CONFORMING) && dpl < v->cpu.cpl;
	ist = gate[0] >> 32 & 7;
	if (ist)
		TRY(tss_stack(v, 28 + 8 * ist, ext, &rsp));
	else if (inner)
		TRY(tss_stack(v, 4 + 8 * dpl, ext, &rsp));
	else
		rsp = v->cpu.gpr[RSP];
	if (inner)
		access |= ACC_SYSTEM;
	rsp = (rsp & ~15ull) - size;
	if (!canonical_ok(rsp) || !canonical_ok(rsp + size - 1))
		return fault_raise_error(v, EXC_SS, ext);
	if (!canonical_ok(target))
		return raise_gp(v, ext);
	if (e->has_error)
		*f++ = e->error;
	f[0] = e->next;
	f[1] = v->cpu.seg[SEG_CS].selector;
	f[2] = v->cpu.rflags | (e->fault ? FL_RF : 0);
	f[3] = v->cpu.gpr[RSP];
	f[4] = v->cpu.seg[SEG_SS].selector;
	TRY(mem_write(v, rsp, frame, size, access));

	v->cpu.gpr[RSP] = rsp;
	if (inner) {
		v->cpu.cpl = (uint8_t)dpl;
		segment_null(&v->cpu.seg[SEG_SS], (uint16_t)dpl);
		v->cpu.seg[SEG_SS].attr |= (uint16_t)(dpl << 5);
	}
	cs.selector = (cs.selector & 0xfffc) | v->cpu.cpl;
	v->cpu.seg[SEG_CS] = cs;
	v->cpu.rip = target;
	v->cpu.rflags &= ~(uint64_t)(FL_TF | FL_VM | FL_RF | FL_NT);
	if ((gate[0] >> 40 & 15) == SYS_INT)
		v->cpu.rflags &= ~(uint64_t)FL_IF;
	return OUT_OK;
}

enum outcome event_enter(struct vcpu *v, const struct event *e)
{
	enum outcome out;

	if (__builtin_expect(mode_long(v), 1))
		out = event_enter_long(v, e);
	else if (v->cpu.cr0 & CR0_PE)
		out = event_enter_protected(v, e);
	else
		out = event_enter_real(v, e);
	if (out == OUT_OK) {
		v->cpu.sti_shadow = 0;
		mode_update(v);
	}
	return out;
}

/* --- double and triple faults (SDM 3A table 6-5) ------------------------------------- */

static bool contributory(unsigned vector)
{
	return vector == EXC_DE || (vector >= EXC_TS && vector <= EXC_GP);
}

static bool has_error_code(unsigned vector)
{
	return vector == EXC_DF || (vector >= EXC_TS && vector <= EXC_PF) || vector == EXC_AC;
}

/* Enters, and turns what fails on the way into the next exception until one is entered. */
static enum outcome enter_or_double(struct vcpu *v, struct event *e)
{
	for (unsigned tries = 0; tries < 8; tries++) {
		uint64_t task = v->cpu.tr.base;
		enum outcome out = event_enter(v, e);
		unsigned first = e->vector, second;

		if (out != OUT_FAULT)
			return out;
		if (first == EXC_DF && !e->soft)
			return OUT_SHUTDOWN;
		second = v->fault.vector;
		/* A task switch that fails late leaves us in the new task. */
		if (v->cpu.tr.base != task)
			e->next = v->cpu.rip;
		if (second == EXC_PF)
			v->cpu.cr2 = v->fault.cr2;
		if (!e->soft &&
			((contributory(first) && contributory(second)) ||
				(first == EXC_PF && (contributory(second) || second == EXC_PF)))) {
			e->vector = EXC_DF;
			e->has_error = true;
			e->error = 0;
		} else {
			e->vector = (uint8_t)second;
			e->has_error = v->fault.has_error;
			e->error = v->fault.error;
		}
		e->soft = false;
		e->fault = true;
		v->count.fault++;
	}
	return OUT_SHUTDOWN;
}

enum outcome event_deliver(struct vcpu *v, unsigned vector, bool has_error, uint32_t error,
	bool soft, bool external)
{
	struct event e = {
		.vector = (uint8_t)vector,
		.has_error = has_error,
		.error = error,
		.soft = soft,
		.next = v->cpu.rip,
	};
	enum outcome out;

	if (vector == EXC_DB && !external && !soft)
		v->cpu.dr7 &= ~(uint64_t)DR7_GD;
	out = enter_or_double(v, &e);
	/* Whatever handler was entered, an NMI was taken. */
	if (vector == EXC_NMI && external && out == OUT_OK)
		v->cpu.nmi_masked = 1;
	return out;
}

/* CR0.NE is clear: the PC's interrupt 13 tells of it, and the instruction waits for that. */
static bool told_outside(struct vcpu *v)
{
	const struct engine_callbacks *callbacks;
	void *ctx;

	if (v->fault.vector != EXC_MF || v->cpu.cr0 & CR0_NE)
		return false;
	callbacks = vcpu_callbacks(v, &ctx);
	if (!callbacks->ferr)
		return false;
	vcpu_vectors_save(v);
	callbacks->ferr(ctx, v->index);
	return true;
}

enum outcome event_deliver_fault(struct vcpu *v)
{
	struct event e = {
		.vector = v->fault.vector,
		.has_error = v->fault.has_error,
		.error = v->fault.error,
		.fault = v->fault.vector != EXC_BP && v->fault.vector != EXC_OF,
		.next = v->cpu.rip,
	};

	if (told_outside(v))
		return OUT_OK;
	/* One that forgot its error code must not unbalance the handler's stack. */
	if (e.has_error != has_error_code(e.vector)) {
		e.has_error = !e.has_error;
		e.error = 0;
	}
	v->count.fault++;
	if (e.vector == EXC_PF) {
		v->cpu.cr2 = v->fault.cr2;
		v->count.page_fault++;
	} else if (e.vector == EXC_DB) {
		v->cpu.dr7 &= ~(uint64_t)DR7_GD;
	}
	return enter_or_double(v, &e);
}

enum outcome event_debug(struct vcpu *v, uint64_t dr6_bits, bool trap)
{
	struct event e = {.vector = EXC_DB, .fault = !trap, .next = v->cpu.rip};

	v->cpu.dr6 = (v->cpu.dr6 & ~(uint64_t)DR6_B_MASK) | DR6_FIXED | dr6_bits;
	v->cpu.dr7 &= ~(uint64_t)DR7_GD;
	v->count.fault++;
	return enter_or_double(v, &e);
}

enum outcome event_software(struct vcpu *v, unsigned vector, bool soft, uint64_t next)
{
	struct event e = {.vector = (uint8_t)vector, .soft = soft, .next = next};

	return event_enter(v, &e);
}
