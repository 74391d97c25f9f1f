/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "net/resolver.h"
#include "protocol/network.h"

static void test_good(void **state)
{
	static const uint8_t mac[6] = {0x02, 0xaB, 0, 0x12, 0x34, 0xff};
	uint8_t bytes[6];
	struct error err = {0};
	struct net_spec spec;

	assert_int_equal(net_spec_parse("none", &spec, &err), 0);
	assert_int_equal(spec.kind, NET_NONE);
	net_spec_free(&spec);
	assert_int_equal(net_spec_parse("user", &spec, &err), 0);
	assert_int_equal(spec.kind, NET_USER);
	assert_int_equal(spec.forwards, 0);
	assert_false(net_spec_mac(&spec, bytes));
	assert_false(spec.loopback);
	net_spec_free(&spec);
	assert_int_equal(net_spec_parse("user,loopback", &spec, &err), 0);
	assert_true(spec.loopback);
	net_spec_free(&spec);
	assert_int_equal(net_spec_parse("user,fwd=tcp:127.0.0.1:2222-:22,mac=02:AB:00:12:34:ff,"
					"fwd=udp::53-10.0.2.16:5353,fwd=tcp:0.0.0.0:65535-:1,"
					"allow=fd00::/8,allow=deb.debian.org",
				 &spec, &err),
		0);
	assert_int_equal(spec.forwards, 3);
	assert_false(spec.forward[0].udp);
	assert_int_equal(spec.forward[0].host_addr, 0x7f000001);
	assert_int_equal(spec.forward[0].host_port, 2222);
	assert_int_equal(spec.forward[0].guest_addr, 0);
	assert_int_equal(spec.forward[0].guest_port, 22);
	assert_true(spec.forward[1].udp);
	assert_int_equal(spec.forward[1].host_addr, 0x7f000001);
	assert_int_equal(spec.forward[1].guest_addr, 0x0a000210);
	assert_int_equal(spec.forward[2].host_addr, 0);
	assert_int_equal(spec.forward[2].host_port, 65535);
	assert_int_equal(spec.allows, 2);
	assert_string_equal(spec.allow[0], "fd00::/8");
	assert_string_equal(spec.allow[1], "deb.debian.org");
	assert_string_equal(spec.mac, "02:ab:00:12:34:ff");
	assert_true(net_spec_mac(&spec, bytes));
	assert_memory_equal(bytes, mac, 6);
	net_spec_free(&spec);
}

static void test_links(void **state)
{
	struct net_spec spec;
	struct error err = {""};
	char address[NET_ADDRESS_TEXT + 1];
	bool ipv6;

	assert_int_equal(net_spec_parse("bridge=xenbr0,vifname=web.0-1,ip=10.0.0.1/24,ip=FD00:0::1,"
					"mtu=9000,filter=off,mac=02:00:00:00:00:01",
				 &spec, &err),
		0);
	assert_int_equal(spec.kind, NET_TAP);
	assert_int_equal(spec.fd, -1);
	assert_string_equal(spec.bridge, "xenbr0");
	assert_string_equal(spec.tap, "web.0-1");
	assert_int_equal(spec.addresses, 2);
	assert_string_equal(spec.address[0], "10.0.0.1");
	assert_string_equal(spec.address[1], "fd00::1");
	assert_int_equal(spec.mtu, 9000);
	assert_true(spec.unfiltered);
	net_spec_free(&spec);
	assert_int_equal(spec.model, NET_VIRTIO);
	assert_int_equal(net_spec_parse("user,model=e1000,loopback", &spec, &err), 0);
	assert_int_equal(spec.model, NET_E1000);
	assert_true(spec.loopback);
	net_spec_free(&spec);
	assert_int_equal(net_spec_parse("tap=tap0", &spec, &err), 0);
	assert_string_equal(spec.tap, "tap0");
	assert_string_equal(spec.bridge, "");
	net_spec_free(&spec);
	assert_int_equal(net_read_address("::ffff:192.168.100.200/128", address, &ipv6), 0);
	assert_true(ipv6);
	assert_string_equal(address, "::ffff:192.168.100.200");
	assert_int_equal(net_check_link("vifname: ", "0123456789abcdef", &err), -EINVAL);
	assert_string_equal(err.text,
		"vifname: '0123456789abcdef' is 16 characters long; the name of a link has 15 at most");
}

static void test_bad(void **state)
{
	static const char *const bad[] = {
		"",
		"bridge",
		"bridge=",
		"bridge=abcdefghijklmnop",
		"bridge=a/b",
		"bridge=.a",
		"bridge=a,fwd=tcp:127.0.0.1:1-:2",
		"bridge=a,loopback",
		"bridge=a,vifname=",
		"bridge=a,vifname=a b",
		"bridge=a,mtu=67",
		"bridge=a,mtu=65536",
		"bridge=a,mtu=",
		"bridge=a,mtu=9x",
		"bridge=a,ip=",
		"bridge=a,ip=10.0.0",
		"bridge=a,ip=10.0.0.1/33",
		"bridge=a,ip=10.0.0.1/",
		"bridge=a,ip=10.0.0.1/-1",
		"bridge=a,ip=fe80::1/129",
		"bridge=a,ip=::g",
		"bridge=a,filter=no",
		"tap",
		"tap=",
		"tap=a,ip=10.0.0.1",
		"tap=a,vifname=b",
		"tap=a,filter=off",
		"none,mac=02:00:00:00:00:01",
		"user,",
		"user,loopback=1",
		"none,loopback",
		"user,,",
		"users",
		"user,allow",
		"user,allow=",
		"user,allow=10.0.0.0/33",
		"user,allow=10.0.0",
		"user,allow=a..b",
		"user,allow=*.b",
		"bridge=a,allow=10.0.0.1",
		"user,fwd",
		"user,fwd=",
		"user,fwd=tcp",
		"user,fwd=tcp:",
		"user,fwd=tcp:1-2",
		"user,fwd=sctp:127.0.0.1:1-:2",
		"user,fwd=tcp:127.0.0.1:0-:22",
		"user,fwd=tcp:127.0.0.1:65536-:22",
		"user,fwd=tcp:127.0.0.1:22-:99999999999999999",
		"user,fwd=tcp:localhost:22-:22",
		"user,fwd=tcp:127.0.0.1:22",
		"user,fwd=tcp::-:",
		"user,fwd=tcp:127.0.0.1:22-",
		"user,fwd=tcp:127.0.0.1:+2-:22",
		"user,fwd=tcp:127.0.0.1: 2-:22",
		"user,fwd=tcp:127.0.0.1:22-:0x16",
		"user,mac=",
		"user,mac=02:00:00:00:00",
		"user,mac=02:00:00:00:00:0g",
		"user,mac=02:00:00:00:00:011",
		"user,mac=01:00:00:00:00:01",
		"user,mac=02-00-00-00-00-01",
		"user,mac=2:0:0:0:0:1",
		"user,mac=::::::::::::0:000",
		"user,nonsense=1",
		"user,model=",
		"user,model=rtl8139",
		"none,model=e1000",
	};
	char longest[1000];

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct error err = {0};
		struct net_spec spec;

		if (net_spec_parse(bad[i], &spec, &err) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
		assert_true(strlen(err.text) > 5);
		assert_null(spec.forward);
	}
	memset(longest, '1', sizeof(longest));
	memcpy(longest, "user,fwd=tcp:", 13);
	longest[sizeof(longest) - 1] = 0;
	assert_int_equal(net_spec_parse(longest, &(struct net_spec){0}, NULL), -EINVAL);
}

/* Hosts whose name servers all have IPv6 addresses. */
static void name_servers(void **state)
{
	assert_true(resolver_ipv6_only("nameserver fd00::53\n"));
	assert_true(
		resolver_ipv6_only("search x\nnameserver\tfe80::1%eth0 # here\nnameserver ::1"));
	assert_false(resolver_ipv6_only(
		"nameserver fd00::1\nnameserver fd00::2\nnameserver 10.0.0.1\n"));
	assert_false(resolver_ipv6_only("#nameserver fd00::53\noptions edns0\n"));
	assert_false(resolver_ipv6_only("nameservers fd00::53\nnameserver\n"));
	assert_false(resolver_ipv6_only("nameserver 127.0.0.53\r\n"));
	assert_false(resolver_ipv6_only(""));
	assert_false(resolver_ipv6_only(NULL));
}

static void ipv6_forwards(void **state)
{
	static const char *const bad[] = {
		"tcp::1:8080-:80",
		"tcp:[::1:8080-:80",
		"tcp:::1]:8080-:80",
		"tcp:[]:8080-:80",
		"tcp:[::1]8080-:80",
		"tcp:[127.0.0.1]:8080-:80",
		"tcp:[::ffff:127.0.0.1]:8080-:80",
		"tcp:[ff02::1]:8080-:80",
		"tcp:[fe80::1%eth0]:8080-:80",
		"tcp:[::1]:8080-10.0.2.15:80",
		"tcp:127.0.0.1:8080-[fec0::15]:80",
		"tcp::8080-[fec0::15]:80",
		"udp:[::1]:5353-:53",
	};
	struct net_forward forward;
	struct error err = {""};

	assert_int_equal(net_forward_parse("tcp:[::1]:8080-:80", &forward, &err), 0);
	assert_string_equal(forward.host_addr6, "::1");
	assert_string_equal(forward.guest_addr6, "");
	assert_int_equal(forward.host_port, 8080);
	assert_int_equal(forward.guest_port, 80);
	assert_true(net_forward_loopback(&forward));
	assert_int_equal(net_forward_parse("udp:[0:0::0]:53-[FEC0::15]:5353", &forward, &err), 0);
	assert_string_equal(forward.host_addr6, "::");
	assert_string_equal(forward.guest_addr6, "fec0::15");
	assert_false(net_forward_loopback(&forward));
	assert_int_equal(net_forward_parse("tcp:127.5.0.1:1-:1", &forward, &err), 0);
	assert_true(net_forward_loopback(&forward));
	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
		err.text[0] = 0;
		if (net_forward_parse(bad[i], &forward, &err) != -EINVAL ||
			!strstr(err.text, bad[i]))
			fail_msg("'%s': '%s'", bad[i], err.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(name_servers),
		cmocka_unit_test(ipv6_forwards),
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_links),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
