/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Zydis 4.0.0 tells wrongly of instructions, or too simply for our use: a
 * test per row of the corrections in insn*.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cpu/state.h"
#include "insn_text.h"

static void test_string_registers(void **state)
{
	struct insn i;

	(void)state;
	i = decode("a6", 64); /* CMPSB */
	assert_int_equal(i.gpr_write, BIT(RSI) | BIT(RDI));
	assert_int_equal(i.gpr_read, BIT(RSI) | BIT(RDI));
	assert_int_equal(i.flags_written, FL_STATUS);
	assert_true(i.flags_read & FL_DF);
	i = decode("f3 a6", 64);
	assert_int_equal(i.gpr_write, BIT(RSI) | BIT(RDI) | BIT(RCX));
	assert_int_equal(i.flags_written, 0);
	assert_int_equal(i.flags_maybe, FL_STATUS);
	i = decode("ae", 64); /* SCASB */
	assert_int_equal(i.gpr_write, BIT(RDI));
	assert_int_equal(i.gpr_read, BIT(RAX) | BIT(RDI));
	i = decode("f3 48 ad", 64); /* REP LODSQ: rax stays if rcx is 0 */
	assert_true(i.gpr_read & BIT(RAX));
	i = decode("48 ad", 64);
	assert_int_equal(i.gpr_read, BIT(RSI));
	assert_int_equal(i.gpr_write, BIT(RSI) | BIT(RAX));
	i = decode("64 a4", 64);
	assert_true(i.mem_read && i.mem_write && !i.has_mem && i.mem_seg == SEG_FS);
	assert_int_equal(i.mem_size, 1);
}

static void test_shift_flags(void **state)
{
	struct insn i;

	(void)state;
	i = decode("d3 e0", 64); /* SHL eax, cl */
	assert_int_equal(i.flags_written, 0);
	assert_int_equal(i.flags_maybe, FL_STATUS);
	assert_true(i.gpr_fixed & BIT(RCX));
	i = decode("c1 e0 00", 64);
	assert_int_equal(i.flags_written | i.flags_maybe, 0);
	i = decode("c1 e0 20", 64);
	assert_int_equal(i.flags_written | i.flags_maybe, 0);
	i = decode("48 c1 e0 20", 64);
	assert_int_equal(i.flags_written, FL_STATUS);
	i = decode("48 c1 e0 40", 64);
	assert_int_equal(i.flags_written | i.flags_maybe, 0);
	i = decode("d1 d0", 64); /* RCL eax, 1 */
	assert_int_equal(i.flags_written, FL_CF | FL_OF);
	assert_int_equal(i.flags_read, FL_CF);
	i = decode("c0 d0 09", 64);
	assert_int_equal(i.flags_written & ~FL_CF, 0);
	i = decode("0f a5 c8", 64); /* SHLD */
	assert_int_equal(i.flags_written, 0);
	i = decode("0f a4 c8 20", 64);
	assert_int_equal(i.flags_written | i.flags_maybe, 0);
}

static void test_other_flags(void **state)
{
	struct insn i;

	(void)state;
	i = decode("fc", 64); /* CLD */
	assert_int_equal(i.flags_written, FL_DF);
	i = decode("fd", 64);
	assert_int_equal(i.flags_written, FL_DF);
	i = decode("19 d8", 64); /* SBB: AF is written */
	assert_int_equal(i.flags_written, FL_STATUS);
	i = decode("c4 e2 79 17 c1", 64); /* VPTEST clears what PTEST does */
	assert_int_equal(i.flags_written, FL_STATUS);
	i = decode("c4 e2 79 0e c1", 64);
	assert_int_equal(i.flags_written, FL_STATUS);
	i = decode("0f a3 c8", 64); /* BT leaves the rest undefined: some processors keep it */
	assert_int_equal(i.flags_written, FL_CF);
	i = decode("f7 f1", 64); /* DIV likewise */
	assert_int_equal(i.flags_written, 0);
	assert_true(i.may_fault);
	i = decode("0f 9f c0", 64); /* SETG */
	assert_int_equal(i.flags_read, FL_ZF | FL_SF | FL_OF);
	assert_true(i.gpr_read & BIT(RAX));
	i = decode("9f", 64); /* LAHF */
	assert_int_equal(i.flags_read, FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF);
	i = decode("9e", 64);
	assert_int_equal(i.flags_written, FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF);
	i = decode("ff c0", 64); /* INC leaves CF alone */
	assert_int_equal(i.flags_written, FL_STATUS & ~FL_CF);
	i = decode("f5", 64); /* CMC */
	assert_int_equal(i.flags_read, FL_CF);
	i = decode("77 00", 64);
	assert_int_equal(i.flags_read, FL_CF | FL_ZF);
	assert_int_equal(i.cc, 7);
}

static void test_conditional_registers(void **state)
{
	struct insn i;

	(void)state;
	i = decode("0f bc c1", 64); /* BSF eax, ecx */
	assert_true(i.gpr_read & BIT(RAX));
	i = decode("f3 0f bc c1", 64); /* TZCNT */
	assert_false(i.gpr_read & BIT(RAX));
	i = decode("0f 44 c1", 64); /* CMOVZ */
	assert_true(i.gpr_read & BIT(RAX));
	i = decode("66 89 c8", 64); /* a 16-bit move keeps the upper part */
	assert_true(i.gpr_read & BIT(RAX));
	i = decode("89 c8", 64);
	assert_false(i.gpr_read & BIT(RAX));
	i = decode("0f b1 0b", 64); /* CMPXCHG */
	assert_true((i.gpr_read & i.gpr_write & BIT(RAX)) && (i.gpr_fixed & BIT(RAX)));
	i = decode("88 e0", 64); /* MOV al, ah */
	assert_true(i.high8);
	i = decode("40 88 e0", 64); /* MOV al, spl */
	assert_false(i.high8);
	assert_true(i.gpr_read & BIT(RSP));
	i = decode("c4 e2 f3 f6 c3", 64); /* MULX */
	assert_true((i.gpr_read & i.gpr_fixed & BIT(RDX)) && i.gpr_write == (BIT(RAX) | BIT(RCX)));
}

static void test_memory_operands(void **state)
{
	static const char *const none[] = {"0f 1f 03", "0f 18 0b", "0f 0d 0b", "0f 1c 03"};
	struct insn i;

	(void)state;
	for (unsigned n = 0; n < 4; n++) {
		i = decode(none[n], 64);
		assert_int_equal(i.class, INSN_NOP);
		assert_true(!i.has_mem && !i.mem_read && !i.mem_write && !i.gpr_read);
	}
	i = decode("0f 01 fc", 64); /* CLZERO: no operand at all, so never */
	assert_int_equal(i.class, INSN_UNDEFINED);
	i = decode("0f ae 23", 64); /* XSAVE: not 576 bytes */
	assert_int_equal(i.mem_size, 0);
	i = decode("0f 01 3b", 64); /* INVLPG */
	assert_true(i.has_mem && !i.mem_read && !i.mem_write);
	i = decode("0f ae 3b", 64); /* CLFLUSH */
	assert_true(i.mem_read && i.mem_size == 1);
	i = decode("66 63 03", 64); /* MOVSXD ax, m16 */
	assert_int_equal(i.mem_size, 2);
	i = decode("66 0f 2c 03", 64); /* CVTTPD2PI mm, m128 */
	assert_true(i.mem_aligned && i.mem_size == 16);
	i = decode("66 0f f7 c1", 64); /* MASKMOVDQU */
	assert_true(!i.mem_aligned && i.mem_masked && i.mem_base == RDI && i.mem_size == 16);
	i = decode("0f 28 03", 64);
	assert_true(i.mem_aligned);
	i = decode("0f 10 03", 64);
	assert_false(i.mem_aligned);
	i = decode("48 0f c7 0b", 64); /* CMPXCHG16B */
	assert_true(i.mem_aligned && i.mem_size == 16 && i.mem_read && i.mem_write);
	i = decode("db 2b", 64); /* FLD m80 */
	assert_true(i.mem_size == 10 && i.state == STATE_X87 && i.may_fault);
	i = decode("48 8d 03", 64);
	assert_true(i.has_mem && !i.mem_read && !i.mem_write);
	i = decode("ff 33", 64); /* PUSH [rbx] */
	assert_true(i.has_mem && i.mem_read && !i.mem_write && i.op_reg == INSN_NO_REG);
	i = decode("8f 03", 64);
	assert_true(i.has_mem && !i.mem_read && i.mem_write);
	i = decode("67 4f 8d 14 dd 10 00 00 80", 64); /* LEA r10, [r11d*8 - 7ffffff0h], not r13d */
	assert_true(i.mem_base == INSN_NO_REG && i.mem_index == R11 && i.mem_scale == 8);
	assert_true(i.mem_disp == (int32_t)0x80000010 && i.gpr_read == BIT(R11));
	i = decode("a1 08 07 06 05 04 03 02 81", 64);
	assert_true(i.has_mem && i.modrm_offset == 0 && i.mem_base == INSN_NO_REG);
	assert_true(i.mem_disp == (int64_t)0x8102030405060708 && i.mem_size == 4);
}

static void test_masked_operands(void **state)
{
	struct insn i;

	(void)state;
	i = decode("c4 e2 6d 8e 03", 64); /* VPMASKMOVD [rbx], ymm2, ymm0 */
	assert_true(i.mem_masked && i.mem_write && !i.mem_read);
	assert_true(i.mem_mask == INSN_MASK_SIGN && i.mask_reg == 2 && i.mask_lanes == 8);
	i = decode("62 f1 7c 49 58 03", 64); /* VADDPS zmm0{k1}, zmm0, [rbx] */
	assert_true(i.mem_masked && i.mask_reg == 1 && i.mask_step == 4 && i.mask_lanes == 16);
	i = decode("62 f1 7c 48 58 03", 64); /* no mask */
	assert_false(i.mem_masked);
	i = decode("62 f1 7c 59 58 03", 64); /* {1to16} */
	assert_true(i.mem_mask == INSN_MASK_REPEAT && i.mem_size == 4 && i.mask_lanes == 16);
	i = decode("62 f2 fd 49 8a 03", 64); /* VCOMPRESSPD [rbx]{k1} */
	assert_true(i.mem_mask == INSN_MASK_PACKED && i.mask_step == 8 && i.mask_lanes == 8);
	i = decode("62 f3 7d 49 19 03 00", 64); /* VEXTRACTF32X4 [rbx]{k1}: no faults suppressed */
	assert_true(!i.mem_masked && i.mem_read && i.mem_write);
	i = decode("62 f3 fd 49 ce 03 00", 64); /* VGF2P8AFFINEQB: Zydis has the wrong class */
	assert_false(i.mem_masked);
	i = decode("62 f3 7d 49 42 03 00", 64); /* VDBPSADBW likewise */
	assert_false(i.mem_masked);
	i = decode("62 f1 7c 49 58 43 01", 64); /* disp8 is scaled */
	assert_int_equal(i.mem_disp, 64);
	i = decode("c4 e2 75 90 04 90", 64); /* VPGATHERDD ymm0, [rax+ymm2*4], ymm1 */
	assert_true(i.mem_vsib == 2 && i.mem_index == INSN_NO_REG && i.mem_base == RAX);
	i = decode("62 f2 7d 41 a0 04 90", 64); /* VPSCATTERDD [rax+zmm18*4]{k1}: V' is clear */
	assert_int_equal(i.mem_vsib, 18);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_string_registers),
		cmocka_unit_test(test_shift_flags),
		cmocka_unit_test(test_other_flags),
		cmocka_unit_test(test_conditional_registers),
		cmocka_unit_test(test_memory_operands),
		cmocka_unit_test(test_masked_operands),
	};

	return cmocka_run_group_tests_name("insn_zydis", tests, NULL, NULL);
}
