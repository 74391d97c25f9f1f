/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's frames, a list of destinations with its name server, and the host's servers as sockets of the test's own. Behind cmocka.h. */
#ifndef DACH_TESTS_UNIT_NAMES_RIG_H
#define DACH_TESTS_UNIT_NAMES_RIG_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/allow.h"
#include "net/dns.h"
#include "net/gate.h"
#include "net/names.h"
#include "net/net.h"

#define SECOND 1000000000ull
#define FRAME_SIZE (NET_HEADER_LEN + 40 + 8 + DNS_MESSAGE_MAX)
#define SYN 0x02
#define ACK 0x10

/* Messages */

struct message {
	uint8_t byte[DNS_MESSAGE_MAX];
	size_t len;
};

static inline void put(struct message *to, const void *bytes, size_t len)
{
	assert_true(to->len + len <= sizeof to->byte);
	memcpy(to->byte + to->len, bytes, len);
	to->len += len;
}

static inline void put_number(struct message *to, unsigned value)
{
	put(to, (uint8_t[]){value >> 8, value}, 2);
}

static inline void put_name(struct message *to, const char *name)
{
	for (size_t len; *name; name += len + (name[len] == '.')) {
		len = strcspn(name, ".");
		put(to, (uint8_t[]){len}, 1);
		put(to, name, len);
	}
	put(to, "", 1);
}

static inline struct message message(unsigned number, unsigned flags, unsigned answers,
	const char *name, unsigned type)
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

static inline struct message query(unsigned number, const char *name, unsigned type)
{
	return message(number, 0x0120, 0, name, type);
}

/* Of the name in the question, by a pointer. */
static inline void put_record(struct message *to, unsigned type, unsigned ttl, const void *data,
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
static inline struct message answer_to(const uint8_t *asked, const char *name, unsigned type)
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

static inline struct frame packet(bool ipv6, const char *to, uint8_t protocol, const uint8_t *head,
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

static inline struct frame datagram(bool ipv6, const char *to, unsigned port,
	const struct message *m)
{
	const size_t len = 8 + (m ? m->len : 0);

	return packet(ipv6, to, IPPROTO_UDP,
		(uint8_t[]){0xc0, 1, port >> 8, port, len >> 8, len, 0, 0}, 8, m);
}

static inline struct frame question(bool ipv6, const struct message *m)
{
	return datagram(ipv6, ipv6 ? "fec0::3" : "10.0.2.3", DNS_PORT, m);
}

static inline struct frame segment(bool ipv6, const char *to, unsigned port, uint8_t flags)
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

static inline socklen_t server_of(void *ctx, unsigned n, struct sockaddr_storage *to)
{
	const struct bench *bench = ctx;
	socklen_t len = sizeof *to;

	return n < 2 && !getsockname(bench->server[n], (struct sockaddr *)to, &len) ? len : 0;
}

static inline void take_answer(void *ctx, const uint8_t *frame, size_t len)
{
	struct bench *bench = ctx;

	assert_true(len <= sizeof bench->got.byte);
	memcpy(bench->got.byte, frame, len);
	bench->got.len = len;
	bench->answers++;
}

static inline int open_bench(void **state)
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

static inline int close_bench(void **state)
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

static inline int add(void *ctx, int fd)
{
	struct bench *bench = ctx;

	bench->fds[bench->count] = (struct pollfd){.fd = fd, .events = POLLIN};
	return (int)bench->count++;
}

/* As the network's thread does it. */
static inline void go_round(struct bench *bench, int ms)
{
	bench->count = 0;
	names_fill(bench->names, add, bench);
	poll(bench->fds, bench->count, ms);
	names_poll(bench->names, bench->fds, bench->now);
}

static inline bool takes(struct bench *bench, struct frame f)
{
	return names_take(bench->names, f.byte, f.len, bench->now);
}

static inline bool admits(struct bench *bench, struct frame f)
{
	return gate_admit(bench->gate, f.byte, f.len, (int64_t)bench->now);
}

static inline bool reaches(struct bench *bench, const char *to)
{
	const bool ipv6 = strchr(to, ':');
	uint8_t address[16];

	assert_int_equal(inet_pton(ipv6 ? AF_INET6 : AF_INET, to, address), 1);
	return allow_reach(bench->allow, address, ipv6, false, bench->now);
}

/* What the host's server is asked, and by whom. */
static inline struct message hear(int server, struct sockaddr_in *from)
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

static inline void say(int server, const struct sockaddr_in *to, const struct message *m)
{
	assert_int_equal(sendto(server, m->byte, m->len, 0, (const struct sockaddr *)to,
				 sizeof *to),
		(ssize_t)m->len);
}

#define ON_BENCH(test) cmocka_unit_test_setup_teardown(test, open_bench, close_bench)

#endif
