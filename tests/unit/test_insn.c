/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding and classification: the contract of insn.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <Zydis/Zydis.h>

#include "cpu/cpuid.h"
#include "cpu/state.h"
#include "insn_text.h"

/* --- classes ------------------------------------------------------------------------------ */

struct row {
	const char *bytes;
	unsigned bits;
	enum insn_class class;
	bool ends, privileged;
};

/* clang-format off */
static const struct row rows[] = {
	{"01 d8", 64, INSN_COPY, 0, 0}, {"90", 64, INSN_NOP, 0, 0}, {"f3 90", 64, INSN_NOP, 0, 0},
	{"0f 1f 44 00 00", 64, INSN_NOP, 0, 0}, {"f3 0f 1e fa", 64, INSN_NOP, 0, 0},
	{"f3 48 0f 1e c8", 64, INSN_NOP, 0, 0}, /* RDSSP without CET */
	{"0f 1a 03", 64, INSN_NOP, 0, 0}, /* BNDLDX without MPX */
	{"0f 0d 08", 64, INSN_NOP, 0, 0}, {"0f 18 08", 64, INSN_NOP, 0, 0},
	{"48 8d 04 8b", 64, INSN_LEA, 0, 0}, {"eb 00", 64, INSN_JMP, 1, 0},
	{"0f 84 00 00 00 00", 64, INSN_JCC, 1, 0}, {"e2 00", 64, INSN_LOOP, 1, 0},
	{"e3 00", 64, INSN_LOOP, 1, 0}, {"e8 00 00 00 00", 64, INSN_CALL, 1, 0},
	{"ff e0", 64, INSN_JMP_IND, 1, 0}, {"ff 13", 64, INSN_CALL_IND, 1, 0},
	{"c3", 64, INSN_RET, 1, 0}, {"f3 c3", 64, INSN_RET, 1, 0}, {"c2 08 00", 64, INSN_RET, 1, 0},
	{"50", 64, INSN_PUSH, 0, 0}, {"6a 01", 64, INSN_PUSH, 0, 0}, {"ff 33", 64, INSN_PUSH, 0, 0},
	{"58", 64, INSN_POP, 0, 0}, {"8f 03", 64, INSN_POP, 0, 0}, {"c9", 64, INSN_LEAVE, 0, 0},
	{"a4", 64, INSN_STRING, 0, 0}, {"f3 48 a5", 64, INSN_STRING, 0, 0},
	{"a5", 64, INSN_STRING, 0, 0}, {"a7", 64, INSN_STRING, 0, 0},
	{"f2 0f 10 03", 64, INSN_COPY, 0, 0}, {"f2 0f c2 c1 00", 64, INSN_COPY, 0, 0},
	{"0f ab 03", 64, INSN_BITSTRING, 0, 0}, {"0f ba 2b 05", 64, INSN_COPY, 0, 0},
	{"0f ab c3", 64, INSN_COPY, 0, 0}, {"0f 31", 64, INSN_RDTSC, 0, 0},
	{"0f 0b", 64, INSN_UNDEFINED, 0, 0}, {"0f b9 c0", 64, INSN_UNDEFINED, 0, 0},
	{"0f ff c0", 64, INSN_UNDEFINED, 0, 0}, {"06", 64, INSN_UNDEFINED, 0, 0},
	{"0f ae fa", 64, INSN_COPY, 0, 0}, {"0f ae 13", 64, INSN_COPY, 0, 0},
	{"c4 e2 7d 90 0c 00", 64, INSN_UNDEFINED, 0, 0}, /* gather without an index of its own */
	{"c4 e2 75 90 04 08", 64, INSN_UNDEFINED, 0, 0}, /* its index is its mask */
	{"c4 e2 75 90 04 10", 64, INSN_EMULATE, 0, 0},
	/* emulated */
	{"0f 05", 64, INSN_EMULATE, 1, 0}, {"0f 07", 64, INSN_EMULATE, 1, 1},
	{"0f 34", 32, INSN_EMULATE, 1, 0}, {"0f 35", 32, INSN_EMULATE, 1, 1},
	{"cd 80", 64, INSN_EMULATE, 1, 0}, {"cc", 64, INSN_EMULATE, 1, 0},
	{"f1", 64, INSN_EMULATE, 1, 0}, {"ce", 32, INSN_EMULATE, 1, 0},
	{"48 cf", 64, INSN_EMULATE, 1, 0}, {"f3 0f ae c0", 64, INSN_EMULATE, 0, 0},
	{"f3 0f ae d8", 64, INSN_EMULATE, 1, 0}, {"0f 01 f8", 64, INSN_EMULATE, 1, 1},
	{"8e d8", 64, INSN_EMULATE, 1, 0}, {"8c d8", 64, INSN_EMULATE, 0, 0},
	{"0f a1", 64, INSN_EMULATE, 1, 0}, {"0f a0", 64, INSN_EMULATE, 0, 0},
	{"07", 32, INSN_EMULATE, 1, 0}, {"0f b2 03", 64, INSN_EMULATE, 1, 0},
	{"c4 03", 32, INSN_EMULATE, 1, 0}, {"9c", 64, INSN_EMULATE, 0, 0},
	{"9d", 64, INSN_EMULATE, 1, 0}, {"0f a2", 64, INSN_EMULATE, 0, 0},
	{"f3 0f c7 f8", 64, INSN_EMULATE, 0, 0}, {"0f 01 f9", 64, INSN_RDTSC, 0, 0},
	{"0f 01 d0", 64, INSN_EMULATE, 0, 0}, {"0f 01 d1", 64, INSN_EMULATE, 1, 1},
	{"0f 01 03", 64, INSN_EMULATE, 0, 0}, {"0f 01 13", 64, INSN_EMULATE, 0, 1},
	{"0f 01 e0", 64, INSN_EMULATE, 0, 0}, {"0f 01 f0", 64, INSN_EMULATE, 1, 1},
	{"0f 02 c1", 64, INSN_EMULATE, 0, 0}, {"0f 00 c8", 64, INSN_EMULATE, 0, 0},
	{"0f 20 c0", 64, INSN_EMULATE, 0, 1}, {"0f 22 d8", 64, INSN_EMULATE, 1, 1},
	{"0f 22 18", 64, INSN_EMULATE, 1, 1}, /* mod is ignored */
	{"0f 21 c0", 64, INSN_EMULATE, 0, 1}, {"0f 23 c0", 64, INSN_EMULATE, 1, 1},
	{"f0 0f 20 c0", 64, INSN_UNDEFINED, 0, 0}, {"0f 24 c0", 32, INSN_UNDEFINED, 0, 0},
	{"0f 06", 64, INSN_EMULATE, 1, 1}, {"fa", 64, INSN_EMULATE, 0, 0},
	{"fb", 64, INSN_EMULATE, 1, 0}, {"0f 01 ca", 64, INSN_EMULATE, 1, 0},
	{"f4", 64, INSN_EMULATE, 1, 1}, {"e4 10", 64, INSN_EMULATE, 0, 0},
	{"ef", 64, INSN_EMULATE, 0, 0}, {"f3 6c", 64, INSN_EMULATE, 0, 0},
	{"0f 01 3b", 64, INSN_EMULATE, 1, 1}, {"66 0f 38 82 03", 64, INSN_EMULATE, 1, 1},
	{"0f 09", 64, INSN_EMULATE, 0, 1}, {"0f 32", 64, INSN_EMULATE, 0, 1},
	{"0f 30", 64, INSN_EMULATE, 1, 1}, {"0f 33", 64, INSN_EMULATE, 0, 0},
	{"ff 2b", 64, INSN_EMULATE, 1, 0}, {"cb", 64, INSN_EMULATE, 1, 0},
	{"ea 00 00 00 00 08 00", 32, INSN_EMULATE, 1, 0}, {"c8 10 00 01", 64, INSN_EMULATE, 0, 0},
	{"60", 32, INSN_EMULATE, 0, 0}, {"62 03", 32, INSN_EMULATE, 0, 0},
	{"d7", 64, INSN_EMULATE, 0, 0}, {"0f ae 23", 64, INSN_EMULATE, 0, 0},
	{"0f ae 03", 64, INSN_EMULATE, 0, 0}, {"d9 33", 64, INSN_EMULATE, 0, 0},
	{"dd 33", 64, INSN_EMULATE, 0, 0}, {"0f f7 c1", 64, INSN_EMULATE, 0, 0},
	{"66 0f 38 f8 03", 64, INSN_EMULATE, 0, 0}, {"0f 01 e8", 64, INSN_NOP, 1, 0},
	{"27", 32, INSN_EMULATE, 0, 0}, {"d4 0a", 32, INSN_EMULATE, 0, 0},
	{"d6", 32, INSN_EMULATE, 0, 0}, {"63 c8", 32, INSN_EMULATE, 0, 0},
	/* not offered */
	{"0f aa", 64, INSN_UNDEFINED, 0, 0}, {"0f 01 c8", 64, INSN_UNDEFINED, 0, 0},
	{"0f 01 c9", 64, INSN_UNDEFINED, 0, 0}, {"0f 01 c1", 64, INSN_EMULATE, 1, 0},
	{"0f 01 d9", 64, INSN_EMULATE, 1, 0}, {"0f 01 c2", 64, INSN_UNDEFINED, 0, 0},
	{"0f 01 d8", 64, INSN_UNDEFINED, 0, 0}, {"0f 01 d7", 64, INSN_UNDEFINED, 0, 0},
	{"0f 01 ee", 64, INSN_UNDEFINED, 0, 0}, {"0f 01 d5", 64, INSN_UNDEFINED, 0, 0},
	{"c7 f8 00 00 00 00", 64, INSN_UNDEFINED, 0, 0}, {"c6 f8 00", 64, INSN_UNDEFINED, 0, 0},
	{"f3 0f ae e8", 64, INSN_UNDEFINED, 0, 0}, {"f3 0f 01 ea", 64, INSN_UNDEFINED, 0, 0},
	{"66 0f ae f0", 64, INSN_UNDEFINED, 0, 0}, {"f2 0f ae f0", 64, INSN_UNDEFINED, 0, 0},
	{"f3 0f ae f0", 64, INSN_UNDEFINED, 0, 0}, {"f2 0f 38 f8 03", 64, INSN_UNDEFINED, 0, 0},
	{"0f 01 fc", 64, INSN_UNDEFINED, 0, 0}, {"0f 01 fd", 64, INSN_UNDEFINED, 0, 0},
	{"c4 e2 78 49 03", 64, INSN_UNDEFINED, 0, 0}, {"f3 0f ae e0", 64, INSN_UNDEFINED, 0, 0},
	{"0f 0f c1 9e", 64, INSN_UNDEFINED, 0, 0}, {"8f e9 78 81 c1", 64, INSN_UNDEFINED, 0, 0},
	{"f3 0f c7 f0", 64, INSN_UNDEFINED, 0, 0}, {"0f 37", 64, INSN_UNDEFINED, 0, 0},
	/* LOCK where it may not be */
	{"f0 01 d8", 64, INSN_UNDEFINED, 0, 0}, {"f0 8b 03", 64, INSN_UNDEFINED, 0, 0},
	{"f0 01 03", 64, INSN_COPY, 0, 0}, {"f3 f0 01 03", 64, INSN_COPY, 0, 0},
	{"f2 f0 87 03", 64, INSN_COPY, 0, 0}, {"f2 e9 00 00 00 00", 64, INSN_JMP, 1, 0},
	/* FPU that is copied */
	{"9b", 64, INSN_COPY, 0, 0}, {"d9 2b", 64, INSN_COPY, 0, 0}, {"d9 3b", 64, INSN_COPY, 0, 0},
	{"df e0", 64, INSN_COPY, 0, 0}, {"db 2b", 64, INSN_COPY, 0, 0},
	{"db e3", 64, INSN_COPY, 0, 0},
};
/* clang-format on */

static void test_classes(void **state)
{
	(void)state;
	for (unsigned n = 0; n < sizeof(rows) / sizeof(rows[0]); n++) {
		const struct row *r = &rows[n];
		struct insn i = decode(r->bytes, r->bits);

		if (i.class != r->class || i.ends_block != r->ends || i.privileged != r->privileged)
			fail_msg("%s: class %u, ends %u, privileged %u", r->bytes, i.class,
				i.ends_block, i.privileged);
	}
}

/* --- where things are ------------------------------------------------------------------- */

static void test_layout(void **state)
{
	struct insn i;

	(void)state;
	i = decode("66 f2 48 0f 38 f1 c1", 64); /* CRC32 */
	assert_true(i.prefix_66 && i.prefix_f2 && !i.rep_ignored && !i.mandatory_66);
	assert_true(i.prefix_count == 2 && i.rex == 0x48 && i.opcode_offset == 5);
	assert_true(i.opcode_map == 2 && i.opcode == 0xf1 && i.modrm_offset == 6);
	i = decode("66 0f 58 c1", 64);
	assert_true(i.mandatory_66 && i.opcode_offset == 2);
	i = decode("48 66 89 c8", 64); /* a REX that does not count */
	assert_true(i.rex == 0 && i.operand_size == 2 && i.prefix_count == 2);
	i = decode("f3 01 d8", 64);
	assert_true(i.rep_ignored && i.class == INSN_COPY);
	i = decode("f3 f2 0f 58 c1", 64); /* which one counts? */
	assert_int_equal(i.class, INSN_UNDEFINED);
	i = decode("c5 f8 58 c1", 64);
	assert_true(i.encoding == ENC_VEX && i.vex_offset == 0 && i.opcode_offset == 2);
	i = decode("67 c4 e1 78 58 03", 64);
	assert_true(i.vex_offset == 1 && i.opcode_offset == 4 && i.address_size == 4);
	i = decode("62 f1 7c 48 58 03", 64);
	assert_true(i.encoding == ENC_EVEX && i.opcode_offset == 4 && i.state == STATE_AVX512);
	i = decode("48 81 c3 00 00 00 80", 64);
	assert_true(i.imm_offset == 3 && i.imm_size == 4 && i.imm == (int32_t)0x80000000);
	i = decode("49 bb 08 07 06 05 04 03 02 81", 64);
	assert_true(i.imm == (int64_t)0x8102030405060708 && i.op_reg == R11);
	i = decode("c2 00 80", 64);
	assert_int_equal(i.imm, 0x8000);
	i = decode("c8 00 80 03", 64);
	assert_true(i.imm == 0x8000 && i.imm2 == 3);
	i = decode("9a 01 02 03 84 05 80", 32);
	assert_true(i.imm == 0x84030201 && i.imm2 == 0x8005);
	i = decode("ea 01 82 03 84", 16);
	assert_true(i.imm == 0x8201 && i.imm2 == 0x8403);
	i = decode("cd ff", 32);
	assert_int_equal(i.imm, 0xff);
	i = decode("e9 f0 ff", 16);
	assert_true(i.imm == -16 && i.operand_size == 2);
	i = decode("41 ff e3", 64);
	assert_true(i.op_reg == R11 && i.gpr_read == BIT(R11));
	i = decode("67 e3 05", 64);
	assert_true(i.cc == 3 && i.address_size == 4 && i.imm == 5);
}

static void test_segments(void **state)
{
	/* clang-format off */
	static const struct {
		const char *bytes;
		unsigned bits, segment, base, index;
	} cases[] = {
		{"8b 03", 64, SEG_DS, RBX, INSN_NO_REG}, {"8b 04 24", 64, SEG_SS, RSP, INSN_NO_REG},
		{"8b 45 00", 64, SEG_SS, RBP, INSN_NO_REG},
		{"41 8b 45 00", 64, SEG_DS, R13, INSN_NO_REG},
		{"8b 04 2b", 64, SEG_DS, RBX, RBP}, {"2e 8b 45 00", 64, SEG_SS, RBP, INSN_NO_REG},
		{"65 8b 45 00", 64, SEG_GS, RBP, INSN_NO_REG},
		{"64 2e 8b 03", 64, SEG_FS, RBX, INSN_NO_REG},
		{"8b 05 00 00 00 00", 64, SEG_DS, INSN_RIP, INSN_NO_REG},
		{"8b 05 00 00 00 00", 32, SEG_DS, INSN_NO_REG, INSN_NO_REG},
		{"2e 8b 45 00", 32, SEG_CS, RBP, INSN_NO_REG},
		{"36 8b 03", 32, SEG_SS, RBX, INSN_NO_REG},
		{"26 3e 8b 03", 32, SEG_DS, RBX, INSN_NO_REG}, {"8b 02", 16, SEG_SS, RBP, RSI},
		{"8b 46 00", 16, SEG_SS, RBP, INSN_NO_REG}, {"8b 00", 16, SEG_DS, RBX, RSI},
		{"8b 06 00 00", 16, SEG_DS, INSN_NO_REG, INSN_NO_REG},
		{"26 a4", 16, SEG_ES, 0xff, 0xff},
		{"a1 00 00", 16, SEG_DS, INSN_NO_REG, INSN_NO_REG},
	};
	/* clang-format on */

	(void)state;
	for (unsigned n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
		struct insn i = decode(cases[n].bytes, cases[n].bits);

		if (i.mem_seg != cases[n].segment || i.mem_base != cases[n].base ||
			i.mem_index != cases[n].index)
			fail_msg("%s: segment %u, base %u, index %u", cases[n].bytes, i.mem_seg,
				i.mem_base, i.mem_index);
	}
}

/* SDM 2A table 2-1, in full. */
static void test_modrm16(void **state)
{
	static const uint8_t base[] = {RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX};
	static const uint8_t index[] = {RSI, RDI, RSI, RDI, 0xff, 0xff, 0xff, 0xff};

	(void)state;
	for (unsigned modrm = 0; modrm < 0xc0; modrm++) {
		uint8_t bytes[15] = {0x8b, modrm, 0x34, 0x92};
		unsigned mod = modrm >> 6, rm = modrm & 7, b = base[rm];
		bool absolute = mod == 0 && rm == 6;
		int disp = mod == 1 ? 0x34 : mod == 2 || absolute ? (int16_t)0x9234 : 0;
		struct insn i;

		assert_int_equal(insn_decode(&i, bytes, 15, 16, NULL), 0);
		if (absolute)
			b = INSN_NO_REG;
		assert_int_equal(i.mem_base, b);
		assert_int_equal(i.mem_index, index[rm]);
		assert_int_equal((uint16_t)i.mem_disp, (uint16_t)disp);
		assert_int_equal(i.mem_seg, b == RBP ? SEG_SS : SEG_DS);
		assert_int_equal(i.length, mod == 1 ? 3 : disp ? 4 : 2);
	}
}

/* Table 2-2 and 2-3, in full, in 32-bit code. */
static void test_modrm32(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 0xc0 * 256; n++) {
		unsigned modrm = n / 256, sib = n % 256, mod = modrm >> 6, rm = modrm & 7;
		uint8_t bytes[15] = {0x8b, modrm, sib, 0x12, 0x34, 0x56, 0x78};
		unsigned base = rm, index = INSN_NO_REG, scale = 1;
		struct insn i;

		if (rm == 4) {
			base = sib & 7;
			index = (sib >> 3 & 7) == 4 ? INSN_NO_REG : sib >> 3 & 7;
			scale = 1 << (sib >> 6);
		}
		if (mod == 0 && base == 5)
			base = INSN_NO_REG;
		assert_int_equal(insn_decode(&i, bytes, 15, 32, NULL), 0);
		assert_int_equal(i.mem_base, base);
		assert_int_equal(i.mem_index, index);
		assert_true(index == INSN_NO_REG || i.mem_scale == scale);
		assert_int_equal(i.mem_seg, base == RSP || base == RBP ? SEG_SS : SEG_DS);
		if (rm == 4 && mod == 1)
			assert_int_equal(i.mem_disp, 0x12);
		if (rm == 4 && (mod == 2 || base == INSN_NO_REG))
			assert_int_equal(i.mem_disp, 0x78563412);
	}
}

static void test_truncated(void **state)
{
	struct insn i;
	uint8_t bytes[15];

	(void)state;
	for (unsigned n = 0; n < sizeof(rows) / sizeof(rows[0]); n++) {
		unsigned length = hex(rows[n].bytes, bytes);

		if (insn_decode(&i, bytes, length, rows[n].bits, NULL) != 0)
			continue;
		for (unsigned k = 0; k < length; k++)
			assert_int_equal(insn_decode(&i, bytes, k, rows[n].bits, NULL), -EAGAIN);
	}
	memset(bytes, 0x66, 15);
	assert_int_equal(insn_decode(&i, bytes, 15, 64, NULL), -EILSEQ);
	assert_true(i.too_long && i.class == INSN_UNDEFINED);
	assert_int_equal(insn_decode(&i, bytes, 14, 64, NULL), -EAGAIN);
	bytes[14] = 0x90;
	assert_int_equal(insn_decode(&i, bytes, 15, 64, NULL), 0);
	assert_int_equal(i.length, 15);
	assert_int_equal(insn_decode(&i, (const uint8_t[]){0x0f, 0x0b}, 2, 64, NULL), -EILSEQ);
	assert_true(!i.too_long && i.length >= 1);
}

/* --- features ----------------------------------------------------------------------------- */

static void test_features(void **state)
{
	static const char *const gated[] = {"0f 58 c1", "66 0f 58 c1", "c5 f8 58 c1", "0f 6f c1",
		"62 f1 7c 48 58 c1", "c4 e2 71 b8 c1", "f3 0f b8 c1", "0f c7 f0", "0f 44 c1",
		"d8 c1", "c4 e2 78 f2 c1", "0f 38 f0 03", "0f ae 3b", "48 0f c7 0b", "0f 01 ca",
		"0f 01 f9", "0f 01 e8"};
	static const struct cpuid_policy none;
	struct insn i;
	uint8_t bytes[15];
	unsigned n;

	(void)state;
	for (unsigned k = 0; k < sizeof(gated) / sizeof(gated[0]); k++) {
		n = hex(gated[k], bytes);
		assert_int_equal(insn_decode(&i, bytes, n, 64, NULL), 0);
		if (insn_decode(&i, bytes, n, 64, &none) != -EILSEQ)
			fail_msg("%s", gated[k]);
	}
	n = hex("01 d8", bytes);
	assert_int_equal(insn_decode(&i, bytes, n, 64, &none), 0);
	/* a processor without LZCNT and TZCNT runs BSR and BSF, so the copy drops F3 */
	n = hex("f3 0f bd c1", bytes);
	assert_int_equal(insn_decode(&i, bytes, n, 64, &none), 0);
	assert_int_equal(i.mnemonic, ZYDIS_MNEMONIC_BSR);
	assert_true(i.rep_ignored);
	n = hex("f3 0f bc c1", bytes);
	assert_int_equal(insn_decode(&i, bytes, n, 64, &none), 0);
	assert_int_equal(i.mnemonic, ZYDIS_MNEMONIC_BSF);
}

static void test_format(void **state)
{
	struct insn i = decode("48 8b 03", 64);
	char text[64];

	(void)state;
	insn_format(&i, 0, 64, text, sizeof(text));
	assert_string_equal(text, "mov rax, [rbx]");
	insn_format(&i, 0, 64, text, 4);
	assert_string_equal(text, "mov");
	i = decode("06", 64);
	insn_format(&i, 0, 64, text, sizeof(text));
	assert_string_equal(text, "db 06");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_segments),
		cmocka_unit_test(test_modrm16),
		cmocka_unit_test(test_modrm32),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_format),
	};

	return cmocka_run_group_tests_name("insn", tests, NULL, NULL);
}
