/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small assembler: the few host instructions that the code generator adds around
 * copied ones. Encodings: Intel SDM 2A chapter 2.
 */
#ifndef DACH_CPU_TRANSLATE_EMIT_H
#define DACH_CPU_TRANSLATE_EMIT_H

#include <stdint.h>
#include <string.h>

#include "cpu/translate/decode/insn.h"
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

/*
 * put_*: the bytes of an instruction by a pointer of their own, which its bytes cannot change, so that
 * the compiler makes few wide stores of them; returns where it ends.
 */
static inline uint8_t *put_8(uint8_t *p, unsigned v)
{
	*p = (uint8_t)v;
	return p + 1;
}

static inline uint8_t *put_32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, 4);
	return p + 4;
}

static inline uint8_t *put_modrm_mem(uint8_t *p, unsigned reg, struct operand o)
{
	unsigned scale = o.scale == 8 ? 3 : o.scale == 4 ? 2 : o.scale == 2 ? 1 : 0;
	unsigned index = o.index == NO_REG ? 4 : o.index & 7;
	unsigned r = (reg & 7) << 3, mod;

	if (o.base == GS_ONLY || o.base == GS_SCALED || (o.base == NO_REG)) {
		p = put_8(p, r | 4);
		p = put_8(p, scale << 6 | index << 3 | 5);
		return put_32(p, (uint32_t)o.disp);
	}
	if (o.disp == 0 && (o.base & 7) != 5)
		mod = 0;
	else if (o.disp >= -128 && o.disp <= 127)
		mod = 0x40;
	else
		mod = 0x80;
	if (o.index == NO_REG && (o.base & 7) != 4) {
		p = put_8(p, mod | r | (o.base & 7));
	} else {
		p = put_8(p, mod | r | 4);
		p = put_8(p, scale << 6 | index << 3 | (o.base & 7));
	}
	if (mod == 0x40)
		return put_8(p, (uint8_t)o.disp);
	return mod == 0x80 ? put_32(p, (uint32_t)o.disp) : p;
}

/* What comes before the ModRM byte: 66, REX, one opcode byte or two (0x0fXX). */
static inline uint8_t *put_opcode(uint8_t *p, unsigned size, unsigned opcode, unsigned rex)
{
	rex |= size == 8 ? 8 : 0;
	if (size == 2)
		p = put_8(p, 0x66);
	if (rex || size == 1)
		p = put_8(p, 0x40 | rex);
	if (opcode > 0xff)
		p = put_8(p, 0x0f);
	return put_8(p, opcode & 0xff);
}

/* opcode: one byte, or two as 0x0fXX. size: 1, 2, 4, 8. */
static inline void emit_op_mem(struct emit *e, unsigned size, unsigned opcode, unsigned reg,
	struct operand o)
{
	uint8_t *p = e->at;

	if (o.base == GS_ONLY || o.base == GS_SCALED)
		p = put_8(p, 0x65);
	p = put_opcode(p, size, opcode, operand_rex(o) | (reg & 8 ? 4 : 0));
	e->at = put_modrm_mem(p, reg, o);
}

static inline void emit_op_reg(struct emit *e, unsigned size, unsigned opcode, unsigned reg,
	unsigned rm)
{
	uint8_t *p = put_opcode(e->at, size, opcode, (rm & 8 ? 1 : 0) | (reg & 8 ? 4 : 0));

	e->at = put_8(p, 0xc0 | (reg & 7) << 3 | (rm & 7));
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
	uint8_t *p = e->at;

	if (reg & 8)
		p = put_8(p, 0x41);
	p = put_8(p, 0xb8 | (reg & 7));
	e->at = put_32(p, imm);
}

static inline void emit_mov_imm64(struct emit *e, unsigned reg, uint64_t imm)
{
	uint8_t *p = put_8(e->at, 0x48 | (reg & 8 ? 1 : 0));

	p = put_8(p, 0xb8 | (reg & 7));
	memcpy(p, &imm, 8);
	e->at = p + 8;
}

/* VEX.LZ with map 2 (0F38) or 3 (0F3A), W1; pp 2 = F3, 3 = F2. */
static inline uint8_t *put_vex(uint8_t *p, unsigned map, unsigned pp, unsigned reg, unsigned vvvv,
	unsigned rex_xb)
{
	p = put_8(p, 0xc4);
	p = put_8(p,
		(reg & 8 ? 0 : 0x80) | (rex_xb & 2 ? 0 : 0x40) | (rex_xb & 1 ? 0 : 0x20) | map);
	return put_8(p, 0x80 | (~vvvv & 15) << 3 | pp);
}

static inline void emit_rorx(struct emit *e, unsigned to, unsigned from, unsigned count)
{
	uint8_t *p = put_vex(e->at, 3, 3, to, 0, from & 8 ? 1 : 0);

	p = put_8(p, 0xf0);
	p = put_8(p, 0xc0 | (to & 7) << 3 | (from & 7));
	e->at = put_8(p, count);
}

/* to = from >> count, signed */
static inline void emit_sarx(struct emit *e, unsigned to, unsigned from, unsigned count)
{
	uint8_t *p = put_vex(e->at, 2, 2, to, count, from & 8 ? 1 : 0);

	e->at = put_8(put_8(p, 0xf7), 0xc0 | (to & 7) << 3 | (from & 7));
}

/* PEXT and PDEP with the mask in memory at %gs. */
static inline void emit_bits(struct emit *e, unsigned pp, unsigned to, unsigned from,
	struct operand mask)
{
	uint8_t *p = put_8(e->at, 0x65);

	p = put_vex(p, 2, pp, to, from, operand_rex(mask));
	e->at = put_modrm_mem(put_8(p, 0xf5), to, mask);
}

/* to = PEXT(from, mask in memory) */
static inline void emit_pext(struct emit *e, unsigned to, unsigned from, struct operand mask)
{
	emit_bits(e, 2, to, from, mask);
}

/* to = PDEP(from, mask in memory) */
static inline void emit_pdep(struct emit *e, unsigned to, unsigned from, struct operand mask)
{
	emit_bits(e, 3, to, from, mask);
}

/* reg += operand + CF; CF alone is written */
static inline void emit_adcx(struct emit *e, unsigned reg, struct operand o)
{
	uint8_t *p = e->at;

	if (o.base == GS_ONLY || o.base == GS_SCALED)
		p = put_8(p, 0x65);
	p = put_8(p, 0x66);
	p = put_8(p, 0x48 | operand_rex(o) | (reg & 8 ? 4 : 0));
	p = put_8(put_8(put_8(p, 0x0f), 0x38), 0xf6);
	e->at = put_modrm_mem(p, reg, o);
}

/* CF = the slot's lowest bit; reg is used, no other flag is written */
static inline void emit_carry_load(struct emit *e, unsigned reg, struct operand slot)
{
	uint8_t *p;

	emit_op_mem(e, 4, 0xfb6, reg, slot); /* movzx: what is stored by the byte is loaded so */
	emit_rorx(e, reg, reg, 1);
	p = put_8(put_8(e->at, 0x66), 0x48 | (reg & 8 ? 5 : 0)); /* adcx reg, reg */
	p = put_8(put_8(put_8(p, 0x0f), 0x38), 0xf6);
	e->at = put_8(p, 0xc0 | (reg & 7) << 3 | (reg & 7));
}

/* The slot's lowest byte = CF */
static inline void emit_carry_store(struct emit *e, struct operand slot)
{
	emit_op_mem(e, 4, 0xf92, 0, slot);
}

static inline void emit_movzx16(struct emit *e, unsigned to, unsigned from)
{
	emit_op_reg(e, 4, 0xfb7, to, from);
}

static inline void emit_movzx8(struct emit *e, unsigned to, unsigned from)
{
	/* any REX names the low byte of each register */
	uint8_t *p = put_8(e->at, 0x40 | (from & 8 ? 1 : 0) | (to & 8 ? 4 : 0));

	p = put_8(put_8(p, 0x0f), 0xb6);
	e->at = put_8(p, 0xc0 | (to & 7) << 3 | (from & 7));
}

static inline void emit_not(struct emit *e, unsigned reg)
{
	emit_op_reg(e, 8, 0xf7, 2, reg);
}

/* jmp *%gs:offset */
static inline void emit_jmp_slot(struct emit *e, uint64_t offset)
{
	emit_op_mem(e, 4, 0xff, 4, gs_slot(offset));
}

static inline uint8_t *put_rel32(uint8_t *p, const uint8_t *target)
{
	return put_32(p, (uint32_t)(target - (p + 4)));
}

static inline void emit_jmp(struct emit *e, const uint8_t *target)
{
	e->at = put_rel32(put_8(e->at, 0xe9), target);
}

static inline void emit_jcc(struct emit *e, unsigned cc, const uint8_t *target)
{
	e->at = put_rel32(put_8(put_8(e->at, 0x0f), 0x80 | cc), target);
}

/* lea reg, [rip -> target] */
static inline void emit_lea_rip(struct emit *e, unsigned reg, const uint8_t *target)
{
	uint8_t *p = put_8(e->at, 0x48 | (reg & 8 ? 4 : 0));

	p = put_8(p, 0x8d);
	e->at = put_rel32(put_8(p, (reg & 7) << 3 | 5), target);
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
