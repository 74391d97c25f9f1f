/* SPDX-License-Identifier: Apache-2.0 */
/* Frames to the guest: which ones it wants (13.4.22), and its buffers (3.2). */
#include <string.h>

#include "net/frame.h"
#include "nic/internal.h"

/* RCTL (13.4.22) */
#define ALL_UNICAST 0x00000008u
#define ALL_MULTICAST 0x00000010u
#define LONG_FRAMES 0x00000020u
#define BROADCAST 0x00008000u
#define VLAN_FILTER 0x00040000u
#define WITHOUT_SUM 0x04000000u

#define SHORTEST 60u
#define SUM 4u        /* the frame's check sequence, which nobody looks at here: it is nought */
#define LONGEST 1518u /* without it, with a VLAN's tag */
#define LONG 16380u   /* the same of long ones */
#define VLAN_AT 12
#define VLAN_SIZE 4
#define ADDRESSES 16
#define ADDRESS_VALID 0x80000000u

/* A descriptor's status (3.2.3.1) */
#define DONE 0x01u
#define LAST 0x02u
#define NO_SUMS 0x04u
#define TAGGED 0x08u
#define SUM_REST 0x20u
#define SUM_IP 0x40u
/* RXCSUM (13.4.34) */
#define CHECK_IP 0x100u
#define CHECK_REST 0x200u

struct e1000_buffer {
	uint64_t address;
	uint16_t length, sum;
	uint8_t status, errors;
	uint16_t tag;
};

/* The guest's descriptors for one frame. */
struct e1000_piece {
	uint64_t at; /* the descriptor */
	struct e1000_buffer descriptor;
};

enum delivery { DELIVERED, NO_ROOM, DROPPED };

static bool is_among(struct e1000 *e, const uint8_t *mac)
{
	for (unsigned i = 0; i < ADDRESSES; i++) {
		const uint32_t low = *e1000_reg(e, RA + 8 * i);
		const uint32_t high = *e1000_reg(e, RA + 8 * i + 4);

		if (high & ADDRESS_VALID && !memcmp(mac, &low, 4) && !memcmp(mac + 4, &high, 2))
			return true;
	}
	return false;
}

/* Twelve bits of a group's address, which ones RCTL says (13.5.1). */
static bool is_in_table(struct e1000 *e, const uint8_t *mac)
{
	static const uint8_t shift[] = {4, 3, 2, 0};
	const uint32_t hash =
		(mac[4] | mac[5] << 8) >> shift[*e1000_reg(e, RCTL) >> 12 & 3] & 0xfff;

	return *e1000_reg(e, MTA + hash / 32 * 4) >> hash % 32 & 1;
}

/* A frame that ends within its tag has none. */
static bool is_tagged(struct e1000 *e, const uint8_t *frame, size_t len)
{
	return len >= NET_HEADER_LEN + VLAN_SIZE &&
		(uint32_t)(frame[VLAN_AT] << 8 | frame[VLAN_AT + 1]) ==
		(*e1000_reg(e, VET) & 0xffff);
}

static bool is_wanted(struct e1000 *e, const uint8_t *frame, size_t len)
{
	static const uint8_t all[NET_MAC_LEN] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	const uint32_t rctl = *e1000_reg(e, RCTL);

	if (rctl & VLAN_FILTER && is_tagged(e, frame, len)) {
		const unsigned vlan = (frame[VLAN_AT + 2] & 15) << 8 | frame[VLAN_AT + 3];

		if (!(*e1000_reg(e, VFTA + vlan / 32 * 4) >> vlan % 32 & 1))
			return false;
	}
	if (is_among(e, frame))
		return true;
	if (!memcmp(frame, all, sizeof all))
		return rctl & (BROADCAST | ALL_MULTICAST);
	return frame[0] & 1 ? rctl & ALL_MULTICAST || is_in_table(e, frame) : rctl & ALL_UNICAST;
}

static uint32_t buffer_size(uint32_t rctl)
{
	const uint32_t size = 2048 >> (rctl >> 16 & 3);

	return rctl & 0x02000000 && size < 2048 ? size * 16 : size;
}

/* Whether its checksums are right, of what is not cut into fragments; nothing is said of other protocols. */
static uint8_t sums_of(struct e1000 *e, const uint8_t *frame, size_t len)
{
	const uint32_t checks = *e1000_reg(e, RXCSUM);
	const uint8_t *ip = frame + NET_HEADER_LEN;
	uint8_t status = 0;

	if (len < NET_HEADER_LEN + 20 || frame[12] != 8 || frame[13] || ip[0] >> 4 != 4)
		return NO_SUMS;
	if (checks & CHECK_IP)
		status |= SUM_IP;
	if (checks & CHECK_REST && !(ip[6] & 0x3f) && !ip[7] && (ip[9] == 6 || ip[9] == 17))
		status |= SUM_REST;
	return status ? status : NO_SUMS;
}

/* As many descriptors as a frame of that length takes. 0: the guest has too few now; negative: it never has so many. */
static int take_pieces(struct e1000 *e, uint32_t len, struct e1000_piece *piece)
{
	const uint32_t size = buffer_size(*e1000_reg(e, RCTL)), count = e1000_ring(e, RDLEN);
	const uint64_t ring = *e1000_reg(e, RDBAL) | (uint64_t)*e1000_reg(e, RDBAH) << 32;
	const unsigned wanted = (len + size - 1) / size;
	uint32_t head = *e1000_reg(e, RDH);

	if (head >= count || *e1000_reg(e, RDT) >= count)
		return 0;
	if (wanted >= count)
		return -1;
	for (unsigned n = 0; n < wanted; n++) {
		if (head == *e1000_reg(e, RDT))
			return 0;
		piece[n].at = ring + head * E1000_DESCRIPTOR;
		if (memory_read(e->memory, piece[n].at, &piece[n].descriptor,
			    sizeof piece[n].descriptor))
			return 0;
		head = (head + 1) % count;
	}
	*e1000_reg(e, RDH) = head;
	return wanted;
}

/* How many descriptors are left, as parts of the ring, is below what the driver wants to hear of. */
static bool has_few(struct e1000 *e)
{
	const uint32_t count = e1000_ring(e, RDLEN), half = *e1000_reg(e, RCTL) >> 8 & 3;
	const uint32_t left = (*e1000_reg(e, RDT) + count - *e1000_reg(e, RDH)) % count;

	return left <= count >> (half + 1);
}

/* One that is wanted, and that buffers are there for. Its bytes go first, and the last descriptor last. */
static void put_pieces(struct e1000 *e, const uint8_t *frame, size_t len, uint32_t with_sum,
	uint16_t tag, uint8_t status, struct e1000_piece *piece, unsigned count)
{
	const uint32_t size = buffer_size(*e1000_reg(e, RCTL));
	static const uint8_t zeros[SHORTEST + SUM];

	for (unsigned n = 0; n < count; n++) {
		struct e1000_buffer *d = &piece[n].descriptor;
		const uint32_t at = n * size;
		const uint32_t bytes = with_sum - at < size ? with_sum - at : size;
		const uint32_t real = at < len ? (len - at < bytes ? len - at : bytes) : 0;

		/* A buffer that lies nowhere loses what is in it. */
		if (d->address && real)
			memory_write(e->memory, d->address, frame + at, real);
		if (d->address && real < bytes)
			memory_write(e->memory, d->address + real, zeros, bytes - real);
		d->length = bytes;
		d->sum = 0;
		d->errors = 0;
		d->tag = status & TAGGED ? tag : 0;
		d->status = DONE | (n + 1 == count ? LAST | status : status & TAGGED);
		memory_write(e->memory, piece[n].at, d, sizeof *d);
	}
}

static enum delivery deliver(struct e1000 *e, const uint8_t *frame, size_t len, bool checked)
{
	const uint32_t rctl = *e1000_reg(e, RCTL);
	struct e1000_piece piece[(LONG + SUM) / 256];
	uint8_t status, bare[LONGEST];
	uint16_t tag = 0;
	uint32_t size;
	int count;

	if (len < NET_HEADER_LEN || len > (rctl & LONG_FRAMES ? LONG : LONGEST) ||
		!is_wanted(e, frame, len))
		return DROPPED;
	status = checked ? sums_of(e, frame, len) : NO_SUMS;
	if (*e1000_reg(e, CTRL) & CTRL_VLANS && len <= sizeof bare && is_tagged(e, frame, len)) {
		tag = frame[VLAN_AT + 2] << 8 | frame[VLAN_AT + 3];
		memcpy(bare, frame, VLAN_AT);
		memcpy(bare + VLAN_AT, frame + VLAN_AT + VLAN_SIZE, len - VLAN_AT - VLAN_SIZE);
		frame = bare;
		len -= VLAN_SIZE;
		status |= TAGGED;
	}
	size = (len < SHORTEST ? SHORTEST : len) + (rctl & WITHOUT_SUM ? 0 : SUM);
	count = take_pieces(e, size, piece);
	if (count <= 0)
		return count ? DROPPED : NO_ROOM;
	put_pieces(e, frame, len, size, tag, status, piece, count);
	e->received = true;
	e->counters.rx_frames++;
	e->counters.rx_bytes += len;
	e1000_count(e, GPRC, GORC, TOR, TPR, len);
	if (has_few(e))
		e1000_raise(e, INT_FEW_BUFFERS);
	return DELIVERED;
}

/* What is larger than the guest's network is cut up, from where it stopped last time. */
static enum delivery deliver_any(struct e1000 *e, const uint8_t *frame, size_t len, bool checked)
{
	uint8_t segment[FRAME_ETHERNET + FRAME_MTU];
	struct frame_tcp tcp;

	if (len <= sizeof segment || !frame_parse_tcp(frame, len, &tcp)) {
		e->segment = 0; /* that of a frame that was given up */
		return deliver(e, frame, len, checked);
	}
	for (; e->segment < frame_segments(&tcp); e->segment++) {
		const size_t size = frame_segment(frame, &tcp, e->segment, segment);

		if (deliver(e, segment, size, checked) == NO_ROOM)
			return NO_ROOM;
	}
	e->segment = 0;
	return DELIVERED;
}

void e1000_show(struct e1000 *e)
{
	if (e->received)
		e1000_raise(e, INT_RECEIVED);
	e->received = false;
}

bool e1000_receive(void *ctx, const uint8_t *frame, size_t len)
{
	struct e1000 *e = ctx;
	enum delivery outcome = DROPPED;

	mutex_lock(&e->lock);
	if (e->quiet)
		outcome = NO_ROOM;
	else if (e->up && *e1000_reg(e, RCTL) & RCTL_ENABLE)
		outcome = deliver_any(e, frame, len, !net_is_offloaded(e->net));
	else
		e->segment = 0;
	if (outcome == NO_ROOM)
		e1000_show(e);
	mutex_unlock(&e->lock);
	return outcome != NO_ROOM;
}
