/* SPDX-License-Identifier: Apache-2.0 */
/* Digests beside those that FIPS 180-4's examples and coreutils' sha256sum give. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "image/sha256.h"

static void check(const char *text, size_t size, unsigned pieces, const char *wanted)
{
	struct sha256 sha;
	char hex[SHA256_HEX];

	sha256_begin(&sha);
	for (size_t at = 0; at < size; at += pieces)
		sha256_add(&sha, text + at, size - at < pieces ? size - at : pieces);
	sha256_end(&sha, hex);
	assert_string_equal(hex, wanted);
}

static void known(void **state)
{
	static const struct {
		const char *text, *digest;
	} examples[] = {
		{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
			"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
	};
	static char many[1000000];

	memset(many, 'a', sizeof many);
	for (size_t i = 0; i < sizeof examples / sizeof *examples; i++)
		for (unsigned pieces = 1; pieces < 66; pieces++)
			check(examples[i].text, strlen(examples[i].text), pieces,
				examples[i].digest);
	for (unsigned pieces = 63; pieces < 66; pieces++)
		check(many, sizeof many, pieces,
			"cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	/* Where padding just fits, and does not. */
	check(many, 55, 7, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
	check(many, 56, 7, "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a");
	check(many, 64, 7, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test(known)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
