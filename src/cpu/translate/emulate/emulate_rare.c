/* SPDX-License-Identifier: Apache-2.0 */
/* Software interrupts, decimal arithmetic and other old instructions. */
#include <Zydis/Mnemonic.h>

#include "cpu/translate/emulate/emulate.h"
#include "cpu/translate/emulate/event.h"
#include "cpu/translate/hot.h"

/* --- INT n, INT3, INTO, INT1 --------------------------------------------------------- */

enum outcome emulate_int(struct vcpu *v, const struct insn *i)
{
	uint64_t next = insn_next(v, i);

	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_INT3:
		return event_software(v, EXC_BP, true, next);
	case ZYDIS_MNEMONIC_INT1:
		/* Like a debug trap from outside: no DPL check, DR6 stays. */
		return event_software(v, EXC_DB, false, next);
	case ZYDIS_MNEMONIC_INTO:
		if (mode_code64(v))
			return raise_ud(v);
		if (!(v->cpu.rflags & FL_OF))
			return insn_done(v, i);
		return event_software(v, EXC_OF, true, next);
	default:
		if (mode_vm86(v) && mode_iopl(v) < 3)
			return raise_gp(v, 0);
		return event_software(v, i->imm & 0xff, true, next);
	}
}

enum outcome emulate_bound(struct vcpu *v, const struct insn *i)
{
	unsigned size = insn_size(v, i);
	uint64_t low, high, offset = insn_address(v, i);
	int64_t index = size_extend(v->cpu.gpr[insn_reg(i)], size);

	if (mode_code64(v) || rm_is_reg(i))
		return raise_ud(v);
	TRY(data_read(v, i->mem_seg, offset, size, &low));
	TRY(data_read(v, i->mem_seg, (offset + size) & size_mask(i->address_size), size, &high));
	if (index < size_extend(low, size) || index > size_extend(high, size))
		return fault_raise(v, EXC_BR);
	return insn_done(v, i);
}

enum outcome emulate_xlat(struct vcpu *v, const struct insn *i)
{
	uint64_t mask = size_mask(i->address_size), value;
	unsigned seg = SEG_DS;

	for (unsigned k = 0; k < i->prefix_count && k < sizeof i->bytes; k++) {
		uint8_t p = i->bytes[k];

		if (p == 0x64 || p == 0x65)
			seg = p - 0x64 + SEG_FS;
		else if ((p & 0xe7) == 0x26 && !mode_code64(v))
			seg = p >> 3 & 3;
	}
	TRY(data_read(v, seg, (v->cpu.gpr[RBX] + (v->cpu.gpr[RAX] & 0xff)) & mask, 1, &value));
	v->cpu.gpr[RAX] = size_merge(v->cpu.gpr[RAX], value, 1);
	return insn_done(v, i);
}

enum outcome emulate_salc(struct vcpu *v, const struct insn *i)
{
	if (mode_code64(v))
		return raise_ud(v);
	v->cpu.gpr[RAX] = size_merge(v->cpu.gpr[RAX], (v->cpu.rflags & FL_CF) ? 0xff : 0, 1);
	return insn_done(v, i);
}

/* --- decimal adjustment (SDM 2A, AAA to DAS) ----------------------------------------- */

static void adjust_decimal(struct vcpu *v, bool subtract)
{
	uint8_t al = (uint8_t)v->cpu.gpr[RAX], old = al;
	bool cf = v->cpu.rflags & FL_CF, af = v->cpu.rflags & FL_AF, carry = false;

	if ((al & 15) > 9 || af) {
		carry = cf || (subtract ? al < 6 : al > 0xf9);
		al = (uint8_t)(subtract ? al - 6 : al + 6);
		af = true;
	}
	if (old > 0x99 || cf) {
		al = (uint8_t)(subtract ? al - 0x60 : al + 0x60);
		carry = true;
	} else if (!subtract) {
		carry = false;
	}
	v->cpu.gpr[RAX] = size_merge(v->cpu.gpr[RAX], al, 1);
	v->cpu.rflags = (v->cpu.rflags & ~(uint64_t)FL_STATUS) | flags_result(al, 1) |
		(carry ? FL_CF : 0) | (af ? FL_AF : 0);
}

static void adjust_ascii(struct vcpu *v, bool subtract)
{
	uint16_t ax = (uint16_t)v->cpu.gpr[RAX];
	bool adjust = (ax & 15) > 9 || (v->cpu.rflags & FL_AF);

	if (adjust)
		ax = (uint16_t)(subtract ? ax - 0x106 : ax + 0x106);
	ax &= 0xff0f;
	v->cpu.gpr[RAX] = size_merge(v->cpu.gpr[RAX], ax, 2);
	v->cpu.rflags = (v->cpu.rflags & ~(uint64_t)FL_STATUS) | flags_result(ax & 0xff, 1) |
		(adjust ? FL_CF | FL_AF : 0);
}

/* DAA, DAS, AAA, AAS, AAM, AAD. */
enum outcome emulate_bcd(struct vcpu *v, const struct insn *i)
{
	uint8_t base = (uint8_t)i->imm, al = (uint8_t)v->cpu.gpr[RAX];
	uint8_t ah = (uint8_t)(v->cpu.gpr[RAX] >> 8);
	uint16_t ax;

	if (mode_code64(v))
		return raise_ud(v);
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_DAA:
	case ZYDIS_MNEMONIC_DAS:
		adjust_decimal(v, i->mnemonic == ZYDIS_MNEMONIC_DAS);
		return insn_done(v, i);
	case ZYDIS_MNEMONIC_AAA:
	case ZYDIS_MNEMONIC_AAS:
		adjust_ascii(v, i->mnemonic == ZYDIS_MNEMONIC_AAS);
		return insn_done(v, i);
	case ZYDIS_MNEMONIC_AAM:
		if (!base)
			return fault_raise(v, EXC_DE);
		ax = (uint16_t)((al / base) << 8 | al % base);
		break;
	default:
		ax = (uint8_t)(al + ah * base);
		break;
	}
	v->cpu.gpr[RAX] = size_merge(v->cpu.gpr[RAX], ax, 2);
	v->cpu.rflags = (v->cpu.rflags & ~(uint64_t)FL_STATUS) | flags_result(ax & 0xff, 1);
	return insn_done(v, i);
}
