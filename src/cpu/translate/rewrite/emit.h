/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small assembler: the few host instructions that the rewriter adds around
 * copied ones. Encodings: Intel SDM 2A chapter 2.
 */
#ifndef DACH_CPU_TRANSLATE_EMIT_H
#define DACH_CPU_TRANSLATE_EMIT_H

#include <stdint.h>
#include <string.h>

#include "cpu/translate/insn/insn.h"
#include "cpu/state.h"

/* Where code is written; exec is the address it will run at less the one it is written to. */
struct emit {
	uint8_t *at;
	int64_t exec;
};

#define NO_REG INSN_NO_REG
#define GS_SCALED 0xfe /* a base of struct operand: %gs:[index * scale + disp] */
#define GS_ONLY 0xfd   /* %gs:[disp] */

/* A memory operand of emitted code. */
struct operand {
	uint8_t base, index, scale; /* scale is 1, 2, 4, 8 */
	int32_t disp;
};

static inline void emit_8(struct emit *e, uint8_t v)
{
	*e->at++ = v;
}

static inline void emit_32(struct emit *e, uint32_t v)
{
	memcpy(e->at, &v, 4);
	e->at += 4;
}

static inline void emit_64(struct emit *e, uint64_t v)
{
	memcpy(e->at, &v, 8);
	e->at += 8;
}

static inline void emit_bytes(struct emit *e, const void *bytes, unsigned count)
{
	memcpy(e->at, bytes, count);
	e->at += count;
}

static inline struct operand gs_slot(uint64_t offset)
{
	return (struct operand){GS_ONLY, NO_REG, 1, (int32_t)offset};
}

static inline struct operand gs_table(uint64_t offset, unsigned index)
{
	return (struct operand){GS_SCALED, (uint8_t)index, 8, (int32_t)offset};
}

static inline struct operand at_reg(unsigned base, int32_t disp)
{
	return (struct operand){(uint8_t)base, NO_REG, 1, disp};
}

/* REX bits X and B of an operand. */
static inline unsigned operand_rex(struct operand o)
{
	unsigned rex = 0;

	if (o.base < 16 && o.base & 8)
		rex |= 1;
	if (o.index < 16 && o.index & 8)
		rex |= 2;
	return rex;
}

static inline void emit_modrm_mem(struct emit *e, unsigned reg, struct operand o)
{
	unsigned scale = o.scale == 8 ? 3 : o.scale == 4 ? 2 : o.scale == 2 ? 1 : 0;
	unsigned r = (reg & 7) << 3, mod;

	if (o.base == GS_ONLY || o.base == GS_SCALED || (o.base == NO_REG)) {
		unsigned index = o.index == NO_REG ? 4 : o.index & 7;

		emit_8(e, (uint8_t)(r | 4));
		emit_8(e, (uint8_t)(scale << 6 | index << 3 | 5));
		emit_32(e, (uint32_t)o.disp);
		return;
	}
	if (o.disp == 0 && (o.base & 7) != 5)
		mod = 0;
	else if (o.disp >= -128 && o.disp <= 127)
		mod = 0x40;
	else
		mod = 0x80;
	if (o.index == NO_REG && (o.base & 7) != 4) {
		emit_8(e, (uint8_t)(mod | r | (o.base & 7)));
	} else {
		unsigned index = o.index == NO_REG ? 4 : o.index & 7;

		emit_8(e, (uint8_t)(mod | r | 4));
		emit_8(e, (uint8_t)(scale << 6 | index << 3 | (o.base & 7)));
	}
	if (mod == 0x40)
		emit_8(e, (uint8_t)o.disp);
	else if (mod == 0x80)
		emit_32(e, (uint32_t)o.disp);
}

/* opcode: one byte, or two as 0x0fXX. size: 1, 2, 4, 8. */
static inline void emit_op_mem(struct emit *e, unsigned size, unsigned opcode, unsigned reg,
	struct operand o)
{
	unsigned rex = operand_rex(o) | (reg & 8 ? 4 : 0) | (size == 8 ? 8 : 0);

	if (o.base == GS_ONLY || o.base == GS_SCALED)
		emit_8(e, 0x65);
	if (size == 2)
		emit_8(e, 0x66);
	if (rex || size == 1)
		emit_8(e, (uint8_t)(0x40 | rex));
	if (opcode > 0xff)
		emit_8(e, 0x0f);
	emit_8(e, (uint8_t)opcode);
	emit_modrm_mem(e, reg, o);
}

static inline void emit_op_reg(struct emit *e, unsigned size, unsigned opcode, unsigned reg,
	unsigned rm)
{
	unsigned rex = (rm & 8 ? 1 : 0) | (reg & 8 ? 4 : 0) | (size == 8 ? 8 : 0);

	if (size == 2)
		emit_8(e, 0x66);
	if (rex || size == 1)
		emit_8(e, (uint8_t)(0x40 | rex));
	if (opcode > 0xff)
		emit_8(e, 0x0f);
	emit_8(e, (uint8_t)opcode);
	emit_8(e, (uint8_t)(0xc0 | (reg & 7) << 3 | (rm & 7)));
}

static inline void emit_load(struct emit *e, unsigned size, unsigned reg, struct operand o)
{
	emit_op_mem(e, size, size == 1 ? 0x8a : 0x8b, reg, o);
}

static inline void emit_store(struct emit *e, unsigned size, struct operand o, unsigned reg)
{
	emit_op_mem(e, size, size == 1 ? 0x88 : 0x89, reg, o);
}

static inline void emit_lea(struct emit *e, unsigned size, unsigned reg, struct operand o)
{
	emit_op_mem(e, size, 0x8d, reg, o);
}

static inline void emit_mov(struct emit *e, unsigned size, unsigned to, unsigned from)
{
	emit_op_reg(e, size, 0x8b, to, from);
}

static inline void emit_mov_imm32(struct emit *e, unsigned reg, uint32_t imm)
{
	if (reg & 8)
		emit_8(e, 0x41);
	emit_8(e, (uint8_t)(0xb8 | (reg & 7)));
	emit_32(e, imm);
}

static inline void emit_mov_imm64(struct emit *e, unsigned reg, uint64_t imm)
{
	emit_8(e, (uint8_t)(0x48 | (reg & 8 ? 1 : 0)));
	emit_8(e, (uint8_t)(0xb8 | (reg & 7)));
	emit_64(e, imm);
}

/* VEX.LZ with map 2 (0F38) or 3 (0F3A), W1; pp 2 = F3, 3 = F2. */
static inline void emit_vex(struct emit *e, unsigned map, unsigned pp, unsigned reg, unsigned vvvv,
	unsigned rex_xb)
{
	emit_8(e, 0xc4);
	emit_8(e,
		(uint8_t)((reg & 8 ? 0 : 0x80) | (rex_xb & 2 ? 0 : 0x40) | (rex_xb & 1 ? 0 : 0x20) |
			map));
	emit_8(e, (uint8_t)(0x80 | (~vvvv & 15) << 3 | pp));
}

static inline void emit_rorx(struct emit *e, unsigned to, unsigned from, unsigned count)
{
	emit_vex(e, 3, 3, to, 0, from & 8 ? 1 : 0);
	emit_8(e, 0xf0);
	emit_8(e, (uint8_t)(0xc0 | (to & 7) << 3 | (from & 7)));
	emit_8(e, (uint8_t)count);
}

/* to = PEXT(from, mask in memory) */
static inline void emit_pext(struct emit *e, unsigned to, unsigned from, struct operand mask)
{
	emit_8(e, 0x65);
	emit_vex(e, 2, 2, to, from, operand_rex(mask));
	emit_8(e, 0xf5);
	emit_modrm_mem(e, to, mask);
}

/* to = PDEP(from, mask in memory) */
static inline void emit_pdep(struct emit *e, unsigned to, unsigned from, struct operand mask)
{
	emit_8(e, 0x65);
	emit_vex(e, 2, 3, to, from, operand_rex(mask));
	emit_8(e, 0xf5);
	emit_modrm_mem(e, to, mask);
}

static inline void emit_movzx16(struct emit *e, unsigned to, unsigned from)
{
	emit_op_reg(e, 4, 0xfb7, to, from);
}

static inline void emit_movzx8(struct emit *e, unsigned to, unsigned from)
{
	/* any REX names the low byte of each register */
	emit_8(e, (uint8_t)(0x40 | (from & 8 ? 1 : 0) | (to & 8 ? 4 : 0)));
	emit_8(e, 0x0f);
	emit_8(e, 0xb6);
	emit_8(e, (uint8_t)(0xc0 | (to & 7) << 3 | (from & 7)));
}

static inline void emit_not(struct emit *e, unsigned reg)
{
	emit_op_reg(e, 8, 0xf7, 2, reg);
}

/* jmp *%gs:offset */
static inline void emit_jmp_slot(struct emit *e, uint64_t offset)
{
	emit_8(e, 0x65);
	emit_8(e, 0xff);
	emit_modrm_mem(e, 4, gs_slot(offset));
}

static inline void emit_rel32(struct emit *e, const uint8_t *target)
{
	emit_32(e, (uint32_t)(target - (e->at + 4)));
}

static inline void emit_jmp(struct emit *e, const uint8_t *target)
{
	emit_8(e, 0xe9);
	emit_rel32(e, target);
}

static inline void emit_jcc(struct emit *e, unsigned cc, const uint8_t *target)
{
	emit_8(e, 0x0f);
	emit_8(e, (uint8_t)(0x80 | cc));
	emit_rel32(e, target);
}

/* lea reg, [rip -> target] */
static inline void emit_lea_rip(struct emit *e, unsigned reg, const uint8_t *target)
{
	emit_8(e, (uint8_t)(0x48 | (reg & 8 ? 4 : 0)));
	emit_8(e, 0x8d);
	emit_8(e, (uint8_t)((reg & 7) << 3 | 5));
	emit_rel32(e, target);
}

/* A forward jump of one byte, closed by emit_close(). */
static inline uint8_t *emit_jrcxz(struct emit *e)
{
	emit_8(e, 0xe3);
	emit_8(e, 0);
	return e->at;
}

static inline void emit_close(struct emit *e, uint8_t *from)
{
	from[-1] = (uint8_t)(e->at - from);
}

/*
 * The instruction itself, its memory operand (if it has one) replaced by mem (base, index with scale
 * 1 or none, displacement), for execution in 64-bit mode whatever code it came from.
 */
void emit_copy(struct emit *e, const struct insn *i, unsigned code_bits, struct operand mem);

#endif
