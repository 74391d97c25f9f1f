/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has been decoded, by the bytes that say what an instruction is: prefixes, opcode, ModRM and
 * SIB. A few hundred such heads make up most of a program, and what differs behind them is a
 * displacement and an immediate (SDM 2A, 2.1).
 *
 * Whether a head has been measured rightly is checked against the decoder when an entry is made: the
 * pieces must add up to the instruction's length. So all of its bytes are compared or put in anew.
 */
#include <stdlib.h>
#include <string.h>

#include "cpu/translate/cold.h"
#include "cpu/translate/decode/insn.h"

#define ENTRIES 4096u /* a power of two */
#define HEAD_MAX 8u

struct entry {
	uint64_t head; /* its bytes, zeros behind them */
	uint8_t head_length, disp_size;
	struct insn insn;
};

struct insn_memo {
	struct entry entry[ENTRIES];
};

struct head {
	unsigned length; /* 0: not one of those that are kept */
	unsigned disp_size;
	bool with_imm; /* the immediate, of one byte, counts */
};

struct insn_memo *insn_memo_create(void)
{
	return calloc(1, sizeof(struct insn_memo));
}

void insn_memo_destroy(struct insn_memo *m)
{
	free(m);
}

/* Bit n of word n / 32: the opcode has a ModRM byte (SDM 2D, tables; 64-bit code). */
static const uint32_t one_byte[8] = {0x0f0f0f0f, 0x0f0f0f0f, 0, 0x00000a08, 0x0000ffff, 0,
	0xff0f00c3, 0xc0c00000};
static const uint32_t two_bytes[8] = {0xfffff00f, 0xff00ffff, 0xffffffff, 0xff7fffff, 0xffff0000,
	0xfffff8f8, 0xffff00ff, 0xffffffff};

static bool is_prefix(uint8_t b)
{
	switch (b) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
	case 0x64 ... 0x67:
	case 0xf0:
	case 0xf2:
	case 0xf3:
		return true;
	default:
		return (b & 0xf0) == 0x40;
	}
}

/* Shifts by an immediate: what they do with flags depends on it. */
static bool imm_counts(unsigned map, uint8_t opcode)
{
	return map == 0 ? (opcode & 0xfe) == 0xc0 : (opcode & 0xf7) == 0xa4;
}

static unsigned disp_of(uint8_t modrm, uint8_t sib)
{
	switch (modrm >> 6) {
	case 0:
		return (modrm & 7) == 5 || ((modrm & 7) == 4 && (sib & 7) == 5) ? 4 : 0;
	case 1:
		return 1;
	case 2:
		return 4;
	default:
		return 0;
	}
}

static struct head measure(const uint8_t bytes[HEAD_MAX])
{
	struct head h = {.length = 0}, none = h;
	unsigned n = 0, map = 0;
	uint8_t opcode;

	while (n < 4 && is_prefix(bytes[n]))
		n++;
	opcode = bytes[n++];
	if (opcode == 0x0f) {
		map = 1;
		opcode = bytes[n++];
		if (opcode == 0x38 || opcode == 0x3a) {
			map = 2;
			opcode = bytes[n++];
		}
	} else if (opcode == 0xc4 || opcode == 0xc5 || opcode == 0x62) {
		return none;
	}
	if (map == 2 || (map ? two_bytes : one_byte)[opcode >> 5] >> (opcode & 31) & 1) {
		uint8_t modrm, sib = 0;

		if (n + 2 > HEAD_MAX)
			return none;
		modrm = bytes[n++];
		if (modrm < 0xc0 && (modrm & 7) == 4)
			sib = bytes[n++];
		h.disp_size = disp_of(modrm, sib);
	}
	if (map < 2 && imm_counts(map, opcode)) {
		if (h.disp_size || n == HEAD_MAX)
			return none;
		h.with_imm = true;
		n++;
	}
	h.length = n;
	return h;
}

static int64_t little_endian(const uint8_t *bytes, unsigned size)
{
	int64_t value = 0;

	memcpy(&value, bytes, size);
	return (int64_t)((uint64_t)value << (64 - 8 * size)) >> (64 - 8 * size);
}

/* An instruction that its head, a displacement and a sign-extended immediate make up. */
static bool regular(const struct insn *i, struct head h)
{
	unsigned imm_size = h.with_imm ? 0 : i->imm_size;

	if (i->encoding != ENC_LEGACY || h.length + h.disp_size + imm_size != i->length)
		return false;
	if (h.disp_size && i->mem_disp != little_endian(i->bytes + h.length, h.disp_size))
		return false;
	if (imm_size && (i->class == INSN_RET || i->class == INSN_EMULATE))
		return false; /* without a sign, and ENTER has two */
	return !imm_size || i->imm_offset == h.length + h.disp_size;
}

static void fill_in(struct insn *i, const struct entry *e, const uint8_t *bytes)
{
	unsigned at = e->head_length;

	*i = e->insn;
	if (e->disp_size) {
		memcpy(i->bytes + at, bytes + at, e->disp_size);
		i->mem_disp = little_endian(bytes + at, e->disp_size);
	}
	if (i->imm_size) {
		memcpy(i->bytes + i->imm_offset, bytes + i->imm_offset, i->imm_size);
		i->imm = little_endian(bytes + i->imm_offset, i->imm_size);
	}
}

int insn_memo_decode(struct insn_memo *m, struct insn *insn, const uint8_t *bytes, unsigned size,
	unsigned code_bits, const struct cpuid_policy *policy)
{
	struct head h = {.length = 0};
	struct entry *e = NULL;
	uint64_t head = 0;
	int r;

	if (code_bits == 64 && size >= HEAD_MAX)
		h = measure(bytes);
	if (h.length) {
		memcpy(&head, bytes, HEAD_MAX);
		head &= ~0ull >> (64 - 8 * h.length);
		e = &m->entry[head * 0x9e3779b97f4a7c15ull >> 32 & (ENTRIES - 1)];
		if (e->head_length == h.length && e->head == head && e->insn.length <= size) {
			fill_in(insn, e, bytes);
			return 0;
		}
	}
	r = insn_decode(insn, bytes, size, code_bits, policy);
	if (e && !r && regular(insn, h))
		*e = (struct entry){head, (uint8_t)h.length, (uint8_t)h.disp_size, *insn};
	return r;
}
