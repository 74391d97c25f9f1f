/* SPDX-License-Identifier: Apache-2.0 */
/* Re-encoding of copied instructions, bytewise. */
#include "cpu/translate/emit/emit.h"

#include "cpu/translate/cold.h"

/* Bits X and B of VEX and EVEX, inverted. */
static uint8_t vex_xb(struct operand mem)
{
	unsigned rex = operand_rex(mem);

	return (uint8_t)((rex & 2 ? 0 : 0x40) | (rex & 1 ? 0 : 0x20));
}

static void copy_vex(struct emit *e, const struct insn *i, struct operand mem)
{
	const uint8_t *v = i->bytes + i->vex_offset;

	if (v[0] == 0xc5) {
		emit_8(e, 0xc4);
		emit_8(e, (uint8_t)((v[1] & 0x80) | vex_xb(mem) | 1));
		emit_8(e, v[1] & 0x7f);
	} else {
		emit_8(e, v[0]);
		emit_8(e, (uint8_t)((v[1] & 0x9f) | vex_xb(mem)));
		emit_8(e, v[2]);
	}
}

static void copy_evex(struct emit *e, const struct insn *i, struct operand mem)
{
	const uint8_t *v = i->bytes + i->vex_offset;

	emit_8(e, v[0]);
	emit_8(e, (uint8_t)((v[1] & 0x9f) | vex_xb(mem)));
	emit_8(e, v[2]);
	emit_8(e, v[3]);
}

/* ModRM and SIB for mem. EVEX scales one-byte displacements, so it gets long ones. */
static void copy_modrm(struct emit *e, const struct insn *i, unsigned modrm, struct operand mem)
{
	bool sib = mem.index != NO_REG || (mem.base & 7) == RSP;

	modrm = (modrm & 0x38u) | (sib ? 4u : mem.base & 7u);
	if (mem.disp == 0 && (mem.base & 7) != RBP)
		;
	else if (mem.disp == (int8_t)mem.disp && i->encoding != ENC_EVEX)
		modrm |= 0x40;
	else
		modrm |= 0x80;
	emit_8(e, (uint8_t)modrm);
	if (sib)
		emit_8(e,
			(uint8_t)((mem.index == NO_REG ? 4u : mem.index & 7u) << 3 |
				(mem.base & 7u)));
	if (modrm & 0x40)
		emit_8(e, (uint8_t)mem.disp);
	else if (modrm & 0x80)
		emit_32(e, (uint32_t)mem.disp);
}

static bool is_moffs(const struct insn *i)
{
	return i->encoding == ENC_LEGACY && i->opcode_map == 0 && i->has_mem && !i->modrm_offset;
}

static void copy_legacy(struct emit *e, const struct insn *i, unsigned code_bits,
	struct operand mem)
{
	unsigned rex = i->rex;
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
		/* MOV moffs has no ModRM, and its REX.R means nothing */
		rex &= is_moffs(i) ? ~7u : ~3u;
		if (operand_rex(mem))
			rex |= 0x40 | operand_rex(mem);
	}
	if (rex)
		emit_8(e, (uint8_t)rex);
	if (i->opcode_map == 0) {
		if (is_moffs(i)) {
			static const uint8_t moffs[] = {0x8a, 0x8b, 0x88, 0x89}; /* for A0-A3 */

			emit_8(e, moffs[opcode & 3]);
			copy_modrm(e, i, 0, mem);
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

void emit_copy(struct emit *e, const struct insn *i, unsigned code_bits, struct operand mem)
{
	if (!i->has_mem && !i->rep_ignored && (code_bits == 64 || i->encoding != ENC_LEGACY)) {
		emit_bytes(e, i->bytes, i->length);
		return;
	}
	if (i->encoding == ENC_LEGACY) {
		copy_legacy(e, i, code_bits, mem);
		if (is_moffs(i))
			return;
	} else {
		if (i->encoding == ENC_VEX)
			copy_vex(e, i, mem);
		else
			copy_evex(e, i, mem);
		emit_8(e, i->opcode);
	}
	if (i->modrm_offset && i->has_mem)
		copy_modrm(e, i, i->modrm, mem);
	else if (i->modrm_offset)
		emit_8(e, i->modrm);
	if (i->imm_size)
		emit_bytes(e, i->bytes + i->imm_offset, i->imm_size);
}
