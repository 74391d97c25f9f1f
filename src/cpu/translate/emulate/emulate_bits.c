/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BT, BTS, BTR, BTC (SDM 2A): with a register bit offset on memory the operand is a string of bits
 * that reaches 2 GiB (or, with 64 bits, much more) to either side of the address.
 */
#include "cpu/translate/emulate/emulate.h"
#include "cpu/translate/hot.h"
#include "cpu/translate/run/exclusive.h"
#include "cpu/translate/vm.h"

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

/* In place, atomically with LOCK; returns the bit as it was. */
static bool bit_in_place(enum bit_op op, void *host, unsigned size, uint64_t index, bool lock)
{
	bool old = false;

#define IN_PLACE_SIZE(name, prefix)                                                 \
	do {                                                                        \
		if (size == 2)                                                      \
			__asm__ volatile(prefix name "w %w2, %0"                    \
					 : "+m"(*(uint8_t(*)[2])host), "=@ccc"(old) \
					 : "r"(index));                             \
		else if (size == 4)                                                 \
			__asm__ volatile(prefix name "l %k2, %0"                    \
					 : "+m"(*(uint8_t(*)[4])host), "=@ccc"(old) \
					 : "r"(index));                             \
		else                                                                \
			__asm__ volatile(prefix name "q %2, %0"                     \
					 : "+m"(*(uint8_t(*)[8])host), "=@ccc"(old) \
					 : "r"(index));                             \
	} while (0)
#define IN_PLACE(name)                                \
	do {                                          \
		if (lock)                             \
			IN_PLACE_SIZE(name, "lock "); \
		else                                  \
			IN_PLACE_SIZE(name, "");      \
	} while (0)
	switch (op) {
	case BIT_SET:
		IN_PLACE("bts");
		break;
	case BIT_RESET:
		IN_PLACE("btr");
		break;
	default:
		IN_PLACE("btc");
		break;
	}
#undef IN_PLACE
#undef IN_PLACE_SIZE
	return old;
}

/* The same where the operand is a device or crosses pages. */
static enum outcome bit_elsewhere(struct vcpu *v, enum bit_op op, uint64_t linear, unsigned size,
	uint64_t index, bool *old)
{
	uint64_t value = 0;

	TRY(mem_probe(v, linear, size, ACC_WRITE));
	TRY(mem_read(v, linear, &value, size, ACC_READ));
	*old = value >> index & 1;
	value = bit_apply(op, value, 1ull << index);
	return mem_write(v, linear, &value, size, ACC_WRITE);
}

static enum outcome bit_memory(struct vcpu *v, const struct insn *i, enum bit_op op, unsigned size,
	int64_t index, bool *old)
{
	unsigned shift = size == 2 ? 4 : size == 4 ? 5 : 6, access;
	uint64_t bit = (uint64_t)index & (size * 8 - 1), offset, linear, value = 0;
	enum outcome out;
	void *host;

	access = op == BIT_TEST ? ACC_READ : ACC_WRITE;
	offset = insn_address(v, i) + (uint64_t)(index >> shift) * size;
	offset &= size_mask(i->address_size);
	TRY(linear_address(v, i->mem_seg, offset, size, access, &linear));
	TRY(alignment_check(v, linear, size));
	if (op == BIT_TEST) {
		TRY(mem_read(v, linear, &value, size, ACC_READ));
		*old = value >> bit & 1;
		return OUT_OK;
	}
	TRY(mem_host(v, linear, size, ACC_WRITE, &host));
	if (host) {
		*old = bit_in_place(op, host, size, bit, i->prefix_lock);
		return OUT_OK;
	}
	if (!i->prefix_lock)
		return bit_elsewhere(v, op, linear, size, bit, old);
	vm_exclusive_begin(v);
	out = bit_elsewhere(v, op, linear, size, bit, old);
	vm_exclusive_end(v);
	return out;
}

enum outcome emulate_bitstring(struct vcpu *v, const struct insn *i)
{
	unsigned size = insn_size(v, i), bits = size * 8;
	enum bit_op op = bit_op(i);
	int64_t index;
	bool old;

	if (op < BIT_TEST || (i->prefix_lock && (rm_is_reg(i) || op == BIT_TEST)))
		return raise_ud(v);
	if (i->opcode == 0xba)
		index = i->imm & (bits - 1);
	else
		index = size_extend(v->cpu.gpr[insn_reg(i)], size);
	if (rm_is_reg(i)) {
		unsigned reg = insn_rm(i);

		uint64_t value = v->cpu.gpr[reg], bit = (uint64_t)index & (bits - 1);

		old = value >> bit & 1;
		if (op != BIT_TEST)
			gpr_set(v, i, reg, size, bit_apply(op, value, 1ull << bit));
	} else {
		TRY(bit_memory(v, i, op, size, index, &old));
	}
	v->cpu.rflags = (v->cpu.rflags & ~(uint64_t)FL_CF) | (old ? FL_CF : 0);
	return insn_done(v, i);
}
