/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Near control flow and the stack, in every mode. 64-bit code meets these as translated code; here
 * they serve 16- and 32-bit code, where operand size, address size and SS.B all count.
 */
#include "cpu/translate/emulate/emulate.h"
#include "cpu/translate/hot.h"

bool condition_holds(uint64_t rflags, unsigned cc)
{
	bool sf = rflags & FL_SF, of = rflags & FL_OF, holds;

	switch (cc >> 1) {
	case 0:
		holds = of;
		break;
	case 1:
		holds = rflags & FL_CF;
		break;
	case 2:
		holds = rflags & FL_ZF;
		break;
	case 3:
		holds = rflags & (FL_CF | FL_ZF);
		break;
	case 4:
		holds = sf;
		break;
	case 5:
		holds = rflags & FL_PF;
		break;
	case 6:
		holds = sf != of;
		break;
	default:
		holds = (rflags & FL_ZF) || sf != of;
		break;
	}
	return holds != (cc & 1);
}

/* Near branches are 64 bits wide in 64-bit code, unless the decoder knows better. */
static unsigned branch_size(const struct vcpu *v, const struct insn *i)
{
	if (mode_code64(v))
		return i->operand_size == 2 ? 2 : 8;
	return insn_size(v, i);
}

static uint64_t branch_target(const struct vcpu *v, const struct insn *i)
{
	return (insn_next(v, i) + (uint64_t)i->imm) & size_mask(branch_size(v, i));
}

enum outcome emulate_jmp(struct vcpu *v, const struct insn *i)
{
	return branch_check(v, branch_target(v, i));
}

enum outcome emulate_jcc(struct vcpu *v, const struct insn *i)
{
	if (condition_holds(v->cpu.rflags, i->cc))
		return branch_check(v, branch_target(v, i));
	return insn_done(v, i);
}

enum outcome emulate_loop(struct vcpu *v, const struct insn *i)
{
	uint64_t count = v->cpu.gpr[RCX] & size_mask(i->address_size);
	bool zf = v->cpu.rflags & FL_ZF, taken;

	if (i->cc == 3) {
		taken = count == 0;
	} else {
		count = (count - 1) & size_mask(i->address_size);
		taken = count != 0 && (i->cc == 2 || zf == (i->cc == 1));
	}
	if (taken)
		TRY(branch_check(v, branch_target(v, i)));
	else
		insn_done(v, i);
	if (i->cc != 3)
		v->cpu.gpr[RCX] = size_merge(v->cpu.gpr[RCX], count, i->address_size);
	return OUT_OK;
}

static enum outcome call_to(struct vcpu *v, const struct insn *i, uint64_t target)
{
	unsigned size = branch_size(v, i);
	uint64_t next = insn_next(v, i), old = v->cpu.rip;
	struct stack s;
	enum outcome out;

	stack_current(v, &s);
	TRY(branch_check(v, target));
	out = stack_push(v, &s, size, next);
	if (out != OUT_OK) {
		v->cpu.rip = old;
		return out;
	}
	stack_commit(v, &s);
	return OUT_OK;
}

enum outcome emulate_call(struct vcpu *v, const struct insn *i)
{
	return call_to(v, i, branch_target(v, i));
}

enum outcome emulate_jmp_ind(struct vcpu *v, const struct insn *i)
{
	uint64_t target;

	TRY(rm_read(v, i, branch_size(v, i), &target));
	return branch_check(v, target);
}

enum outcome emulate_call_ind(struct vcpu *v, const struct insn *i)
{
	uint64_t target;

	TRY(rm_read(v, i, branch_size(v, i), &target));
	return call_to(v, i, target);
}

enum outcome emulate_ret(struct vcpu *v, const struct insn *i)
{
	unsigned drop = i->opcode == 0xc2 ? i->imm & 0xffff : 0;
	uint64_t target;
	struct stack s;

	stack_current(v, &s);
	TRY(stack_pop(v, &s, branch_size(v, i), &target));
	TRY(branch_check(v, target));
	s.sp = (s.sp + drop) & s.mask;
	stack_commit(v, &s);
	return OUT_OK;
}

/* --- PUSH, POP ----------------------------------------------------------------------- */

enum outcome emulate_push(struct vcpu *v, const struct insn *i)
{
	unsigned size = insn_size_stack(v, i);
	struct stack s;
	uint64_t value;

	if (i->opcode == 0xff) {
		if (rm_is_reg(i))
			value = v->cpu.gpr[insn_rm(i)];
		else
			TRY(rm_read(v, i, size, &value));
	} else if (i->opcode == 0x68 || i->opcode == 0x6a) {
		value = (uint64_t)i->imm;
	} else {
		value = v->cpu.gpr[(i->opcode & 7) | (i->rex & 1) << 3];
	}
	stack_current(v, &s);
	TRY(stack_push(v, &s, size, value));
	stack_commit(v, &s);
	return insn_done(v, i);
}

enum outcome emulate_pop(struct vcpu *v, const struct insn *i)
{
	unsigned size = insn_size_stack(v, i);
	uint64_t value, rsp = v->cpu.gpr[RSP], next = insn_next(v, i);
	struct stack s;
	enum outcome out;

	stack_current(v, &s);
	TRY(stack_pop(v, &s, size, &value));
	/* An address with ESP as base is computed after the increment. */
	stack_commit(v, &s);
	if (i->opcode == 0x8f) {
		out = rm_write(v, i, size, value);
		if (out != OUT_OK) {
			v->cpu.gpr[RSP] = rsp;
			return out;
		}
	} else {
		unsigned reg = (i->opcode & 7) | (i->rex & 1) << 3;

		v->cpu.gpr[reg] = size_merge(v->cpu.gpr[reg], value, size);
	}
	v->cpu.rip = next;
	return OUT_OK;
}

enum outcome emulate_leave(struct vcpu *v, const struct insn *i)
{
	unsigned size = insn_size_stack(v, i);
	struct stack s;
	uint64_t value;

	stack_current(v, &s);
	s.sp = v->cpu.gpr[RBP] & s.mask;
	TRY(stack_pop(v, &s, size, &value));
	stack_commit(v, &s);
	v->cpu.gpr[RBP] = size_merge(v->cpu.gpr[RBP], value, size);
	return insn_done(v, i);
}

enum outcome emulate_enter(struct vcpu *v, const struct insn *i)
{
	unsigned size = insn_size_stack(v, i), level;
	unsigned alloc = i->bytes[i->length - 3] | i->bytes[i->length - 2] << 8;
	uint64_t frame, bp, value, linear;
	struct stack s;

	level = i->bytes[i->length - 1] & 31;
	stack_current(v, &s);
	TRY(stack_push(v, &s, size, v->cpu.gpr[RBP]));
	/* all of ESP, though the stack may be of 16 bits (SDM 2A, ENTER: FrameTemp) */
	frame = s.sp | (s.mask == 0xffff ? v->cpu.gpr[RSP] & 0xffff0000 : 0);
	bp = v->cpu.gpr[RBP] & s.mask;
	for (unsigned k = 1; k < level; k++) {
		bp = (bp - size) & s.mask;
		TRY(stack_room(v, &s, bp, size, ACC_READ, &linear));
		value = 0;
		TRY(mem_read(v, linear, &value, size, ACC_READ));
		TRY(stack_push(v, &s, size, value));
	}
	if (level)
		TRY(stack_push(v, &s, size, frame));
	s.sp = (s.sp - alloc) & s.mask;
	/* A write at the final stack pointer must be possible (SDM 2A, ENTER): of the operand's size, seen. */
	TRY(stack_room(v, &s, s.sp, size, ACC_WRITE, &linear));
	TRY(mem_probe(v, linear, size, ACC_WRITE));
	stack_commit(v, &s);
	/* The frame pointer takes the stack's width, or the operand's if that is less. */
	v->cpu.gpr[RBP] = size == 2 || s.mask == 0xffff
		? (v->cpu.gpr[RBP] & ~0xffffull) | (frame & 0xffff)
		: frame;
	return insn_done(v, i);
}

enum outcome emulate_pusha(struct vcpu *v, const struct insn *i)
{
	unsigned size = insn_size(v, i);
	uint64_t sp = v->cpu.gpr[RSP];
	struct stack s;

	if (mode_code64(v))
		return raise_ud(v);
	stack_current(v, &s);
	for (unsigned reg = RAX; reg <= RDI; reg++)
		TRY(stack_push(v, &s, size, reg == RSP ? sp : v->cpu.gpr[reg]));
	stack_commit(v, &s);
	return insn_done(v, i);
}

enum outcome emulate_popa(struct vcpu *v, const struct insn *i)
{
	unsigned size = insn_size(v, i);
	uint64_t value[8];
	struct stack s;

	if (mode_code64(v))
		return raise_ud(v);
	stack_current(v, &s);
	for (int reg = RDI; reg >= RAX; reg--)
		TRY(stack_pop(v, &s, size, &value[reg]));
	for (unsigned reg = RAX; reg <= RDI; reg++)
		if (reg != RSP)
			v->cpu.gpr[reg] = size_merge(v->cpu.gpr[reg], value[reg], size);
	stack_commit(v, &s);
	return insn_done(v, i);
}
