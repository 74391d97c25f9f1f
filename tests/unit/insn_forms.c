/* SPDX-License-Identifier: Apache-2.0 */
#include "insn_forms.h"

#include <string.h>

struct forms {
	bool memory;
	void (*visit)(void *ctx, const uint8_t bytes[15]);
	void *ctx;
};

/* Registers other than the first, so that fixed ones stand out; [rbx] for memory. */
static uint8_t modrm_of(const struct forms *f, unsigned reg)
{
	return f->memory ? reg << 3 | 3 : 0xc0 | reg << 3 | 6;
}

static void finish(const struct forms *f, uint8_t *bytes, unsigned n, uint8_t imm)
{
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

static void legacy(const struct forms *f, unsigned prefix, unsigned w, unsigned map, unsigned op)
{
	static const uint8_t prefixes[] = {0, 0x66, 0xf2, 0xf3};

	if (escapes(map, op))
		return;

	for (unsigned reg = 0; reg < 8; reg++) {
		uint8_t b[15];
		unsigned n = 0;

		if (prefix)
			b[n++] = prefixes[prefix];
		if (w)
			b[n++] = 0x48;
		if (map > 0)
			b[n++] = 0x0f;
		if (map > 1)
			b[n++] = map == 2 ? 0x38 : 0x3a;
		b[n++] = op;
		b[n++] = modrm_of(f, reg);
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
		uint8_t b[15] = {0xc4, 0xe0 | map, w << 7 | vvvv << 3 | l << 2 | pp, op,
			modrm_of(f, mix >> 3)};

		finish(f, b, 5, 2);
	}
}

static void evex(const struct forms *f, unsigned pp, unsigned map, unsigned op)
{
	for (unsigned mix = 0; mix < 512; mix++) {
		unsigned l = mix & 3, w = mix >> 2 & 1, vvvv = mix >> 3 & 1 ? 15 : 10;
		unsigned b_bit = mix >> 4 & 1, mask = mix >> 5 & 1;
		unsigned regs = mix >> 6, z = mask & regs;
		uint8_t b[15] = {0x62, 0xf0 | map, w << 7 | vvvv << 3 | 4 | pp,
			z << 7 | l << 5 | b_bit << 4 | 8 | (mask ? 2 : 0), op, modrm_of(f, regs)};

		if (map == 1 || map == 2 || regs == 1 || regs == 2 || regs == 6 || regs == 7)
			finish(f, b, 6, 2);
		else if (regs == 0)
			finish(f, b, 6, 9);
	}
}

void insn_forms(bool memory, void (*visit)(void *ctx, const uint8_t bytes[15]), void *ctx)
{
	struct forms f = {memory, visit, ctx};

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
