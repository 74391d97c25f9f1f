/* SPDX-License-Identifier: Apache-2.0 */
/* Frames from the guest: descriptors (3.3), checksums and cutting up (3.4 to 3.6). */
#include <linux/virtio_net.h>
#include <stddef.h>
#include <string.h>

#include "net/frame.h"
#include "nic/internal.h"

/* Descriptors before received frames get their turn. */
#define BATCH 256
#define SHORTEST 60u

/* In the second half of a descriptor: its first 32 bits, */
#define LAST 0x01000000u
#define SUM_INSERT 0x04000000u /* of the old kind */
#define CUT 0x04000000u        /* of the others */
#define REPORT 0x08000000u
#define NEW_KIND 0x20000000u
#define IS_DATA 0x00100000u
#define TAG 0x40000000u
#define CONTEXT_TCP 0x01000000u
#define CONTEXT_IPV4 0x02000000u
/* and the next */
#define DONE 0x01u
#define SUM_IP 0x0100u
#define SUM_REST 0x0200u

#define VLAN_AT 12
#define VLAN_SIZE 4
#define TAGGED_MIN \
	64u /* bytes of data in a piece that is cut here: fewer, and a frame would keep the network for long */

struct e1000_sent {
	uint64_t address;
	uint32_t lower, upper;
};

/* The sum over the bytes from start to the last one (0: the frame's), put where it belongs. */
static void put_sum(struct e1000 *e, unsigned start, unsigned at, unsigned last)
{
	const size_t end = last && last < e->used ? last + 1 : e->used;
	uint16_t sum;

	if (start >= end || at + 2 > e->used)
		return;
	sum = ~checksum_add(e->frame + start, end - start);
	memcpy(e->frame + at, &sum, 2);
}

/*
 * As the header of a frame that is left unfinished: net/ cuts it up where that is to be done, which it knows of TCP.
 * false: it is not that.
 */
static bool describe_cut(struct e1000 *e, struct virtio_net_hdr_v1 *header)
{
	const struct e1000_context *c = &e->cut;
	struct frame_tcp tcp;
	uint16_t sum;

	if (!c->tcp || !c->mss || !frame_parse_tcp(e->frame, e->used, &tcp) ||
		tcp.ipv6 == c->ipv4 || tcp.payload != c->header)
		return false;
	/* The driver has left the length out of both. */
	frame_finish_tcp(e->frame, &tcp);
	*header = (struct virtio_net_hdr_v1){.gso_type = VIRTIO_NET_HDR_GSO_NONE};
	if (tcp.end - tcp.payload <= c->mss)
		return true;
	*header = (struct virtio_net_hdr_v1){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = tcp.ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = tcp.payload,
		.gso_size = c->mss,
		.csum_start = tcp.tcp,
		.csum_offset = 16};
	sum = frame_pseudo_sum(e->frame, &tcp);
	if (net_is_offloaded(e->net))
		memcpy(e->frame + tcp.tcp + 16, &sum, 2);
	return true;
}

/* What a frame gets that the driver has a tag for. */
struct tag {
	uint16_t type, value;
};

/* There is room for it. How long the frame is then. */
static size_t insert_tag(uint8_t *frame, size_t len, const struct tag *tag)
{
	uint8_t *at = frame + VLAN_AT;

	memmove(at + VLAN_SIZE, at, len - VLAN_AT);
	at[0] = tag->type >> 8;
	at[1] = tag->type & 0xff;
	at[2] = tag->value >> 8;
	at[3] = tag->value & 0xff;
	return len + VLAN_SIZE;
}

static size_t fill_up(uint8_t *frame, size_t len)
{
	if (len >= SHORTEST)
		return len;
	memset(frame + len, 0, SHORTEST - len);
	return SHORTEST;
}

/* The frame is whole: what is left to do with it. false: it is none to be sent. */
static bool finish(struct e1000 *e, const struct e1000_sent *d, const struct tag *tag,
	struct virtio_net_hdr_v1 *header)
{
	*header = (struct virtio_net_hdr_v1){.gso_type = VIRTIO_NET_HDR_GSO_NONE};
	if (e->too_long || e->used < NET_HEADER_LEN)
		return false;
	if (!(d->lower & NEW_KIND)) {
		if (d->lower & SUM_INSERT)
			put_sum(e, d->upper >> 8 & 0xff, d->lower >> 16 & 0xff, 0);
	} else if (d->lower & CUT) {
		if (!describe_cut(e, header))
			return false;
	} else {
		if (e->options & (SUM_IP >> 8))
			put_sum(e, e->plain.ip_start, e->plain.ip_at, e->plain.ip_end);
		if (e->options & (SUM_REST >> 8))
			put_sum(e, e->plain.sum_start, e->plain.sum_at, e->plain.sum_end);
	}
	/* One that is to be cut up gets its tags then. */
	if (e->tagged && header->gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return header->gso_size >= TAGGED_MIN &&
			header->hdr_len + header->gso_size + VLAN_SIZE <= sizeof e->piece;
	if (e->tagged && e->used + VLAN_SIZE > sizeof e->frame)
		return false;
	if (e->tagged)
		e->used = insert_tag(e->frame, e->used, tag);
	e->used = fill_up(e->frame, e->used);
	return true;
}

static void take_context(struct e1000 *e, const struct e1000_sent *d)
{
	const uint32_t ip = d->address & 0xffffffff, rest = d->address >> 32;

	*(d->lower & CUT ? &e->cut : &e->plain) = (struct e1000_context){.ip_start = ip & 0xff,
		.ip_at = ip >> 8 & 0xff,
		.ip_end = ip >> 16,
		.sum_start = rest & 0xff,
		.sum_at = rest >> 8 & 0xff,
		.sum_end = rest >> 16,
		.tcp = d->lower & CONTEXT_TCP,
		.ipv4 = d->lower & CONTEXT_IPV4,
		.header = d->upper >> 8 & 0xff,
		.mss = d->upper >> 16};
}

static void take_data(struct e1000 *e, const struct e1000_sent *d)
{
	const bool new_kind = d->lower & NEW_KIND;
	const uint32_t size = d->lower & (new_kind ? 0xfffff : 0xffff);

	if (!e->used && !e->too_long) {
		e->options = new_kind ? d->upper >> 8 & 0xff : 0;
		e->tagged = d->lower & TAG && *e1000_reg(e, CTRL) & CTRL_VLANS;
	}
	/* Its tag is the last one's. */
	e->tag = d->upper >> 16;
	if (size > NET_FRAME_MAX - e->used ||
		memory_read(e->memory, d->address, e->frame + e->used, size))
		e->too_long = true;
	else
		e->used += size;
}

/* The next descriptor, if there is one; then the ring goes on behind it. */
static bool next_descriptor(struct e1000 *e, struct e1000_sent *d, uint64_t *at)
{
	const uint32_t count = e1000_ring(e, TDLEN);
	uint32_t *head = e1000_reg(e, TDH);

	if (e->quiet || !(*e1000_reg(e, TCTL) & TCTL_ENABLE) || *head >= count ||
		*e1000_reg(e, TDT) >= count || *head == *e1000_reg(e, TDT))
		return false;
	*at = (*e1000_reg(e, TDBAL) | (uint64_t)*e1000_reg(e, TDBAH) << 32) +
		*head * E1000_DESCRIPTOR;
	if (memory_read(e->memory, *at, d, sizeof *d))
		*d = (struct e1000_sent){.lower = 0}; /* one without bytes */
	*head = (*head + 1) % count;
	return true;
}

/* It has been taken: the guest is told, if it wants to know. */
static void report(struct e1000 *e, const struct e1000_sent *d, uint64_t at)
{
	const uint32_t upper = d->upper | DONE;
	uint32_t causes = 0;

	if (d->lower & REPORT) {
		memory_write(e->memory, at + offsetof(struct e1000_sent, upper), &upper,
			sizeof upper);
		causes = INT_SENT;
	}
	if (*e1000_reg(e, TDH) == *e1000_reg(e, TDT))
		causes |= INT_RING_EMPTY;
	e1000_raise(e, causes);
}

static void send_frame(struct e1000 *e, const struct virtio_net_hdr_v1 *header, size_t len)
{
	if (header->gso_type != VIRTIO_NET_HDR_GSO_NONE && net_is_offloaded(e->net))
		net_send_unfinished(e->net, header, e->frame, len);
	else
		net_send(e->net, e->frame, len);
}

/* A tag within what is to be cut up is more than net/ knows. */
static void send_pieces(struct e1000 *e, const struct virtio_net_hdr_v1 *header, size_t len,
	const struct tag *tag)
{
	struct frame_tcp tcp;

	if (!frame_parse_tcp(e->frame, len, &tcp))
		return;
	tcp.mss = header->gso_size;
	for (unsigned i = 0; i < frame_segments(&tcp); i++) {
		size_t size = frame_segment(e->frame, &tcp, i, e->piece);

		size = insert_tag(e->piece, size, tag);
		net_send(e->net, e->piece, fill_up(e->piece, size));
	}
}

static void announce(struct e1000 *e)
{
	struct announcement announcement;
	uint8_t mac[NET_MAC_LEN];
	bool up;

	mutex_lock(&e->lock);
	announcement = announcement_take(&e->announcement);
	memcpy(mac, e->eeprom, sizeof mac);
	up = e->up;
	mutex_unlock(&e->lock);
	announcement_send(&announcement, up ? e->net : NULL, mac);
}

/* A frame that is whole leaves; the lock is given back meanwhile, since answers come through e1000_receive(). */
static void leave(struct e1000 *e, const struct e1000_sent *d) REQUIRES(e->lock)
{
	const struct tag tag = {*e1000_reg(e, VET), e->tag};
	struct virtio_net_hdr_v1 header;
	const bool good = finish(e, d, &tag, &header) && e->up;
	const bool cut_here = e->tagged && header.gso_type != VIRTIO_NET_HDR_GSO_NONE;
	const size_t len = e->used;

	net_has_sent(e->net, len);
	e->used = 0;
	e->too_long = e->tagged = false;
	if (!good)
		return;
	e->counters.tx_frames++;
	e->counters.tx_bytes += len;
	e1000_count(e, GPTC, GOTC, TOT, TPT, len);
	mutex_unlock(&e->lock);
	if (cut_here)
		send_pieces(e, &header, len, &tag);
	else
		send_frame(e, &header, len);
	mutex_lock(&e->lock);
}

bool e1000_transmit(void *ctx)
{
	struct e1000 *e = ctx;
	bool more = true;

	announce(e);
	mutex_lock(&e->lock);
	for (unsigned i = 0; i < BATCH && more; i++) {
		struct e1000_sent d;
		uint64_t at;
		bool context;

		more = (e->used || net_may_send(e->net)) && next_descriptor(e, &d, &at);
		if (!more)
			break;
		context = d.lower & NEW_KIND && !(d.lower & IS_DATA);
		if (context)
			take_context(e, &d);
		else
			take_data(e, &d);
		/* Its bytes have been taken, and while a frame leaves the guest may reset the card. */
		report(e, &d, at);
		if (d.lower & LAST && !context)
			leave(e, &d);
	}
	mutex_unlock(&e->lock);
	return more;
}
