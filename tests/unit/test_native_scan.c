/* SPDX-License-Identifier: Apache-2.0 */
/* Which pages of code may run in a mirror as they are, which in a copy, and what that copy is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "cpu/translate/native/native.h"

#define PAGE 4096u

static uint8_t bytes[3 * PAGE];
static uint8_t *const page = bytes + PAGE;
static struct native_found found;

static enum native_code scan(void)
{
	return native_scan(bytes, page, page + PAGE, false, &found);
}

/* ADD RAX, 0x01020304 all over: wherever decoding begins, it comes to agree. */
static void fill(void)
{
	static const uint8_t add[] = {0x48, 0x05, 0x04, 0x03, 0x02, 0x01};

	for (unsigned i = 0; i < sizeof bytes; i++)
		bytes[i] = add[i % sizeof add];
}

/* The code's instructions begin at multiples of six. */
static void put(unsigned at, const uint8_t *code, unsigned size)
{
	assert_int_equal((PAGE + at) % 6, 0);
	memset(page + at, 0x90, 6);
	memcpy(page + at, code, size);
}

static void plain_code_runs_as_it_is(void **state)
{
	static const uint8_t imm[] = {0x48, 0x05, 0x0f, 0xa2, 0, 0};

	fill();
	assert_int_equal(scan(), NATIVE_CODE_AS_IS);
	/* CPUID's bytes, in the middle of something else */
	put(602, imm, sizeof imm);
	assert_int_equal(scan(), NATIVE_CODE_AS_IS);
}

static void what_tells_of_the_host_is_patched(void **state)
{
	static const uint8_t telling[][6] = {
		{0x0f, 0xa2},                         /* CPUID */
		{0x0f, 0x01, 0xd0},                   /* XGETBV */
		{0x0f, 0x03, 0xc1},                   /* LSL EAX, ECX */
		{0x48, 0x0f, 0xae, 0x64, 0x24, 0x40}, /* XSAVE64 [RSP+0x40] */
		{0xf3, 0x0f, 0xc7, 0xf8},             /* RDPID RAX */
	};

	for (unsigned i = 0; i < sizeof telling / sizeof *telling; i++) {
		unsigned prefix = telling[i][0] != 0x0f;

		fill();
		put(602, telling[i], 6);
		put(2402, telling[i], 6);
		assert_int_equal(scan(), NATIVE_CODE_PATCHED);
		assert_int_equal(found.count, 2);
		assert_int_equal(found.at[0], 602 + prefix);
		assert_int_equal(found.at[1], 2402 + prefix);
	}
	fill();
	put(602, telling[0], 6);
	assert_int_equal(native_scan(bytes, page, page + PAGE, true, &found), NATIVE_CODE_AS_IS);
}

static void what_is_not_sure_does_not_run(void **state)
{
	static const uint8_t cpuid[] = {0x0f, 0xa2};

	/* in the beginning of a page of which nobody knows what is before it */
	fill();
	put(14, cpuid, 2);
	assert_int_equal(native_scan(NULL, page, page + PAGE, false, &found), NATIVE_CODE_NOT);
	/* it lies in two pages */
	fill();
	memset(page + PAGE - 5, 0x90, 10);
	memcpy(page + PAGE - 1, cpuid, 2);
	assert_int_equal(scan(), NATIVE_CODE_NOT);
	/* by every other beginning before it, it is the immediate of TEST AL, 0x0F */
	fill();
	memset(page + 600 - 300, 0xa8, 300);
	memcpy(page + 600, cpuid, 2);
	assert_int_equal(scan(), NATIVE_CODE_NOT);
	/* more than are remembered */
	fill();
	for (unsigned i = 0; i <= NATIVE_FOUND; i++)
		put(302 + 12 * i, cpuid, 2);
	assert_int_equal(scan(), NATIVE_CODE_NOT);
}

static void a_copy_has_ud2_there(void **state)
{
	static const uint8_t xsave[] = {0x48, 0x0f, 0xae, 0x64, 0x24, 0x40};
	struct native_patches patches = {0};
	const uint8_t *copy;

	fill();
	put(602, xsave, sizeof xsave);
	assert_int_equal(scan(), NATIVE_CODE_PATCHED);
	native_patches_create(&patches);
	assert_non_null(patches.page);
	assert_int_equal(native_patch(&patches, 7, page, &found), 0);
	assert_int_equal(native_patch_find(&patches, 7), 0);
	assert_int_equal(native_patch_find(&patches, 8), -1);
	copy = patches.page;
	assert_memory_equal(copy, page, 604);
	assert_int_equal(copy[604], 0x0b);
	assert_memory_equal(copy + 605, page + 605, PAGE - 605);
	/* the same again; but no other one for the same page */
	assert_int_equal(native_patch(&patches, 7, page, &found), 0);
	found.count = 0;
	assert_int_equal(native_patch(&patches, 7, page, &found), -1);
	for (unsigned i = 1; i < NATIVE_PATCHES; i++)
		assert_int_equal(native_patch(&patches, 7 + i, page, &found), i);
	assert_int_equal(native_patch(&patches, 5, page, &found), -1);
	native_patches_forget(&patches);
	assert_int_equal(native_patch_find(&patches, 7), -1);
	assert_int_equal(native_patch(&patches, 5, page, &found), 0);
	native_patches_destroy(&patches);
	assert_int_equal(native_patch(&patches, 5, page, &found), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_code_runs_as_it_is),
		cmocka_unit_test(what_tells_of_the_host_is_patched),
		cmocka_unit_test(what_is_not_sure_does_not_run),
		cmocka_unit_test(a_copy_has_ud2_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
