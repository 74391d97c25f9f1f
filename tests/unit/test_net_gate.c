/* SPDX-License-Identifier: Apache-2.0 */
/* How much of the host a guest's user-mode network may take: by the gate alone, and with real sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "net/gate.h"
#include "net/net.h"

#define SECOND 1000000000ll
#define SYN 0x02
#define ACK 0x10

struct frame {
	uint8_t byte[NET_HEADER_LEN + 20 + 20];
};

static uint16_t sum(const uint8_t *at, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i += 2)
		sum += at[i] << 8 | at[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static void put16(uint8_t *at, uint16_t value)
{
	at[0] = value >> 8;
	at[1] = value;
}

/* An Ethernet frame of IPv4 from 10.0.2.15, with ports and flags; sums are right. */
static struct frame packet(uint8_t proto, uint32_t to, uint16_t from_port, uint16_t to_port,
	uint8_t flags)
{
	struct frame f = {{0x52, 0x55, 10, 0, 2, 2, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 8, 0}};
	uint8_t *ip = f.byte + NET_HEADER_LEN, *data = ip + 20;
	uint8_t pseudo[12] = {10, 0, 2, 15, to >> 24, to >> 16, to >> 8, to, 0, proto, 0, 20};
	uint32_t carry = (uint16_t)~sum(pseudo, sizeof pseudo, 0);

	ip[0] = 0x45;
	put16(ip + 2, 40);
	ip[8] = 64;
	ip[9] = proto;
	memcpy(ip + 12, pseudo, 8);
	put16(ip + 10, sum(ip, 20, 0));
	put16(data, from_port);
	put16(data + 2, to_port);
	if (proto == IPPROTO_TCP) {
		data[12] = 5 << 4;
		data[13] = flags;
		put16(data + 14, 8192);
		put16(data + 16, sum(data, 20, carry));
	} else if (proto == IPPROTO_UDP) {
		put16(data + 4, 20);
		put16(data + 6, sum(data, 20, carry));
	}
	return f;
}

static bool admits(struct gate *gate, struct frame f, int64_t now)
{
	return gate_admit(gate, f.byte, sizeof f.byte, now);
}

static void tcp_by_rate_and_number(void **state)
{
	struct gate *gate = malloc(sizeof *gate);
	struct frame syn = packet(IPPROTO_TCP, 0x08080808, 1000, 80, SYN);
	struct frame go_on = packet(IPPROTO_TCP, 0x08080808, 1000, 80, ACK);
	unsigned in = 0;

	gate_init(gate, SECOND);
	for (unsigned i = 0; i < 5000; i++)
		in += admits(gate, syn, SECOND);
	assert_int_equal(in, GATE_BURST);
	assert_int_equal(gate->refused, 5000 - GATE_BURST);
	for (unsigned i = 0; i < 5000; i++)
		in += admits(gate, syn, 3 * SECOND);
	assert_int_equal(in, GATE_BURST + 2 * GATE_RATE);
	/* A clock that stands still or goes back gives nothing. */
	assert_false(admits(gate, syn, 2 * SECOND));
	/* A long time gives no more than a burst. */
	in = 0;
	for (unsigned i = 0; i < 5000; i++)
		in += admits(gate, syn, INT64_MAX / 2);
	assert_int_equal(in, GATE_BURST);
	/* What has begun goes on. */
	assert_true(admits(gate, go_on, INT64_MAX / 2));
	gate_init(gate, SECOND);
	gate->open = GATE_OPEN_SOFT;
	assert_false(admits(gate, syn, SECOND));
	gate->open--;
	assert_true(admits(gate, syn, SECOND));
	free(gate);
}

static void udp_goes_on_where_it_has_begun(void **state)
{
	struct gate *gate = malloc(sizeof *gate);
	struct frame one = packet(IPPROTO_UDP, 0x08080808, 1000, 53, 0);
	struct frame two = packet(IPPROTO_UDP, 0x08080808, 1001, 53, 0);
	int64_t now = SECOND;

	gate_init(gate, now);
	assert_true(admits(gate, one, now));
	gate->open = GATE_OPEN_SOFT;
	assert_true(admits(gate, one, now));
	assert_false(admits(gate, two, now));
	/* Known for as long as its socket may live, not for ever. */
	for (unsigned i = 0; i < 4; i++) {
		now += GATE_UDP_NS - SECOND;
		assert_true(admits(gate, one, now));
	}
	now += 3 * GATE_UDP_NS;
	assert_false(admits(gate, one, now));
	gate->open = 0;
	assert_true(admits(gate, one, now));
	gate->open = GATE_OPEN_HARD;
	assert_false(admits(gate, one, now));
	free(gate);
}

static void what_is_no_packet(void **state)
{
	struct gate *gate = malloc(sizeof *gate);
	struct frame f = packet(IPPROTO_TCP, 0x08080808, 1, 2, SYN);
	uint8_t arp[42] = {[12] = 8, [13] = 6};

	gate_init(gate, SECOND);
	for (size_t len = 0; len < sizeof f.byte; len++) {
		uint8_t *exact = malloc(len ? len : 1); /* a byte too far is found */

		memcpy(exact, f.byte, len);
		assert_false(gate_admit(gate, exact, len, SECOND));
		gate_deliver(gate, exact, len, SECOND);
		free(exact);
	}
	assert_int_equal(gate->tokens, GATE_BURST * SECOND);
	assert_true(gate_admit(gate, arp, sizeof arp, SECOND));
	arp[13] = 0; /* neither ARP nor IP */
	arp[12] = 0x88;
	assert_false(gate_admit(gate, arp, sizeof arp, SECOND));
	f.byte[NET_HEADER_LEN] = 0x4f; /* a header beyond the frame's end */
	assert_false(gate_admit(gate, f.byte, sizeof f.byte, SECOND));
	f.byte[NET_HEADER_LEN] = 0x44;
	assert_false(gate_admit(gate, f.byte, sizeof f.byte, SECOND));
	free(gate);
}

static void never_the_host_itself(void **state)
{
	static const uint32_t never[] = {0x7f000001, 0x7fffffff, 0, 0x00ffffff, 0xa9fea9fe};
	struct gate *gate = malloc(sizeof *gate);

	gate_init(gate, SECOND);
	for (unsigned i = 0; i < sizeof never / sizeof *never; i++) {
		struct frame f = packet(IPPROTO_UDP, never[i], 1, 53, 0);

		assert_false(admits(gate, f, SECOND));
		f.byte[NET_HEADER_LEN + 7] = 1; /* nor a fragment */
		assert_false(admits(gate, f, SECOND));
	}
	free(gate);
}

/* IPv6 */

struct frame6 {
	uint8_t byte[NET_HEADER_LEN + 40 + 20];
};

/* From the guest's fec0::15. */
static struct frame6 packet6(uint8_t proto, const char *to, uint16_t from_port, uint16_t to_port,
	uint8_t flags)
{
	struct frame6 f = {{0x52, 0x56, 0, 0, 0, 2, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 0x86, 0xdd}};
	uint8_t *ip = f.byte + NET_HEADER_LEN, *data = ip + 40;
	const uint8_t pseudo[4] = {0, 20, 0, proto};
	uint16_t carry;

	ip[0] = 0x60;
	put16(ip + 4, 20);
	ip[6] = proto;
	ip[7] = 255;
	inet_pton(AF_INET6, "fec0::15", ip + 8);
	assert_int_equal(inet_pton(AF_INET6, to, ip + 24), 1);
	carry = (uint16_t)~sum(ip + 8, 32, (uint16_t)~sum(pseudo, sizeof pseudo, 0));
	put16(data, from_port);
	put16(data + 2, to_port);
	if (proto == IPPROTO_TCP) {
		data[12] = 5 << 4;
		data[13] = flags;
		put16(data + 14, 8192);
		put16(data + 16, sum(data, 20, carry));
	} else if (proto == IPPROTO_UDP) {
		put16(data + 4, 20);
		put16(data + 6, sum(data, 20, carry));
	}
	return f;
}

static bool admits6(struct gate *gate, struct frame6 f, int64_t now)
{
	return gate_admit(gate, f.byte, sizeof f.byte, now);
}

static struct gate *gate6(void)
{
	struct gate *gate = malloc(sizeof *gate);

	gate_init(gate, SECOND);
	gate->ipv6 = true;
	return gate;
}

/* In every dress that such an address has, by every protocol, and whatever is allowed. */
static void never_the_host_itself_by_ipv6(void **state)
{
	static const char *const never[] = {"::", "::1", "::2", "::127.0.0.1", "::ffff:127.0.0.1",
		"::ffff:8.8.8.8", "::ffff:0:127.0.0.1", "::ffff:0:8.8.8.8", "64:ff9b::127.0.0.1",
		"64:ff9b::169.254.169.254", "64:ff9b::0.0.0.0", "64:ff9b:1::1", "fe80::1",
		"fe80::2", "febf::1", "fec0::1", "fec0::4", "fec0::15", "fec0:0:0:1::2", "fec1::2",
		"feff::2", "fec0::1:2", "2002:7f00:1::1", "2002:a9fe:a9fe::1", "2002::1",
		"fd00:ec2::254", "fd20:ce::254"};
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP};
	struct gate *gate = gate6();

	for (unsigned loopback = 0; loopback < 2; loopback++) {
		gate->loopback = loopback;
		for (unsigned i = 0; i < sizeof never / sizeof *never; i++)
			for (unsigned k = 0; k < 2; k++)
				if (admits6(gate, packet6(protocols[k], never[i], 1000, 53, SYN),
					    SECOND))
					fail_msg("%s", never[i]);
	}
	free(gate);
}

static void groups_and_own_addresses(void **state)
{
	static const char *const groups[] = {"ff02::1", "ff02::fb", "ff01::1", "ff05::1:3",
		"ff0e::1", "ff02::1:ff00:2", "ff02::2"};
	struct gate *gate = gate6();

	for (unsigned i = 0; i < sizeof groups / sizeof *groups; i++) {
		assert_false(admits6(gate, packet6(IPPROTO_UDP, groups[i], 1, 547, 0), SECOND));
		assert_false(admits6(gate, packet6(IPPROTO_TCP, groups[i], 1, 547, SYN), SECOND));
		assert_false(admits6(gate, packet6(IPPROTO_TCP, groups[i], 1, 547, ACK), SECOND));
	}
	assert_true(admits6(gate, packet6(IPPROTO_UDP, "ff02::1:2", 546, 547, 0), SECOND));
	assert_false(admits6(gate, packet6(IPPROTO_UDP, "ff02::1:2", 546, 5353, 0), SECOND));
	assert_true(admits6(gate, packet6(IPPROTO_UDP, "fec0::3", 1, 53, 0), SECOND));
	assert_true(admits6(gate, packet6(IPPROTO_TCP, "fec0::3", 1, 53, SYN), SECOND));
	assert_false(admits6(gate, packet6(IPPROTO_UDP, "fec0::3", 1, 54, 0), SECOND));
	assert_false(admits6(gate, packet6(IPPROTO_TCP, "fec0::3", 1, 22, SYN), SECOND));
	assert_true(admits6(gate, packet6(IPPROTO_UDP, "fec0::2", 546, 547, 0), SECOND));
	assert_false(admits6(gate, packet6(IPPROTO_UDP, "fec0::2", 1, 53, 0), SECOND));
	assert_false(admits6(gate, packet6(IPPROTO_TCP, "fec0::2", 1, 22, SYN), SECOND));
	/* An answer to who has connected. */
	assert_true(admits6(gate, packet6(IPPROTO_TCP, "fec0::2", 22, 1, SYN | ACK), SECOND));
	gate->loopback = true;
	assert_true(admits6(gate, packet6(IPPROTO_UDP, "fec0::2", 1, 53, 0), SECOND));
	assert_true(admits6(gate, packet6(IPPROTO_TCP, "fec0::2", 1, 22, SYN), SECOND));
	free(gate);
}

static void ipv6_is_counted(void **state)
{
	static const char *const outside[] = {"2001:db8::1", "fd00:77::1", "64:ff9b::8.8.8.8",
		"2002:808:808::1", "fd00:ec2::253", "3fff::1"};
	struct gate *gate = gate6();
	unsigned in = 0;

	for (unsigned i = 0; i < 5000; i++)
		in += admits6(gate,
			packet6(i & 1 ? IPPROTO_TCP : IPPROTO_UDP, outside[i % 6], 1024 + i, 80,
				SYN),
			SECOND);
	assert_int_equal(in, GATE_BURST);
	assert_int_equal(gate->refused, 5000 - GATE_BURST);
	gate->open = GATE_OPEN_HARD;
	assert_false(admits6(gate, packet6(IPPROTO_UDP, outside[0], 1024, 80, 0), SECOND));
	/* A port that has sent by IPv4 has no socket of IPv6 by that. */
	gate_init(gate, SECOND);
	gate->ipv6 = true;
	assert_true(admits(gate, packet(IPPROTO_UDP, 0x08080808, 7, 53, 0), SECOND));
	gate->open = GATE_OPEN_SOFT;
	assert_true(admits(gate, packet(IPPROTO_UDP, 0x08080808, 7, 53, 0), SECOND));
	assert_false(admits6(gate, packet6(IPPROTO_UDP, outside[0], 7, 53, 0), SECOND));
	/* Where the host has none, nothing goes. */
	gate_init(gate, SECOND);
	assert_false(admits6(gate, packet6(IPPROTO_UDP, outside[0], 7, 53, 0), SECOND));
	free(gate);
}

static void what_is_no_ipv6_packet(void **state)
{
	struct gate *gate = gate6();
	struct frame6 f = packet6(IPPROTO_TCP, "2001:db8::1", 1, 2, SYN);
	/* Headers that libslirp does not read, whatever they would lead to. */
	static const uint8_t others[] = {0, 43, 44, 50, 51, 60, 135, 59, 4, 41, IPPROTO_ICMP, 132};

	for (size_t len = 0; len < sizeof f.byte; len++) {
		uint8_t *exact = malloc(len ? len : 1);

		memcpy(exact, f.byte, len);
		assert_false(gate_admit(gate, exact, len, SECOND));
		gate_deliver(gate, exact, len, SECOND);
		free(exact);
	}
	assert_true(admits6(gate, f, SECOND));
	f.byte[NET_HEADER_LEN + 5] = 19; /* a TCP header that does not end in the packet */
	assert_false(admits6(gate, f, SECOND));
	f.byte[NET_HEADER_LEN + 5] = 21; /* a packet that does not end in the frame */
	assert_false(admits6(gate, f, SECOND));
	f.byte[NET_HEADER_LEN + 5] = 20;
	f.byte[NET_HEADER_LEN] = 0x45;
	assert_false(admits6(gate, f, SECOND));
	for (unsigned i = 0; i < sizeof others; i++)
		assert_false(admits6(gate, packet6(others[i], "2001:db8::1", 1, 2, 0), SECOND));
	free(gate);
}

/* Neighbours, routers, echoes that libslirp answers itself: of what it would make a line each, nothing. */
static void icmp6(void **state)
{
	struct gate *gate = gate6();

	for (unsigned type = 0; type < 256; type++) {
		const bool found = type == 133 || type == 135 || type == 136;

		assert_int_equal(admits6(gate, packet6(IPPROTO_ICMPV6, "ff02::1", type << 8, 0, 0),
					 SECOND),
			found);
		assert_int_equal(admits6(gate, packet6(IPPROTO_ICMPV6, "fe80::2", type << 8, 0, 0),
					 SECOND),
			found || type == 128);
		assert_int_equal(admits6(gate,
					 packet6(IPPROTO_ICMPV6, "2001:db8::1", type << 8, 0, 0),
					 SECOND),
			found);
	}
	assert_true(admits6(gate, packet6(IPPROTO_ICMPV6, "fec0::2", 128 << 8, 0, 0), SECOND));
	free(gate);
}

/* Only who has come, only from the port that he came to, and not for ever. */
static void answers_to_forwarded_udp(void **state)
{
	struct gate *gate = gate6();
	struct frame came = packet(IPPROTO_UDP, 0x0a00020f, 4000, 53, 0);
	struct frame6 came6 = packet6(IPPROTO_UDP, "fec0::15", 4000, 53, 0);
	struct frame part = packet(IPPROTO_UDP, 0x0a000202, 53, 4000, 0);
	int64_t now = SECOND;

	came.byte[NET_HEADER_LEN + 15] = 2; /* from 10.0.2.2 */
	inet_pton(AF_INET6, "fec0::2", came6.byte + NET_HEADER_LEN + 8);
	gate_forward(gate, false, 53);
	gate_forward(gate, true, 53);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(admits(gate, packet(IPPROTO_UDP, 0x0a000202, 53, 4000, 0), now),
			i);
		assert_int_equal(admits6(gate, packet6(IPPROTO_UDP, "fec0::2", 53, 4000, 0), now),
			i);
		assert_false(admits(gate, packet(IPPROTO_UDP, 0x0a000202, 53, 4001, 0), now));
		assert_false(admits(gate, packet(IPPROTO_UDP, 0x0a000202, 54, 4000, 0), now));
		assert_false(admits(gate, packet(IPPROTO_UDP, 0xffffffff, 53, 4001, 0), now));
		assert_false(admits6(gate, packet6(IPPROTO_UDP, "fec0::2", 54, 4000, 0), now));
		assert_false(admits(gate, packet(IPPROTO_TCP, 0x0a000202, 53, 4000, SYN), now));
		part.byte[NET_HEADER_LEN + 6] = 0x20;
		assert_false(admits(gate, part, now));
		part.byte[NET_HEADER_LEN + 6] = 0;
		part.byte[NET_HEADER_LEN + 7] = 1;
		assert_false(admits(gate, part, now));
		gate_deliver(gate, came.byte, sizeof came.byte, now);
		gate_deliver(gate, came6.byte, sizeof came6.byte, now);
	}
	now += 3 * GATE_UDP_NS;
	assert_false(admits(gate, packet(IPPROTO_UDP, 0x0a000202, 53, 4000, 0), now));
	assert_false(admits6(gate, packet6(IPPROTO_UDP, "fec0::2", 53, 4000, 0), now));
	/* DHCP always. */
	assert_true(admits(gate, packet(IPPROTO_UDP, 0xffffffff, 68, 67, 0), now));
	free(gate);
}

/* A guest that floods, against a server of the host's. */

static unsigned descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

struct flood {
	struct net *net;
	uint8_t proto;
	uint16_t port;
	unsigned sent, wanted;
	unsigned most; /* descriptors that were open at once; the net's thread's */
};

/* Who has 10.0.2.2? So libslirp knows the guest's address, and keeps nothing back that it would lose in the end. */
static const uint8_t arp[] = {255, 255, 255, 255, 255, 255, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 8, 6,
	0, 1, 8, 0, 6, 4, 0, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 10, 0, 2, 15, 0, 0, 0, 0, 0, 0, 10,
	0, 2, 2};

static bool transmit(void *ctx)
{
	struct flood *flood = ctx;
	unsigned open_now;
	struct frame f;

	if (!flood->sent)
		net_send(flood->net, arp, sizeof arp);
	for (unsigned i = 0; i < 64 && flood->sent < flood->wanted; i++) {
		f = packet(flood->proto, 0x0a000202, 1024 + flood->sent, flood->port, SYN);
		net_send(flood->net, f.byte, sizeof f.byte);
		__atomic_fetch_add(&flood->sent, 1, __ATOMIC_RELEASE);
	}
	open_now = descriptors();
	flood->most = open_now > flood->most ? open_now : flood->most;
	return flood->sent < flood->wanted;
}

static bool receive(void *ctx, const uint8_t *frame, size_t len)
{
	return true;
}

static void flush(void *ctx)
{
}

static void run_flood(uint8_t proto)
{
	const struct net_spec spec = {.kind = NET_USER, .loopback = true};
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct flood flood = {.proto = proto, .wanted = 6000};
	const struct net_client client = {.ctx = &flood,
		.transmit = transmit,
		.receive = receive,
		.flush = flush};
	struct rlimit files = {0}, more;
	socklen_t size = sizeof addr;
	unsigned before;
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	getrlimit(RLIMIT_NOFILE, &files);
	more = files;
	more.rlim_cur = more.rlim_max; /* it is not this limit that holds */
	setrlimit(RLIMIT_NOFILE, &more);
	assert_int_equal(bind(server, (struct sockaddr *)&addr, sizeof addr), 0);
	assert_int_equal(listen(server, 4096), 0);
	assert_int_equal(getsockname(server, (struct sockaddr *)&addr, &size), 0);
	flood.port = ntohs(addr.sin_port);
	before = descriptors();
	assert_int_equal(net_open(&spec, &flood.net, NULL), 0);
	assert_int_equal(net_start(flood.net, &client, NULL), 0);
	net_kick(flood.net);
	while (__atomic_load_n(&flood.sent, __ATOMIC_ACQUIRE) < flood.wanted)
		nanosleep(&(struct timespec){0, 1000000}, NULL);
	net_stop(flood.net);
	/* It got somewhere, and not too far. */
	assert_in_range(flood.most - before, 100, GATE_OPEN_HARD + 16);
	net_close(flood.net);
	close(server);
	setrlimit(RLIMIT_NOFILE, &files);
}

static void floods_are_bounded(void **state)
{
	run_flood(IPPROTO_TCP);
	run_flood(IPPROTO_UDP);
}

/* A datagram to a forwarded port of the host's, and the guest's answer to it. */

struct echo {
	struct net *net;
	bool ipv6;
	struct frame last;
	struct frame6 last6;
	bool known, waits;
};

/* Who has fec0::2? fec0::15 asks. */
static void ask_neighbor(struct net *net)
{
	uint8_t frame[NET_HEADER_LEN + 64] = {0x33, 0x33, 0xff, 0, 0, 2, 0x52, 0x54, 0, 0x12, 0x34,
		0x56, 0x86, 0xdd, 0x60, [NET_HEADER_LEN + 5] = 24, IPPROTO_ICMPV6, 255};
	const uint8_t pseudo[4] = {0, 24, 0, IPPROTO_ICMPV6};
	uint8_t *ip = frame + NET_HEADER_LEN, *icmp = ip + 40;

	inet_pton(AF_INET6, "fec0::15", ip + 8);
	inet_pton(AF_INET6, "ff02::1:ff00:2", ip + 24);
	icmp[0] = 135;
	inet_pton(AF_INET6, "fec0::2", icmp + 8);
	put16(icmp + 2, sum(icmp, 24, (uint16_t)~sum(ip + 8, 32, (uint16_t)~sum(pseudo, 4, 0))));
	net_send(net, frame, sizeof frame);
}

static bool echo_transmit(void *ctx)
{
	struct echo *echo = ctx;

	if (!echo->known) {
		net_send(echo->net, arp, sizeof arp);
		ask_neighbor(echo->net);
	}
	echo->known = true;

	if (echo->waits)
		net_send(echo->net, echo->ipv6 ? echo->last6.byte : echo->last.byte,
			echo->ipv6 ? sizeof echo->last6.byte : sizeof echo->last.byte);
	echo->waits = false;
	return false;
}

/* Sent back: the ports change places. */
static bool echo_receive(void *ctx, const uint8_t *frame, size_t len)
{
	struct echo *echo = ctx;
	const uint8_t *ports = frame + NET_HEADER_LEN + (echo->ipv6 ? 40 : 20);
	const uint8_t protocol = frame[NET_HEADER_LEN + (echo->ipv6 ? 6 : 9)];

	if (len < NET_HEADER_LEN + 28u || protocol != IPPROTO_UDP)
		return true;
	if (echo->ipv6)
		echo->last6 = packet6(IPPROTO_UDP, "fec0::2", 7, ports[0] << 8 | ports[1], 0);
	else
		echo->last = packet(IPPROTO_UDP, 0x0a000202, 7, ports[0] << 8 | ports[1], 0);
	echo->waits = true;
	net_kick(echo->net);
	return true;
}

static void echo_one(bool ipv6)
{
	struct net_forward forward = {.udp = true,
		.host_addr = INADDR_LOOPBACK,
		.guest_port = 7,
		.host_addr6 = "",
		.guest_addr6 = ""};
	struct net_spec spec = {.kind = NET_USER, .forward = &forward, .forwards = 1};
	struct sockaddr_in6 addr6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct sockaddr *to = ipv6 ? (struct sockaddr *)&addr6 : (struct sockaddr *)&addr;
	socklen_t size = ipv6 ? sizeof addr6 : sizeof addr;
	const int host = socket(to->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct echo echo = {.ipv6 = ipv6};
	const struct net_client client = {.ctx = &echo,
		.transmit = echo_transmit,
		.receive = echo_receive,
		.flush = flush};
	char text[32];
	ssize_t n = -1;

	if (ipv6) {
		strcpy(forward.host_addr6, "::1");
		strcpy(forward.guest_addr6, "fec0::15");
	}
	/* A port that nobody has. */
	if (host < 0 || bind(host, to, size)) {
		assert_true(ipv6); /* a host without */
		close(host);
		return;
	}
	assert_int_equal(getsockname(host, to, &size), 0);
	forward.host_port = ntohs(ipv6 ? addr6.sin6_port : addr.sin_port);
	close(host);
	assert_int_equal(net_open(&spec, &echo.net, NULL), 0);
	assert_int_equal(net_start(echo.net, &client, NULL), 0);
	net_kick(echo.net);
	{
		const struct timeval patience = {.tv_usec = 200000};
		const int asks = socket(to->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		assert_int_equal(connect(asks, to, size), 0);
		setsockopt(asks, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
		/* UDP: again, should it be lost. libslirp asks for the guest's link address first. */
		for (unsigned i = 0; n < 0 && i < 100; i++) {
			assert_int_equal(send(asks, "hello, hello", 12, 0), 12);
			n = recv(asks, text, sizeof text, 0);
		}
		close(asks);
	}
	assert_int_equal(n, 12);
	net_close(echo.net);
}

static void udp_comes_and_goes(void **state)
{
	echo_one(false);
	echo_one(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_by_rate_and_number),
		cmocka_unit_test(udp_goes_on_where_it_has_begun),
		cmocka_unit_test(what_is_no_packet),
		cmocka_unit_test(never_the_host_itself),
		cmocka_unit_test(never_the_host_itself_by_ipv6),
		cmocka_unit_test(groups_and_own_addresses),
		cmocka_unit_test(ipv6_is_counted),
		cmocka_unit_test(what_is_no_ipv6_packet),
		cmocka_unit_test(icmp6),
		cmocka_unit_test(answers_to_forwarded_udp),
		cmocka_unit_test(udp_comes_and_goes),
		cmocka_unit_test(floods_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
