/* SPDX-License-Identifier: Apache-2.0 */
/* What a memo of decoded instructions says is what the decoder says, whatever stands behind a head. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cpu/translate/decode/insn.h"
#include "insn_forms.h"

struct check {
	struct insn_memo *memo;
	uint64_t random;
	unsigned seen, wrong;
};

static uint32_t random_32(struct check *c)
{
	c->random = c->random * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(c->random >> 32);
}

static void compare(struct check *c, const uint8_t *bytes, unsigned size, unsigned bits)
{
	struct insn plain, memo;
	int r = insn_decode(&plain, bytes, size, bits, NULL);

	if (insn_memo_decode(c->memo, &memo, bytes, size, bits, NULL) != r ||
		memcmp(&plain, &memo, sizeof plain)) {
		if (c->wrong++ < 10)
			print_error("%02x %02x %02x %02x %02x %02x %02x %02x in %u bytes differs\n",
				bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5],
				bytes[6], bytes[7], size);
	}
	c->seen++;
}

/* The form as it is, then with other bytes behind its first few, and cut short. */
static void vary(void *ctx, const uint8_t bytes[15])
{
	struct check *c = ctx;
	uint8_t other[15];

	compare(c, bytes, 15, 64);
	for (unsigned kept = 3; kept < 7; kept += 3) {
		memcpy(other, bytes, 15);
		for (unsigned n = kept; n < 15; n++)
			other[n] = (uint8_t)random_32(c);
		compare(c, other, 15, 64);
	}
	compare(c, bytes, 1 + random_32(c) % 14, 64);
}

static void test_forms(void **state)
{
	struct check c = {.memo = insn_memo_create(), .random = 1};

	(void)state;
	assert_non_null(c.memo);
	insn_forms(FORMS_MEMORY, vary, &c);
	insn_forms(FORMS_DISP8, vary, &c);
	insn_memo_destroy(c.memo);
	assert_true(c.seen > 100000);
	assert_int_equal(c.wrong, 0);
}

/* Few heads with many tails, so that nearly all of them are found in the memo. */
static void test_tails(void **state)
{
	static const uint8_t heads[][4] = {{0x48, 0x8b, 0x85}, {0x8b, 0x45}, {0x48, 0x8b, 0x05},
		{0x48, 0x8b, 0x04, 0x25}, {0xe8}, {0x0f, 0x84}, {0x74}, {0xeb}, {0x48, 0xc7, 0x80},
		{0x48, 0x83, 0xc0}, {0x66, 0x81, 0xc3}, {0xc2}, {0xc1, 0xe0}, {0x48, 0xc1, 0xe8},
		{0xc1, 0x60}, {0x0f, 0xa4, 0xc3}, {0x0f, 0xa4, 0x43}, {0x48, 0xb8}, {0xa1}, {0xcd},
		{0xe4}, {0xc8}, {0x0f, 0x20, 0x44}, {0xf6, 0x45}, {0xf7, 0x85}, {0x67, 0x8b, 0x80},
		{0x0f, 0x1f, 0x80}, {0x0f, 0xc7, 0x8b}, {0x48, 0x8d, 0xa4, 0x24}, {0x69, 0x85},
		{0x0f, 0x0f, 0xc1}, {0x8f, 0xc0}, {0x8f, 0x78}, {0x0f, 0xba, 0x65}, {0x6a}, {0x68},
		{0x64, 0x48, 0x8b, 0x80}, {0xe0}, {0xe3}, {0xc6, 0xf8}, {0x0f, 0x3a, 0x0f, 0xc1}};
	struct check c = {.memo = insn_memo_create(), .random = 2};

	(void)state;
	assert_non_null(c.memo);
	for (unsigned round = 0; round < 2000; round++)
		for (unsigned n = 0; n < sizeof heads / sizeof heads[0]; n++) {
			uint8_t bytes[15];
			unsigned kept = 4;

			while (kept > 1 && !heads[n][kept - 1])
				kept--;
			for (unsigned k = 0; k < 15; k++)
				bytes[k] = k < kept ? heads[n][k] : (uint8_t)random_32(&c);
			compare(&c, bytes, 15, 64);
			compare(&c, bytes, 15, 32);
		}
	insn_memo_destroy(c.memo);
	assert_int_equal(c.wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_tails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
