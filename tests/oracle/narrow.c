/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instructions that mean the same in 32-bit code: this host runs no 32-bit code
 * segment, so the truth for such code is the same bytes in 64-bit code. Where
 * that has the address size prefix 67, 32-bit code has 3E (DS, which changes
 * nothing there): lengths and places are the same on both sides.
 */
#include <string.h>

#include "oracle.h"

#define ADDRESS_SIZE 0x67
#define SEGMENT_DS 0x3e

void narrow_bytes(const struct item *i, uint8_t *bytes)
{
	if (i->narrow)
		bytes[i->narrow - 1] = SEGMENT_DS;
}

/* Registers beyond 32-bit code's, which there would be the low ones. */
static bool names_high_registers(const struct insn *i)
{
	const uint8_t *v = i->bytes + i->vex_offset;

	if (i->rex)
		return true;
	if (i->encoding == ENC_LEGACY)
		return false;
	if (v[0] == 0xc5)
		return (v[1] & 0xc0) != 0xc0;
	if (v[0] == 0xc4)
		return (v[1] & 0xe0) != 0xe0 || !(v[2] & 0x40) || (i->imm_size && i->imm & 0x80);
	return (v[1] & 0xf0) != 0xf0 || !(v[2] & 0x40) || !(v[3] & 8);
}

static bool same(const struct insn *a, const struct insn *b)
{
	return a->mnemonic == b->mnemonic && a->class == b->class && a->length == b->length &&
		a->operand_size == b->operand_size && a->address_size == b->address_size &&
		a->state == b->state && a->encoding == b->encoding && a->mem_size == b->mem_size &&
		a->gpr_read == b->gpr_read && a->gpr_write == b->gpr_write &&
		a->high8 == b->high8 && a->has_mem == b->has_mem && a->mem_base == b->mem_base &&
		a->mem_index == b->mem_index && a->mem_scale == b->mem_scale &&
		(uint32_t)a->mem_disp == (uint32_t)b->mem_disp && a->imm == b->imm;
}

bool narrow_accept(const struct cpuid_policy *policy, const struct insn *wide, struct item *item)
{
	struct insn i;
	uint8_t bytes[15] = {0};

	if (!insn_is(wide, CLASS_STRAIGHT) || insn_is(wide, CLASS_STACK))
		return false;
	if (names_high_registers(wide))
		return false;
	item->narrow = 0;
	for (unsigned k = 0; k < wide->prefix_count; k++)
		if (wide->bytes[k] == ADDRESS_SIZE)
			item->narrow = (uint8_t)(k + 1);
	if (!item->narrow && (wide->has_mem || wide->class == INSN_STRING))
		return false;
	memcpy(bytes, wide->bytes, wide->length);
	narrow_bytes(item, bytes);
	return insn_decode(&i, bytes, wide->length, 32, policy) == 0 && same(wide, &i);
}
