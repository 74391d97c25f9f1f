/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is decoded otherwise for a guest that is told that AMD made its processor: on any host. What the
 * engine then does with it is tested in test_emulate_*.c and tests/oracle/makers.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <Zydis/Zydis.h>

#include "cpu/cpuid.h"
#include "cpu/state.h"
#include "cpu/translate/decode/insn.h"
#include "cpu/translate/emit/emit.h"

enum { INTEL, AMD, HYGON, MAKERS };

/* With the few features that the tests use. */
static struct cpuid_policy policy_of(unsigned maker)
{
	static const char *const names[MAKERS] = {"GenuineIntel", "AuthenticAMD", "HygonGenuine"};
	struct cpuid_policy p = {.count = 4};

	p.leaf[0].leaf = 0;
	p.leaf[1] = (struct cpuid_leaf){.leaf = 1, .edx = ~0u, .ecx = ~0u};
	p.leaf[2] = (struct cpuid_leaf){.leaf = 7, .indexed = true, .ebx = ~0u};
	p.leaf[3] = (struct cpuid_leaf){.leaf = 0x80000001u, .edx = ~0u, .ecx = ~0u};
	cpuid_policy_vendor(&p, names[maker]);
	return p;
}

static int decode(struct insn *i, unsigned maker, unsigned bits, const uint8_t *bytes,
	unsigned size)
{
	struct cpuid_policy p = policy_of(maker);
	struct insn_memo *memo = insn_memo_create();
	uint8_t padded[15] = {0};
	struct insn again;
	int r;

	memcpy(padded, bytes, size);
	r = insn_decode(i, padded, 15, bits, &p);
	/* the second time it comes out of the memo */
	for (unsigned k = 0; k < 2; k++) {
		assert_int_equal(insn_memo_decode(memo, &again, padded, 15, bits, &p), r);
		assert_memory_equal(i, &again, sizeof again);
	}
	insn_memo_destroy(memo);
	return r;
}
#define DECODE(i, maker, ...) \
	decode(&(i), maker, 64, (const uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}))

static void makers(void **state)
{
	for (unsigned m = 0; m < MAKERS; m++) {
		struct cpuid_policy p = policy_of(m);

		assert_int_equal(cpuid_policy_amd(&p), m != INTEL);
	}
	assert_int_equal(cpuid_family(0x806f8), 6);
	assert_int_equal(cpuid_family(0xa10f11), 0x19);
	assert_int_equal(cpuid_family(0xb00f21), 0x1a);
}

/* 66 before near branches of 64-bit code. */
static void near_branches(void **state)
{
	struct insn i;

	for (unsigned m = 0; m < MAKERS; m++) {
		unsigned size = m == INTEL ? 8 : 2;

		assert_int_equal(DECODE(i, m, 0x66, 0xe9, 1, 2, 3, 4), 0);
		assert_int_equal(i.class, INSN_JMP);
		assert_int_equal(i.length, m == INTEL ? 6 : 4);
		assert_int_equal(i.imm, m == INTEL ? 0x04030201 : 0x0201);
		assert_int_equal(i.operand_size, size);
		assert_int_equal(DECODE(i, m, 0x66, 0xe8, 1, 2, 3, 4), 0);
		assert_int_equal(i.class, INSN_CALL);
		assert_int_equal(i.length, m == INTEL ? 6 : 4);
		assert_int_equal(DECODE(i, m, 0x66, 0x0f, 0x84, 1, 2, 3, 4), 0);
		assert_int_equal(i.length, m == INTEL ? 7 : 5);
		assert_int_equal(i.operand_size, size);
		assert_int_equal(DECODE(i, m, 0x66, 0x48, 0xe9, 1, 2, 3, 4), 0);
		assert_int_equal(i.length, 7);
		assert_int_equal(i.operand_size, 8);
		assert_int_equal(DECODE(i, m, 0x66, 0xeb, 1), 0);
		assert_int_equal(i.operand_size, size);
		assert_int_equal(DECODE(i, m, 0x66, 0x75, 1), 0);
		assert_int_equal(i.operand_size, size);
		for (unsigned op = 0xe0; op < 0xe4; op++) {
			assert_int_equal(DECODE(i, m, 0x66, op, 1), 0);
			assert_int_equal(i.class, INSN_LOOP);
			assert_int_equal(i.operand_size, size);
		}
		assert_int_equal(DECODE(i, m, 0x66, 0xc3), 0);
		assert_int_equal(i.operand_size, size);
		assert_int_equal(DECODE(i, m, 0x66, 0xff, 0xe3), 0);
		assert_int_equal(i.operand_size, size);
		assert_int_equal(DECODE(i, m, 0x66, 0xff, 0x13), 0);
		assert_int_equal(i.class, INSN_CALL_IND);
		assert_int_equal(i.operand_size, size);
		assert_int_equal(i.mem_size, size);
		/* 16- and 32-bit code obeys it everywhere */
		assert_int_equal(decode(&i, m, 32, (const uint8_t[]){0x66, 0xe9, 1, 2, 3, 4}, 6),
			0);
		assert_int_equal(i.length, 4);
		assert_int_equal(i.operand_size, 2);
	}
}

static void check_copy(const struct insn *i, const uint8_t *expected, unsigned length)
{
	uint8_t code[32];
	struct emit e = {code, 0};

	emit_copy(&e, i, 64, at_reg(R10, 0));
	assert_int_equal(e.at - code, length);
	assert_memory_equal(code, expected, length);
}

/* What is copied must read no more than is checked, on either maker's processors. */
static void short_movsxd(void **state)
{
	struct insn i;

	for (unsigned m = 0; m < MAKERS; m++) {
		assert_int_equal(DECODE(i, m, 0x66, 0x63, 0x03), 0);
		assert_int_equal(i.class, INSN_COPY);
		assert_int_equal(i.mem_size, m == INTEL ? 2 : 4);
		assert_int_equal(i.gpr_write, 1u << RAX);
		assert_int_equal(i.gpr_read, 1u << RAX | 1u << RBX);
		if (m == INTEL)
			check_copy(&i, (const uint8_t[]){0x66, 0x41, 0x8b, 0x02}, 4);
		else
			check_copy(&i, (const uint8_t[]){0x66, 0x41, 0x63, 0x02}, 4);
		assert_int_equal(DECODE(i, m, 0x63, 0x03), 0);
		assert_int_equal(i.mem_size, 4);
		check_copy(&i, (const uint8_t[]){0x41, 0x63, 0x02}, 3);
		assert_int_equal(DECODE(i, m, 0x66, 0x48, 0x63, 0x03), 0);
		assert_int_equal(i.mem_size, 4);
	}
}

static void pause_with_rex_b(void **state)
{
	static const uint8_t copied[] = {0x3e, 0x41, 0x90};
	struct insn i;

	assert_int_equal(DECODE(i, INTEL, 0xf3, 0x41, 0x90), 0);
	assert_int_equal(i.mnemonic, ZYDIS_MNEMONIC_PAUSE);
	for (unsigned m = AMD; m < MAKERS; m++) {
		assert_int_equal(DECODE(i, m, 0xf3, 0x41, 0x90), 0);
		assert_int_equal(i.mnemonic, ZYDIS_MNEMONIC_XCHG);
		assert_int_equal(i.class, INSN_COPY);
		assert_int_equal(i.gpr_write, 1u << RAX | 1u << R8);
		check_copy(&i, copied, sizeof copied); /* XCHG to Intel's too */
		assert_int_equal(DECODE(i, m, 0x66, 0xf3, 0x49, 0x90), 0);
		assert_int_equal(i.mnemonic, ZYDIS_MNEMONIC_XCHG);
		assert_int_equal(i.operand_size, 8);
		assert_int_equal(DECODE(i, m, 0xf3, 0x4e, 0x90), 0);
		assert_int_equal(i.mnemonic, ZYDIS_MNEMONIC_PAUSE);
		assert_int_equal(DECODE(i, m, 0x41, 0xf3, 0x90), 0); /* that REX does not count */
		assert_int_equal(i.mnemonic, ZYDIS_MNEMONIC_PAUSE);
		assert_int_equal(DECODE(i, m, 0xf0, 0xf3, 0x41, 0x90), -EILSEQ);
	}
}

static void prefetch_of_a_register(void **state)
{
	struct insn i;

	for (unsigned m = 0; m < MAKERS; m++) {
		int r = m == INTEL ? 0 : -EILSEQ;

		assert_int_equal(DECODE(i, m, 0x0f, 0x0d, 0xc8), r);
		assert_int_equal(DECODE(i, m, 0x66, 0x0f, 0x0d, 0xc0), r);
		assert_int_equal(DECODE(i, m, 0x0f, 0x0d, 0x08), 0);
		assert_int_equal(DECODE(i, m, 0x0f, 0x18, 0xc8), 0); /* reserved, a NOP */
	}
}

/* AMD's take a misaligned operand; where the host is not one, it faults by itself. */
static void alignment_of_sha(void **state)
{
	struct insn i;

	for (unsigned m = 0; m < MAKERS; m++)
		for (unsigned op = 0xc8; op <= 0xcd; op++) {
			assert_int_equal(DECODE(i, m, 0x0f, 0x38, op, 0x03), 0);
			assert_int_equal(i.mem_aligned, m == INTEL);
			assert_true(i.mem_aligned || i.may_fault);
			assert_int_equal(DECODE(i, m, 0x0f, 0x3a, 0xcc, 0x03, 1), 0);
			assert_int_equal(i.mem_aligned, m == INTEL);
			assert_int_equal(DECODE(i, m, 0x0f, 0x58, 0x03), 0); /* addps */
			assert_true(i.mem_aligned);
		}
}

/* A host may be of either maker: what one of them leaves alone is not said to be overwritten. */
static void kept_flags(void **state)
{
	static const uint32_t not_carry = FL_SF | FL_ZF | FL_AF | FL_PF;
	struct insn i;

	for (unsigned m = 0; m < MAKERS; m++) {
		assert_int_equal(DECODE(i, m, 0xf7, 0xe1), 0); /* mul */
		assert_int_equal(i.flags_written & not_carry, 0);
		assert_int_equal(i.flags_maybe & not_carry, not_carry);
		assert_int_equal(i.flags_written, FL_CF | FL_OF);
		assert_int_equal(DECODE(i, m, 0x0f, 0xaf, 0xc1), 0); /* imul */
		assert_int_equal(i.flags_written, FL_CF | FL_OF);
		assert_int_equal(DECODE(i, m, 0xf3, 0x0f, 0xbd, 0xc1), 0); /* lzcnt */
		assert_int_equal(i.flags_written & FL_OF, 0);
		assert_int_equal(i.flags_maybe & FL_OF, FL_OF);
		assert_int_equal(DECODE(i, m, 0xf3, 0x0f, 0xbc, 0xc1), 0); /* tzcnt */
		assert_int_equal(i.flags_written & FL_OF, 0);
		assert_int_equal(DECODE(i, m, 0x0f, 0xbc, 0xc1), 0); /* bsf */
		assert_int_equal(i.flags_written, FL_ZF);
		assert_int_equal(DECODE(i, m, 0x31, 0xc8), 0); /* xor */
		assert_int_equal(i.flags_written, FL_STATUS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(makers),
		cmocka_unit_test(near_branches),
		cmocka_unit_test(short_movsxd),
		cmocka_unit_test(pause_with_rex_b),
		cmocka_unit_test(prefetch_of_a_register),
		cmocka_unit_test(alignment_of_sha),
		cmocka_unit_test(kept_flags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
