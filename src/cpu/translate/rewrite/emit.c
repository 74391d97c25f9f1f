/* SPDX-License-Identifier: Apache-2.0 */
/* Re-encoding of copied instructions, bytewise. */
#include "cpu/translate/rewrite/emit.h"

static void copy_vex(struct emit *e, const struct insn *i, unsigned mem_reg)
{
	const uint8_t *v = i->bytes + i->vex_offset;
	uint8_t base = mem_reg & 8 ? 0 : 0x20; /* inverted B */

	if (v[0] == 0xc5) {
		emit_8(e, 0xc4);
		emit_8(e, (uint8_t)((v[1] & 0x80) | 0x40 | base | 1));
		emit_8(e, v[1] & 0x7f);
	} else {
		emit_8(e, v[0]);
		emit_8(e, (uint8_t)((v[1] & 0x9f) | 0x40 | base));
		emit_8(e, v[2]);
	}
}

static void copy_evex(struct emit *e, const struct insn *i, unsigned mem_reg)
{
	const uint8_t *v = i->bytes + i->vex_offset;

	emit_8(e, v[0]);
	emit_8(e, (uint8_t)((v[1] & 0x9f) | 0x40 | (mem_reg & 8 ? 0 : 0x20)));
	emit_8(e, v[2]);
	emit_8(e, v[3]);
}

static void copy_legacy(struct emit *e, const struct insn *i, unsigned code_bits, unsigned mem_reg)
{
	unsigned rex = i->rex;
	bool has_modrm = i->modrm_offset;
	unsigned opcode = i->opcode;

	if (code_bits == 64 ? i->prefix_66 : i->mandatory_66 || i->operand_size == 2)
		emit_8(e, 0x66);
	if (i->prefix_f2 && !i->rep_ignored)
		emit_8(e, 0xf2);
	if (i->prefix_f3 && !i->rep_ignored)
		emit_8(e, 0xf3);
	if (i->prefix_lock)
		emit_8(e, 0xf0);
	if (i->has_mem) {
		rex &= has_modrm ? ~3u : ~7u;
		if (mem_reg & 8)
			rex |= 0x41;
	}
	if (rex)
		emit_8(e, (uint8_t)rex);
	if (i->opcode_map == 0) {
		if (i->has_mem && !has_modrm) {
			/* MOV moffs: A0-A3 */
			static const uint8_t moffs[] = {0x8a, 0x8b, 0x88, 0x89};

			emit_8(e, moffs[opcode & 3]); /* REX.R has gone: there was no ModRM */
			emit_8(e, mem_reg & 7);
			return;
		}
		if (code_bits != 64 && opcode >= 0x40 && opcode <= 0x4f) {
			/* INC, DEC: REX prefixes in 64-bit code */
			emit_8(e, 0xff);
			emit_8(e, (uint8_t)(0xc0 | (opcode & 15)));
			return;
		}
		if (opcode == 0x82)
			opcode = 0x80;
	} else {
		emit_8(e, 0x0f);
		if (i->opcode_map == 2)
			emit_8(e, 0x38);
		else if (i->opcode_map == 3)
			emit_8(e, 0x3a);
	}
	emit_8(e, (uint8_t)opcode);
}

/* ModRM for [mem_reg + disp]. EVEX scales one-byte displacements, so it gets long ones. */
static void copy_modrm(struct emit *e, const struct insn *i, unsigned mem_reg, int32_t disp)
{
	unsigned modrm = (i->modrm & 0x38u) | (mem_reg & 7);

	if (disp == 0) {
		emit_8(e, (uint8_t)modrm);
	} else if (disp == (int8_t)disp && i->encoding != ENC_EVEX) {
		emit_8(e, (uint8_t)(modrm | 0x40));
		emit_8(e, (uint8_t)disp);
	} else {
		emit_8(e, (uint8_t)(modrm | 0x80));
		emit_32(e, (uint32_t)disp);
	}
}

void emit_copy(struct emit *e, const struct insn *i, unsigned code_bits, unsigned mem_reg)
{
	emit_copy_at(e, i, code_bits, mem_reg, 0);
}

void emit_copy_at(struct emit *e, const struct insn *i, unsigned code_bits, unsigned mem_reg,
	int32_t disp)
{
	bool moffs;

	if (!i->has_mem && !i->rep_ignored && (code_bits == 64 || i->encoding != ENC_LEGACY)) {
		emit_bytes(e, i->bytes, i->length);
		return;
	}
	moffs = i->encoding == ENC_LEGACY && i->opcode_map == 0 && i->has_mem && !i->modrm_offset;
	if (i->encoding == ENC_LEGACY) {
		copy_legacy(e, i, code_bits, mem_reg);
		if (moffs)
			return;
	} else {
		if (i->encoding == ENC_VEX)
			copy_vex(e, i, mem_reg);
		else
			copy_evex(e, i, mem_reg);
		emit_8(e, i->opcode);
	}
	if (i->modrm_offset && i->has_mem)
		copy_modrm(e, i, mem_reg, disp);
	else if (i->modrm_offset)
		emit_8(e, i->modrm);
	if (i->imm_size)
		emit_bytes(e, i->bytes + i->imm_offset, i->imm_size);
}
