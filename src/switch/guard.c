/* SPDX-License-Identifier: Apache-2.0 */
#include "switch/guard.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <string.h>

#include "base/big_endian.h"
#include "net/gate.h"
#include "net/net.h"

#define ARP_LEN 28u
#define IP4_LEN 20u
#define IP6_LEN 40u
#define PORT_DHCP 67u /* a server's */
#define PORT_DHCP6 547u
#define HEADERS_MAX 8

/* virtio 1.2, 5.1.6: of a device that offers no more than checksums and TCP's segments. */
static bool put_right(struct virtio_net_hdr_v1 *header, size_t len)
{
	header->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
	header->num_buffers = 0;
	if (header->flags && (size_t)header->csum_start + header->csum_offset + 2 > len)
		return false;
	switch (header->gso_type) {
	case VIRTIO_NET_HDR_GSO_NONE:
		header->gso_size = 0;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV4:
	case VIRTIO_NET_HDR_GSO_TCPV6:
		if (!header->flags || !header->gso_size)
			return false;
		break;
	default:
		return false;
	}
	if (header->hdr_len > len)
		header->hdr_len = len;
	return true;
}

/* Is it 10.0.2.2 or 10.0.2.3? */
static bool is_networks(const uint8_t *address)
{
	return address[0] == 10 && !address[1] && address[2] == 2 &&
		(address[3] == GATE_HOST || address[3] == GATE_NAMES);
}

static bool admit_arp(const uint8_t *mac, const uint8_t *arp, size_t len)
{
	static const uint8_t ethernet_ip4[6] = {0, 1, 8, 0, 6, 4};

	return len >= ARP_LEN && !memcmp(arp, ethernet_ip4, sizeof ethernet_ip4) &&
		!memcmp(arp + 8, mac, NET_MAC_LEN) && !is_networks(arp + 14);
}

static bool admit_ip4(const uint8_t *ip, size_t len)
{
	const size_t head = len ? (ip[0] & 15) * 4u : 0;
	const bool first = len >= IP4_LEN && !(get16(ip + 6) & 0x1fff);

	if (len < IP4_LEN || ip[0] >> 4 != 4 || head < IP4_LEN || head > len ||
		is_networks(ip + 12))
		return false;
	if (ip[9] != IPPROTO_UDP || !first)
		return true;
	return len >= head + 8 && get16(ip + head) != PORT_DHCP;
}

static bool is_option(uint8_t next)
{
	return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS;
}

static bool admit_upper6(uint8_t next, const uint8_t *data, size_t len)
{
	if (next == IPPROTO_UDP)
		return len >= 8 && get16(data) != PORT_DHCP6;
	if (next == IPPROTO_ICMPV6)
		return len && data[0] != ND_ROUTER_ADVERT && data[0] != ND_REDIRECT;
	return true;
}

static bool admit_ip6(const uint8_t *ip, size_t len)
{
	size_t at = IP6_LEN;
	uint8_t next;

	if (len < IP6_LEN || ip[0] >> 4 != 6)
		return false;
	next = ip[6];
	for (unsigned i = 0; is_option(next); i++) {
		if (i == HEADERS_MAX || at + 8 > len)
			return false;
		next = ip[at];
		at += (ip[at + 1] + 1u) * 8;
	}
	if (at > len)
		return false;
	/* Neighbour discovery comes whole (RFC 6980), and from no further than the link. */
	if (next == IPPROTO_FRAGMENT)
		return ip[7] != 255;
	return admit_upper6(next, ip + at, len - at);
}

bool guard_admit(const uint8_t mac[NET_MAC_LEN], struct virtio_net_hdr_v1 *header,
	const uint8_t *frame, size_t len)
{
	const uint8_t *data = frame + NET_HEADER_LEN;
	const size_t rest = len - NET_HEADER_LEN;

	if (len < NET_HEADER_LEN || len > NET_FRAME_MAX ||
		memcmp(frame + NET_MAC_LEN, mac, NET_MAC_LEN) || !put_right(header, len))
		return false;
	switch (get16(frame + 12)) {
	case 0x8035: /* RARP: where a guest is that has moved */
		return true;
	case 0x0806:
		return admit_arp(mac, data, rest);
	case 0x0800:
		return admit_ip4(data, rest);
	case 0x86dd:
		return admit_ip6(data, rest);
	}
	return false;
}
