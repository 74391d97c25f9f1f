/* SPDX-License-Identifier: Apache-2.0 */
#include "net/names.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/big_endian.h"
#include "net/allow.h"
#include "net/dns.h"
#include "net/frame.h"
#include "net/gate.h"
#include "net/net.h"

#define MAC_LEN 6
#define TYPE_AT 12
#define IP 14 /* where the packet is in a frame */
#define IP4_HEADER 20
#define IP6_HEADER 40
#define UDP_HEADER 8
#define HOPS 64
#define QUERY_MAX (DNS_HEADER + NET_NAME_TEXT + 2 + 4 + 11)

/* Who asked: what an answer's headers are made of. */
struct asker {
	bool ipv6;
	uint8_t mac[2 * MAC_LEN];   /* to, from */
	uint8_t address[2 * 16];    /* from, to; those of IPv4 have four bytes */
	uint8_t port[4], number[2]; /* from, to; the question's */
	bool extended;              /* it knows of EDNS */
};

struct query {
	int fd; /* -1: there is none */
	int index;
	unsigned server; /* that was asked */
	uint64_t until;
	struct asker asker;
	uint8_t sent[QUERY_MAX];
	size_t sent_len;
};

struct name_server {
	struct allow *allow;
	struct gate *gate;
	struct names_owner owner;
	unsigned server; /* the one that is asked: one that was silent gives way to the next */
	uint64_t now;
	struct query query[NAMES_OPEN];
};

int names_create(struct allow *allow, struct gate *gate, const struct names_owner *owner,
	struct name_server **out, struct error *err)
{
	struct name_server *names = calloc(1, sizeof *names);

	if (!names)
		return error_nomem(err);
	names->allow = allow;
	names->gate = gate;
	names->owner = *owner;
	for (unsigned i = 0; i < NAMES_OPEN; i++)
		names->query[i].fd = -1;
	*out = names;
	return 0;
}

static void drop(struct query *query)
{
	close(query->fd);
	query->fd = -1;
}

void names_free(struct name_server *names)
{
	for (unsigned i = 0; names && i < NAMES_OPEN; i++)
		if (names->query[i].fd >= 0)
			drop(&names->query[i]);
	free(names);
}

/* The guest's side */

/* Of UDP over IPv6, where there has to be one. */
static uint16_t udp_sum(const uint8_t *addresses, const uint8_t *udp, size_t len)
{
	const uint8_t rest[4] = {len >> 8, len, 0, IPPROTO_UDP};
	uint64_t sum = (uint64_t)checksum_add(addresses, 32) + checksum_add(rest, sizeof rest) +
		checksum_add(udp, len);

	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff ? 0xffff : (uint16_t)~sum;
}

/* The IP header; where the next is. */
static size_t put_ip(uint8_t *ip, const struct asker *asker, size_t len)
{
	const unsigned size = asker->ipv6 ? 16 : 4;
	uint8_t *addresses = ip + (asker->ipv6 ? 8 : 12);
	uint16_t sum;

	if (asker->ipv6) {
		ip[0] = 0x60;
		put16(ip + 4, len);
		ip[6] = IPPROTO_UDP;
		ip[7] = HOPS;
	} else {
		ip[0] = 0x45;
		put16(ip + 2, IP4_HEADER + len);
		ip[8] = HOPS;
		ip[9] = IPPROTO_UDP;
	}
	memcpy(addresses, asker->address + size, size);
	memcpy(addresses + size, asker->address, size);
	if (asker->ipv6)
		return IP6_HEADER;
	sum = ~checksum_add(ip, IP4_HEADER);
	memcpy(ip + 10, &sum, sizeof sum);
	return IP4_HEADER;
}

static void answer(struct name_server *names, const struct asker *asker, const uint8_t *message,
	size_t len)
{
	uint8_t frame[IP + IP6_HEADER + UDP_HEADER + DNS_MESSAGE_MAX] = {0};
	const size_t udp_len = UDP_HEADER + len;
	uint8_t *udp;
	uint16_t sum;

	memcpy(frame, asker->mac + MAC_LEN, MAC_LEN);
	memcpy(frame + MAC_LEN, asker->mac, MAC_LEN);
	put16(frame + TYPE_AT, asker->ipv6 ? 0x86dd : 0x0800);
	udp = frame + IP + put_ip(frame + IP, asker, udp_len);
	memcpy(udp, asker->port + 2, 2);
	memcpy(udp + 2, asker->port, 2);
	put16(udp + 4, udp_len);
	memcpy(udp + UDP_HEADER, message, len);
	memcpy(udp + UDP_HEADER, asker->number, 2);
	if (asker->ipv6) {
		sum = udp_sum(frame + IP + 8, udp, udp_len);
		memcpy(udp + 6, &sum, sizeof sum);
	}
	names->owner.answer(names->owner.ctx, frame, (size_t)(udp - frame) + udp_len);
}

/* The host's side */

/* Others that asked the same one may have noticed before: it is left once. */
static void leave_server(struct name_server *names, unsigned server)
{
	if (names->server == server)
		names->server++;
}

static int open_query(struct name_server *names)
{
	struct sockaddr_storage to;
	socklen_t len = names->owner.server(names->owner.ctx, names->server, &to);
	int fd;

	if (!len) {
		names->server = 0;
		len = names->owner.server(names->owner.ctx, 0, &to);
	}
	if (!len)
		return -1;
	fd = socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&to, len)) {
		close(fd);
		return -1;
	}
	return fd;
}

static void ask(struct name_server *names, const struct asker *asker, const uint8_t *message,
	const struct dns_question *question)
{
	struct query *query = names->query, *const end = query + NAMES_OPEN;
	uint16_t number;

	while (query < end && query->fd >= 0)
		query++;
	if (query == end || !gate_begin(names->gate, (int64_t)names->now) ||
		getrandom(&number, sizeof number, GRND_NONBLOCK) != sizeof number)
		return;
	query->sent_len = dns_make_query(message, question, number, query->sent);
	query->asker = *asker;
	query->until = names->now + NAMES_WAIT_NS;
	query->index = -1;
	query->fd = open_query(names);
	query->server = names->server;
	if (query->fd >= 0 && send(query->fd, query->sent, query->sent_len, 0) < 0)
		drop(query);
	if (query->fd < 0)
		leave_server(names, query->server);
}

bool names_take(struct name_server *names, const uint8_t *frame, size_t len, uint64_t now_ns)
{
	struct asker asker = {.ipv6 = false};
	struct dns_question question;
	uint8_t refusal[QUERY_MAX];
	const uint8_t *udp, *message;
	size_t size;

	if (!gate_to_names(frame, len, DNS_PORT, &asker.ipv6, &udp, &size))
		return false;
	message = udp + UDP_HEADER;
	if (!dns_read_query(message, size, &question))
		return true;
	names->now = now_ns;
	memcpy(asker.mac, frame, sizeof asker.mac);
	memcpy(asker.address, frame + IP + (asker.ipv6 ? 8 : 12), asker.ipv6 ? 32 : 8);
	memcpy(asker.port, udp, sizeof asker.port);
	memcpy(asker.number, message, sizeof asker.number);
	asker.extended = question.extended;
	if (*question.name && allow_name(names->allow, question.name))
		ask(names, &asker, message, &question);
	else
		answer(names, &asker, refusal, dns_make_refusal(message, &question, refusal));
	return true;
}

static void learn(void *ctx, const uint8_t *address, bool ipv6, uint32_t ttl)
{
	struct name_server *names = ctx;

	allow_learn(names->allow, address, ipv6, ttl, names->now);
}

/* What is there: the answer, or something else, which may come from whoever speaks as the server. */
static void hear(struct name_server *names, struct query *query)
{
	uint8_t message[DNS_MESSAGE_MAX];
	const ssize_t n = recv(query->fd, message, sizeof message, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		leave_server(names, query->server);
		drop(query);
	} else if (dns_is_answer(message, (size_t)n, query->sent, query->sent_len)) {
		dns_each_address(message, (size_t)n, learn, names);
		answer(names, &query->asker, message,
			query->asker.extended ? (size_t)n : dns_cut_more(message, (size_t)n));
		drop(query);
	}
}

void names_fill(struct name_server *names, int (*add)(void *ctx, int fd), void *ctx)
{
	for (unsigned i = 0; i < NAMES_OPEN; i++)
		if (names->query[i].fd >= 0)
			names->query[i].index = add(ctx, names->query[i].fd);
}

void names_poll(struct name_server *names, const struct pollfd *fds, uint64_t now_ns)
{
	names->now = now_ns;
	for (unsigned i = 0; i < NAMES_OPEN; i++) {
		struct query *query = &names->query[i];

		if (query->fd >= 0 && query->index >= 0 && fds[query->index].revents)
			hear(names, query);
		if (query->fd >= 0 && query->until <= now_ns) {
			leave_server(names, query->server);
			drop(query);
		}
		query->index = -1;
	}
}

int names_ms(const struct name_server *names, uint64_t now_ns)
{
	uint64_t until = UINT64_MAX;

	for (unsigned i = 0; i < NAMES_OPEN; i++)
		if (names->query[i].fd >= 0 && names->query[i].until < until)
			until = names->query[i].until;
	if (until == UINT64_MAX)
		return -1;
	return until <= now_ns ? 0 : (int)((until - now_ns) / 1000000 + 1);
}
