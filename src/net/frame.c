/* SPDX-License-Identifier: Apache-2.0 */
#include "net/frame.h"

#include <linux/virtio_net.h>
#include <string.h>

#include "base/big_endian.h"

/* Offsets in an IPv4 header (RFC 791, 3.1) */
enum { IP_LENGTH = 2, IP_ID = 4, IP_FRAGMENT = 6, IP_PROTOCOL = 9, IP_SUM = 10, IP_SOURCE = 12 };
/* in one of IPv6 (RFC 8200, 3) */
enum { IP6_LENGTH = 4, IP6_NEXT = 6, IP6_SOURCE = 8, IP6_SIZE = 40 };
/* and in a TCP header (RFC 9293, 3.1) */
enum { TCP_SEQUENCE = 4, TCP_OFFSET = 12, TCP_FLAGS = 13, TCP_SUM = 16 };
#define PROTOCOL_TCP 6
#define TCP_FIN 0x01u
#define TCP_PSH 0x08u
#define TCP_CWR 0x80u
#define IP_HEADER FRAME_ETHERNET

static uint16_t fold_sum(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/*
 * The sum does not depend on byte order (RFC 1071, 2(B)), so it is taken in the host's, in 32-bit
 * words into 64-bit sums: 2^32 words fit, and the compiler can do several at once.
 */
uint16_t checksum_add(const uint8_t *data, size_t len)
{
	uint64_t sum = 0;

	for (; len >= 4; data += 4, len -= 4) {
		uint32_t word;

		memcpy(&word, data, 4);
		sum += word;
	}
	if (len) {
		uint32_t word = 0;

		memcpy(&word, data, len);
		sum += word;
	}
	return fold_sum(sum);
}

/* How long the IP header is that has a TCP header behind it; 0: something else. */
static size_t ip_size(const uint8_t *ip, size_t len)
{
	const size_t size = 4 * (ip[0] & 15);

	if (len > 65535u || ip[0] >> 4 != 4 || size < 20 || ip[IP_PROTOCOL] != PROTOCOL_TCP)
		return 0;
	return get16(ip + IP_FRAGMENT) & 0x3fff ? 0 : size; /* a fragment */
}

static size_t ip6_size(const uint8_t *ip, size_t len)
{
	return len >= IP6_SIZE && len <= IP6_SIZE + 65535u && ip[0] >> 4 == 6 &&
			ip[IP6_NEXT] == PROTOCOL_TCP
		? IP6_SIZE
		: 0;
}

bool frame_parse_tcp(const uint8_t *frame, size_t len, struct frame_tcp *tcp)
{
	const uint8_t *ip = frame + IP_HEADER;
	size_t header;

	if (len < IP_HEADER + 20)
		return false;
	tcp->ipv6 = get16(frame + 12) == 0x86dd;
	header = tcp->ipv6                    ? ip6_size(ip, len - IP_HEADER)
		: get16(frame + 12) == 0x0800 ? ip_size(ip, len - IP_HEADER)
					      : 0;
	tcp->tcp = IP_HEADER + header;
	if (!header || len < tcp->tcp + 20)
		return false;
	header = 4 * (frame[tcp->tcp + TCP_OFFSET] >> 4);
	tcp->payload = tcp->tcp + header;
	tcp->end = len;
	if (header < 20 || tcp->payload > len)
		return false;
	tcp->mss = FRAME_MTU - (tcp->payload - IP_HEADER);
	return true;
}

uint16_t frame_pseudo_sum(const uint8_t *frame, const struct frame_tcp *tcp)
{
	const uint8_t *addresses = frame + IP_HEADER + (tcp->ipv6 ? IP6_SOURCE : IP_SOURCE);
	uint8_t rest[4] = {0, PROTOCOL_TCP};

	put16(rest + 2, tcp->end - tcp->tcp);
	return fold_sum(
		(uint64_t)checksum_add(addresses, tcp->ipv6 ? 32 : 8) + checksum_add(rest, 4));
}

void frame_finish_tcp(uint8_t *frame, const struct frame_tcp *tcp)
{
	uint8_t *ip = frame + IP_HEADER, *segment = frame + tcp->tcp;
	uint16_t sum;

	if (tcp->ipv6) {
		put16(ip + IP6_LENGTH, tcp->end - tcp->tcp);
	} else {
		put16(ip + IP_LENGTH, tcp->end - IP_HEADER);
		put16(ip + IP_SUM, 0);
		sum = ~checksum_add(ip, tcp->tcp - IP_HEADER);
		memcpy(ip + IP_SUM, &sum, 2);
	}
	put16(segment + TCP_SUM, 0);
	sum = ~fold_sum((uint64_t)frame_pseudo_sum(frame, tcp) +
		checksum_add(segment, tcp->end - tcp->tcp));
	memcpy(segment + TCP_SUM, &sum, 2);
}

unsigned frame_segments(const struct frame_tcp *tcp)
{
	size_t data = tcp->end - tcp->payload;

	return data ? (data + tcp->mss - 1) / tcp->mss : 1;
}

size_t frame_segment(const uint8_t *frame, const struct frame_tcp *tcp, unsigned index,
	uint8_t *out)
{
	size_t from = tcp->payload + index * tcp->mss, left = tcp->end - from;
	size_t data = left < tcp->mss ? left : tcp->mss;
	struct frame_tcp part = *tcp;
	uint8_t *ip = out + IP_HEADER, *segment = out + tcp->tcp;

	memcpy(out, frame, tcp->payload);
	memcpy(out + tcp->payload, frame + from, data);
	if (!tcp->ipv6)
		put16(ip + IP_ID, get16(ip + IP_ID) + index);
	put32(segment + TCP_SEQUENCE, get32(segment + TCP_SEQUENCE) + index * tcp->mss);
	if (data < left)
		segment[TCP_FLAGS] &= ~(TCP_FIN | TCP_PSH);
	if (index)
		segment[TCP_FLAGS] &= ~TCP_CWR;
	part.end = tcp->payload + data;
	frame_finish_tcp(out, &part);
	return part.end;
}

/*
 * The guest left the checksum to us (5.1.6.2): from csum_start to the end, over the sum of the
 * pseudo header that it put there. libslirp checks it.
 */
static bool finish_checksum(uint8_t *frame, size_t len, const struct virtio_net_hdr_v1 *header)
{
	size_t at = (size_t)header->csum_start + header->csum_offset;
	uint16_t sum;

	if (header->csum_start >= len || at + 2 > len)
		return false;
	sum = ~checksum_add(frame + header->csum_start, len - header->csum_start);
	if (!sum)
		sum = 0xffff; /* 0 would say that there is none (RFC 768) */
	memcpy(frame + at, &sum, 2);
	return true;
}

bool frame_finish(const struct virtio_net_hdr_v1 *header, uint8_t *frame, size_t len)
{
	struct frame_tcp tcp;

	const bool ipv6 = header->gso_type == VIRTIO_NET_HDR_GSO_TCPV6;

	if (ipv6 || header->gso_type == VIRTIO_NET_HDR_GSO_TCPV4) {
		if (!frame_parse_tcp(frame, len, &tcp) || tcp.ipv6 != ipv6)
			return false;
		frame_finish_tcp(frame, &tcp);
		return true;
	}
	return header->gso_type == VIRTIO_NET_HDR_GSO_NONE &&
		(!(header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) ||
			finish_checksum(frame, len, header));
}

bool frame_describe(const uint8_t *frame, size_t len, struct virtio_net_hdr_v1 *header, size_t *at,
	uint8_t sum[2])
{
	struct frame_tcp tcp;
	uint16_t pseudo;

	*header = (struct virtio_net_hdr_v1){.flags = VIRTIO_NET_HDR_F_DATA_VALID};
	if (len <= FRAME_ETHERNET + FRAME_MTU || !frame_parse_tcp(frame, len, &tcp))
		return false;
	*header = (struct virtio_net_hdr_v1){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = tcp.ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = tcp.payload,
		.gso_size = tcp.mss,
		.csum_start = tcp.tcp,
		.csum_offset = TCP_SUM,
	};
	*at = tcp.tcp + TCP_SUM;
	pseudo = frame_pseudo_sum(frame, &tcp);
	memcpy(sum, &pseudo, sizeof pseudo);
	return true;
}
