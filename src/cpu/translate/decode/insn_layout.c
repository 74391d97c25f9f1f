/* SPDX-License-Identifier: Apache-2.0 */
/* Where the pieces of an instruction are: Intel SDM 2A, chapter 2. */
#include "cpu/state.h"
#include "cpu/translate/cold.h"
#include "cpu/translate/decode/insn_parts.h"

/* Prefix groups 1 to 4; returns how many bytes come before REX, VEX, EVEX, 0F or the opcode. */
static unsigned prefixes(struct insn *i, bool long_mode)
{
	unsigned n = 0, rex_at = 0;
	uint8_t rex = 0, rep = 0;

	for (; n < i->length; n++) {
		uint8_t b = i->bytes[n];

		if (long_mode && (b & 0xf0) == 0x40) {
			rex = b;
			rex_at = n;
			continue;
		}
		switch (b) {
		case 0x66:
			i->prefix_66 = true;
			break;
		case 0x67:
			i->prefix_67 = true;
			break;
		case 0xf0:
			i->prefix_lock = true;
			break;
		case 0xf2:
		case 0xf3:
			rep = b;
			break;
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
			if (!long_mode) {
				i->seg_override = true;
				i->mem_seg = SEG_ES + ((b - 0x26) >> 3);
			}
			break;
		case 0x64:
		case 0x65:
			i->seg_override = true;
			i->mem_seg = b == 0x64 ? SEG_FS : SEG_GS;
			break;
		default:
			goto done;
		}
		rex = 0; /* REX counts only right before the opcode */
	}
done:
	i->rex = rex;
	i->prefix_f2 = rep == 0xf2;
	i->prefix_f3 = rep == 0xf3;
	return rex ? rex_at : n;
}

static void opcode_place(struct insn *i, const ZydisDecodedInstruction *in)
{
	unsigned n = i->prefix_count + (i->rex ? 1 : 0);

	switch (in->encoding) {
	case ZYDIS_INSTRUCTION_ENCODING_VEX:
		i->encoding = ENC_VEX;
		i->vex_offset = n;
		i->opcode_offset = n + (i->bytes[n] == 0xc5 ? 2 : 3);
		break;
	case ZYDIS_INSTRUCTION_ENCODING_EVEX:
		i->encoding = ENC_EVEX;
		i->vex_offset = n;
		i->opcode_offset = n + 4;
		break;
	default:
		i->encoding = ENC_LEGACY;
		i->opcode_offset = n + (i->opcode_map > 1 ? 2 : i->opcode_map);
		break;
	}
}

static bool imm_unsigned(const ZydisDecodedInstruction *in)
{
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_RET:
	case ZYDIS_MNEMONIC_ENTER:
	case ZYDIS_MNEMONIC_INT:
	case ZYDIS_MNEMONIC_IN:
	case ZYDIS_MNEMONIC_OUT:
		return true;
	default:
		return in->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
	}
}

static int64_t read_imm(const struct insn *i, unsigned offset, unsigned size, bool zero_extend)
{
	uint64_t value = 0;
	unsigned shift = 64 - 8 * size;

	if (size == 0 || offset + size > i->length)
		return 0;
	for (unsigned n = 0; n < size; n++)
		value |= (uint64_t)i->bytes[offset + n] << (8 * n);
	return zero_extend ? (int64_t)value : (int64_t)(value << shift) >> shift;
}

static void immediates(struct insn *i, const ZydisDecodedInstruction *in)
{
	bool zero_extend = imm_unsigned(in);

	if (in->raw.imm[0].size == 0)
		return;
	i->imm_offset = in->raw.imm[0].offset;
	i->imm_size = in->raw.imm[0].size / 8;
	i->imm = read_imm(i, i->imm_offset, i->imm_size, zero_extend);
	if (in->raw.imm[1].size != 0)
		i->imm2 = read_imm(i, in->raw.imm[1].offset, in->raw.imm[1].size / 8, zero_extend);
}

static bool is_mandatory_66(const ZydisDecodedInstruction *in)
{
	for (unsigned n = 0; n < in->raw.prefix_count; n++)
		if (in->raw.prefixes[n].value == 0x66 &&
			in->raw.prefixes[n].type == ZYDIS_PREFIX_TYPE_MANDATORY)
			return true;
	return false;
}

static unsigned condition(const struct insn *i)
{
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_LOOPNE:
		return 0;
	case ZYDIS_MNEMONIC_LOOPE:
		return 1;
	case ZYDIS_MNEMONIC_LOOP:
		return 2;
	case ZYDIS_MNEMONIC_JCXZ:
	case ZYDIS_MNEMONIC_JECXZ:
	case ZYDIS_MNEMONIC_JRCXZ:
		return 3;
	default:
		return i->opcode & 15;
	}
}

void insn_layout(struct insn *i, const struct insn_raw *raw)
{
	const ZydisDecodedInstruction *in = &raw->in;

	i->prefix_count = prefixes(i, raw->code_bits == 64);
	i->opcode_map = in->opcode_map;
	i->opcode = in->opcode;
	opcode_place(i, in);
	if (in->attributes & ZYDIS_ATTRIB_HAS_MODRM) {
		i->modrm_offset = in->raw.modrm.offset;
		i->modrm = i->bytes[i->modrm_offset];
	}
	immediates(i, in);
	i->mandatory_66 = i->prefix_66 && is_mandatory_66(in);
	i->operand_size = in->operand_width / 8;
	i->address_size = in->address_width / 8;
	i->cc = condition(i);
}

/* Does 66 change what this two-byte opcode is, and not only its operand size? */
static bool size_is_opcode(const struct insn *i)
{
	if (i->opcode_map == 0)
		return i->state == STATE_X87;
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_MOVNTI:
	case ZYDIS_MNEMONIC_LFENCE:
	case ZYDIS_MNEMONIC_MFENCE:
	case ZYDIS_MNEMONIC_SFENCE:
	case ZYDIS_MNEMONIC_CMPXCHG8B:
	case ZYDIS_MNEMONIC_ADCX:
	case ZYDIS_MNEMONIC_ADOX:
	case ZYDIS_MNEMONIC_MOVDIRI:
		return true;
	default:
		return i->state != STATE_NONE;
	}
}

/* The first source and the destination of AVX instructions with four operands, in the immediate. */
static bool has_is4(const struct insn_raw *raw)
{
	for (unsigned n = 0; n < raw->in.operand_count_visible; n++)
		if (raw->op[n].encoding == ZYDIS_OPERAND_ENCODING_IS4)
			return true;
	return false;
}

/* W chooses between 32 and 64 bits, and 64 exist in 64-bit code only. */
static bool w_ignored(const struct insn *i, const struct insn_raw *raw)
{
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_VMOVD:
	case ZYDIS_MNEMONIC_VPEXTRD:
	case ZYDIS_MNEMONIC_VPINSRD:
	case ZYDIS_MNEMONIC_VCVTSI2SD:
	case ZYDIS_MNEMONIC_VCVTSI2SH:
	case ZYDIS_MNEMONIC_VCVTSI2SS:
	case ZYDIS_MNEMONIC_VCVTUSI2SD:
	case ZYDIS_MNEMONIC_VCVTUSI2SH:
	case ZYDIS_MNEMONIC_VCVTUSI2SS:
		return true;
	default:
		return raw->has_gpr;
	}
}

void insn_normalize(struct insn *i, const struct insn_raw *raw)
{
	uint8_t *v = i->bytes + i->vex_offset;

	if (raw->code_bits == 64)
		return;
	if (i->encoding == ENC_LEGACY) {
		if (i->operand_size == 2 && size_is_opcode(i))
			i->operand_size = 4;
		return;
	}
	/* Register extensions are stored inverted: R X B, R', vvvv, V' (SDM 2A 2.3, 2.7). */
	if (i->encoding == ENC_EVEX) {
		v[1] |= 0xf0;
		v[2] |= 0x40;
		v[3] |= 8;
	} else if (v[0] == 0xc4) {
		v[1] |= 0xe0;
		v[2] |= 0x40;
	}
	if (v[0] != 0xc5 && w_ignored(i, raw))
		v[2] &= 0x7f;
	if (has_is4(raw))
		i->bytes[i->imm_offset] &= 0x7f;
}
