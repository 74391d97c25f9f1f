/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain integer instructions: the encodings that 64-bit code does not have (INC and DEC in one
 * byte, MOV with a far-away absolute address), and a second way for common ones.
 */
#include "cpu/translate/emulate/emulate.h"
#include "cpu/translate/hot.h"

static inline void set_status(struct vcpu *v, uint32_t flags, uint32_t which)
{
	v->cpu.rflags = (v->cpu.rflags & ~(uint64_t)which) | (flags & which);
}

/* ADD OR ADC SBB AND SUB XOR CMP by number; false for CMP: no result is stored. */
static bool alu(struct vcpu *v, unsigned op, unsigned size, uint64_t a, uint64_t b, uint64_t *r)
{
	unsigned carry = v->cpu.rflags & FL_CF;

	switch (op) {
	case 0:
	case 2:
		carry = op == 2 ? carry : 0;
		*r = a + b + carry;
		set_status(v, flags_add(a, b, carry, size), FL_STATUS);
		return true;
	case 3:
	case 5:
	case 7:
		carry = op == 3 ? carry : 0;
		*r = a - b - carry;
		set_status(v, flags_subtract(a, b, carry, size), FL_STATUS);
		return op != 7;
	default:
		*r = op == 1 ? a | b : op == 4 ? a & b : a ^ b;
		set_status(v, flags_result(*r, size), FL_STATUS);
		return true;
	}
}

/*
 * Read, change, write of the ModRM operand: the write is tried first, so that nothing has happened
 * if it faults.
 */
static enum outcome rm_modify_begin(struct vcpu *v, const struct insn *i, unsigned size,
	uint64_t *value)
{
	uint64_t linear;

	if (!rm_is_reg(i)) {
		TRY(operand_linear(v, i, size, ACC_WRITE, &linear));
		TRY(mem_probe(v, linear, size, ACC_WRITE));
	}
	return rm_read(v, i, size, value);
}

static enum outcome integer_alu(struct vcpu *v, const struct insn *i)
{
	unsigned size = (i->opcode & 1) ? insn_size(v, i) : 1, op = i->opcode >> 3 & 7;
	unsigned form = i->opcode & 7, reg = insn_reg(i);
	uint64_t a, b, r, flags = v->cpu.rflags;
	enum outcome out;

	if (i->opcode >= 0x80) {
		op = i->modrm >> 3 & 7;
		form = 0;
		b = (uint64_t)i->imm;
	} else if (form >= 4) {
		a = gpr_get(v, i, RAX, size);
		if (alu(v, op, size, a, (uint64_t)i->imm, &r))
			gpr_set(v, i, RAX, size, r);
		return insn_done(v, i);
	} else {
		b = gpr_get(v, i, reg, size);
	}
	if (form >= 2) {
		TRY(rm_read(v, i, size, &a));
		if (alu(v, op, size, b, a, &r))
			gpr_set(v, i, reg, size, r);
		return insn_done(v, i);
	}
	if (op == 7)
		TRY(rm_read(v, i, size, &a));
	else
		TRY(rm_modify_begin(v, i, size, &a));
	if (alu(v, op, size, a, b, &r)) {
		out = rm_write(v, i, size, r);
		if (out != OUT_OK) {
			v->cpu.rflags = flags;
			return out;
		}
	}
	return insn_done(v, i);
}

static enum outcome increment(struct vcpu *v, const struct insn *i, bool reg_form, bool down)
{
	unsigned size = reg_form || (i->opcode & 1) ? insn_size(v, i) : 1, reg = i->opcode & 7;
	uint64_t value, result;
	uint32_t flags;

	if (reg_form)
		value = v->cpu.gpr[reg];
	else
		TRY(rm_modify_begin(v, i, size, &value));
	flags = down ? flags_subtract(value, 1, 0, size) : flags_add(value, 1, 0, size);
	result = down ? value - 1 : value + 1;
	if (reg_form)
		gpr_set(v, i, reg, size, result);
	else
		TRY(rm_write(v, i, size, result));
	set_status(v, flags, FL_STATUS & ~FL_CF);
	return insn_done(v, i);
}

/* MOV between AL/eAX and an absolute offset. */
static enum outcome mov_absolute(struct vcpu *v, const struct insn *i)
{
	unsigned size = (i->opcode & 1) ? insn_size(v, i) : 1;
	uint64_t value;

	if (i->opcode & 2) {
		TRY(data_write(v, i->mem_seg, insn_address(v, i), size, v->cpu.gpr[RAX]));
	} else {
		TRY(data_read(v, i->mem_seg, insn_address(v, i), size, &value));
		gpr_set(v, i, RAX, size, value);
	}
	return insn_done(v, i);
}

static enum outcome mov_plain(struct vcpu *v, const struct insn *i)
{
	unsigned size = (i->opcode & 1) ? insn_size(v, i) : 1;
	uint64_t value;

	switch (i->opcode) {
	case 0x88:
	case 0x89:
		TRY(rm_write(v, i, size, gpr_get(v, i, insn_reg(i), size)));
		break;
	case 0x8a:
	case 0x8b:
		TRY(rm_read(v, i, size, &value));
		gpr_set(v, i, insn_reg(i), size, value);
		break;
	case 0xc6:
	case 0xc7:
		TRY(rm_write(v, i, size, (uint64_t)i->imm));
		break;
	default: /* B0 to BF */
		size = (i->opcode & 8) ? insn_size(v, i) : 1;
		gpr_set(v, i, (i->opcode & 7) | (i->rex & 1) << 3, size, (uint64_t)i->imm);
		break;
	}
	return insn_done(v, i);
}

static enum outcome test_plain(struct vcpu *v, const struct insn *i)
{
	unsigned size = (i->opcode & 1) ? insn_size(v, i) : 1;
	uint64_t a, b;

	if (i->opcode >= 0xa8 && i->opcode <= 0xa9) {
		a = v->cpu.gpr[RAX];
		b = (uint64_t)i->imm;
	} else {
		TRY(rm_read(v, i, size, &a));
		b = i->opcode >= 0xf6 ? (uint64_t)i->imm : gpr_get(v, i, insn_reg(i), size);
	}
	set_status(v, flags_result(a & b, size), FL_STATUS);
	return insn_done(v, i);
}

/* F6 and F7 /2 and /3: NOT, NEG. */
static enum outcome not_neg(struct vcpu *v, const struct insn *i)
{
	unsigned size = (i->opcode & 1) ? insn_size(v, i) : 1;
	bool neg = (i->modrm >> 3 & 7) == 3;
	uint64_t value;

	TRY(rm_modify_begin(v, i, size, &value));
	TRY(rm_write(v, i, size, neg ? -value : ~value));
	if (neg)
		set_status(v, flags_subtract(0, value, 0, size), FL_STATUS);
	return insn_done(v, i);
}

static enum outcome extend(struct vcpu *v, const struct insn *i)
{
	unsigned from = (i->opcode & 1) ? 2 : 1;
	uint64_t value;

	TRY(rm_read(v, i, from, &value));
	if (i->opcode >= 0xbe)
		value = (uint64_t)size_extend(value, from);
	gpr_set(v, i, insn_reg(i), insn_size(v, i), value);
	return insn_done(v, i);
}

enum outcome emulate_integer(struct vcpu *v, const struct insn *i)
{
	uint8_t op = i->opcode, ext = i->modrm >> 3 & 7;

	/* Nothing here is atomic. */
	if (i->prefix_lock || i->encoding != ENC_LEGACY)
		return raise_ud(v);
	if (i->opcode_map == 1) {
		if ((op & 0xf6) == 0xb6)
			return extend(v, i);
		return raise_ud(v);
	}
	if (i->opcode_map != 0)
		return raise_ud(v);
	if ((op < 0x40 && (op & 7) < 6) || (op >= 0x80 && op <= 0x83))
		return integer_alu(v, i);
	if (op >= 0x40 && op < 0x50 && !mode_code64(v))
		return increment(v, i, true, op & 8);
	if (op >= 0xfe && ext < 2)
		return increment(v, i, false, ext);
	if (op >= 0xa0 && op <= 0xa3)
		return mov_absolute(v, i);
	if ((op >= 0x88 && op <= 0x8b) || (op & 0xfe) == 0xc6 || (op & 0xf0) == 0xb0)
		return mov_plain(v, i);
	if ((op & 0xfe) == 0x84 || (op & 0xfe) == 0xa8 || ((op & 0xfe) == 0xf6 && ext < 2))
		return test_plain(v, i);
	if ((op & 0xfe) == 0xf6 && ext < 4)
		return not_neg(v, i);
	return raise_ud(v);
}
