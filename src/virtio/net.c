/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/net.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "state/state.h"
#include "virtio/device.h"
#include "net/frame.h"
#include "virtio/pci.h"

#define CLASS_ETHERNET 0x020000u
#define QUEUE_SIZE 256
enum { QUEUE_RX, QUEUE_TX };

/* What of the configuration space (5.1.4) each has: the rest belongs to features that are not always offered. */
#define CONFIG_SIZE offsetof(struct virtio_net_config, max_virtqueue_pairs)
#define CONFIG_SIZE_MTU offsetof(struct virtio_net_config, speed)
#define FEATURE_MTU VIRTIO_FEATURE(VIRTIO_NET_F_MTU)

/* Frames sent before received ones get their turn. */
#define TRANSMIT_BATCH 64

struct virtio_net {
	struct nic nic;
	struct virtio_device dev;
	struct net *net;
	bool up;                          /* by dev.lock */
	bool status_seen;                 /* by dev.lock: since the link has changed */
	bool lost;                        /* by dev.lock: nic_lose() */
	struct announcement announcement; /* by dev.lock */
	struct nic_counters counters;     /* by dev.lock */
	/* the endpoint's thread, with dev.lock */
	struct virtq_chain chain, next;
	uint64_t told;    /* the features by which the endpoint knows what the driver takes */
	unsigned segment; /* of the frame that waits for room, the first not delivered */
	unsigned too_few; /* chains that did not hold what waits */
	uint8_t frame[NET_FRAME_MAX];
};

static struct virtio_net *of_nic(struct nic *nic)
{
	return container_of(nic, struct virtio_net, nic);
}

/*
 * For one that does the rest: only what was on offer. Whether the header is true of the frame is the
 * endpoint's to find out; the driver's words on other things are not for it.
 */
static bool pass_header(struct virtio_net_hdr_v1 *header)
{
	header->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
	header->num_buffers = 0;
	switch (header->gso_type) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return true;
	case VIRTIO_NET_HDR_GSO_TCPV4:
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return header->flags && header->gso_size;
	}
	return false;
}

/* The chain's frame into nic->frame, and its header; its length, or 0 if it cannot be sent. */
static size_t take_frame(struct virtio_net *nic, struct virtio_net_hdr_v1 *header)
{
	struct virtq_chain *chain = &nic->chain;
	size_t len;
	bool good;

	if (virtq_chain_read(chain, 0, header, sizeof *header) != sizeof *header)
		return 0;
	if (chain->out_len - sizeof *header > NET_FRAME_MAX)
		return 0;
	len = virtq_chain_read(chain, sizeof *header, nic->frame, NET_FRAME_MAX);
	good = net_is_offloaded(nic->net) ? pass_header(header)
					  : frame_finish(header, nic->frame, len);
	return good ? len : 0;
}

/* The endpoint's thread: which frames it may leave unfinished for this driver. */
static void tell_offloads(struct virtio_net *nic) REQUIRES(nic->dev.lock)
{
	static const struct {
		unsigned feature, offload;
	} pairs[] = {
		{VIRTIO_NET_F_GUEST_CSUM, NET_OFFLOAD_CSUM},
		{VIRTIO_NET_F_GUEST_TSO4, NET_OFFLOAD_TSO4},
		{VIRTIO_NET_F_GUEST_TSO6, NET_OFFLOAD_TSO6},
	};
	unsigned offloads = 0;

	if (nic->told == nic->dev.features)
		return;
	nic->told = nic->dev.features;
	for (unsigned i = 0; i < sizeof pairs / sizeof *pairs; i++)
		if (nic->told & VIRTIO_FEATURE(pairs[i].feature))
			offloads |= pairs[i].offload;
	net_set_offloads(nic->net, offloads);
}

/* The network hears where the guest now is, if its link is up. */
static void announce(struct virtio_net *nic)
{
	struct announcement announcement;
	uint8_t mac[NET_MAC_LEN];
	bool up;

	mutex_lock(&nic->dev.lock);
	announcement = announcement_take(&nic->announcement);
	memcpy(mac, nic->dev.config + offsetof(struct virtio_net_config, mac), sizeof mac);
	up = nic->up;
	mutex_unlock(&nic->dev.lock);
	announcement_send(&announcement, up ? nic->net : NULL, mac);
}

static void on_announce(struct nic *card, const uint8_t (*address)[ANNOUNCE_ADDRESS],
	unsigned count)
{
	struct virtio_net *nic = of_nic(card);

	mutex_lock(&nic->dev.lock);
	announcement_set(&nic->announcement, address, count);
	mutex_unlock(&nic->dev.lock);
	net_kick(nic->net);
}

static bool net_transmit(void *ctx)
{
	struct virtio_net *nic = ctx;
	struct virtio_device *dev = &nic->dev;
	const bool unfinished = net_is_offloaded(nic->net);
	bool more = true, sent = false;

	announce(nic);
	mutex_lock(&nic->dev.lock);
	tell_offloads(nic);
	virtio_ignore(dev, QUEUE_TX);
	for (unsigned i = 0; i < TRANSMIT_BATCH; i++) {
		struct virtio_net_hdr_v1 header;
		size_t len;
		bool up;

		if (!net_may_send(nic->net)) {
			more = false;
			break;
		}
		if (virtio_pop(dev, QUEUE_TX, &nic->chain) != 1) {
			more = virtio_want_more(dev, QUEUE_TX, 0);
			if (!more)
				break;
			virtio_ignore(dev, QUEUE_TX);
			continue;
		}
		len = take_frame(nic, &header);
		up = nic->up;
		net_has_sent(nic->net, len);
		nic->counters.tx_frames += len != 0;
		nic->counters.tx_bytes += len;
		virtio_push(dev, QUEUE_TX, nic->chain.head, 0);
		sent = true;
		mutex_unlock(&nic->dev.lock);
		/* Without the lock: answers come back through net_receive(). */
		if (len && up && unfinished)
			net_send_unfinished(nic->net, &header, nic->frame, len);
		else if (len && up)
			net_send(nic->net, nic->frame, len);
		mutex_lock(&nic->dev.lock);
	}
	if (sent)
		virtio_publish(dev, QUEUE_TX);
	mutex_unlock(&nic->dev.lock);
	return more;
}

enum delivery { DELIVERED, NO_ROOM, DROPPED };

/*
 * The frame goes behind room for its header, into as many chains as it takes. The first is left in
 * nic->chain.
 */
static enum delivery fill_chains(struct virtio_net *nic, struct virtio_net_hdr_v1 *header,
	const uint8_t *frame, size_t len) REQUIRES(nic->dev.lock)
{
	struct virtio_device *dev = &nic->dev;
	uint16_t head[VIRTQ_SIZE_MAX];
	uint32_t used[VIRTQ_SIZE_MAX];
	unsigned count = 0;
	size_t done = 0;

	do {
		struct virtq_chain *chain = count ? &nic->next : &nic->chain;
		size_t offset = count ? 0 : sizeof *header, n;

		if (virtio_pop(dev, QUEUE_RX, chain) != 1) {
			virtio_unpop(dev, QUEUE_RX, count);
			nic->too_few = count;
			return virtio_running(dev) ? NO_ROOM : DROPPED;
		}
		if (chain->out_count || chain->in_len <= offset || chain->in_len > UINT32_MAX) {
			virtio_fail(dev, "bad receive buffer");
			return DROPPED;
		}
		n = virtq_chain_write(dev->memory, chain, offset, frame + done, len - done);
		done += n;
		head[count] = chain->head;
		used[count++] = offset + n;
		if (done < len &&
			(!(dev->features & VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF)) ||
				count == dev->queue[QUEUE_RX].size)) {
			/* All that the driver may give at once does not hold it. */
			virtio_unpop(dev, QUEUE_RX, count);
			return DROPPED;
		}
	} while (done < len);
	header->num_buffers = count;
	virtq_chain_write(dev->memory, &nic->chain, 0, header, sizeof *header);
	for (unsigned i = 0; i < count; i++)
		virtio_push(dev, QUEUE_RX, head[i], used[i]);
	return DELIVERED;
}

/* A frame that fits the guest's MTU. */
static enum delivery deliver_frame(struct virtio_net *nic, const uint8_t *frame, size_t len)
	REQUIRES(nic->dev.lock)
{
	struct virtio_net_hdr_v1 header = {
		.flags = nic->dev.features & VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_CSUM)
			? VIRTIO_NET_HDR_F_DATA_VALID
			: 0,
	};

	return fill_chains(nic, &header, frame, len);
}

/* A larger one, to a guest that takes it whole and as if its checksum were still to be finished. */
static enum delivery deliver_whole(struct virtio_net *nic, const uint8_t *frame, size_t len)
	REQUIRES(nic->dev.lock)
{
	struct virtio_net_hdr_v1 header;
	uint8_t sum[2];
	size_t at;
	enum delivery outcome;

	frame_describe(frame, len, &header, &at, sum);
	outcome = fill_chains(nic, &header, frame, len);
	if (outcome != DELIVERED)
		return outcome;
	/* The guest does not see it before it is published: the sum can still be put in. */
	virtq_chain_write(nic->dev.memory, &nic->chain, sizeof header + at, sum, sizeof sum);
	return DELIVERED;
}

/* A larger one, to a guest that cannot: in pieces, from where it stopped last time. */
static enum delivery deliver_segments(struct virtio_net *nic, const uint8_t *frame,
	const struct frame_tcp *tcp) REQUIRES(nic->dev.lock)
{
	uint8_t piece[FRAME_ETHERNET + FRAME_MTU];

	for (; nic->segment < frame_segments(tcp); nic->segment++) {
		size_t len = frame_segment(frame, tcp, nic->segment, piece);
		enum delivery outcome = deliver_frame(nic, piece, len);

		if (outcome == NO_ROOM)
			return NO_ROOM;
	}
	nic->segment = 0;
	return DELIVERED;
}

static enum delivery deliver_any(struct virtio_net *nic, const uint8_t *frame, size_t len)
	REQUIRES(nic->dev.lock)
{
	struct frame_tcp tcp;

	if (len <= FRAME_ETHERNET + FRAME_MTU || !frame_parse_tcp(frame, len, &tcp))
		return deliver_frame(nic, frame, len);
	if (nic->dev.features &
		VIRTIO_FEATURE(tcp.ipv6 ? VIRTIO_NET_F_GUEST_TSO6 : VIRTIO_NET_F_GUEST_TSO4))
		return deliver_whole(nic, frame, len);
	return deliver_segments(nic, frame, &tcp);
}

/* The guest gets what there is and is to tell of more chains than were too few. true: there are some already. */
static bool wait_for_room(struct virtio_net *nic) REQUIRES(nic->dev.lock)
{
	virtio_publish(&nic->dev, QUEUE_RX);
	return virtio_want_more(&nic->dev, QUEUE_RX, nic->too_few);
}

/* As its header says, which the endpoint may have written before it knew what this driver takes. */
static enum delivery deliver_unfinished(struct virtio_net *nic,
	const struct virtio_net_hdr_v1 *header, const uint8_t *frame, size_t len)
	REQUIRES(nic->dev.lock)
{
	const uint64_t features = nic->dev.features;
	const uint8_t gso = header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN;
	struct virtio_net_hdr_v1 passed = *header;
	bool good = gso == VIRTIO_NET_HDR_GSO_NONE ||
		(gso == VIRTIO_NET_HDR_GSO_TCPV4 &&
			features & VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO4)) ||
		(gso == VIRTIO_NET_HDR_GSO_TCPV6 &&
			features & VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO6));

	passed.gso_type = gso;
	if (!(features & VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_CSUM))) {
		good = good && !(passed.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM);
		passed.flags = 0;
	}
	return good ? fill_chains(nic, &passed, frame, len) : DROPPED;
}

/* header: NULL of a frame that is finished. */
static bool receive(struct virtio_net *nic, const struct virtio_net_hdr_v1 *header,
	const uint8_t *frame, size_t len)
{
	struct virtio_device *dev = &nic->dev;
	enum delivery outcome = DROPPED;

	mutex_lock(&nic->dev.lock);
	tell_offloads(nic);
	if (dev->quiet)
		outcome = NO_ROOM;
	if (virtio_running(dev) && dev->queue[QUEUE_RX].enabled && nic->up && len) {
		virtio_ignore(dev, QUEUE_RX);
		do {
			outcome = header ? deliver_unfinished(nic, header, frame, len)
					 : deliver_any(nic, frame, len);
		} while (outcome == NO_ROOM && wait_for_room(nic));
		nic->counters.rx_frames += outcome == DELIVERED;
		nic->counters.rx_bytes += outcome == DELIVERED ? len : 0;
	}
	mutex_unlock(&nic->dev.lock);
	return outcome != NO_ROOM;
}

static bool net_receive(void *ctx, const uint8_t *frame, size_t len)
{
	return receive(ctx, NULL, frame, len);
}

static bool net_receive_unfinished(void *ctx, const struct virtio_net_hdr_v1 *header,
	const uint8_t *frame, size_t len)
{
	return receive(ctx, header, frame, len);
}

static void net_flush(void *ctx)
{
	struct virtio_net *nic = ctx;

	mutex_lock(&nic->dev.lock);
	virtio_publish(&nic->dev, QUEUE_RX);
	mutex_unlock(&nic->dev.lock);
}

static void net_notify(struct virtio_device *dev, unsigned queue)
{
	net_kick(container_of(dev, struct virtio_net, dev)->net);
}

static int net_start_notify(struct virtio_device *dev, unsigned queue)
{
	return net_kick_fd(container_of(dev, struct virtio_net, dev)->net);
}

static void net_started(struct virtio_device *dev)
{
	net_kick(container_of(dev, struct virtio_net, dev)->net);
}

/* The endpoint's thread touches the rings with the lock only, and looks at the status first. */
static void net_reset(struct virtio_device *dev)
{
	container_of(dev, struct virtio_net, dev)->segment = 0;
}

/* The guest keeps its address, and its lease; what was on the way is lost, as networks do. */
static void net_describe(struct virtio_device *dev, struct state *s)
{
	struct virtio_net *nic = container_of(dev, struct virtio_net, dev);
	struct virtio_net_config config;

	if (nic->lost) {
		state_fail(s, EBUSY,
			"the guest has not let go of a network that was taken from it");
		return;
	}
	memcpy(&config, dev->config, CONFIG_SIZE);
	state_bytes(s, "mac", config.mac, sizeof config.mac);
	state_bool(s, "link", &nic->up);
	config.status = nic->up ? VIRTIO_NET_S_LINK_UP : 0;
	memcpy(dev->config, &config, CONFIG_SIZE);
	nic->segment = 0;
}

static void net_config_seen(struct virtio_device *dev, unsigned offset, unsigned size)
{
	struct virtio_net *nic = container_of(dev, struct virtio_net, dev);

	nic->status_seen |= offset <= offsetof(struct virtio_net_config, status) &&
		offset + size > offsetof(struct virtio_net_config, status);
}

static const struct virtio_device_ops net_ops = {
	.config_seen = net_config_seen,
	.start = net_started,
	.notify = net_notify,
	.start_notify_thread = net_start_notify,
	.reset = net_reset,
	.describe = net_describe,
};

static void on_counters(struct nic *card, struct nic_counters *counters)
{
	struct virtio_net *nic = of_nic(card);

	mutex_lock(&nic->dev.lock);
	*counters = nic->counters;
	mutex_unlock(&nic->dev.lock);
}

static void on_set_link(struct nic *card, bool up)
{
	struct virtio_net *nic = of_nic(card);
	uint16_t status = up ? VIRTIO_NET_S_LINK_UP : 0;

	mutex_lock(&nic->dev.lock);
	if (nic->up != up) {
		nic->up = up;
		nic->status_seen = false;
		memcpy(nic->dev.config + offsetof(struct virtio_net_config, status), &status, 2);
		virtio_config_changed(&nic->dev);
	}
	mutex_unlock(&nic->dev.lock);
}

static bool on_link_seen(struct nic *card)
{
	struct virtio_net *nic = of_nic(card);
	bool seen;

	mutex_lock(&nic->dev.lock);
	seen = nic->status_seen || !virtio_running(&nic->dev);
	mutex_unlock(&nic->dev.lock);
	return seen;
}

static void on_set_mac(struct nic *card, const uint8_t mac[NET_MAC_LEN])
{
	struct virtio_net *nic = of_nic(card);

	mutex_lock(&nic->dev.lock);
	memcpy(nic->dev.config + offsetof(struct virtio_net_config, mac), mac, NET_MAC_LEN);
	mutex_unlock(&nic->dev.lock);
}

static void fill_config(struct virtio_net *nic, const uint8_t *mac)
{
	struct virtio_net_config config = {
		.status = VIRTIO_NET_S_LINK_UP,
	};

	memcpy(config.mac, mac, NET_MAC_LEN);
	config.mtu = net_mtu(nic->net);
	nic->dev.config_size = config.mtu ? CONFIG_SIZE_MTU : CONFIG_SIZE;
	memcpy(nic->dev.config, &config, nic->dev.config_size);
	nic->up = true;
}

static uint64_t features_for(const struct net *net)
{
	const uint64_t features = VIRTIO_FEATURE(VIRTIO_NET_F_CSUM) |
		VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_CSUM) | VIRTIO_FEATURE(VIRTIO_NET_F_MAC) |
		VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO4) | VIRTIO_FEATURE(VIRTIO_NET_F_HOST_TSO4) |
		VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO6) | VIRTIO_FEATURE(VIRTIO_NET_F_HOST_TSO6) |
		VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF) | VIRTIO_FEATURE(VIRTIO_NET_F_STATUS);

	return net_mtu(net) ? features | FEATURE_MTU : features;
}

static unsigned on_slot(struct nic *card)
{
	return virtio_pci_function(&of_nic(card)->dev)->slot;
}

static void on_lose(struct nic *card)
{
	struct virtio_net *nic = of_nic(card);

	on_set_link(card, false);
	mutex_lock(&nic->dev.lock);
	nic->lost = true;
	mutex_unlock(&nic->dev.lock);
}

static void on_unplug(struct nic *card)
{
	struct virtio_net *nic = of_nic(card);

	virtio_pci_remove(&nic->dev);
}

static void on_destroy(struct nic *card)
{
	struct virtio_net *nic = of_nic(card);

	virtio_pci_remove(&nic->dev);
	net_stop(nic->net);
	virtio_pci_detach(&nic->dev);
	virtio_device_destroy(&nic->dev);
	announcement_free(&nic->announcement);
	free(nic);
}

static const struct nic_ops nic_ops = {.slot = on_slot,
	.counters = on_counters,
	.set_link = on_set_link,
	.link_seen = on_link_seen,
	.announce = on_announce,
	.set_mac = on_set_mac,
	.lose = on_lose,
	.unplug = on_unplug,
	.destroy = on_destroy};

int virtio_net_create(struct pci_bus *bus, struct memory *memory, struct net *net,
	const uint8_t mac[NET_MAC_LEN], const struct nic_rom *rom, struct nic **out,
	struct error *err)
{
	struct virtio_net *nic = calloc(1, sizeof *nic);
	const struct net_client client = {
		.ctx = nic,
		.transmit = net_transmit,
		.receive = net_receive,
		.receive_unfinished = net_receive_unfinished,
		.flush = net_flush,
	};
	int r;

	if (!nic)
		return error_nomem(err);
	nic->nic.ops = &nic_ops;
	nic->net = net;
	virtio_device_init(&nic->dev, "virtio-net", VIRTIO_ID_NET, &net_ops, memory,
		features_for(net), 2, QUEUE_SIZE);
	fill_config(nic, mac);
	if (rom) {
		nic->dev.rom = rom->data;
		nic->dev.rom_size = rom->size;
	}
	r = virtio_pci_attach(&nic->dev, bus, CLASS_ETHERNET, err);
	if (!r)
		r = net_start(net, &client, err);
	if (r) {
		on_destroy(&nic->nic);
		return r;
	}
	*out = &nic->nic;
	return 0;
}
