/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of nftables, ours and others', in a network namespace of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "links/named.h"
#include "links/nat.h"
#include "links/tables.h"

#include "links_rig.h"

#define NAMED 3000

static void count_element(void *ctx, const uint8_t *value, size_t size)
{
	unsigned *count = ctx;

	count[size == 16]++;
}

/* How many there are: of IPv4, of IPv6, in the sets of that turn. */
static void check_named(unsigned turn, unsigned ipv4, unsigned ipv6)
{
	unsigned count[2] = {0, 0};

	tables_each_element("inet", "named0", turn ? "named4b" : "named4a", count_element, count);
	tables_each_element("inet", "named0", turn ? "named6b" : "named6a", count_element, count);
	assert_int_equal(count[0], ipv4);
	assert_int_equal(count[1], ipv6);
}

/* NAMED of IPv4, which are more than one message of the kernel's holds, and two of IPv6. */
static void add_named(char set)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	fprintf(out, "add element inet dach-named0 named4%c { ", set);
	for (unsigned n = 0; n < NAMED; n++)
		fprintf(out, "%s10.1.%u.%u", n ? ", " : "", n / 250, n % 250);
	fprintf(out, " }; add element inet dach-named0 named6%c { fd00::1, fd00::2 }", set);
	fclose(out);
	RUN("nft", text);
	free(text);
}

/* Addresses of names stay when the rules are loaded again, unless they are not to; and are forgotten by turns. */
static void test_named(void **state)
{
	char *allow[] = {"10.0.0.0/8", "debian.org"};
	struct nat nat = {.bridge = "named0",
		.subnet = "10.9.0.0/24",
		.allow = allow,
		.allows = 2,
		.keep = true,
		.masquerade = true};
	struct error err = {""};
	char *text;

	assert_int_equal(named_forget("named0", 0), -ENOENT);
	check_named(0, 0, 0);
	assert_int_equal(nat_load(&nat, 1, &err), 0);
	check_named(0, 0, 0);
	add_named('a');
	add_named('b');
	assert_int_equal(nat_load(&nat, 1, &err), 0);
	check_named(0, NAMED, 2);
	check_named(1, NAMED, 2);
	text = rig_rules();
	assert_non_null(strstr(text, "10.1.7.150"));
	assert_non_null(strstr(text, "fd00::2"));
	free(text);
	assert_int_equal(named_forget("named0", 0), 0);
	check_named(0, 0, 0);
	check_named(1, NAMED, 2);
	assert_int_equal(named_forget("named0", 3), 0);
	check_named(1, 0, 0);
	RUN("nft", "add element inet dach-named0 named4a { 10.1.0.1 }");
	nat.keep = false;
	assert_int_equal(nat_load(&nat, 1, &err), 0);
	check_named(0, 0, 0);
	/* Without names there are no sets. */
	nat.allows = 1;
	assert_int_equal(nat_load(&nat, 1, &err), 0);
	assert_int_equal(named_forget("named0", 0), -ENOENT);
	assert_int_equal(nat_remove("named0", &err), 0);
}

/* Others' chains that drop what is passed on; not what comes in, what passes, or chains that nothing comes to by itself. */
static void test_dropping(void **state)
{
	struct tables_chain chain[2];

	assert_int_equal(tables_dropping(chain, 2), 0);
	RUN("nft",
		"add table ip f; add chain ip f FORWARD { type filter hook forward priority 0; policy drop; }; "
		"add chain ip f INPUT { type filter hook input priority 0; policy drop; }; add chain ip f FORWARD2; "
		"add table inet g; add chain inet g fine { type filter hook forward priority 0; policy accept; }");
	assert_int_equal(tables_dropping(chain, 2), 1);
	assert_string_equal(chain[0].family, "ip");
	assert_string_equal(chain[0].table, "f");
	assert_string_equal(chain[0].chain, "FORWARD");
	RUN("nft",
		"add chain inet g no { type filter hook forward priority 1; policy drop; }; "
		"add chain inet g neither { type filter hook forward priority 2; policy drop; }");
	assert_int_equal(tables_dropping(chain, 2), 2);
	RUN("nft", "delete table ip f; delete table inet g");
}

/* A rule for another link, a chain and a table whose name has the bridge's in it do not let it through. */
static void test_obstacle(void **state)
{
	static const struct {
		const char *rule;
		bool through;
	} cases[] = {{"iifname \"lanparty\" accept", false}, {"oifname \"wlan\" accept", false},
		{"iifname \"eth0\" jump lan", false},
		{"iifname \"eth0\" accept comment \"lan\"", false},
		{"iifname \"lan\" accept", true}, {"oifname { \"eth0\", \"lan\" } accept", true},
		{"iifname \"la*\" accept", true}};
	char text[200], rule[200];

	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		RUN("nft",
			"add table ip lan; add chain ip lan lan; "
			"add chain ip lan FORWARD { type filter hook forward priority 0; policy drop; }");
		snprintf(rule, sizeof rule, "add rule ip lan FORWARD %s", cases[i].rule);
		RUN("nft", rule);
		nat_obstacle("lan", text, sizeof text);
		assert_string_equal(text, cases[i].through ? "" : "table ip lan, chain FORWARD");
		RUN("nft", "delete table ip lan");
	}
}

/* Of a few things, those to be loaded with one that is wrong, or with an nft that is slow from the nth time on. */
struct many {
	unsigned wrong, slow_from, asked;
	int r[3];
};

static int load_some(void *ctx, unsigned first, unsigned count, struct error *err)
{
	struct many *many = ctx;

	many->asked++;
	if (many->slow_from && many->asked >= many->slow_from)
		return error_set(err, ETIMEDOUT, "slow");
	return many->wrong >= first && many->wrong < first + count ? error_set(err, EIO, "wrong")
								   : 0;
}

static void told(void *ctx, unsigned i, int r, const char *text)
{
	struct many *many = ctx;

	many->r[i] = r;
	if (r)
		assert_string_equal(text, r == -ETIMEDOUT ? "slow" : "wrong");
}

/* nft that is too slow is asked once, whatever there is to load: the daemon waits for it. */
static void test_many(void **state)
{
	static const struct {
		unsigned wrong, slow_from, asked;
		int r, each[3];
	} cases[] = {
		{9, 0, 1, 0, {0, 0, 0}},
		{1, 0, 4, 0, {0, -EIO, 0}},
		{9, 1, 1, -ETIMEDOUT, {-ETIMEDOUT, -ETIMEDOUT, -ETIMEDOUT}},
		{0, 3, 3, -ETIMEDOUT, {-EIO, -ETIMEDOUT, -ETIMEDOUT}},
	};

	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct many many = {cases[i].wrong, cases[i].slow_from, 0, {1, 1, 1}};

		assert_int_equal(tables_load_many(3, load_some, told, &many), cases[i].r);
		assert_int_equal(many.asked, cases[i].asked);
		assert_memory_equal(many.r, cases[i].each, sizeof many.r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_named),
		cmocka_unit_test(test_dropping),
		cmocka_unit_test(test_obstacle),
	};
	const struct CMUnitTest few[] = {cmocka_unit_test(test_many)};

	if (!rig_own_network()) {
		print_message(
			"no network of our own, no /dev/net/tun or no nft: most is not tested\n");
		return cmocka_run_group_tests(few, NULL, NULL);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
