/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Masked memory operands: which bytes count. AVX-512 masks (Intel SDM 1,
 * 15.6), VMASKMOV and VPMASKMOV, MASKMOVQ and MASKMOVDQU.
 */
#include <string.h>

#include "cpu/state.h"
#include "cpu/translate/cold.h"
#include "cpu/translate/decode/insn_parts.h"
#include "cpu/xsave.h"

/* What masks off, in memory, faults as well (the classes' NF forms; Zydis calls some E4). */
static bool suppresses_faults(const struct insn_raw *raw)
{
	switch (raw->in.mnemonic) {
	case ZYDIS_MNEMONIC_VDBPSADBW:
	case ZYDIS_MNEMONIC_VGF2P8AFFINEQB:
	case ZYDIS_MNEMONIC_VGF2P8AFFINEINVQB:
	case ZYDIS_MNEMONIC_VCVTNE2PS2BF16:
		return false;
	default:
		break;
	}
	switch (raw->in.meta.exception_class) {
	case ZYDIS_EXCEPTION_CLASS_E1:
	case ZYDIS_EXCEPTION_CLASS_E2:
	case ZYDIS_EXCEPTION_CLASS_E3:
	case ZYDIS_EXCEPTION_CLASS_E4:
	case ZYDIS_EXCEPTION_CLASS_E5:
	case ZYDIS_EXCEPTION_CLASS_E6:
	case ZYDIS_EXCEPTION_CLASS_E10:
	case ZYDIS_EXCEPTION_CLASS_E11:
		return true;
	default:
		return false;
	}
}

static const ZydisDecodedOperand *memory_of(const struct insn_raw *raw)
{
	for (unsigned n = 0; n < raw->in.operand_count; n++)
		if (raw->op[n].type == ZYDIS_OPERAND_TYPE_MEMORY)
			return &raw->op[n];
	return NULL;
}

/* How many lanes a broadcast fills, 0 if it is none. */
static unsigned broadcast_lanes(ZydisBroadcastMode mode)
{
	switch (mode) {
	case ZYDIS_BROADCAST_MODE_1_TO_2:
		return 2;
	case ZYDIS_BROADCAST_MODE_1_TO_4:
	case ZYDIS_BROADCAST_MODE_2_TO_4:
		return 4;
	case ZYDIS_BROADCAST_MODE_1_TO_8:
	case ZYDIS_BROADCAST_MODE_2_TO_8:
	case ZYDIS_BROADCAST_MODE_4_TO_8:
		return 8;
	case ZYDIS_BROADCAST_MODE_1_TO_16:
	case ZYDIS_BROADCAST_MODE_2_TO_16:
	case ZYDIS_BROADCAST_MODE_4_TO_16:
	case ZYDIS_BROADCAST_MODE_8_TO_16:
		return 16;
	case ZYDIS_BROADCAST_MODE_1_TO_32:
		return 32;
	case ZYDIS_BROADCAST_MODE_1_TO_64:
		return 64;
	default:
		return 0;
	}
}

static void evex_masking(struct insn *i, const struct insn_raw *raw)
{
	const ZydisDecodedOperand *mem = memory_of(raw), *first = &raw->op[0];
	unsigned step = mem ? mem->element_size / 8 : 0;

	unsigned lanes = broadcast_lanes(raw->in.avx.broadcast.mode);

	if (!mem || step == 0 || raw->in.avx.mask.mode == ZYDIS_MASK_MODE_DISABLED ||
		raw->in.avx.mask.reg <= ZYDIS_REGISTER_K0 ||
		raw->in.avx.mask.reg > ZYDIS_REGISTER_K7)
		return;
	if (!suppresses_faults(raw)) {
		/* VEXTRACT stores but some lanes, and wants write access to all of them */
		i->mem_read |= i->mem_write;
		return;
	}
	/* a lane is as wide as the wider side where both sides are equally long (VPDPBUSD) */
	if (!lanes && first != mem && first->size == mem->size && first->element_size / 8 > step)
		step = first->element_size / 8;
	i->mem_masked = true;
	i->mem_mask = lanes ? INSN_MASK_REPEAT : INSN_MASK_LANES;
	i->mask_reg = raw->in.avx.mask.reg - ZYDIS_REGISTER_K0;
	i->mask_step = step;
	i->mask_lanes = lanes ? lanes : i->mem_size / step;
	if (raw->in.meta.category == ZYDIS_CATEGORY_COMPRESS ||
		raw->in.meta.category == ZYDIS_CATEGORY_EXPAND)
		i->mem_mask = INSN_MASK_PACKED;
}

void insn_masking(struct insn *i, const struct insn_raw *raw)
{
	if (!i->has_mem)
		return;
	switch (raw->in.mnemonic) {
	case ZYDIS_MNEMONIC_VMASKMOVPS:
	case ZYDIS_MNEMONIC_VPMASKMOVD:
		i->mask_step = 4;
		break;
	case ZYDIS_MNEMONIC_VMASKMOVPD:
	case ZYDIS_MNEMONIC_VPMASKMOVQ:
		i->mask_step = 8;
		break;
	case ZYDIS_MNEMONIC_MASKMOVQ:
	case ZYDIS_MNEMONIC_MASKMOVDQU:
	case ZYDIS_MNEMONIC_VMASKMOVDQU:
		i->mask_step = 1;
		break;
	default:
		if (i->encoding == ENC_EVEX && i->mem_vsib == INSN_NO_REG)
			evex_masking(i, raw);
		return;
	}
	i->mem_masked = true;
	i->mask_lanes = i->mem_size / i->mask_step;
	i->mem_mask = i->mask_step == 1 ? INSN_MASK_BYTES : INSN_MASK_SIGN;
	if (raw->in.mnemonic == ZYDIS_MNEMONIC_MASKMOVQ) {
		i->mem_mask = INSN_MASK_BYTES_MM;
		i->mask_reg = raw->op[1].reg.value - ZYDIS_REGISTER_MM0;
	} else {
		i->mask_reg = (raw->op[1].reg.value - ZYDIS_REGISTER_XMM0) % 32;
	}
}

/* --- at run time ---------------------------------------------------------------------- */

#define XSAVE_YMM XSAVE_END /* on every processor: the first of the extended region */

enum { COMPONENT_X87 = 1, COMPONENT_SSE = 2, COMPONENT_AVX = 4, COMPONENT_K = 32 };

/* size bytes of the image, or zeros where the component is in its initial state */
static void component_read(const uint8_t *xsave, unsigned bit, unsigned offset, void *data,
	unsigned size)
{
	uint64_t present;

	memcpy(&present, xsave + XSAVE_BV, sizeof present);
	if (present & bit)
		memcpy(data, xsave + offset, size);
	else
		memset(data, 0, size);
}

static uint64_t low_bits(unsigned count)
{
	return count >= 64 ? ~0ull : (1ull << count) - 1;
}

/* Every lane of step bytes, times its bit. */
static uint64_t spread(uint64_t lanes, unsigned count, unsigned step)
{
	uint64_t bytes = 0;

	for (unsigned n = 0; n < count && n * step < 64; n++)
		if (lanes >> n & 1)
			bytes |= low_bits(step) << (n * step);
	return bytes;
}

static uint64_t sign_bits(const struct insn *i, const uint8_t *xsave)
{
	uint8_t vector[32];
	uint64_t lanes = 0;
	unsigned reg = i->mask_reg & 15;

	if (i->mem_mask == INSN_MASK_BYTES_MM) {
		component_read(xsave, COMPONENT_X87, XSAVE_ST + 16 * (reg & 7), vector, 8);
	} else {
		component_read(xsave, COMPONENT_SSE, XSAVE_XMM + 16 * reg, vector, 16);
		component_read(xsave, COMPONENT_AVX, XSAVE_YMM + 16 * reg, vector + 16, 16);
	}
	for (unsigned n = 0; n < i->mask_lanes && (n + 1) * i->mask_step <= sizeof vector; n++)
		lanes |= (uint64_t)(vector[(n + 1) * i->mask_step - 1] >> 7) << n;
	return lanes;
}

uint64_t insn_mask(const struct insn *i, const uint8_t *xsave, unsigned opmask_at)
{
	uint64_t lanes = 0;

	switch (i->mem_mask) {
	case INSN_MASK_SIGN:
	case INSN_MASK_BYTES:
	case INSN_MASK_BYTES_MM:
		return spread(sign_bits(i, xsave), i->mask_lanes, i->mask_step);
	case INSN_MASK_LANES:
	case INSN_MASK_PACKED:
	case INSN_MASK_REPEAT:
		if (!opmask_at)
			return low_bits(i->mem_size);
		component_read(xsave, COMPONENT_K, opmask_at + 8 * (i->mask_reg & 7), &lanes, 8);
		lanes &= low_bits(i->mask_lanes);
		break;
	default:
		return low_bits(i->mem_size);
	}
	if (i->mem_mask == INSN_MASK_PACKED)
		return low_bits(__builtin_popcountll(lanes) * i->mask_step);
	if (i->mem_mask == INSN_MASK_REPEAT) {
		unsigned elements = i->mem_size / i->mask_step;

		for (unsigned n = elements; n < i->mask_lanes; n++)
			if (lanes >> n & 1)
				lanes |= 1ull << n % elements;
		return spread(lanes, elements, i->mask_step);
	}
	return spread(lanes, i->mask_lanes, i->mask_step);
}
