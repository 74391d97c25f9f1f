/* SPDX-License-Identifier: Apache-2.0 */
/* The name server of a list of destinations: with a server of the test's own in the host's place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/allow.h"
#include "net/dns.h"
#include "net/frame.h"
#include "net/gate.h"
#include "net/names.h"
#include "net/net.h"
#include "net/resolver.h"

#include "names_rig.h"

static void what_is_no_question(void **state)
{
	struct message m = query(1, "a.example.org", 1), bad;
	struct dns_question q;

	assert_true(dns_read_query(m.byte, m.len, &q));
	assert_string_equal(q.name, "a.example.org");
	assert_int_equal(q.end, m.len);
	assert_false(q.extended);
	for (size_t len = 0; len < m.len; len++)
		assert_false(dns_read_query(m.byte, len, &q));
	bad = message(1, 0x8100, 0, "a", 1); /* an answer */
	assert_false(dns_read_query(bad.byte, bad.len, &q));
	bad = message(1, 0x2800, 0, "a", 1); /* a change (RFC 2136) */
	assert_false(dns_read_query(bad.byte, bad.len, &q));
	bad = message(1, 0, 1, "a", 1);
	assert_false(dns_read_query(bad.byte, bad.len, &q));
	m.byte[5] = 2;
	assert_false(dns_read_query(m.byte, m.len, &q));
	m.byte[5] = 1;
	m.byte[DNS_HEADER] = 0xc0; /* a pointer */
	assert_false(dns_read_query(m.byte, m.len, &q));
	/* A label with a dot in it is no name of ours. */
	bad = query(1, "axexample.org", 1);
	bad.byte[DNS_HEADER + 2] = '.';
	assert_true(dns_read_query(bad.byte, bad.len, &q));
	assert_string_equal(q.name, "");
}

static void count_address(void *ctx, const uint8_t *address, bool ipv6, uint32_t ttl)
{
	unsigned *count = ctx;

	assert_int_equal(ttl, 300);
	assert_int_equal(address[0], ipv6 ? 0x20 : 192);
	count[ipv6]++;
}

static void addresses_of_an_answer(void **state)
{
	struct message m = answer_to((uint8_t[]){0, 1}, "example.org", 1);
	const size_t len_of_answers = m.len;
	unsigned count[2] = {0, 0};

	dns_each_address(m.byte, m.len, count_address, count);
	assert_int_equal(count[0], 1);
	assert_int_equal(count[1], 1);
	/* Without what is beside it. */
	put_record(&m, 41, 0, "", 0);
	m.byte[11] = 1;
	assert_int_equal(dns_cut_more(m.byte, m.len), len_of_answers);
	assert_int_equal(m.byte[11], 0);
	for (size_t len = 0; len < len_of_answers; len++) {
		uint8_t *part = malloc(len + !len);

		memcpy(part, m.byte, len);
		assert_true(dns_cut_more(part, len) == len);
		free(part);
	}
	m.len = len_of_answers;
	/* Cut off anywhere, or with more said than there is. */
	for (size_t len = 0; len < m.len; len++) {
		uint8_t *part = malloc(len + !len);

		memcpy(part, m.byte, len);
		dns_each_address(part, len, count_address, count);
		free(part);
	}
	m.byte[6] = 0xff;
	count[0] = 0;
	dns_each_address(m.byte, m.len, count_address, count);
	assert_int_equal(count[0], 1);
}

/* The frame that came is the answer to what was sent, and its sums are right. */
static void check_answer(const struct bench *bench, const struct frame *sent, bool ipv6,
	unsigned code, size_t len)
{
	const size_t size = ipv6 ? 40 : 20, half = ipv6 ? 16 : 4;
	const uint8_t *ip = bench->got.byte + NET_HEADER_LEN, *asked = sent->byte + NET_HEADER_LEN;
	const uint8_t *from = ip + (ipv6 ? 8 : 12), *to = asked + (ipv6 ? 8 : 12);
	const uint8_t *udp = ip + size, *m = udp + 8;
	const size_t udp_len = bench->got.len - NET_HEADER_LEN - size;

	assert_memory_equal(bench->got.byte, sent->byte + 6, 6);
	assert_memory_equal(bench->got.byte + 6, sent->byte, 6);
	assert_memory_equal(bench->got.byte + 12, sent->byte + 12, 2);
	assert_memory_equal(from, to + half, half);
	assert_memory_equal(from + half, to, half);
	assert_int_equal(udp_len, 8 + len);
	assert_int_equal(udp[4] << 8 | udp[5], udp_len);
	assert_memory_equal(udp, asked + size + 2, 2);
	assert_memory_equal(udp + 2, asked + size, 2);
	assert_memory_equal(m, asked + size + 8, 2);
	assert_int_equal(m[2] & 0x80, 0x80);
	assert_int_equal(m[3] & 15, code);
	if (ipv6) {
		const uint8_t rest[4] = {udp_len >> 8, udp_len, 0, IPPROTO_UDP};
		uint32_t sum =
			checksum_add(from, 32) + checksum_add(rest, 4) + checksum_add(udp, udp_len);

		assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff);
		assert_int_equal(ip[4] << 8 | ip[5], udp_len);
	} else {
		assert_int_equal(checksum_add(ip, 20), 0xffff);
		assert_int_equal(ip[2] << 8 | ip[3], 20 + udp_len);
	}
}

static void ask_one(struct bench *bench, bool ipv6, bool extended)
{
	struct message m = query(0x1234, "www.example.org", 1), heard, said;
	struct frame f;
	struct sockaddr_in from;
	size_t len;

	/* With more behind it, of which the host's server is told that there is some, and no more. */
	m.byte[11] = extended;
	put(&m, "\0\0\51\377\377\0\0\200\0\0\14\0\12\0\10secrets!", 23);
	f = question(ipv6, &m);
	bench->answers = 0;
	assert_true(takes(bench, f));
	heard = hear(bench->server[0], &from);
	assert_int_equal(heard.len, m.len - 12);
	m.byte[11] = 1;
	assert_memory_equal(heard.byte + 4, m.byte + 4, m.len - 23 - 4);
	assert_null(memmem(heard.byte, heard.len, "secret", 6));
	assert_false(reaches(bench, "192.0.2.1"));
	/* Others' answers, and such to something else. */
	said = answer_to(heard.byte, "www.example.org", 1);
	say(bench->server[1], &from, &said);
	said.byte[0] ^= 1;
	say(bench->server[0], &from, &said);
	said = answer_to(heard.byte, "www.example.net", 1);
	say(bench->server[0], &from, &said);
	said = answer_to(heard.byte, "www.example.org", 28);
	say(bench->server[0], &from, &said);
	for (unsigned i = 0; i < 3; i++)
		go_round(bench, 10000);
	assert_int_equal(bench->answers, 0);
	assert_false(reaches(bench, "192.0.2.1"));
	said = answer_to(heard.byte, "www.example.org", 1);
	len = said.len;
	put_record(&said, 41, 0, "", 0);
	said.byte[11] = 1;
	say(bench->server[0], &from, &said);
	go_round(bench, 10000);
	assert_int_equal(bench->answers, 1);
	check_answer(bench, &f, ipv6, 0, extended ? said.len : len);
	assert_true(reaches(bench, "192.0.2.1"));
	assert_true(reaches(bench, "2001:db8::1"));
	assert_int_equal(names_ms(bench->names, bench->now), -1);
}

static void a_name_on_the_list(void **state)
{
	ask_one(*state, false, true);
}

static void a_name_on_the_list_of_old(void **state)
{
	ask_one(*state, false, false);
}

static void a_name_on_the_list_by_ipv6(void **state)
{
	ask_one(*state, true, true);
}

static void a_name_that_is_not(void **state)
{
	static const char *const name[] = {"example.net", "notexample.org", "a.example.org.net",
		""};
	struct bench *bench = *state;

	for (unsigned i = 0; i < 8; i++) {
		struct message m = query(7, name[i / 2], 1);
		struct frame f = question(i & 1, &m);
		uint8_t byte;

		bench->answers = 0;
		assert_true(takes(bench, f));
		assert_int_equal(bench->answers, 1);
		check_answer(bench, &f, i & 1, DNS_NO_SUCH_NAME, m.len);
		assert_true(recv(bench->server[0], &byte, 1, 0) < 0);
	}
}

static void what_is_no_question_to_it(void **state)
{
	struct bench *bench = *state;
	struct message m = query(7, "example.org", 1);
	struct frame f = question(false, &m);

	assert_false(takes(bench, datagram(false, "10.0.2.3", 54, &m)));
	assert_false(takes(bench, datagram(false, "10.0.2.2", 53, &m)));
	assert_false(takes(bench, datagram(false, "192.0.2.1", 53, &m)));
	assert_false(takes(bench, segment(false, "10.0.2.3", 53, SYN)));
	f.byte[NET_HEADER_LEN + 6] = 0x20; /* a part */
	assert_false(takes(bench, f));
	assert_false(admits(bench, f));
	/* Said to be longer than it is. */
	f = question(false, &m);
	f.byte[NET_HEADER_LEN + 24] = 0xff;
	assert_false(takes(bench, f));
	assert_false(admits(bench, f));
	/* What is neither a question nor anything else goes nowhere. */
	m.len = 5;
	assert_true(takes(bench, question(false, &m)));
	assert_int_equal(bench->answers, 0);
	for (size_t len = 0; len < f.len; len++) {
		struct frame *part = malloc(sizeof *part);

		memcpy(part->byte, f.byte, len);
		names_take(bench->names, part->byte, len, bench->now);
		free(part);
	}
}

static void a_server_that_is_silent(void **state)
{
	struct bench *bench = *state;
	struct message m = query(7, "example.org", 1);
	struct sockaddr_in from;

	assert_true(takes(bench, question(false, &m)));
	hear(bench->server[0], &from);
	assert_int_equal(names_ms(bench->names, bench->now), NAMES_WAIT_NS / 1000000 + 1);
	bench->now += NAMES_WAIT_NS;
	assert_int_equal(names_ms(bench->names, bench->now), 0);
	go_round(bench, 0);
	assert_int_equal(names_ms(bench->names, bench->now), -1);
	/* The next is asked, then the first again. */
	assert_true(takes(bench, question(false, &m)));
	hear(bench->server[1], &from);
	bench->now += NAMES_WAIT_NS;
	go_round(bench, 0);
	assert_true(takes(bench, question(false, &m)));
	hear(bench->server[0], &from);
	/* Many at once: no more than there are places. */
	for (unsigned i = 0; i < 3 * NAMES_OPEN; i++)
		assert_true(takes(bench, question(false, &m)));
	bench->count = 0;
	names_fill(bench->names, add, bench);
	assert_int_equal(bench->count, NAMES_OPEN);
}

/* A and AAAA together: what both have waited for in vain is left once, or the one that answers would be passed over. */
static void a_server_that_is_silent_to_two(void **state)
{
	struct bench *bench = *state;
	struct message m = query(7, "example.org", 1);
	struct sockaddr_in from;

	for (unsigned i = 0; i < 2; i++) {
		assert_true(takes(bench, question(false, &m)));
		hear(bench->server[0], &from);
	}
	bench->now += NAMES_WAIT_NS;
	go_round(bench, 0);
	assert_true(takes(bench, question(false, &m)));
	hear(bench->server[1], &from);
}

static void servers_of_the_host(void **state)
{
	static const char text[] =
		"search x\nnameserver 192.0.2.1 # one\nnameserver fe80::1%eth0\nnameserver ::1\n"
		"nameserver nonsense\nnameserver 127.0.0.53";
	static const char *const expected[] = {"192.0.2.1", "::1", "127.0.0.53"};
	struct sockaddr_storage at;
	char address[INET6_ADDRSTRLEN];

	for (unsigned n = 0; n < 3; n++) {
		const socklen_t len = resolver_server(text, n, &at);

		assert_int_equal(len,
			n == 1 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
		inet_ntop(at.ss_family,
			n == 1 ? (void *)&((struct sockaddr_in6 *)&at)->sin6_addr
			       : (void *)&((struct sockaddr_in *)&at)->sin_addr,
			address, sizeof address);
		assert_string_equal(address, expected[n]);
		assert_int_equal(ntohs(((struct sockaddr_in *)&at)->sin_port), 53);
	}
	assert_int_equal(resolver_server(text, 3, &at), 0);
	assert_int_equal(resolver_server("", 0, &at), 0);
	assert_int_equal(resolver_server(NULL, 0, &at), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_no_question),
		cmocka_unit_test(addresses_of_an_answer),
		ON_BENCH(a_name_on_the_list),
		ON_BENCH(a_name_on_the_list_of_old),
		ON_BENCH(a_name_on_the_list_by_ipv6),
		ON_BENCH(a_name_that_is_not),
		ON_BENCH(what_is_no_question_to_it),
		ON_BENCH(a_server_that_is_silent),
		ON_BENCH(a_server_that_is_silent_to_two),
		cmocka_unit_test(servers_of_the_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
