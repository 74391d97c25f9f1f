/* SPDX-License-Identifier: Apache-2.0 */
#include "net/gate.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <string.h>

#include "base/big_endian.h"
#include "net/allow.h"
#include "net/net.h"

#define TOKEN 1000000000ll /* one beginning */

#define IP_HEADER 20
#define IP6_HEADER 40
#define TCP_HEADER 20
#define UDP_HEADER 8
#define TCP_SYN 0x02
#define TCP_ACK 0x10
#define PORT_NAMES 53
#define PORT_DHCP 67
#define PORT_DHCP6 547

/* What an address is to the guest. */
enum place {
	PLACE_OUTSIDE, /* the world, and the host's addresses that the world has, too */
	PLACE_HOST,    /* what libslirp takes for the host's loopback address */
	PLACE_NAMES,   /* its name server */
	PLACE_GROUP,   /* IPv6: a multicast address */
	PLACE_NEVER,
};

/* A packet, cut up. data is what stands behind its header. */
struct packet {
	bool ipv6;
	uint8_t protocol;
	bool part;       /* a fragment, */
	unsigned offset; /* from here, in eights */
	enum place place;
	const uint8_t *to, *data;
	size_t len;
};

void gate_init(struct gate *gate, int64_t now_ns)
{
	memset(gate, 0, sizeof *gate);
	gate->filled_ns = gate->period_ns = now_ns;
	gate->tokens = GATE_BURST * TOKEN;
}

/* Ports */

static bool has(const struct gate_ports *ports, unsigned port)
{
	return ports->bit[port / 8] & 1u << port % 8;
}

static void put(struct gate_ports *ports, unsigned port)
{
	ports->bit[port / 8] |= 1u << port % 8;
}

static bool has_lately(const struct gate_ports period[2], unsigned port)
{
	return has(&period[0], port) || has(&period[1], port);
}

static void next_period(struct gate_ports period[2], bool long_ago)
{
	if (long_ago)
		memset(&period[1], 0, sizeof period[1]);
	else
		period[1] = period[0];
	memset(&period[0], 0, sizeof period[0]);
}

static void pass_time(struct gate *gate, int64_t now_ns)
{
	const int64_t past = now_ns - gate->period_ns;

	if (past <= GATE_UDP_NS)
		return;
	for (unsigned i = 0; i < 2; i++) {
		next_period(gate->family[i].sent, past > 2 * GATE_UDP_NS);
		next_period(gate->family[i].came, past > 2 * GATE_UDP_NS);
	}
	gate->period_ns = now_ns;
}

void gate_forward(struct gate *gate, bool ipv6, unsigned guest_port)
{
	put(&gate->family[ipv6].forwarded, guest_port & 0xffff);
}

/* Addresses */

/*
 * Does an IPv4 address mean the host itself or its own link (RFC 1122 3.2.1.3, RFC 3927)? libslirp
 * would connect to that for the guest: to what trusts the host alone, or to a cloud's metadata.
 */
static bool host_only(const uint8_t *to)
{
	return to[0] == 0 || to[0] == 127 || (to[0] == 169 && to[1] == 254);
}

static enum place place_of(const uint8_t *to)
{
	static const uint8_t net[3] = {10, 0, 2};

	if (host_only(to))
		return PLACE_NEVER;
	if (get16(to) == 0xffff && get16(to + 2) == 0xffff)
		return PLACE_HOST; /* so libslirp takes it */
	if (memcmp(to, net, sizeof net))
		return PLACE_OUTSIDE;
	return to[3] == GATE_HOST ? PLACE_HOST : to[3] == GATE_NAMES ? PLACE_NAMES : PLACE_OUTSIDE;
}

static bool begins(const uint8_t *to, const uint8_t *with, size_t len)
{
	return !memcmp(to, with, len);
}

/*
 * The same of IPv6: what is within ::/8 (unspecified, loopback, IPv4 addresses in several dresses), the
 * host's links, an IPv4 address of the host's behind NAT64 or 6to4, the metadata of clouds that have them at
 * an address of IPv6.
 */
static enum place place_of6(const uint8_t *to)
{
	static const uint8_t own[15] = {0xfe, 0xc0}, nat64[12] = {0, 0x64, 0xff, 0x9b},
			     metadata[][16] = {
				     {0xfd, 0, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54},
				     {0xfd, 0x20, 0, 0xce, [14] = 0x02, [15] = 0x54},
			     };

	if (to[0] == 0xff)
		return PLACE_GROUP;
	if (begins(to, own, sizeof own) && (to[15] == GATE_HOST || to[15] == GATE_NAMES))
		return to[15] == GATE_HOST ? PLACE_HOST : PLACE_NAMES;
	if (begins(to, nat64, sizeof nat64))
		return host_only(to + 12) ? PLACE_NEVER : PLACE_OUTSIDE;
	if (to[0] == 0 || (to[0] == 0xfe && to[1] >= 0x80))
		return PLACE_NEVER;
	if (to[0] == 0x20 && to[1] == 2 && host_only(to + 2))
		return PLACE_NEVER;
	for (unsigned i = 0; i < sizeof metadata / sizeof *metadata; i++)
		if (begins(to, metadata[i], sizeof metadata[i]))
			return PLACE_NEVER;
	return PLACE_OUTSIDE;
}

/* What a packet is */

static bool read_ip(const uint8_t *ip, size_t len, struct packet *packet)
{
	const unsigned head = len ? (ip[0] & 15) * 4u : 0;

	if (head < IP_HEADER || head > len)
		return false; /* no header: nobody would take it */
	*packet = (struct packet){.protocol = ip[9],
		.part = get16(ip + 6) & 0x3fff,
		.offset = get16(ip + 6) & 0x1fff,
		.place = place_of(ip + 16),
		.to = ip + 16,
		.data = ip + head,
		.len = len - head};
	return true;
}

/* libslirp looks at no header behind the first. */
static bool read_ip6(const uint8_t *ip, size_t len, struct packet *packet)
{
	if (len < IP6_HEADER || ip[0] >> 4 != 6 || len - IP6_HEADER < get16(ip + 4))
		return false;
	*packet = (struct packet){.ipv6 = true,
		.protocol = ip[6],
		.place = place_of6(ip + 24),
		.to = ip + 24,
		.data = ip + IP6_HEADER,
		.len = get16(ip + 4)};
	return true;
}

static bool read_packet(const uint8_t *frame, size_t len, struct packet *packet)
{
	const uint8_t *ip = frame + NET_HEADER_LEN;

	if (frame[12] == 8 && frame[13] == 0)
		return read_ip(ip, len - NET_HEADER_LEN, packet);
	return frame[12] == 0x86 && frame[13] == 0xdd && read_ip6(ip, len - NET_HEADER_LEN, packet);
}

/* What may go */

bool gate_begin(struct gate *gate, int64_t now_ns)
{
	int64_t past = now_ns - gate->filled_ns;

	if (past > GATE_BURST * TOKEN / GATE_RATE)
		past = GATE_BURST * TOKEN / GATE_RATE;
	if (past > 0) {
		gate->tokens += past * GATE_RATE;
		gate->filled_ns = now_ns;
	}
	if (gate->tokens > GATE_BURST * TOKEN)
		gate->tokens = GATE_BURST * TOKEN;
	if (gate->open >= GATE_OPEN_SOFT || gate->tokens < TOKEN) {
		gate->refused++;
		return false;
	}
	gate->tokens -= TOKEN;
	return true;
}

static bool admit_tcp(struct gate *gate, const struct packet *packet, int64_t now_ns)
{
	if (packet->len < TCP_HEADER || packet->place == PLACE_GROUP)
		return false;
	if ((packet->data[13] & (TCP_SYN | TCP_ACK)) != TCP_SYN)
		return true;
	if (packet->place == PLACE_HOST && !gate->loopback)
		return false;
	if (packet->place == PLACE_NAMES && get16(packet->data + 2) != PORT_NAMES)
		return false;
	return gate_begin(gate, now_ns);
}

/* libslirp answers DHCP itself; else, who has come by a forwarded port is answered. */
static bool admit_udp_to_host(const struct gate *gate, const struct packet *packet)
{
	const struct gate_family *family = &gate->family[packet->ipv6];
	const unsigned from = get16(packet->data), to = get16(packet->data + 2);

	if (to == (packet->ipv6 ? PORT_DHCP6 : PORT_DHCP) || gate->loopback)
		return true;
	return has(&family->forwarded, from) && has_lately(family->came, to);
}

static bool admit_udp(struct gate *gate, const struct packet *packet, int64_t now_ns)
{
	/* All DHCP servers: the one group that libslirp listens to. */
	static const uint8_t servers[16] = {0xff, 2, [13] = 1, [15] = 2};
	struct gate_ports *sent = gate->family[packet->ipv6].sent;
	unsigned port;

	if (packet->len < UDP_HEADER)
		return false;
	pass_time(gate, now_ns);
	if (packet->place == PLACE_GROUP)
		return begins(packet->to, servers, sizeof servers) &&
			get16(packet->data + 2) == PORT_DHCP6;
	if (packet->place == PLACE_HOST && !admit_udp_to_host(gate, packet))
		return false;
	if (packet->place == PLACE_NAMES && get16(packet->data + 2) != PORT_NAMES)
		return false;
	if (gate->open >= GATE_OPEN_HARD)
		return false;
	port = get16(packet->data);
	if (!has_lately(sent, port) && !gate_begin(gate, now_ns))
		return false;
	put(&sent[0], port);
	return true;
}

/*
 * Neighbours and routers; echoes of libslirp's own addresses, which it answers itself. It has no others, and
 * writes a line on our standard error for each.
 */
static bool admit_icmp6(const struct packet *packet)
{
	static const uint8_t link[16] = {0xfe, 0x80, [15] = GATE_HOST};

	if (!packet->len)
		return false;
	switch (packet->data[0]) {
	case ND_ROUTER_SOLICIT:
	case ND_NEIGHBOR_SOLICIT:
	case ND_NEIGHBOR_ADVERT:
		return true;
	case ICMP6_ECHO_REQUEST:
		return packet->place == PLACE_HOST || packet->place == PLACE_NAMES ||
			begins(packet->to, link, sizeof link);
	default:
		return false;
	}
}

static bool admit_packet(struct gate *gate, const struct packet *packet, int64_t now_ns)
{
	if (packet->ipv6 && packet->protocol == IPPROTO_ICMPV6)
		return admit_icmp6(packet);
	if (packet->place == PLACE_NEVER)
		return false;
	switch (packet->protocol) {
	case IPPROTO_TCP:
		return admit_tcp(gate, packet, now_ns);
	case IPPROTO_UDP:
		return admit_udp(gate, packet, now_ns);
	case IPPROTO_ICMP:
		return !packet->ipv6 && gate_begin(gate, now_ns); /* each echo is a socket */
	default:
		return !packet->ipv6; /* libslirp knows no others */
	}
}

/* Names are asked of the network's name server by whole datagrams (names.h), and by nothing else. */
static bool is_allowed(struct gate *gate, const struct packet *packet, int64_t now_ns)
{
	const bool tcp = packet->protocol == IPPROTO_TCP, udp = packet->protocol == IPPROTO_UDP;

	if (packet->place == PLACE_NAMES)
		return !(tcp || udp || packet->part) || !allow_has_names(gate->allow);
	if (packet->place != PLACE_OUTSIDE)
		return true;
	/* What has begun goes on. */
	if (tcp && !packet->part && packet->len >= TCP_HEADER &&
		(packet->data[13] & (TCP_SYN | TCP_ACK)) != TCP_SYN)
		return true;
	return allow_reach(gate->allow, packet->to, packet->ipv6, udp, (uint64_t)now_ns);
}

bool gate_to_names(const uint8_t *frame, size_t len, unsigned port, bool *ipv6, const uint8_t **udp,
	size_t *size)
{
	struct packet packet;

	if (len < NET_HEADER_LEN || !read_packet(frame, len, &packet) || packet.part ||
		packet.protocol != IPPROTO_UDP || packet.place != PLACE_NAMES ||
		packet.len < UDP_HEADER || get16(packet.data + 2) != port ||
		get16(packet.data + 4) < UDP_HEADER || get16(packet.data + 4) > packet.len)
		return false;
	*ipv6 = packet.ipv6;
	*udp = packet.data;
	*size = get16(packet.data + 4) - UDP_HEADER;
	return true;
}

bool gate_admit(struct gate *gate, const uint8_t *frame, size_t len, int64_t now_ns)
{
	struct packet packet;

	if (len < NET_HEADER_LEN)
		return false;
	if (frame[12] == 8 && frame[13] == 6)
		return true; /* ARP */
	if (!read_packet(frame, len, &packet) || (packet.ipv6 && !gate->ipv6))
		return false;
	if (packet.place == PLACE_NEVER && !packet.ipv6)
		return false;
	/* What is put together later must not be something else than it looks now. */
	if (packet.part && packet.place == PLACE_HOST && !gate->loopback)
		return false;
	if (gate->allow && !is_allowed(gate, &packet, now_ns))
		return false;
	/* Of no use without the first, which has the ports. */
	return packet.offset || admit_packet(gate, &packet, now_ns);
}

void gate_deliver(struct gate *gate, const uint8_t *frame, size_t len, int64_t now_ns)
{
	struct packet packet;
	const uint8_t *from;

	if (len < NET_HEADER_LEN || !read_packet(frame, len, &packet) || packet.part ||
		packet.protocol != IPPROTO_UDP || packet.len < UDP_HEADER)
		return;
	from = packet.to - (packet.ipv6 ? 16 : 4);
	if ((packet.ipv6 ? place_of6(from) : place_of(from)) != PLACE_HOST)
		return;
	pass_time(gate, now_ns);
	put(&gate->family[packet.ipv6].came[0], get16(packet.data));
}
