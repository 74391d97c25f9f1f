/* SPDX-License-Identifier: Apache-2.0 */
/* A network's configuration, and the arithmetic of its addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "domain/network.h"

static void test_good(void **state)
{
	struct network_config config;
	struct error err = {""};
	json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:b, s:i}", "name", "lan", "mode",
		"isolated", "subnet", "10.5.0.0/24", "domain", "lab.example", "autostart", 0, "mtu",
		9000);

	assert_int_equal(network_config_from_json(json, &config, &err), 0);
	assert_string_equal(config.name, "lan");
	assert_int_equal(config.mode, NETWORK_ISOLATED);
	assert_string_equal(config.domain, "lab.example");
	assert_false(config.autostart);
	assert_int_equal(config.mtu, 9000);
	network_config_free(&config);
	json_decref(json);
	json = json_pack("{s:s}", "name", "n");
	assert_int_equal(network_config_from_json(json, &config, &err), 0);
	assert_int_equal(config.mode, NETWORK_NAT);
	assert_true(config.autostart);
	assert_null(config.subnet);
	network_config_free(&config);
	json_decref(json);
	json = json_pack("{s:s, s:[s, s, s, s]}", "name", "n", "allow", "10.0.0.0/8", "fd00::/64",
		"169.254.169.254", "a-1._b.Example");
	assert_int_equal(network_config_from_json(json, &config, &err), 0);
	assert_int_equal(config.allows, 4);
	assert_string_equal(config.allow[1], "fd00::/64");
	network_config_free(&config);
	json_decref(json);
	json = json_pack("{s:s, s:s, s:s, s:i}", "name", "lan", "mode", "bridge", "bridge", "br0",
		"vlan", 4094);
	assert_int_equal(network_config_from_json(json, &config, &err), 0);
	assert_int_equal(config.vlan, 4094);
	network_config_free(&config);
	json_decref(json);
}

static void test_bad(void **state)
{
	static const char *const bad[] = {"[]", "{}", "{\"name\": \"\"}", "{\"name\": \"a/b\"}",
		"{\"name\": \"-a\"}", "{\"name\": 1}", "{\"name\": \"a\", \"x\": 1}",
		"{\"name\": \"a\", \"mode\": \"bridge\"}",
		"{\"name\": \"a\", \"mode\": \"bridge\", \"bridge\": \"b\", \"mtu\": 1500}",
		"{\"name\": \"a\", \"bridge\": \"b\"}",
		"{\"name\": \"a\", \"subnet\": \"10.0.0.0\"}",
		"{\"name\": \"a\", \"subnet\": \"10.0.0.0/\"}",
		"{\"name\": \"a\", \"subnet\": \"10.0.0.0/7\"}",
		"{\"name\": \"a\", \"subnet\": \"10.0.0.255/24\"}",
		"{\"name\": \"a\", \"subnet\": \"224.0.0.0/24\"}",
		"{\"name\": \"a\", \"subnet\": \"10.0.0.0/24 \"}",
		"{\"name\": \"a\", \"subnet6\": \"10.0.0.0/24\"}",
		"{\"name\": \"a\", \"subnet6\": \"::/64\"}",
		"{\"name\": \"a\", \"subnet6\": \"ff00::/64\"}",
		"{\"name\": \"a\", \"allow\": [\"\"]}",
		"{\"name\": \"a\", \"allow\": [\"10.0.0.0/33\"]}",
		"{\"name\": \"a\", \"allow\": [\"10.0.0.0/\"]}",
		"{\"name\": \"a\", \"allow\": [\"10.0.0.0/8 drop\"]}",
		"{\"name\": \"a\", \"allow\": [\"10.0.0.0/8\\n\"]}",
		"{\"name\": \"a\", \"allow\": [\"10.0.0.0/0008\"]}",
		"{\"name\": \"a\", \"allow\": [\"fd00::/129\"]}",
		"{\"name\": \"a\", \"allow\": \"10.0.0.0\"}",
		"{\"name\": \"a\", \"allow\": [\"10.0.0\"]}",
		"{\"name\": \"a\", \"allow\": [\"a..b\"]}",
		"{\"name\": \"a\", \"allow\": [\"a.\"]}", "{\"name\": \"a\", \"allow\": [\".a\"]}",
		"{\"name\": \"a\", \"allow\": [\"*.a\"]}",
		"{\"name\": \"a\", \"allow\": [\"-a.b\"]}",
		"{\"name\": \"a\", \"allow\": [\"a.b/#\"]}",
		"{\"name\": \"a\", \"allow\": [\"a\\nserver=b\"]}",
		"{\"name\": \"a\", \"mode\": \"isolated\", \"allow\": [\"10.0.0.1\"]}",
		"{\"name\": \"a\", \"vlan\": 20}",
		"{\"name\": \"a\", \"mode\": \"bridge\", \"bridge\": \"b\", \"vlan\": 4095}",
		"{\"name\": \"a\", \"domain\": \"a b\"}",
		"{\"name\": \"a\", \"domain\": \"a\\nb\"}", "{\"name\": \"a\", \"mtu\": 1279}"};

	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
		json_t *json = json_loads(bad[i], 0, NULL);
		struct network_config config;
		struct error err = {""};

		if (network_config_from_json(json, &config, &err) != -EINVAL || !*err.text)
			fail_msg("%s is taken, or nothing is said", bad[i]);
		assert_null(config.name);
		json_decref(json);
	}
}

static void parse(const char *text, struct network_subnet *subnet)
{
	if (network_subnet_parse(text, subnet))
		fail_msg("%s is no subnet", text);
}

static void test_subnets(void **state)
{
	static const uint8_t mac[NET_MAC_LEN] = {0x00, 0x16, 0x3e, 1, 2, 3};
	static const struct {
		const char *a, *b;
		bool overlap;
	} pairs[] = {{"10.5.0.0/24", "10.5.0.128/25", true}, {"10.5.0.0/24", "10.5.1.0/24", false},
		{"10.0.0.0/8", "10.255.0.0/16", true}, {"10.5.0.0/23", "10.5.1.0/24", true},
		{"fd05::/64", "fd05::5:0:0:1/64", true}, {"fd05::/64", "fd05:0:0:1::/64", false},
		{"10.5.0.0/24", "fd05::/64", false}};
	struct network_subnet subnet, other;
	char text[NET_ADDRESS_TEXT + 1];

	for (unsigned i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		parse(pairs[i].a, &subnet);
		parse(pairs[i].b, &other);
		assert_int_equal(network_subnets_overlap(&subnet, &other), pairs[i].overlap);
		assert_int_equal(network_subnets_overlap(&other, &subnet), pairs[i].overlap);
	}
	parse("10.5.3.0/22", &subnet);
	network_subnet_text(&subnet, false, text);
	assert_string_equal(text, "10.5.0.0");
	network_subnet_text(&subnet, true, text);
	assert_string_equal(text, "10.5.3.0");
	parse("10.5.0.0/22", &subnet);
	network_subnet_text(&subnet, true, text);
	assert_string_equal(text, "10.5.0.1");
	assert_true(network_subnet_nth(&subnet, 1022, text));
	assert_string_equal(text, "10.5.3.254");
	assert_false(network_subnet_nth(&subnet, 1023, text));
	assert_int_equal(network_subnet_number(&subnet, "10.5.3.254"), 1022);
	assert_int_equal(network_subnet_number(&subnet, "10.5.3.255"), 0);
	assert_int_equal(network_subnet_number(&subnet, "10.5.4.1"), 0);
	assert_int_equal(network_subnet_number(&subnet, "fd05::1"), 0);
	parse("10.0.0.0/30", &subnet);
	assert_true(network_subnet_nth(&subnet, 2, text));
	assert_false(network_subnet_nth(&subnet, 3, text));
	parse("fd05::/64", &subnet);
	network_subnet_text(&subnet, true, text);
	assert_string_equal(text, "fd05::1");
	network_subnet_of_mac(&subnet, mac, text);
	assert_string_equal(text, "fd05::216:3eff:fe01:203");
	assert_false(network_subnet_nth(&subnet, 1, text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_subnets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
