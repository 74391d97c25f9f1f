/* SPDX-License-Identifier: Apache-2.0 */
/* One random instruction of a form: registers, memory operand, prefixes, immediate. */
#include <string.h>

#include <Zydis/Zydis.h>

#include "forms.h"

/* --- memory operands -------------------------------------------------------------------------- */

static unsigned pick(struct rng *r, uint16_t set)
{
	unsigned n = rng_below(r, (unsigned)__builtin_popcount(set));

	for (unsigned reg = 0; reg < 16; reg++)
		if (set >> reg & 1 && n-- == 0)
			return reg;
	return 0;
}

static uint32_t displacement(struct rng *r, struct memory *m, bool wild)
{
	uint32_t d = rng_below(r, 256) - 128;

	if (rng_once(r, 4)) {
		m->disp_size = 4;
		d = rng_below(r, 1024) - 512;
		if (wild)
			d = rng_once(r, 16) ? (uint32_t)rng_next(r) : rng_below(r, 2 * PAGE) - PAGE;
	} else {
		m->disp_size = 1;
	}
	if (rng_once(r, 2))
		d &= ~15u;
	return d;
}

/* [base + index * scale + disp] */
static void with_base(struct rng *r, const struct pool *pool, struct memory *m, bool vsib)
{
	unsigned base = pick(r, pool->pointers), index = pick(r, pool->counters);

	if (rng_once(r, pool->wild ? 12 : 200))
		base = rng_below(r, pool->narrow ? 8 : 16);
	m->has_sib = vsib || (base & 7) == RSP || rng_once(r, 3);
	m->rex_b = base & 8;
	if (m->has_sib) {
		m->modrm_rm = 4;
		if (vsib)
			index = rng_below(r, 32);
		else if (index == RSP || rng_once(r, 3))
			index = pool->wild && rng_once(r, 4) ? rng_below(r, 16) : 4;
		m->sib = (uint8_t)(rng_below(r, 4) << 6 | (index & 7) << 3 | (base & 7));
		m->rex_x = index & 8;
		m->evex_v = vsib && index & 16;
	} else {
		m->modrm_rm = base & 7;
	}
	if (rng_once(r, 3) && (base & 7) != RBP) {
		m->modrm_mod = 0;
		return;
	}
	m->disp = displacement(r, m, pool->wild);
	m->modrm_mod = m->disp_size == 1 ? 1 : 2;
}

/* [index * scale + disp32], [disp32] */
static void without_base(struct rng *r, const struct pool *pool, struct memory *m, bool vsib)
{
	unsigned index = vsib ? rng_below(r, 32) : rng_once(r, 2) ? 4 : pick(r, pool->counters);

	m->has_sib = true;
	m->modrm_rm = 4;
	m->sib = (uint8_t)(rng_below(r, 4) << 6 | (index & 7) << 3 | 5);
	m->rex_x = index & 8;
	m->evex_v = vsib && index & 16;
	m->disp_size = 4;
	m->disp = (uint32_t)address_random(r, pool->wild);
}

struct memory memory_random(struct rng *r, const struct pool *pool, bool vsib)
{
	struct memory m = {0};

	if (rng_once(r, 8)) {
		without_base(r, pool, &m, vsib);
	} else if (rng_once(r, 8) && !vsib && !pool->narrow) {
		m.rip = true;
		m.modrm_rm = 5;
		m.disp_size = 4;
		m.target = address_random(r, pool->wild);
	} else {
		with_base(r, pool, &m, vsib);
	}
	m.address32 = pool->narrow || (!pool->alias && rng_once(r, 10));
	if (pool->segments && rng_once(r, 6))
		m.segment = rng_once(r, 2) ? 0x64 : 0x65;
	else if (rng_once(r, 24))
		m.segment = !pool->narrow && rng_once(r, 2) ? 0x2e : 0x36; /* CS is not written */
	return m;
}

/* --- encoding ------------------------------------------------------------------------------------ */

struct build {
	struct rng *r;
	uint8_t bytes[40];
	unsigned at;
	const struct form *form;
	unsigned reg, rm; /* ModRM's fields, with their extensions */
	struct memory m;
	unsigned disp_at;
	bool narrow;
};

static void byte(struct build *b, unsigned v)
{
	b->bytes[b->at++] = (uint8_t)v;
}

static void common_prefixes(struct build *b)
{
	/* before the segment: what 32-bit code has in its place is a segment too, and the last one counts */
	if (b->m.address32)
		byte(b, 0x67);
	if (b->m.segment)
		byte(b, b->m.segment);
}

static void legacy_head(struct build *b)
{
	const struct form *f = b->form;
	unsigned rex = (b->reg & 8 ? 4 : 0) | (b->m.rex_x ? 2 : 0);

	common_prefixes(b);
	if (f->kind == FORM_MEMORY ? rng_once(b->r, 6) : rng_once(b->r, 200))
		byte(b, 0xf0);
	if (f->prefix)
		byte(b, f->prefix);
	if (f->prefix != 0x66 && rng_once(b->r, 12))
		byte(b, 0x66);
	if (rng_once(b->r, 60))
		byte(b, rng_once(b->r, 2) ? 0xf2 : 0xf3);
	if (f->kind == FORM_MEMORY ? b->m.rex_b : (b->rm & 8) != 0)
		rex |= 1;
	if (!b->narrow && rng_once(b->r, 3))
		rex |= 8;
	if (rex || (!b->narrow && rng_once(b->r, 8)))
		byte(b, 0x40 | rex);
	if (f->map)
		byte(b, 0x0f);
	if (f->map > 1)
		byte(b, f->map == 2 ? 0x38 : 0x3a);
	byte(b, f->opcode);
}

static void vex_head(struct build *b)
{
	const struct form *f = b->form;
	bool memory = f->kind == FORM_MEMORY;
	unsigned r = b->reg & 8 ? 0 : 0x80, x = b->m.rex_x ? 0 : 0x40;
	unsigned base = (memory ? b->m.rex_b : (b->rm & 8) != 0) ? 0 : 0x20;
	unsigned v = rng_once(b->r, 3) ? 15 : rng_below(b->r, 16), l = rng_below(b->r, 2);
	unsigned w = rng_below(b->r, 2);

	if (b->narrow)
		v |= 8;
	common_prefixes(b);
	if (f->map == 1 && x && base && rng_once(b->r, 2)) {
		byte(b, 0xc5);
		byte(b, r | v << 3 | l << 2 | f->prefix);
	} else {
		byte(b, 0xc4);
		byte(b, r | x | base | f->map);
		byte(b, w << 7 | v << 3 | l << 2 | f->prefix);
	}
	byte(b, f->opcode);
}

static void evex_head(struct build *b)
{
	const struct form *f = b->form;
	bool memory = f->kind == FORM_MEMORY;
	unsigned r = (b->reg & 8 ? 0 : 0x80) | (b->reg & 16 ? 0 : 0x10);
	unsigned x = (memory ? b->m.rex_x : (b->rm & 16) != 0) ? 0 : 0x40;
	unsigned base = (memory ? b->m.rex_b : (b->rm & 8) != 0) ? 0 : 0x20;
	unsigned v = rng_once(b->r, 3) ? 31 : rng_below(b->r, 32), l = rng_below(b->r, 4);
	unsigned mask = rng_once(b->r, 2) ? 0 : rng_below(b->r, 8), z = mask && rng_once(b->r, 2);
	unsigned broadcast = rng_once(b->r, 4);

	if (b->narrow)
		v |= 24;
	if (memory && b->m.evex_v)
		v &= 15; /* V' extends a VSIB index */
	common_prefixes(b);
	byte(b, 0x62);
	byte(b, r | x | base | f->map);
	byte(b, rng_below(b->r, 2) << 7 | (v & 15) << 3 | 4 | f->prefix);
	byte(b, z << 7 | l << 5 | broadcast << 4 | (v & 16) >> 1 | mask);
	byte(b, f->opcode);
}

static void operands(struct build *b)
{
	const struct form *f = b->form;

	if (f->kind == FORM_REGISTER) {
		byte(b, 0xc0 | (b->reg & 7) << 3 | (b->rm & 7));
	} else if (f->kind == FORM_MEMORY) {
		byte(b, b->m.modrm_mod << 6 | (b->reg & 7) << 3 | b->m.modrm_rm);
		if (b->m.has_sib)
			byte(b, b->m.sib);
		b->disp_at = b->at;
		memcpy(b->bytes + b->at, &b->m.disp, 4);
		b->at += b->m.disp_size;
	} else if (f->encoding == ENC_LEGACY && f->map == 0 && (f->opcode & 0xfc) == 0xa0) {
		uint64_t at = address_random(b->r, false);

		memcpy(b->bytes + b->at, &at, 8);
		b->at += b->m.address32 ? 4 : 8;
	}
	for (unsigned n = 0; n < 2; n++) {
		uint64_t v = rng_value(b->r);

		memcpy(b->bytes + b->at + 8 * n, &v, 8);
	}
}

static unsigned field(struct rng *r, uint8_t mask, unsigned extension)
{
	unsigned v = pick(r, mask);

	/* a group's opcodes have no further bits */
	return mask == 0xff ? v | (rng_below(r, 32) & extension) : v;
}

static bool build(struct build *b, const struct pool *pool)
{
	const struct form *f = b->form;
	unsigned extension = pool->narrow ? 0 : f->encoding == ENC_EVEX ? 24 : 8;
	bool vsib = f->encoding != ENC_LEGACY && f->map == 2 &&
		((f->opcode & 0xfc) == 0x90 || (f->opcode & 0xfc) == 0xa0);

	b->at = 0;
	b->narrow = pool->narrow;
	b->m = (struct memory){0};
	if (f->kind == FORM_MEMORY)
		b->m = memory_random(b->r, pool, vsib);
	else if (pool->narrow || rng_once(b->r, 40))
		b->m.address32 = true;
	b->reg = field(b->r, f->reg_mask, extension);
	b->rm = field(b->r, f->rm_mask, extension);
	if (f->encoding == ENC_LEGACY)
		legacy_head(b);
	else if (f->encoding == ENC_VEX)
		vex_head(b);
	else
		evex_head(b);
	operands(b);
	return b->at <= 15;
}

/* --- choosing --------------------------------------------------------------------------------- */

static const struct form *choose(const struct form_table *t, struct rng *r)
{
	static const uint8_t weight[GROUP_COUNT] = {[GROUP_GENERAL] = 186,
		[GROUP_X87] = 31,
		[GROUP_SSE] = 48,
		[GROUP_VEX] = 56,
		[GROUP_EVEX] = 68,
		[GROUP_EMULATED] = 10,
		[GROUP_FAULTING] = 1};
	unsigned n = rng_below(r, 400), group = 0;
	const struct form_list *list;

	while (n >= weight[group])
		n -= weight[group++];
	if (t->group[group].count == 0)
		return NULL;
	list = &t->list[t->group[group].mnemonic[rng_below(r, t->group[group].count)]];
	return &list->form[rng_below(r, list->count)];
}

/* Registers that it changes beyond use as an address. */
static uint16_t spoils(const struct insn *i)
{
	uint16_t stack = 1u << RSP;

	switch (i->class) {
	case INSN_PUSH:
		return 0;
	case INSN_POP:
		return i->op_reg != INSN_NO_REG ? 1u << i->op_reg : 0;
	case INSN_LEAVE:
		return stack | 1u << RBP;
	case INSN_STRING:
		return i->gpr_write & 1u << RCX;
	case INSN_EMULATE:
		if (i->mnemonic == ZYDIS_MNEMONIC_XLAT)
			return 1u << RAX;
		return i->mnemonic == ZYDIS_MNEMONIC_ENTER ? stack | 1u << RBP : 0;
	default:
		return i->gpr_write;
	}
}

/* As far as can be seen. */
static bool aligned(const struct insn *i)
{
	return !(i->mem_disp & 15) && (i->mem_index == INSN_NO_REG || i->mem_vsib != INSN_NO_REG) &&
		i->mem_base != INSN_RIP;
}

/*
 * EVEX.X, set where it means nothing, beside RSP as a source: AMD family 19h and 1Ah now and then read RSP
 * as it was before the last PUSH, POP or CALL (makers.c). Such code is nobody's, and the bit is
 * cleared; it is stored inverted.
 */
static void clear_x(struct insn *i, uint8_t *bytes)
{
	if (i->encoding != ENC_EVEX || i->has_mem || !(i->gpr_read >> RSP & 1))
		return;
	bytes[i->vex_offset + 1] |= 0x40;
	i->bytes[i->vex_offset + 1] |= 0x40;
}

bool form_random(const struct form_table *t, struct rng *r, const struct pool *pool,
	bool supervisor, struct item *item)
{
	struct build b = {.r = r};
	const char *name;
	struct insn i;

	for (unsigned attempt = 0; attempt < 200; attempt++) {
		enum group group;

		b.form = choose(t, r);
		if (!b.form || !build(&b, pool))
			continue;
		if (insn_decode(&i, b.bytes, 15, 64, t->policy) != 0)
			continue;
		group = group_of(&i, t->policy);
		if (group == GROUP_NONE || (group == GROUP_FAULTING && supervisor))
			continue;
		name = ZydisMnemonicGetString(i.mnemonic);
		if (t->only && strncasecmp(name, t->only, strlen(t->only)) != 0)
			continue;
		if (spoils(&i) & (pool->pointers | pool->counters | pool->kept) &&
			(spoils(&i) & pool->kept || !rng_once(r, pool->wild ? 20 : 300)))
			continue;
		if (i.mem_aligned && !aligned(&i) && !rng_once(r, pool->wild ? 2 : 20))
			continue;
		/* fast strings see an overlap by address only */
		if (pool->alias && i.class == INSN_STRING && (i.opcode & 0xfe) == 0xa4)
			continue;
		clear_x(&i, b.bytes);
		memset(item, 0, sizeof *item);
		memcpy(item->bytes, b.bytes, i.length);
		item->length = i.length;
		if (pool->narrow && !narrow_accept(t->policy, &i, item))
			continue;
		if (b.form->kind == FORM_MEMORY && b.m.rip) {
			item->fix = FIX_DATA;
			item->fix_at = (uint8_t)b.disp_at;
			item->fix_size = 4;
			item->address = b.m.target;
		}
		return true;
	}
	return false;
}
