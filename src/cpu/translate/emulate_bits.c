/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BT, BTS, BTR, BTC (SDM 2A): with a register bit offset on memory the operand is a string of bits
 * that reaches 2 GiB (or, with 64 bits, much more) to either side of the address.
 */
#include "cpu/translate/emulate.h"

enum bit_op { BIT_TEST = 4, BIT_SET, BIT_RESET, BIT_COMPLEMENT };

static enum bit_op bit_op(const struct insn *i)
{
	/* 0F A3, AB, B3, BB and 0F BA /4 to /7 agree in three bits. */
	return i->opcode == 0xba ? i->modrm >> 3 & 7 : i->opcode >> 3 & 7;
}

static uint64_t bit_apply(enum bit_op op, uint64_t value, uint64_t bit)
{
	switch (op) {
	case BIT_SET:
		return value | bit;
	case BIT_RESET:
		return value & ~bit;
	case BIT_COMPLEMENT:
		return value ^ bit;
	default:
		return value;
	}
}

/* In place, atomically with LOCK; returns the old value. */
static uint64_t bit_in_place(enum bit_op op, void *host, unsigned size, uint64_t bit, bool lock)
{
#define IN_PLACE(type)                                                                             \
	do {                                                                                       \
		type *p = host, old;                                                               \
		if (!lock) {                                                                       \
			old = *p;                                                                  \
			*p = (type)bit_apply(op, old, bit);                                        \
			return old;                                                                \
		}                                                                                  \
		if (op == BIT_SET)                                                                 \
			return __atomic_fetch_or(p, (type)bit, __ATOMIC_SEQ_CST);                  \
		if (op == BIT_RESET)                                                               \
			return __atomic_fetch_and(p, (type)~bit, __ATOMIC_SEQ_CST);                \
		return __atomic_fetch_xor(p, (type)bit, __ATOMIC_SEQ_CST);                         \
	} while (0)
	if (size == 2)
		IN_PLACE(uint16_t);
	if (size == 4)
		IN_PLACE(uint32_t);
	IN_PLACE(uint64_t);
#undef IN_PLACE
}

static enum outcome bit_memory(struct vcpu *v, const struct insn *i, enum bit_op op, unsigned size,
	int64_t index, uint64_t *old)
{
	unsigned shift = size == 2 ? 4 : size == 4 ? 5 : 6;
	uint64_t bit = 1ull << (index & (size * 8 - 1)), offset, linear, value = 0;
	unsigned access = op == BIT_TEST ? ACC_READ : ACC_WRITE;
	void *host;

	offset = insn_address(v, i) + (uint64_t)(index >> shift) * size;
	offset &= size_mask(i->address_size);
	TRY(linear_address(v, i->mem_seg, offset, size, access, &linear));
	TRY(alignment_check(v, linear, size));
	if (op == BIT_TEST) {
		*old = 0;
		return mem_read(v, linear, old, size, ACC_READ);
	}
	TRY(mem_host(v, linear, size, ACC_WRITE, &host));
	if (host) {
		*old = bit_in_place(op, host, size, bit, i->prefix_lock);
		return OUT_OK;
	}
	TRY(mem_probe(v, linear, size, ACC_WRITE));
	TRY(mem_read(v, linear, &value, size, ACC_READ));
	*old = value;
	value = bit_apply(op, value, bit);
	return mem_write(v, linear, &value, size, ACC_WRITE);
}

enum outcome emulate_bitstring(struct vcpu *v, const struct insn *i)
{
	unsigned size = insn_size(v, i), bits = size * 8;
	enum bit_op op = bit_op(i);
	uint64_t old;
	int64_t index;

	if (op < BIT_TEST || (i->prefix_lock && (rm_is_reg(i) || op == BIT_TEST)))
		return raise_ud(v);
	if (i->opcode == 0xba)
		index = i->imm & (bits - 1);
	else
		index = size_extend(v->cpu.gpr[insn_reg(i)], size);
	if (rm_is_reg(i)) {
		unsigned reg = insn_rm(i);

		old = v->cpu.gpr[reg];
		if (op != BIT_TEST)
			gpr_set(v, i, reg, size, bit_apply(op, old, 1ull << (index & (bits - 1))));
	} else {
		TRY(bit_memory(v, i, op, size, index, &old));
	}
	v->cpu.rflags = (v->cpu.rflags & ~(uint64_t)FL_CF) | (old >> (index & (bits - 1)) & 1);
	return insn_done(v, i);
}
