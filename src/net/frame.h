/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ethernet frames that hold a TCP segment (RFC 9293) over IPv4 (RFC 791) or right behind the header of IPv6 (RFC 8200), larger
 * than a wire would carry: what segmentation offload needs to know about them.
 */
#ifndef DACH_NET_FRAME_H
#define DACH_NET_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_ETHERNET 14u
#define FRAME_MTU 1500u /* what the guest takes its network for */

struct virtio_net_hdr_v1;

/* The Internet checksum (RFC 1071): the folded sum, as it lies in memory. */
uint16_t checksum_add(const uint8_t *data, size_t len);

struct frame_tcp {
	bool ipv6;
	size_t tcp;     /* where the TCP header starts */
	size_t payload; /* where the data starts */
	size_t end;     /* where it ends; the frame may be longer */
	size_t mss; /* data bytes that FRAME_MTU leaves room for; who cuts it up for another MTU changes it */
};

/* false: something else, or not whole. No checksum is looked at. */
bool frame_parse_tcp(const uint8_t *frame, size_t len, struct frame_tcp *tcp);
/* The sum over the pseudo header, from which a checksum offload goes on. */
uint16_t frame_pseudo_sum(const uint8_t *frame, const struct frame_tcp *tcp);
/* Sets the IP length and both checksums. */
void frame_finish_tcp(uint8_t *frame, const struct frame_tcp *tcp);

/* How many wire-sized frames it makes, and the index-th of them; out has room for what is before the
 * payload, and mss.
 */
unsigned frame_segments(const struct frame_tcp *tcp);
size_t frame_segment(const uint8_t *frame, const struct frame_tcp *tcp, unsigned index,
	uint8_t *out);

/*
 * Unfinished frames (virtio 1.2, 5.1.6), for who takes whole ones: finishes what the header, which comes from a
 * guest, leaves to be done. false: it is not true of the frame, or of a kind that is not TCP.
 */
bool frame_finish(const struct virtio_net_hdr_v1 *header, uint8_t *frame, size_t len);
/*
 * And the other way: the header for a guest that takes them. true: the frame is larger than FRAME_MTU allows, to be cut up, and at `at` is to be
 * the sum of the pseudo header instead of what is there.
 */
bool frame_describe(const uint8_t *frame, size_t len, struct virtio_net_hdr_v1 *header, size_t *at,
	uint8_t sum[2]);

#endif
