/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VGATHER*, VPGATHER*, VSCATTER*, VPSCATTER* (SDM 2C): one element at a time on the saved image. A
 * lane's mask bit is cleared when the lane is done, so a fault in the middle restarts where it was.
 */
#include "cpu/translate/emulate/emulate_image.h"
#include "cpu/translate/hot.h"

struct gather {
	const struct xsave_layout *area; /* of the image */
	unsigned reg, index, mask;       /* vector registers; mask: vector (VEX) or opmask (EVEX) */
	unsigned index_size, size, lanes;
	unsigned seg, scale;
	uint64_t base, address_mask;
	bool evex, scatter;
};

/* A byte of a vector register in the image. */
static uint8_t *vector_byte(struct vcpu *v, const struct gather *g, unsigned reg, unsigned at)
{
	unsigned offset;

	if (reg >= 16)
		offset = g->area->offset[COMP_ZMM_HI16] + 64 * (reg - 16) + at;
	else if (at < 16)
		offset = XSAVE_XMM + 16 * reg + at;
	else if (at < 32)
		offset = g->area->offset[COMP_AVX] + 16 * reg + at - 16;
	else
		offset = g->area->offset[COMP_ZMM_HI] + 32 * reg + at - 32;
	return v->cpu.xsave + offset;
}

static uint64_t element_get(struct vcpu *v, const struct gather *g, unsigned reg, unsigned at,
	unsigned size)
{
	const uint8_t *p = vector_byte(v, g, reg, at);

	return size == 8 ? *(const uint64_t *)p : *(const uint32_t *)p;
}

static void element_set(struct vcpu *v, const struct gather *g, unsigned reg, unsigned at,
	unsigned size, uint64_t value)
{
	uint8_t *p = vector_byte(v, g, reg, at);

	if (size == 8)
		*(uint64_t *)p = value;
	else
		*(uint32_t *)p = (uint32_t)value;
}

static uint64_t *opmask(struct vcpu *v, const struct gather *g)
{
	return image_u64(v, g->area->offset[COMP_OPMASK] + 8 * g->mask);
}

/* The encoding's fields (SDM 2A 2.3.5, 2.7.1). */
static enum outcome gather_decode(struct vcpu *v, const struct insn *i, struct gather *g)
{
	const uint8_t *p = i->bytes + i->vex_offset;
	unsigned sib, length, w;
	bool code64 = mode_code64(v);

	if (i->vex_offset > 10 || !i->modrm_offset || i->modrm_offset > 13 || (i->modrm & 7) != 4 ||
		rm_is_reg(i))
		return raise_ud(v);
	sib = i->bytes[i->modrm_offset + 1];
	g->evex = p[0] == 0x62;
	g->scatter = (i->opcode & 0xf0) == 0xa0;
	w = p[2] >> 7;
	g->reg = (i->modrm >> 3 & 7) | !(p[1] & 0x80) << 3;
	g->index = (sib >> 3 & 7) | !(p[1] & 0x40) << 3;
	if (g->evex) {
		g->reg |= !(p[1] & 0x10) << 4;
		g->index |= !(p[3] & 8) << 4;
		g->mask = p[3] & 7;
		length = 16u << (p[3] >> 5 & 3);
		if (!g->mask || length > 64 || (p[3] & 0x80) || (!g->scatter && g->reg == g->index))
			return raise_ud(v);
	} else {
		g->mask = ~p[2] >> 3 & 15;
		length = (p[2] & 4) ? 32 : 16;
	}
	if (!code64) {
		g->reg &= 7;
		g->index &= 7;
		g->mask &= 7;
	}
	if (!g->evex && (g->reg == g->index || g->reg == g->mask || g->index == g->mask))
		return raise_ud(v);
	g->index_size = (i->opcode & 1) ? 8 : 4;
	g->size = w ? 8 : 4;
	g->lanes = length / (g->size > g->index_size ? g->size : g->index_size);
	g->scale = sib >> 6;
	g->seg = i->mem_seg;
	g->address_mask = size_mask(i->address_size);
	g->base = (uint64_t)i->mem_disp + (i->mem_base < 16 ? v->cpu.gpr[i->mem_base] : 0);
	return OUT_OK;
}

/* Everything that is touched becomes part of the image. */
static enum outcome gather_image(struct vcpu *v, struct gather *g)
{
	const struct xsave_layout *l = vcpu_layout(v);
	uint64_t used = v->cpu.xcr0 &
		(1u << COMP_SSE | 1u << COMP_AVX | 1u << COMP_OPMASK | 1u << COMP_ZMM_HI |
			1u << COMP_ZMM_HI16);

	image_begin(v);
	g->area = &vcpu_cpuid(v)->area;
	if (!l->size[COMP_AVX] ||
		(g->evex &&
			!(l->size[COMP_OPMASK] && l->size[COMP_ZMM_HI] && l->size[COMP_ZMM_HI16])))
		return raise_ud(v);
	for (unsigned c = 2; c < COMP_COUNT; c++)
		if (!l->size[c])
			used &= ~(1ull << c);
	*image_bv(v) |= used;
	return OUT_OK;
}

static bool lane_on(struct vcpu *v, const struct gather *g, unsigned lane)
{
	if (g->evex)
		return *opmask(v, g) >> lane & 1;
	return element_get(v, g, g->mask, lane * g->size, g->size) >> (g->size * 8 - 1);
}

static void lane_done(struct vcpu *v, const struct gather *g, unsigned lane)
{
	if (g->evex)
		*opmask(v, g) &= ~(1ull << lane);
	else
		element_set(v, g, g->mask, lane * g->size, g->size, 0);
}

static enum outcome lane_move(struct vcpu *v, const struct gather *g, unsigned lane)
{
	uint64_t index = element_get(v, g, g->index, lane * g->index_size, g->index_size);
	uint64_t offset, value;

	index = (uint64_t)size_extend(index, g->index_size);
	offset = (g->base + (index << g->scale)) & g->address_mask;
	if (g->scatter) {
		value = element_get(v, g, g->reg, lane * g->size, g->size);
		return data_write(v, g->seg, offset, g->size, value);
	}
	TRY(data_read(v, g->seg, offset, g->size, &value));
	element_set(v, g, g->reg, lane * g->size, g->size, value);
	return OUT_OK;
}

/* Bytes of a register from at up are cleared, as far as the guest has them. */
static void clear_above(struct vcpu *v, const struct gather *g, unsigned reg, unsigned at)
{
	unsigned end = *image_bv(v) >> COMP_ZMM_HI & 1 ? 64 : 32;

	for (; at < end; at += 4)
		element_set(v, g, reg, at, 4, 0);
}

enum outcome emulate_gather(struct vcpu *v, const struct insn *i)
{
	struct gather g;

	TRY(gather_decode(v, i, &g));
	TRY(gather_image(v, &g));
	for (unsigned lane = 0; lane < g.lanes; lane++) {
		if (!lane_on(v, &g, lane))
			continue;
		TRY(lane_move(v, &g, lane));
		lane_done(v, &g, lane);
	}
	if (g.evex)
		*opmask(v, &g) = 0;
	else
		clear_above(v, &g, g.mask, 0);
	if (!g.scatter)
		clear_above(v, &g, g.reg, g.lanes * g.size);
	return insn_done(v, i);
}
