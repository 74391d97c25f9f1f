/* SPDX-License-Identifier: Apache-2.0 */
#include "insn_forms.h"

#include <string.h>

struct forms {
	enum forms_operand operand;
	void (*visit)(void *ctx, const uint8_t bytes[15]);
	void *ctx;
};

/* Registers other than the first, so that fixed ones stand out. */
static uint8_t modrm_of(const struct forms *f, unsigned reg, unsigned mix)
{
	switch (f->operand) {
	case FORMS_REGISTER:
		return 0xc0 | reg << 3 | 6;
	case FORMS_MEMORY:
		return reg << 3 | 3;
	case FORMS_MIXED:
		return 0xc0 | reg << 3 | (mix & 7);
	default:
		return 0x40 | reg << 3 | 3;
	}
}

static void finish(const struct forms *f, uint8_t *bytes, unsigned n, uint8_t imm)
{
	if (f->operand == FORMS_DISP8)
		bytes[n++] = 2;
	memset(bytes + n, imm, 15 - n);
	f->visit(f->ctx, bytes);
}

/* Bytes that lead elsewhere instead of being opcodes. */
static bool escapes(unsigned map, unsigned op)
{
	switch (op) {
	case 0x0f:
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
	case 0x62:
	case 0x64 ... 0x67:
	case 0x40 ... 0x4f:
	case 0xc4:
	case 0xc5:
	case 0xf0:
	case 0xf2:
	case 0xf3:
		return map == 0;
	case 0x38:
	case 0x3a:
		return map == 1;
	default:
		return false;
	}
}

/* Opcodes whose register forms are told apart by ModRM.rm too. */
static bool groups_by_rm(const struct forms *f, unsigned map, unsigned op)
{
	if (f->operand != FORMS_MIXED)
		return false;
	return map == 0 ? op >= 0xd8 && op <= 0xdf
			: map == 1 && (op <= 1 || op == 0xae || op == 0xc7);
}

static void legacy(const struct forms *f, unsigned prefix, unsigned w, unsigned map, unsigned op)
{
	static const uint8_t prefixes[] = {0, 0x66, 0xf2, 0xf3};

	if (escapes(map, op))
		return;

	bool every_rm = groups_by_rm(f, map, op);

	for (unsigned k = 0; k < (every_rm ? 64 : 8); k++) {
		unsigned reg = k & 7, mix = every_rm ? k >> 3 : op * 5 + reg * 3 + prefix;
		uint8_t b[15];
		unsigned n = 0;

		if (prefix)
			b[n++] = prefixes[prefix];
		if (w)
			b[n++] = 0x48 | (f->operand == FORMS_MIXED ? mix >> 1 & 7 : 0);
		if (map > 0)
			b[n++] = 0x0f;
		if (map > 1)
			b[n++] = map == 2 ? 0x38 : 0x3a;
		b[n++] = op;
		b[n++] = modrm_of(f, reg, mix);
		/* three immediates: none, some, a multiple of 32 */
		finish(f, b, n, 0);
		finish(f, b, n, 3);
		finish(f, b, n, 0x60);
	}
}

static void vex(const struct forms *f, unsigned pp, unsigned map, unsigned op)
{
	for (unsigned mix = 0; mix < 64; mix++) {
		unsigned l = mix & 1, w = mix >> 1 & 1, vvvv = mix >> 2 & 1 ? 15 : 10;
		unsigned any = f->operand == FORMS_MIXED ? op * 5 + mix * 3 : 0;
		uint8_t b[15] = {0xc4, (0xe0 ^ (any & 0xe0)) | map,
			w << 7 | (vvvv ^ (any >> 3 & 15)) << 3 | l << 2 | pp, op,
			modrm_of(f, mix >> 3, any)};

		finish(f, b, 5, 2);
	}
}

static void evex(const struct forms *f, unsigned pp, unsigned map, unsigned op)
{
	for (unsigned mix = 0; mix < 512; mix++) {
		unsigned l = mix & 3, w = mix >> 2 & 1, vvvv = mix >> 3 & 1 ? 15 : 10;
		unsigned b_bit = mix >> 4 & 1, mask = mix >> 5 & 1;
		unsigned regs = mix >> 6, z = mask & regs;
		unsigned any = f->operand == FORMS_MIXED ? op * 5 + mix * 3 : 0;
		uint8_t b[15] = {0x62, (0xf0 ^ (any & 0xf0)) | map,
			w << 7 | (vvvv ^ (any >> 3 & 15)) << 3 | 4 | pp,
			z << 7 | l << 5 | b_bit << 4 | (8 ^ (any & 8)) | (mask ? 2 : 0), op,
			modrm_of(f, regs, any)};

		if (map == 1 || map == 2 || regs == 1 || regs == 2 || regs == 6 || regs == 7)
			finish(f, b, 6, 2);
		else if (regs == 0)
			finish(f, b, 6, 9);
	}
}

void insn_forms(enum forms_operand operand, void (*visit)(void *ctx, const uint8_t bytes[15]),
	void *ctx)
{
	struct forms f = {operand, visit, ctx};

	for (unsigned op = 0; op < 256; op++) {
		for (unsigned prefix = 0; prefix < 4; prefix++)
			for (unsigned map = 0; map < 4; map++)
				for (unsigned w = 0; w < 2; w++)
					legacy(&f, prefix, w, map, op);
		for (unsigned pp = 0; pp < 4; pp++) {
			for (unsigned map = 1; map < 4; map++)
				vex(&f, pp, map, op);
			for (unsigned map = 1; map < 7; map++)
				evex(&f, pp, map, op);
		}
	}
}
