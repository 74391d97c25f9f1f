/* SPDX-License-Identifier: Apache-2.0 */
/* Operands of emulated instructions: memory through segments, registers, the stack. */
#include "cpu/translate/emulate/emulate.h"
#include "cpu/translate/hot.h"

uint64_t insn_address(const struct vcpu *v, const struct insn *i)
{
	uint64_t a = (uint64_t)i->mem_disp;

	if (i->mem_base == INSN_RIP)
		a += v->cpu.rip + i->length;
	else if (i->mem_base < 16)
		a += v->cpu.gpr[i->mem_base];
	if (i->mem_index < 16)
		a += v->cpu.gpr[i->mem_index] * i->mem_scale;
	return a & size_mask(i->address_size);
}

/* SDM 3A 17.3.6 (#AC): only user code, only when both switches are on. */
static inline bool misaligned(const struct vcpu *v, uint64_t linear, unsigned size)
{
	return (linear & (size - 1)) && (v->cpu.rflags & FL_AC) && v->cpu.cpl == 3 &&
		(v->cpu.cr0 & CR0_AM) && !(size & (size - 1)) && size <= 8;
}

enum outcome alignment_check(struct vcpu *v, uint64_t linear, unsigned size)
{
	return misaligned(v, linear, size) ? fault_raise_error(v, EXC_AC, 0) : OUT_OK;
}

enum outcome system_read(struct vcpu *v, uint64_t linear, void *data, unsigned size)
{
	if (!mode_long(v))
		linear = (uint32_t)linear;
	else if (!canonical_ok(linear) || !canonical_ok(linear + size - 1))
		return raise_gp(v, 0);
	return mem_read(v, linear, data, size, ACC_READ | ACC_SYSTEM);
}

enum outcome data_read(struct vcpu *v, unsigned seg, uint64_t offset, unsigned size,
	uint64_t *value)
{
	uint64_t linear;

	TRY(linear_address(v, seg, offset, size, ACC_READ, &linear));
	if (misaligned(v, linear, size))
		return fault_raise_error(v, EXC_AC, 0);
	*value = 0;
	return mem_read(v, linear, value, size, ACC_READ);
}

enum outcome data_write(struct vcpu *v, unsigned seg, uint64_t offset, unsigned size,
	uint64_t value)
{
	uint64_t linear;

	TRY(linear_address(v, seg, offset, size, ACC_WRITE, &linear));
	if (misaligned(v, linear, size))
		return fault_raise_error(v, EXC_AC, 0);
	return mem_write(v, linear, &value, size, ACC_WRITE);
}

enum outcome operand_linear(struct vcpu *v, const struct insn *i, unsigned size, unsigned access,
	uint64_t *linear)
{
	TRY(linear_address(v, i->mem_seg, insn_address(v, i), size, access, linear));
	if (misaligned(v, *linear, size))
		return fault_raise_error(v, EXC_AC, 0);
	return OUT_OK;
}

enum outcome rm_read(struct vcpu *v, const struct insn *i, unsigned size, uint64_t *value)
{
	if (rm_is_reg(i)) {
		*value = gpr_get(v, i, insn_rm(i), size);
		return OUT_OK;
	}
	return data_read(v, i->mem_seg, insn_address(v, i), size, value);
}

enum outcome rm_write(struct vcpu *v, const struct insn *i, unsigned size, uint64_t value)
{
	if (rm_is_reg(i)) {
		gpr_set(v, i, insn_rm(i), size, value);
		return OUT_OK;
	}
	return data_write(v, i->mem_seg, insn_address(v, i), size, value);
}

/* --- the stack ----------------------------------------------------------------------- */

void stack_current(struct vcpu *v, struct stack *s)
{
	s->ss = v->cpu.seg[SEG_SS];
	s->access = 0;
	s->error = 0;
	s->flat = mode_code64(v);
	s->mask = s->flat ? ~0ull : (s->ss.attr & SEG_ATTR_DB) ? 0xffffffff : 0xffff;
	s->sp = v->cpu.gpr[RSP] & s->mask;
}

enum outcome stack_room(struct vcpu *v, const struct stack *s, uint64_t offset, unsigned size,
	unsigned access, uint64_t *linear)
{
	if (s->flat) {
		*linear = offset;
		if (canonical_ok(offset) && canonical_ok(offset + size - 1))
			return OUT_OK;
		return fault_raise_error(v, EXC_SS, s->error);
	}
	if (segment_linear(v, &s->ss, (uint32_t)offset, size, access, linear))
		return OUT_OK;
	return fault_raise_error(v, EXC_SS, s->error);
}

enum outcome stack_push(struct vcpu *v, struct stack *s, unsigned size, uint64_t value)
{
	uint64_t sp = (s->sp - size) & s->mask, linear;

	TRY(stack_room(v, s, sp, size, ACC_WRITE, &linear));
	if (!(s->access & ACC_SYSTEM) && misaligned(v, linear, size))
		return fault_raise_error(v, EXC_AC, 0);
	TRY(mem_write(v, linear, &value, size, ACC_WRITE | s->access));
	s->sp = sp;
	return OUT_OK;
}

enum outcome stack_pop(struct vcpu *v, struct stack *s, unsigned size, uint64_t *value)
{
	uint64_t linear;

	TRY(stack_room(v, s, s->sp, size, ACC_READ, &linear));
	if (!(s->access & ACC_SYSTEM) && misaligned(v, linear, size))
		return fault_raise_error(v, EXC_AC, 0);
	*value = 0;
	TRY(mem_read(v, linear, value, size, ACC_READ | s->access));
	s->sp = (s->sp + size) & s->mask;
	return OUT_OK;
}

void stack_commit(struct vcpu *v, const struct stack *s)
{
	if (s->mask == 0xffff)
		v->cpu.gpr[RSP] = (v->cpu.gpr[RSP] & ~0xffffull) | (s->sp & 0xffff);
	else
		v->cpu.gpr[RSP] = s->sp & s->mask;
}

enum outcome branch_check(struct vcpu *v, uint64_t target)
{
	if (mode_code64(v)) {
		if (!canonical_ok(target))
			return raise_gp(v, 0);
	} else if (target > v->cpu.seg[SEG_CS].limit) {
		return raise_gp(v, 0);
	}
	v->cpu.rip = target;
	return OUT_OK;
}
