/* SPDX-License-Identifier: Apache-2.0 */
/* What people type: options, sizes, numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "cli/options.h"
#include "cli/script.h"

enum { FLAG = 1, VALUE };

static const struct option_spec specs[] = {
	{"flag", FLAG, NULL, ""},
	{"value", VALUE, "X", ""},
	{NULL, 0, NULL, NULL},
};

#define SCAN(...)                                                                    \
	char *argv[] = {"verb", __VA_ARGS__};                                        \
	struct option_scan scan = {sizeof argv / sizeof *argv, argv, 1, NULL, NULL}; \
	struct error err = {""}

static void finds_options(void **state)
{
	SCAN("--flag", "--value", "a", "--value=b=c", "word", "-", "--value", "--flag");

	assert_int_equal(option_next(&scan, specs, &err), FLAG);
	assert_int_equal(option_next(&scan, specs, &err), VALUE);
	assert_string_equal(scan.value, "a");
	assert_int_equal(option_next(&scan, specs, &err), VALUE);
	assert_string_equal(scan.value, "b=c");
	assert_int_equal(option_next(&scan, specs, &err), OPTION_WORD);
	assert_string_equal(scan.value, "word");
	assert_int_equal(option_next(&scan, specs, &err), OPTION_WORD);
	assert_string_equal(scan.value, "-");
	assert_int_equal(option_next(&scan, specs, &err), VALUE);
	assert_string_equal(scan.value, "--flag");
	assert_int_equal(option_next(&scan, specs, &err), OPTION_END);
	assert_string_equal(err.text, "");
}

static void words_after_dashes(void **state)
{
	SCAN("--flag", "--", "--flag", "--", "x");

	assert_int_equal(option_next(&scan, specs, &err), FLAG);
	assert_int_equal(option_next(&scan, specs, &err), OPTION_WORD);
	assert_string_equal(scan.value, "--flag");
	assert_int_equal(option_next(&scan, specs, &err), OPTION_WORD);
	assert_string_equal(scan.value, "--");
	assert_int_equal(option_next(&scan, specs, &err), OPTION_WORD);
	assert_string_equal(scan.value, "x");
	assert_int_equal(option_next(&scan, specs, &err), OPTION_END);
}

static void letters(void **state)
{
	static const struct option_spec both[] = {
		{"all", 1, NULL, ""},
		{"a", 1, NULL, NULL},
		{"w", 2, NULL, ""},
		{"d", 3, "NAME", ""},
		{NULL, 0, NULL, NULL},
	};
	static const int ids[] = {1, 2, 1, 1, 3, 3, 3, 2, 3};
	static const char *const values[] = {NULL, NULL, NULL, NULL, "x", "y", "z=", NULL, "-a"};
	SCAN("-aw", "-a", "--all", "-dx", "-d", "y", "-d=z=", "-wd", "-a", "-aq", "-d");

	for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
		assert_int_equal(option_next(&scan, both, &err), ids[i]);
		if (values[i])
			assert_string_equal(scan.value, values[i]);
		else
			assert_null(scan.value);
	}
	assert_int_equal(option_next(&scan, both, &err), 1);
	assert_int_equal(option_next(&scan, both, &err), -EINVAL);
	assert_string_equal(err.text, "unknown option '-q'");
	err.text[0] = 0;
	assert_int_equal(option_next(&scan, both, &err), -EINVAL);
	assert_string_equal(err.text, "-d needs a value (NAME)");
	assert_int_equal(option_next(&scan, both, &err), OPTION_END);
}

static void refuses(char *word, const char *why)
{
	SCAN(word);

	assert_int_equal(option_next(&scan, specs, &err), -EINVAL);
	assert_string_equal(err.text, why);
}

static void refuses_options(void **state)
{
	refuses("--flavour", "unknown option '--flavour'");
	refuses("--flavour=mint", "unknown option '--flavour'");
	refuses("--fla", "unknown option '--fla'; did you mean '--flag'?");
	refuses("--vlaue=1", "unknown option '--vlaue'; did you mean '--value'?");
	refuses("-f", "unknown option '-f'");
	refuses("--f", "unknown option '--f'");
	refuses("--flag=1", "--flag takes no value");
	refuses("--value", "--value needs a value (X)");
	refuses("--\033[2J", "unknown option '--?[2J'");
}

static void sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {{"1024", 1ull << 30}, {"0", 0}, {"512M", 512ull << 20}, {"2G", 2ull << 30},
		{"2g", 2ull << 30}, {"1T", 1ull << 40}, {"64K", 64 << 10},
		{"16777215T", 0xffffffull << 40}};
	static const char *const bad[] = {"", "M", "-1", "+1", " 1", "1 ", "1MB", "1.5G", "0x10",
		"1P", "16777216T", "18446744073709551616", "99999999999999999999999",
		"17592186044416"};
	struct error err;
	uint64_t bytes;

	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		err.text[0] = 0;
		assert_int_equal(option_size("--memory", good[i].text, 1 << 20, &bytes, &err), 0);
		assert_true(bytes == good[i].bytes);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		err.text[0] = 0;
		assert_int_equal(option_size("--memory", bad[i], 1 << 20, &bytes, &err), -EINVAL);
		assert_int_equal(strncmp(err.text, "--memory: ", 10), 0);
	}
}

static void numbers(void **state)
{
	static const char *const bad[] = {"", "0", "65", "1x", "-1", "0x1", "99999999999999999999"};
	struct error err = {""};
	uint64_t number;

	assert_int_equal(option_number("--vcpus", "64", 1, 64, &number, &err), 0);
	assert_int_equal(number, 64);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(option_number("--vcpus", bad[i], 1, 64, &number, &err), -EINVAL);
}

#define READS(words) script_shell_reads(words, sizeof(words))

/* Whether a shell reads its script from standard input, which a guest would eat. */
static void scripts(void **state)
{
	assert_true(READS("sh"));
	assert_true(READS("-bash"));
	assert_true(READS("/usr/bin/bash\0-e\0--norc"));
	assert_true(READS("bash\0-s\0word\0other"));
	assert_false(READS("bash\0script.sh"));
	assert_false(READS("bash\0-e\0./script.sh"));
	assert_false(READS("sh\0-c\0dach run"));
	assert_false(READS("sh\0-ec\0dach run"));
	assert_false(READS("python3"));
	assert_false(READS("timeout\0"
			   "60"));
	assert_false(script_shell_reads("", 0));
	assert_false(script_shell_reads("sh", 2)); /* cut off */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scripts),
		cmocka_unit_test(finds_options),
		cmocka_unit_test(words_after_dashes),
		cmocka_unit_test(letters),
		cmocka_unit_test(refuses_options),
		cmocka_unit_test(sizes),
		cmocka_unit_test(numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
