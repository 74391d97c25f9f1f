/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which opcodes there are: every encoding is decoded once, and those that may
 * stand in a sequence are kept by mnemonic, so that rare instructions come as
 * often as common ones.
 */
#include <stdlib.h>
#include <string.h>

#include <Zydis/Zydis.h>

#include "forms.h"

static const uint16_t unpredictable[] = {ZYDIS_MNEMONIC_RDRAND, ZYDIS_MNEMONIC_RDSEED};

/* Emulated ones whose result depends on nothing but the program's state. */
static const uint16_t emulated[] = {ZYDIS_MNEMONIC_XLAT, ZYDIS_MNEMONIC_MASKMOVQ,
	ZYDIS_MNEMONIC_MASKMOVDQU, ZYDIS_MNEMONIC_VMASKMOVDQU, ZYDIS_MNEMONIC_ENTER,
	ZYDIS_MNEMONIC_MOVDIR64B, ZYDIS_MNEMONIC_CLFLUSH, ZYDIS_MNEMONIC_CLFLUSHOPT,
	ZYDIS_MNEMONIC_CLWB, ZYDIS_MNEMONIC_FRSTOR, ZYDIS_MNEMONIC_FLDENV, ZYDIS_MNEMONIC_FXRSTOR,
	ZYDIS_MNEMONIC_FXRSTOR64, ZYDIS_MNEMONIC_PUSHFQ, ZYDIS_MNEMONIC_PUSHF,
	ZYDIS_MNEMONIC_VGATHERDPD, ZYDIS_MNEMONIC_VGATHERDPS, ZYDIS_MNEMONIC_VGATHERQPD,
	ZYDIS_MNEMONIC_VGATHERQPS, ZYDIS_MNEMONIC_VPGATHERDD, ZYDIS_MNEMONIC_VPGATHERDQ,
	ZYDIS_MNEMONIC_VPGATHERQD, ZYDIS_MNEMONIC_VPGATHERQQ, ZYDIS_MNEMONIC_VSCATTERDPD,
	ZYDIS_MNEMONIC_VSCATTERDPS, ZYDIS_MNEMONIC_VSCATTERQPD, ZYDIS_MNEMONIC_VSCATTERQPS,
	ZYDIS_MNEMONIC_VPSCATTERDD, ZYDIS_MNEMONIC_VPSCATTERDQ, ZYDIS_MNEMONIC_VPSCATTERQD,
	ZYDIS_MNEMONIC_VPSCATTERQQ};

/* At CPL 3 these do nothing but fault. */
static const uint16_t faulting[] = {ZYDIS_MNEMONIC_HLT, ZYDIS_MNEMONIC_CLI, ZYDIS_MNEMONIC_IN,
	ZYDIS_MNEMONIC_OUT, ZYDIS_MNEMONIC_INSB, ZYDIS_MNEMONIC_OUTSD, ZYDIS_MNEMONIC_RDMSR,
	ZYDIS_MNEMONIC_WRMSR, ZYDIS_MNEMONIC_LGDT, ZYDIS_MNEMONIC_INVLPG, ZYDIS_MNEMONIC_CLTS,
	ZYDIS_MNEMONIC_SWAPGS, ZYDIS_MNEMONIC_LTR, ZYDIS_MNEMONIC_LLDT, ZYDIS_MNEMONIC_LMSW,
	ZYDIS_MNEMONIC_WBINVD, ZYDIS_MNEMONIC_INVD, ZYDIS_MNEMONIC_INT3, ZYDIS_MNEMONIC_STAC,
	ZYDIS_MNEMONIC_SYSRET, ZYDIS_MNEMONIC_XSETBV};

static bool among(uint16_t mnemonic, const uint16_t *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (list[i] == mnemonic)
			return true;
	return false;
}
#define AMONG(m, list) among(m, list, sizeof(list) / sizeof(*(list)))

/* GFNI and the vector forms of AES need nothing else by CPUID, but are #UD without their registers. */
static bool has_registers(const struct cpuid_policy *policy, const struct insn *i)
{
	return (i->state != STATE_AVX || policy->xcr0 & XCR0_AVX) &&
		(i->state != STATE_AVX512 || policy->xcr0 & XCR0_AVX512);
}

enum group group_of(const struct insn *i, const struct cpuid_policy *policy)
{
	if (!has_registers(policy, i))
		return GROUP_NONE;
	if (i->class == INSN_EMULATE) {
		if (AMONG(i->mnemonic, faulting))
			return GROUP_FAULTING;
		if (!AMONG(i->mnemonic, emulated))
			return GROUP_NONE;
	} else if (!insn_is(i, CLASS_STRAIGHT) || AMONG(i->mnemonic, unpredictable)) {
		return GROUP_NONE;
	}
	if (i->encoding == ENC_VEX)
		return GROUP_VEX;
	if (i->encoding == ENC_EVEX)
		return GROUP_EVEX;
	if (i->state == STATE_X87 || i->mnemonic == ZYDIS_MNEMONIC_FRSTOR ||
		i->mnemonic == ZYDIS_MNEMONIC_FLDENV)
		return GROUP_X87;
	if (i->state == STATE_MMX || i->state == STATE_SSE)
		return GROUP_SSE;
	return i->class == INSN_EMULATE ? GROUP_EMULATED : GROUP_GENERAL;
}

/* --- the table ----------------------------------------------------------------------------- */

static void add(struct form_table *t, enum group group, const struct form *f)
{
	struct form_list *list = &t->list[f->mnemonic];
	struct form *last;

	if (list->count == 0) {
		unsigned n = t->group[group].count++;

		t->group[group].mnemonic[n] = f->mnemonic;
	}
	for (unsigned n = 0; n < list->count; n++) {
		last = &list->form[n];
		if (last->encoding == f->encoding && last->map == f->map &&
			last->opcode == f->opcode && last->prefix == f->prefix &&
			last->kind == f->kind &&
			(last->rm_mask == f->rm_mask || last->reg_mask == f->reg_mask)) {
			last->reg_mask |= f->reg_mask;
			last->rm_mask |= f->rm_mask;
			return;
		}
	}
	list->form = realloc(list->form, (list->count + 1) * sizeof *list->form);
	list->form[list->count++] = *f;
	t->forms++;
}

static void consider(struct form_table *t, const uint8_t *bytes, struct form f, unsigned reg,
	unsigned rm)
{
	struct insn i;
	enum group group;
	const char *name;

	if (insn_decode(&i, bytes, 15, 64, t->policy) != 0 || i.rep_ignored)
		return;
	group = group_of(&i, t->policy);
	name = ZydisMnemonicGetString(i.mnemonic);
	if (group == GROUP_NONE || (t->only && strncasecmp(name, t->only, strlen(t->only)) != 0))
		return;
	f.mnemonic = i.mnemonic;
	f.reg_mask = (uint8_t)(1u << reg);
	f.rm_mask = (uint8_t)(1u << rm);
	if (!i.modrm_offset) {
		f.kind = FORM_PLAIN;
		f.reg_mask = f.rm_mask = 0xff;
	} else if (f.kind == FORM_MEMORY) {
		f.rm_mask = 0xff;
	}
	add(t, group, &f);
}

static bool is_prefix(unsigned map, unsigned opcode)
{
	if (map == 1)
		return opcode == 0x38 || opcode == 0x3a || opcode == 0x0f;
	if (map)
		return false;
	switch (opcode) {
	case 0x0f:
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
	case 0x40 ... 0x4f:
	case 0x62:
	case 0x64 ... 0x67:
	case 0xc4:
	case 0xc5:
	case 0xf0:
	case 0xf2:
	case 0xf3:
		return true;
	default:
		return false;
	}
}

static void consider_modrm(struct form_table *t, uint8_t *bytes, unsigned n, struct form f)
{
	for (unsigned reg = 0; reg < 8; reg++) {
		f.kind = FORM_MEMORY;
		bytes[n] = (uint8_t)(reg << 3 | 3);
		consider(t, bytes, f, reg, 0);
		f.kind = FORM_REGISTER;
		for (unsigned rm = 0; rm < 8; rm++) {
			bytes[n] = (uint8_t)(0xc0 | reg << 3 | rm);
			consider(t, bytes, f, reg, rm);
		}
	}
}

static void legacy(struct form_table *t, unsigned map, unsigned opcode)
{
	static const uint8_t prefixes[] = {0, 0x66, 0xf2, 0xf3};

	if (is_prefix(map, opcode))
		return;
	for (unsigned k = 0; k < 8; k++) {
		struct form f = {.encoding = ENC_LEGACY,
			.map = (uint8_t)map,
			.opcode = (uint8_t)opcode,
			.prefix = prefixes[k & 3]};
		uint8_t bytes[15] = {0};
		unsigned n = 0;

		if (f.prefix)
			bytes[n++] = f.prefix;
		if (k & 4)
			bytes[n++] = 0x48;
		if (map)
			bytes[n++] = 0x0f;
		if (map > 1)
			bytes[n++] = map == 2 ? 0x38 : 0x3a;
		bytes[n++] = (uint8_t)opcode;
		consider_modrm(t, bytes, n, f);
	}
}

static void vector(struct form_table *t, unsigned map, unsigned pp, unsigned opcode)
{
	for (unsigned k = 0; k < 32; k++) {
		unsigned l = k & 3, w = k >> 2 & 1, v = k & 8 ? 10 : 15, aaa = k & 16 ? 1 : 0;
		struct form f = {.map = (uint8_t)map,
			.opcode = (uint8_t)opcode,
			.prefix = (uint8_t)pp};
		uint8_t vex[15] = {0xc4, (uint8_t)(0xe0 | map),
			(uint8_t)(w << 7 | v << 3 | l << 2 | pp), (uint8_t)opcode};
		uint8_t evex[15] = {0x62, (uint8_t)(0xf0 | map),
			(uint8_t)(w << 7 | v << 3 | 4 | pp), (uint8_t)(l << 5 | 8 | aaa),
			(uint8_t)opcode};

		f.encoding = ENC_VEX;
		if (map <= 3 && l < 2 && !aaa)
			consider_modrm(t, vex, 4, f);
		f.encoding = ENC_EVEX;
		consider_modrm(t, evex, 5, f);
		if (aaa) { /* a VSIB */
			f.kind = FORM_MEMORY;
			evex[5] = 0x0c;
			consider(t, evex, f, 1, 0);
		} else if (map == 2 && l < 2) {
			f.encoding = ENC_VEX;
			f.kind = FORM_MEMORY;
			vex[4] = 0x0c;
			vex[5] = 0x13;
			consider(t, vex, f, 1, 0);
		}
	}
}

struct form_table *form_table_create(const struct cpuid_policy *policy, const char *only)
{
	struct form_table *t = calloc(1, sizeof *t);

	if (!t)
		return NULL;
	t->policy = policy;
	t->only = only;
	for (unsigned opcode = 0; opcode < 256; opcode++) {
		for (unsigned map = 0; map < 4; map++)
			legacy(t, map, opcode);
		for (unsigned map = 1; map < 7; map++)
			for (unsigned pp = 0; pp < 4; pp++)
				vector(t, map, pp, opcode);
	}
	return t;
}

void form_table_destroy(struct form_table *t)
{
	for (unsigned i = 0; i < FORM_MNEMONICS; i++)
		free(t->list[i].form);
	free(t);
}
