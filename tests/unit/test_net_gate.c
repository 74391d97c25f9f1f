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
		assert_int_equal(gate_admit(gate, exact, len, SECOND), len < NET_HEADER_LEN);
		free(exact);
	}
	assert_int_equal(gate->tokens, GATE_BURST * SECOND);
	assert_true(gate_admit(gate, arp, sizeof arp, SECOND));
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
	const struct net_client client = {&flood, transmit, receive, flush};
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_by_rate_and_number),
		cmocka_unit_test(udp_goes_on_where_it_has_begun),
		cmocka_unit_test(what_is_no_packet),
		cmocka_unit_test(never_the_host_itself),
		cmocka_unit_test(floods_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
