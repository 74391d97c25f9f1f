/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Task switches (SDM 3A 7.3), outside IA-32e mode only. Up to task_commit() a fault belongs to the
 * old task and nothing has changed; later ones are raised in the new task, at its RIP.
 */
#include "cpu/translate/emulate/emulate.h"
#include "cpu/translate/emulate/event.h"
#include "cpu/translate/hot.h"

/* A task state segment of either size. */
struct task {
	uint32_t cr3, eip, eflags, gpr[8];
	uint16_t seg[SEG_COUNT], ldt;
	bool trap;
};

#define TSS32_SIZE 104u
#define TSS16_SIZE 44u

static bool tss_wide(unsigned attr)
{
	return attr & 8;
}

/* --- a TSS in memory ----------------------------------------------------------------- */

static enum outcome tss_load(struct vcpu *v, const struct segment *tr, struct task *t)
{
	uint32_t raw[TSS32_SIZE / 4];
	const uint16_t *half = (const uint16_t *)raw;
	uint32_t base = (uint32_t)tr->base;

	if (tss_wide(tr->attr)) {
		TRY(mem_read(v, base, raw, TSS32_SIZE, ACC_READ | ACC_SYSTEM));
		t->cr3 = raw[7];
		t->eip = raw[8];
		t->eflags = raw[9];
		for (unsigned k = 0; k < 8; k++)
			t->gpr[k] = raw[10 + k];
		for (unsigned k = 0; k < SEG_COUNT; k++)
			t->seg[k] = (uint16_t)raw[18 + k];
		t->ldt = (uint16_t)raw[24];
		t->trap = raw[25] & 1;
		return OUT_OK;
	}
	TRY(mem_read(v, base, raw, TSS16_SIZE, ACC_READ | ACC_SYSTEM));
	t->cr3 = (uint32_t)v->cpu.cr3;
	t->eip = half[7];
	t->eflags = half[8];
	for (unsigned k = 0; k < 8; k++)
		t->gpr[k] = half[9 + k] | 0xffff0000;
	for (unsigned k = 0; k < SEG_COUNT; k++)
		t->seg[k] = k < SEG_FS ? half[17 + k] : 0;
	t->ldt = half[21];
	t->trap = false;
	return OUT_OK;
}

/* The outgoing task's registers; its static fields stay. */
static enum outcome tss_store(struct vcpu *v, uint32_t eip, uint32_t eflags)
{
	uint32_t base = (uint32_t)v->cpu.tr.base, raw[16];
	uint16_t half[14];

	if (tss_wide(v->cpu.tr.attr)) {
		raw[0] = eip;
		raw[1] = eflags;
		for (unsigned k = 0; k < 8; k++)
			raw[2 + k] = (uint32_t)v->cpu.gpr[k];
		for (unsigned k = 0; k < SEG_COUNT; k++)
			raw[10 + k] = v->cpu.seg[k].selector;
		return mem_write(v, base + 32, raw, 64, ACC_WRITE | ACC_SYSTEM);
	}
	half[0] = (uint16_t)eip;
	half[1] = (uint16_t)eflags;
	for (unsigned k = 0; k < 8; k++)
		half[2 + k] = (uint16_t)v->cpu.gpr[k];
	for (unsigned k = 0; k < SEG_FS; k++)
		half[10 + k] = v->cpu.seg[k].selector;
	return mem_write(v, base + 14, half, 28, ACC_WRITE | ACC_SYSTEM);
}

/* --- before -------------------------------------------------------------------------- */

static enum outcome task_find(struct vcpu *v, uint16_t selector, enum task_cause cause,
	unsigned ext, struct descriptor *d, struct segment *tr)
{
	unsigned vector = cause == TASK_IRET ? EXC_TS : EXC_GP, type;
	uint32_t error = (selector & 0xfffc) | ext;

	if ((selector & 4) || !error)
		return fault_raise_error(v, vector, error);
	TRY(descriptor_read(v, selector, false, vector, ext, d));
	descriptor_unpack(tr, selector, d);
	type = tr->attr & 15;
	if ((tr->attr & SEG_ATTR_S) ||
		(cause == TASK_IRET ? type != SYS_TSS16_BUSY && type != SYS_TSS_BUSY
				    : type != SYS_TSS16 && type != SYS_TSS))
		return fault_raise_error(v, vector, error);
	if (!(tr->attr & SEG_ATTR_P))
		return fault_raise_error(v, EXC_NP, error);
	if (tr->limit < (tss_wide(type) ? TSS32_SIZE : TSS16_SIZE) - 1)
		return fault_raise_error(v, EXC_TS, error);
	return OUT_OK;
}

/* Both segments must be there before anything moves. */
static enum outcome task_probe(struct vcpu *v, const struct segment *tr, uint32_t error)
{
	const struct segment *old = &v->cpu.tr;
	unsigned size = tss_wide(old->attr) ? TSS32_SIZE : TSS16_SIZE;

	if ((old->attr & SEG_ATTR_UNUSABLE) || old->limit < size - 1)
		return fault_raise_error(v, EXC_TS, error);
	TRY(mem_probe(v, (uint32_t)old->base, size, ACC_WRITE | ACC_SYSTEM));
	size = tss_wide(tr->attr) ? TSS32_SIZE : TSS16_SIZE;
	return mem_probe(v, (uint32_t)tr->base, size, ACC_WRITE | ACC_SYSTEM);
}

/* --- after: segments of the new task ------------------------------------------------- */

static enum outcome task_ldt(struct vcpu *v, uint16_t selector, unsigned ext)
{
	uint32_t error = (selector & 0xfffc) | ext;
	struct descriptor d;
	struct segment s;

	if (!(selector & 0xfffc)) {
		segment_null(&v->cpu.ldtr, selector);
		return OUT_OK;
	}
	if (selector & 4)
		return fault_raise_error(v, EXC_TS, error);
	TRY(descriptor_read(v, selector, false, EXC_TS, ext, &d));
	descriptor_unpack(&s, selector, &d);
	if ((s.attr & (SEG_ATTR_S | 15)) != SYS_LDT || !(s.attr & SEG_ATTR_P))
		return fault_raise_error(v, EXC_TS, error);
	v->cpu.ldtr = s;
	return OUT_OK;
}

static enum outcome task_code(struct vcpu *v, uint16_t selector, unsigned ext)
{
	uint32_t error = (selector & 0xfffc) | ext;
	unsigned rpl = selector & 3, dpl;
	struct descriptor d;
	struct segment cs;

	if (!(selector & 0xfffc))
		return fault_raise_error(v, EXC_TS, ext);
	TRY(descriptor_read(v, selector, false, EXC_TS, ext, &d));
	descriptor_unpack(&cs, selector, &d);
	dpl = SEG_ATTR_DPL(cs.attr);
	if ((cs.attr & (SEG_ATTR_S | TYPE_CODE)) != (SEG_ATTR_S | TYPE_CODE) ||
		((cs.attr & TYPE_CONFORMING) ? dpl > rpl : dpl != rpl))
		return fault_raise_error(v, EXC_TS, error);
	if (!(cs.attr & SEG_ATTR_P))
		return fault_raise_error(v, EXC_NP, error);
	TRY(descriptor_accessed(v, &d, &cs));
	v->cpu.seg[SEG_CS] = cs;
	return OUT_OK;
}

static enum outcome task_segments(struct vcpu *v, const struct task *t, unsigned ext)
{
	static const uint8_t data[] = {SEG_DS, SEG_ES, SEG_FS, SEG_GS};
	struct segment s;

	if (mode_vm86(v)) {
		for (unsigned k = 0; k < SEG_COUNT; k++)
			segment_load_paragraph(v, k, t->seg[k]);
		return task_ldt(v, t->ldt, ext);
	}
	TRY(task_ldt(v, t->ldt, ext));
	TRY(task_code(v, t->seg[SEG_CS], ext));
	TRY(segment_stack_check(v, t->seg[SEG_SS], v->cpu.cpl, EXC_TS, ext, &s));
	v->cpu.seg[SEG_SS] = s;
	for (unsigned k = 0; k < sizeof data; k++) {
		uint16_t selector = t->seg[data[k]];

		if (!(selector & 0xfffc))
			continue;
		TRY(segment_data_check(v, selector, v->cpu.cpl, EXC_TS, ext, &s));
		v->cpu.seg[data[k]] = s;
	}
	return OUT_OK;
}

/* From here on the new task runs, its segments still to be checked. */
static void task_commit(struct vcpu *v, const struct segment *tr, const struct task *t, bool nested)
{
	uint64_t cr3 = tss_wide(tr->attr) && (v->cpu.cr0 & CR0_PG) ? t->cr3 : v->cpu.cr3;

	v->cpu.tr = *tr;
	v->cpu.tr.attr |= 2;
	v->cpu.cr0 |= CR0_TS;
	v->cpu.rip = t->eip;
	v->cpu.rflags = (t->eflags &
				(FL_STATUS | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_RF |
					FL_VM | FL_AC | FL_VIF | FL_VIP | FL_ID)) |
		2 | (nested ? FL_NT : 0);
	for (unsigned k = 0; k < 8; k++)
		v->cpu.gpr[k] = t->gpr[k];
	for (unsigned k = 0; k < SEG_COUNT; k++)
		segment_null(&v->cpu.seg[k], t->seg[k]);
	/* Until CS is checked the old one's size goes on, which no instruction will see. */
	v->cpu.cpl = mode_vm86(v) ? 3 : t->seg[SEG_CS] & 3;
	segment_null(&v->cpu.ldtr, t->ldt);
	if (cr3 != v->cpu.cr3) {
		v->cpu.cr3 = cr3;
		mmu_cr3_loaded(v, false);
	}
	mode_update(v);
}

/* The last steps: error code, limit of EIP, debug trap. */
static enum outcome task_start(struct vcpu *v, const struct segment *tr, const struct task *t,
	bool has_error, uint32_t error, unsigned ext)
{
	struct stack s;

	TRY(task_segments(v, t, ext));
	mode_update(v);
	if (has_error) {
		stack_current(v, &s);
		s.error = ext;
		TRY(stack_push(v, &s, tss_wide(tr->attr) ? 4 : 2, error));
		stack_commit(v, &s);
	}
	if (v->cpu.rip > v->cpu.seg[SEG_CS].limit)
		return raise_gp(v, ext);
	if (t->trap) {
		v->cpu.dr6 = (v->cpu.dr6 & ~(uint64_t)DR6_B_MASK) | DR6_FIXED | DR6_BT;
		return fault_raise(v, EXC_DB);
	}
	return OUT_OK;
}

enum outcome task_switch(struct vcpu *v, uint16_t selector, enum task_cause cause, uint64_t next,
	bool has_error, uint32_t error, unsigned ext)
{
	bool nested = cause == TASK_CALL || cause == TASK_EVENT;
	uint32_t eflags = (uint32_t)v->cpu.rflags;
	uint16_t link = v->cpu.tr.selector;
	struct descriptor d, old;
	struct segment tr;
	struct task t;

	TRY(task_find(v, selector, cause, ext, &d, &tr));
	TRY(task_probe(v, &tr, (selector & 0xfffc) | ext));
	if (!nested) {
		TRY(descriptor_read(v, link, false, EXC_TS, ext, &old));
		TRY(descriptor_mark(v, &old, 0, 2));
	}
	if (cause == TASK_IRET)
		eflags &= ~FL_NT;
	TRY(tss_store(v, (uint32_t)next, eflags));
	TRY(tss_load(v, &tr, &t));
	if (nested)
		TRY(mem_write(v, (uint32_t)tr.base, &link, 2, ACC_WRITE | ACC_SYSTEM));
	if (cause != TASK_IRET)
		TRY(descriptor_mark(v, &d, 2, 0));
	task_commit(v, &tr, &t, nested);
	return task_start(v, &tr, &t, has_error, error, ext);
}
