/* SPDX-License-Identifier: Apache-2.0 */
/* Users' names for their numbers, in what the command line names a guest by, and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "client/owner.h"

#define LONG_NAME "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void test_numbers(void **state)
{
	static const char *const as_they_are[] = {"", "/", "web", "/web", "0/web", "12/web",
		"nobody-at-all/web", LONG_NAME "/web", "root web"};
	char buf[64], small[4];

	assert_string_equal(owner_number("root/web", buf, sizeof buf), "0/web");
	assert_string_equal(owner_number("root/", buf, sizeof buf), "0/");
	assert_string_equal(owner_number("root/a/b", buf, sizeof buf), "0/a/b");
	for (unsigned i = 0; i < sizeof as_they_are / sizeof *as_they_are; i++)
		assert_ptr_equal(owner_number(as_they_are[i], buf, sizeof buf), as_they_are[i]);
	assert_string_equal(owner_number("root/web", small, sizeof small), "root/web");
}

static void check_name(const char *ref, const char *wanted)
{
	json_t *answer =
		json_pack("{s:s, s:[{s:s}, {s:i}]}", "ref", ref, "guests", "ref", ref, "ref", 5);
	const json_t *first = json_array_get(json_object_get(answer, "guests"), 0);

	owner_name(answer);
	assert_string_equal(json_string_value(json_object_get(answer, "ref")), wanted);
	assert_string_equal(json_string_value(json_object_get(first, "ref")), wanted);
	json_decref(answer);
}

static void test_names(void **state)
{
	check_name("0/web", "root/web");
	check_name("web", "web");
	check_name("4123456789/web", "4123456789/web");
	check_name("4294967296/web", "4294967296/web"); /* no user has it, not even the first */
	check_name("-0/web", "-0/web");
	check_name("x/web", "x/web");
	check_name("/web", "/web");
	owner_name(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
