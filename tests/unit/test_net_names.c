/* SPDX-License-Identifier: Apache-2.0 */
/* A list of destinations by address and by name, and the name server that fills it: with a server of the test's own in the host's place. */
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

#define SECOND 1000000000ull
#define FRAME_SIZE (NET_HEADER_LEN + 40 + 8 + DNS_MESSAGE_MAX)
#define SYN 0x02
#define ACK 0x10

/* Messages */

struct message {
	uint8_t byte[DNS_MESSAGE_MAX];
	size_t len;
};

static void put(struct message *to, const void *bytes, size_t len)
{
	assert_true(to->len + len <= sizeof to->byte);
	memcpy(to->byte + to->len, bytes, len);
	to->len += len;
}

static void put_number(struct message *to, unsigned value)
{
	put(to, (uint8_t[]){value >> 8, value}, 2);
}

static void put_name(struct message *to, const char *name)
{
	for (size_t len; *name; name += len + (name[len] == '.')) {
		len = strcspn(name, ".");
		put(to, (uint8_t[]){len}, 1);
		put(to, name, len);
	}
	put(to, "", 1);
}

static struct message message(unsigned number, unsigned flags, unsigned answers, const char *name,
	unsigned type)
{
	struct message m = {.len = 0};

	put_number(&m, number);
	put_number(&m, flags);
	put_number(&m, 1);
	put_number(&m, answers);
	put_number(&m, 0);
	put_number(&m, 0);
	put_name(&m, name);
	put_number(&m, type);
	put_number(&m, 1);
	return m;
}

static struct message query(unsigned number, const char *name, unsigned type)
{
	return message(number, 0x0120, 0, name, type);
}

/* Of the name in the question, by a pointer. */
static void put_record(struct message *to, unsigned type, unsigned ttl, const void *data,
	size_t len)
{
	put_number(to, 0xc00c);
	put_number(to, type);
	put_number(to, 1);
	put_number(to, ttl >> 16);
	put_number(to, ttl & 0xffff);
	put_number(to, (unsigned)len);
	put(to, data, len);
}

/* An alias, an address of each kind, and what is none. */
static struct message answer_to(const uint8_t *asked, const char *name, unsigned type)
{
	struct message m = message(asked[0] << 8 | asked[1], 0x8180, 4, name, type);

	put_record(&m, 5, 300, "\1x\300\14", 4);
	put_record(&m, 1, 300, (uint8_t[]){192, 0, 2, 1}, 4);
	put_record(&m, 28, 300, (uint8_t[16]){0x20, 1, 0xd, 0xb8, [15] = 1}, 16);
	put_record(&m, 1, 300, (uint8_t[]){1, 2, 3}, 3);
	return m;
}

/* Frames of the guest's */

struct frame {
	uint8_t byte[FRAME_SIZE];
	size_t len;
};

static struct frame packet(bool ipv6, const char *to, uint8_t protocol, const uint8_t *head,
	size_t head_len, const struct message *m)
{
	struct frame f = {{0x52, 0x55, 10, 0, 2, 3, 0x52, 0x54, 0, 0x12, 0x34, 0x56,
				  ipv6 ? 0x86 : 8, ipv6 ? 0xdd : 0},
		0};
	uint8_t *ip = f.byte + NET_HEADER_LEN;
	const size_t size = ipv6 ? 40 : 20, len = head_len + (m ? m->len : 0);
	const size_t total = ipv6 ? len : size + len;

	ip[0] = ipv6 ? 0x60 : 0x45;
	ip[ipv6 ? 4 : 2] = total >> 8;
	ip[ipv6 ? 5 : 3] = total;
	ip[ipv6 ? 6 : 9] = protocol;
	inet_pton(ipv6 ? AF_INET6 : AF_INET, ipv6 ? "fec0::15" : "10.0.2.15", ip + (ipv6 ? 8 : 12));
	inet_pton(ipv6 ? AF_INET6 : AF_INET, to, ip + (ipv6 ? 24 : 16));
	memcpy(ip + size, head, head_len);
	if (m)
		memcpy(ip + size + head_len, m->byte, m->len);
	f.len = NET_HEADER_LEN + size + len;
	return f;
}

static struct frame datagram(bool ipv6, const char *to, unsigned port, const struct message *m)
{
	const size_t len = 8 + (m ? m->len : 0);

	return packet(ipv6, to, IPPROTO_UDP,
		(uint8_t[]){0xc0, 1, port >> 8, port, len >> 8, len, 0, 0}, 8, m);
}

static struct frame question(bool ipv6, const struct message *m)
{
	return datagram(ipv6, ipv6 ? "fec0::3" : "10.0.2.3", DNS_PORT, m);
}

static struct frame segment(bool ipv6, const char *to, unsigned port, uint8_t flags)
{
	return packet(ipv6, to, IPPROTO_TCP,
		(uint8_t[20]){0xc0, 1, port >> 8, port, [12] = 5 << 4, flags}, 20, NULL);
}

/* The network */

struct bench {
	struct allow *allow;
	struct gate *gate;
	struct name_server *names;
	int server[2]; /* the host's */
	struct frame got;
	unsigned answers;
	struct pollfd fds[NAMES_OPEN];
	unsigned count;
	uint64_t now;
};

static socklen_t server_of(void *ctx, unsigned n, struct sockaddr_storage *to)
{
	const struct bench *bench = ctx;
	socklen_t len = sizeof *to;

	return n < 2 && !getsockname(bench->server[n], (struct sockaddr *)to, &len) ? len : 0;
}

static void take_answer(void *ctx, const uint8_t *frame, size_t len)
{
	struct bench *bench = ctx;

	assert_true(len <= sizeof bench->got.byte);
	memcpy(bench->got.byte, frame, len);
	bench->got.len = len;
	bench->answers++;
}

static int open_bench(void **state)
{
	static char *list[] = {"10.0.0.0/9", "fd00:10::/20", "198.51.100.7", "Example.org"};
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct bench *bench = calloc(1, sizeof *bench);
	const struct names_owner owner = {bench, server_of, take_answer};
	struct error err = {""};

	bench->now = 100 * SECOND;
	bench->gate = malloc(sizeof *bench->gate);
	gate_init(bench->gate, (int64_t)bench->now);
	assert_int_equal(allow_create(list, 4, &bench->allow, &err), 0);
	bench->gate->allow = bench->allow;
	bench->gate->ipv6 = true;
	assert_int_equal(names_create(bench->allow, bench->gate, &owner, &bench->names, &err), 0);
	for (unsigned i = 0; i < 2; i++) {
		bench->server[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
		assert_int_equal(bind(bench->server[i], (struct sockaddr *)&any, sizeof any), 0);
	}
	*state = bench;
	return 0;
}

static int close_bench(void **state)
{
	struct bench *bench = *state;

	names_free(bench->names);
	allow_free(bench->allow);
	close(bench->server[0]);
	close(bench->server[1]);
	free(bench->gate);
	free(bench);
	return 0;
}

static int add(void *ctx, int fd)
{
	struct bench *bench = ctx;

	bench->fds[bench->count] = (struct pollfd){.fd = fd, .events = POLLIN};
	return (int)bench->count++;
}

/* As the network's thread does it. */
static void go_round(struct bench *bench, int ms)
{
	bench->count = 0;
	names_fill(bench->names, add, bench);
	poll(bench->fds, bench->count, ms);
	names_poll(bench->names, bench->fds, bench->now);
}

static bool takes(struct bench *bench, struct frame f)
{
	return names_take(bench->names, f.byte, f.len, bench->now);
}

static bool admits(struct bench *bench, struct frame f)
{
	return gate_admit(bench->gate, f.byte, f.len, (int64_t)bench->now);
}

static bool reaches(struct bench *bench, const char *to)
{
	const bool ipv6 = strchr(to, ':');
	uint8_t address[16];

	assert_int_equal(inet_pton(ipv6 ? AF_INET6 : AF_INET, to, address), 1);
	return allow_reach(bench->allow, address, ipv6, false, bench->now);
}

/* What the host's server is asked, and by whom. */
static struct message hear(int server, struct sockaddr_in *from)
{
	struct message m = {.len = 0};
	struct pollfd wait = {server, POLLIN, 0};
	socklen_t len = sizeof *from;
	ssize_t n;

	assert_int_equal(poll(&wait, 1, 10000), 1);
	n = recvfrom(server, m.byte, sizeof m.byte, 0, (struct sockaddr *)from, &len);
	assert_true(n >= (ssize_t)DNS_HEADER);
	m.len = (size_t)n;
	return m;
}

static void say(int server, const struct sockaddr_in *to, const struct message *m)
{
	assert_int_equal(sendto(server, m->byte, m->len, 0, (const struct sockaddr *)to,
				 sizeof *to),
		(ssize_t)m->len);
}

/* Tests */

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

#define ON_BENCH(test) cmocka_unit_test_setup_teardown(test, open_bench, close_bench)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BENCH(networks_and_addresses),
		cmocka_unit_test(a_network_is_of_one_family),
		ON_BENCH(names_and_those_below),
		ON_BENCH(what_is_learned_goes),
		cmocka_unit_test(what_is_no_question),
		cmocka_unit_test(addresses_of_an_answer),
		ON_BENCH(a_name_on_the_list),
		ON_BENCH(a_name_on_the_list_of_old),
		ON_BENCH(a_name_on_the_list_by_ipv6),
		ON_BENCH(a_name_that_is_not),
		ON_BENCH(what_is_no_question_to_it),
		ON_BENCH(a_server_that_is_silent),
		ON_BENCH(a_server_that_is_silent_to_two),
		ON_BENCH(what_the_gate_lets_through),
		cmocka_unit_test(servers_of_the_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
