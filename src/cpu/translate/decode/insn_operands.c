/* SPDX-License-Identifier: Apache-2.0 */
/* Which registers an instruction uses, and where its memory operand is. */
#include "cpu/state.h"
#include "cpu/translate/cold.h"
#include "cpu/translate/decode/insn_parts.h"

struct gpr {
	uint8_t number; /* RAX.. R15, or INSN_NO_REG */
	uint8_t size;
	bool high;
};

/* Zydis numbers them: AL-BL, AH-BH, SPL-DIL, R8B-R15B, then AX-R15W, EAX-R15D, RAX-R15. */
static struct gpr gpr_of(ZydisRegister reg)
{
	if (reg >= ZYDIS_REGISTER_RAX && reg <= ZYDIS_REGISTER_R15)
		return (struct gpr){reg - ZYDIS_REGISTER_RAX, 8, false};
	if (reg >= ZYDIS_REGISTER_EAX && reg <= ZYDIS_REGISTER_R15D)
		return (struct gpr){reg - ZYDIS_REGISTER_EAX, 4, false};
	if (reg >= ZYDIS_REGISTER_AX && reg <= ZYDIS_REGISTER_R15W)
		return (struct gpr){reg - ZYDIS_REGISTER_AX, 2, false};
	if (reg >= ZYDIS_REGISTER_SPL && reg <= ZYDIS_REGISTER_R15B)
		return (struct gpr){reg - ZYDIS_REGISTER_SPL + RSP, 1, false};
	if (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH)
		return (struct gpr){reg - ZYDIS_REGISTER_AH, 1, true};
	if (reg >= ZYDIS_REGISTER_AL && reg <= ZYDIS_REGISTER_BL)
		return (struct gpr){reg - ZYDIS_REGISTER_AL, 1, false};
	return (struct gpr){INSN_NO_REG, 0, false};
}

static void note_kind(struct insn_raw *raw, ZydisRegister reg)
{
	if (reg >= ZYDIS_REGISTER_MM0 && reg <= ZYDIS_REGISTER_MM7)
		raw->has_mmx = true;
	else if (reg >= ZYDIS_REGISTER_XMM0 && reg <= ZYDIS_REGISTER_ZMM31)
		raw->has_xmm = true;
	else if (reg >= ZYDIS_REGISTER_ES && reg <= ZYDIS_REGISTER_GS)
		raw->has_segment = true;
	else if (reg >= ZYDIS_REGISTER_TR0 && reg <= ZYDIS_REGISTER_DR15)
		raw->has_system = true;
}

static void register_operand(struct insn *i, struct insn_raw *raw, const ZydisDecodedOperand *op)
{
	struct gpr gpr = gpr_of(op->reg.value);
	bool hidden = op->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN;
	uint16_t bit;

	if (gpr.number == INSN_NO_REG) {
		if (!hidden)
			note_kind(raw, op->reg.value);
		return;
	}
	bit = 1u << gpr.number;
	raw->has_gpr = true;
	if (op->actions & ZYDIS_OPERAND_ACTION_MASK_READ)
		i->gpr_read |= bit;
	if (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) {
		i->gpr_write |= bit;
		/* partly or perhaps written: the old value shows through */
		if (gpr.size < 4 || !(op->actions & ZYDIS_OPERAND_ACTION_WRITE))
			i->gpr_read |= bit;
	}
	if (hidden || op->encoding == ZYDIS_OPERAND_ENCODING_NONE)
		i->gpr_fixed |= bit;
	else if (gpr.high)
		i->high8 = true;
}

static uint8_t address_register(struct insn *i, ZydisRegister reg)
{
	struct gpr gpr;

	if (reg == ZYDIS_REGISTER_RIP || reg == ZYDIS_REGISTER_EIP)
		return INSN_RIP;
	gpr = gpr_of(reg);
	if (gpr.number != INSN_NO_REG)
		i->gpr_read |= 1u << gpr.number;
	return gpr.number;
}

static unsigned vector_number(ZydisRegister reg)
{
	if (reg >= ZYDIS_REGISTER_XMM0 && reg <= ZYDIS_REGISTER_ZMM31)
		return (reg - ZYDIS_REGISTER_XMM0) % 32;
	return INSN_NO_REG;
}

/*
 * A SIB byte without base. Zydis 4.0.0 takes r13d for it when addresses have 32 bits and REX.B is
 * set, and loses the displacement.
 */
static bool lacks_base(const ZydisDecodedInstruction *in)
{
	return (in->attributes & ZYDIS_ATTRIB_HAS_SIB) && in->raw.modrm.mod == 0 &&
		in->raw.sib.base == 5;
}

static void memory_operand(struct insn *i, const struct insn_raw *raw,
	const ZydisDecodedOperand *op)
{
	uint16_t before = i->gpr_read;
	bool implicit = op->encoding == ZYDIS_OPERAND_ENCODING_NONE;
	bool no_base = lacks_base(&raw->in);
	uint8_t base = no_base ? INSN_NO_REG : address_register(i, op->mem.base);
	uint8_t index = address_register(i, op->mem.index);

	if (implicit) {
		i->gpr_fixed |= i->gpr_read & ~before;
		switch (raw->in.mnemonic) {
		case ZYDIS_MNEMONIC_XLAT:
			i->gpr_read |= 1u << RAX;
			/* fallthrough */
		case ZYDIS_MNEMONIC_MASKMOVQ:
		case ZYDIS_MNEMONIC_MASKMOVDQU:
		case ZYDIS_MNEMONIC_VMASKMOVDQU:
			index = INSN_NO_REG;
			break;
		default:
			return;
		}
	}
	i->has_mem = true;
	i->mem_base = base;
	i->mem_index = index;
	if (op->mem.type == ZYDIS_MEMOP_TYPE_VSIB)
		i->mem_vsib = vector_number(op->mem.index);
	i->mem_scale = op->mem.scale;
	i->mem_disp = no_base ? raw->in.raw.disp.value : op->mem.disp.value;
	if (!i->seg_override)
		i->mem_seg = !implicit && (base == RSP || base == RBP) ? SEG_SS : SEG_DS;
	if (op->mem.type == ZYDIS_MEMOP_TYPE_AGEN)
		return;
	i->mem_read = op->actions & ZYDIS_OPERAND_ACTION_MASK_READ;
	i->mem_write = op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
	i->mem_size = op->size / 8;
}

static void string_registers(struct insn *i, unsigned opcode)
{
	uint16_t source = 1u << RSI, target = 1u << RDI, data = 1u << RAX;
	uint16_t read, write;

	i->mem_read = i->mem_write = false;
	switch (opcode & 0xfe) {
	case 0xa4: /* MOVS */
		read = write = source | target;
		i->mem_read = i->mem_write = true;
		break;
	case 0xa6: /* CMPS: Zydis tells of no write */
		read = write = source | target;
		i->mem_read = true;
		break;
	case 0xaa: /* STOS */
		read = data | target;
		write = target;
		i->mem_write = true;
		break;
	case 0xac: /* LODS */
		read = source;
		write = source | data;
		if (i->operand_size < 4 || i->prefix_f2 || i->prefix_f3)
			read |= data;
		i->mem_read = true;
		break;
	default: /* SCAS: likewise */
		read = data | target;
		write = target;
		i->mem_read = true;
		break;
	}
	if (i->prefix_f2 || i->prefix_f3) {
		read |= 1u << RCX;
		write |= 1u << RCX;
	}
	i->gpr_read = read;
	i->gpr_write = write;
	i->gpr_fixed = read | write;
	i->mem_size = i->operand_size;
}

static bool is_string(const struct insn *i)
{
	return i->encoding == ENC_LEGACY && i->opcode_map == 0 &&
		((i->opcode >= 0xa4 && i->opcode <= 0xa7) ||
			(i->opcode >= 0xaa && i->opcode <= 0xaf));
}

/* Moves 16 bits and may read more; where it must not, a MOV is copied in its place. */
static void short_movsxd(struct insn *i, unsigned size)
{
	i->mem_size = (uint16_t)size;
	if (size > 2)
		return;
	i->mnemonic = ZYDIS_MNEMONIC_MOV;
	i->opcode = i->bytes[i->opcode_offset] = 0x8b;
}

/* What Zydis 4.0.0 tells wrongly. */
static void corrections(struct insn *i, const struct insn_raw *raw)
{
	switch (raw->in.mnemonic) {
	case ZYDIS_MNEMONIC_BSF: /* a source of zero leaves the destination alone */
	case ZYDIS_MNEMONIC_BSR:
		i->gpr_read |= i->gpr_write;
		break;
	case ZYDIS_MNEMONIC_MOVSXD:
		if (i->has_mem && i->operand_size == 2)
			short_movsxd(i, insn_silicon(raw).size16);
		break;
	case ZYDIS_MNEMONIC_INVLPG: /* an address, no access */
		i->mem_read = false;
		i->mem_size = 0;
		break;
	case ZYDIS_MNEMONIC_CLFLUSH: /* permissions are checked for a byte, not from there a line */
	case ZYDIS_MNEMONIC_CLFLUSHOPT:
	case ZYDIS_MNEMONIC_CLWB:
		i->mem_read = true;
		i->mem_write = false;
		i->mem_size = 1;
		break;
	default:
		/* as many bytes as the requested components take */
		if (raw->in.meta.category == ZYDIS_CATEGORY_XSAVE ||
			raw->in.meta.category == ZYDIS_CATEGORY_XSAVEOPT)
			i->mem_size = 0;
		break;
	}
}

void insn_operands(struct insn *i, struct insn_raw *raw)
{
	const ZydisDecodedOperand *first = &raw->op[0];

	for (unsigned n = 0; n < raw->in.operand_count; n++) {
		const ZydisDecodedOperand *op = &raw->op[n];

		if (op->type == ZYDIS_OPERAND_TYPE_REGISTER)
			register_operand(i, raw, op);
		else if (op->type == ZYDIS_OPERAND_TYPE_MEMORY)
			memory_operand(i, raw, op);
	}
	if (raw->in.operand_count_visible != 0 && first->type == ZYDIS_OPERAND_TYPE_REGISTER)
		i->op_reg = gpr_of(first->reg.value).number;
	if (is_string(i))
		string_registers(i, i->opcode);
	else
		corrections(i, raw);
}
