/* SPDX-License-Identifier: Apache-2.0 */
/* A list of destinations by address and by name, and what the gate lets through of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>

#include "net/allow.h"
#include "net/gate.h"
#include "net/net.h"

#include "names_rig.h"

static void networks_and_addresses(void **state)
{
	static const struct {
		const char *to;
		bool in;
	} cases[] = {{"10.0.0.0", true}, {"10.127.255.255", true}, {"10.128.0.0", false},
		{"9.255.255.255", false}, {"198.51.100.7", true}, {"198.51.100.6", false},
		{"fd00:10::", true}, {"fd00:0fff::1", true}, {"fd00:1000::1", false},
		{"fcff::1", false}, {"::a00:1", false}, {"192.0.2.1", false}};

	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(reaches(*state, cases[i].to), cases[i].in);
}

/* ::/0 and whatever else has ::ffff:a.b.c.d in it opens nothing of IPv4, and the other way round. */
static void a_network_is_of_one_family(void **state)
{
	static char *list[][1] = {{"::/0"}, {"::/80"}, {"::ffff:0:0/96"}, {"0.0.0.0/0"}};
	const uint8_t v4[4] = {192, 0, 2, 1}, mapped[16] = {[10] = 0xff, 0xff, 192, 0, 2, 1};
	struct allow *allow;
	struct error err = {""};

	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(allow_create(list[i], 1, &allow, &err), 0);
		assert_int_equal(allow_reach(allow, v4, false, false, SECOND), i == 3);
		assert_int_equal(allow_reach(allow, mapped, true, false, SECOND), i != 3);
		allow_free(allow);
	}
}

static void names_and_those_below(void **state)
{
	static const struct {
		const char *name;
		bool in;
	} cases[] = {{"example.org", true}, {"EXAMPLE.ORG", true}, {"a.b.example.org", true},
		{"notexample.org", false}, {"example.org.evil", false}, {"org", false}, {"", false},
		{"example.com", false}};
	struct bench *bench = *state;

	assert_true(allow_has_names(bench->allow));
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(allow_name(bench->allow, cases[i].name), cases[i].in);
}

static void what_is_learned_goes(void **state)
{
	const uint8_t address[4] = {192, 0, 2, 1};
	struct bench *bench = *state;

	allow_learn(bench->allow, address, false, 60, bench->now);
	assert_true(reaches(bench, "192.0.2.1"));
	assert_false(reaches(bench, "192.0.2.2"));
	bench->now += ALLOW_STAY_NS + 59 * SECOND;
	assert_true(reaches(bench, "192.0.2.1"));
	bench->now += 2 * SECOND;
	assert_false(reaches(bench, "192.0.2.1"));
	/* What goes on keeps it, but does not bring it back. */
	assert_false(allow_reach(bench->allow, address, false, true, bench->now));
	allow_learn(bench->allow, address, false, 0, bench->now);
	for (unsigned i = 0; i < 100; i++) {
		bench->now += ALLOW_IN_USE_NS - SECOND;
		assert_true(allow_reach(bench->allow, address, false, true, bench->now));
	}
	/* No TTL is longer than a day. */
	allow_learn(bench->allow, address, false, UINT32_MAX, bench->now);
	bench->now += ALLOW_TTL_MAX * SECOND + ALLOW_STAY_NS + SECOND;
	assert_false(reaches(bench, "192.0.2.1"));
	/* Of more than there is room for the last ones are known. */
	for (unsigned i = 0; i < 3 * ALLOW_LEARNED; i++)
		allow_learn(bench->allow, (uint8_t[4]){192, 0, i >> 8, i}, false, i, bench->now);
	assert_true(reaches(bench, "192.0.11.255"));
	assert_false(reaches(bench, "192.0.0.1"));
}

static void what_the_gate_lets_through(void **state)
{
	struct bench *bench = *state;
	struct frame f;

	assert_true(admits(bench, segment(false, "10.1.2.3", 80, SYN)));
	assert_false(admits(bench, segment(false, "192.0.2.1", 80, SYN)));
	assert_false(admits(bench, segment(true, "2001:db8::1", 80, SYN)));
	assert_true(admits(bench, segment(false, "192.0.2.1", 80, ACK)));
	assert_false(admits(bench, datagram(false, "192.0.2.1", 443, NULL)));
	assert_true(admits(bench, datagram(false, "10.1.2.3", 443, NULL)));
	assert_false(
		admits(bench, packet(false, "192.0.2.1", IPPROTO_ICMP, (uint8_t[8]){8}, 8, NULL)));
	allow_learn(bench->allow, (uint8_t[]){192, 0, 2, 1}, false, 60, bench->now);
	assert_true(admits(bench, segment(false, "192.0.2.1", 80, SYN)));
	assert_true(admits(bench, datagram(false, "192.0.2.1", 443, NULL)));
	/* In parts nothing may look like what has begun. */
	f = segment(false, "192.0.2.2", 80, ACK);
	f.byte[NET_HEADER_LEN + 6] = 0x20;
	assert_false(admits(bench, f));
	f.byte[NET_HEADER_LEN + 7] = 1;
	assert_false(admits(bench, f));
	/* Names are asked by datagrams that names.c takes; DHCP goes on. */
	assert_false(admits(bench, segment(false, "10.0.2.3", 53, SYN)));
	assert_false(admits(bench, segment(true, "fec0::3", 53, SYN)));
	assert_false(admits(bench, datagram(false, "10.0.2.3", 53, NULL)));
	assert_true(admits(bench, datagram(false, "255.255.255.255", 67, NULL)));
	/* Whatever a name is said to be. */
	allow_learn(bench->allow, (uint8_t[]){169, 254, 169, 254}, false, 60, bench->now);
	allow_learn(bench->allow, (uint8_t[]){10, 0, 2, 2}, false, 60, bench->now);
	assert_false(admits(bench, segment(false, "169.254.169.254", 80, SYN)));
	assert_false(admits(bench, segment(false, "10.0.2.2", 80, SYN)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BENCH(networks_and_addresses),
		cmocka_unit_test(a_network_is_of_one_family),
		ON_BENCH(names_and_those_below),
		ON_BENCH(what_is_learned_goes),
		ON_BENCH(what_the_gate_lets_through),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
