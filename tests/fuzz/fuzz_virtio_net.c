/* SPDX-License-Identifier: Apache-2.0 */
/* The network device: what a driver does, and frames that come meanwhile, on this thread alone. */
#include <linux/virtio_net.h>
#include <poll.h>

#include "driver.h"
#include "net/driver.h"
#include "virtio/net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An endpoint whose thread does nothing: the fuzzer does what it would. */
static void idle(struct net *net)
{
	struct pollfd wait = {.fd = net->event, .events = POLLIN};

	while (!net_stopping(net))
		if (poll(&wait, 1, 100) > 0)
			net_take_kick(net);
}

static void swallow(struct net *net, const uint8_t *frame, size_t len)
{
	read_all(frame, len);
}

static void closed(struct net *net)
{
}

static void swallow_unfinished(struct net *net, const struct virtio_net_hdr_v1 *header,
	const uint8_t *frame, size_t len)
{
	/* What a host's stack may count on: nothing but what was on offer. */
	if (header->flags & ~VIRTIO_NET_HDR_F_NEEDS_CSUM || header->num_buffers ||
		(header->gso_type && !header->gso_size) ||
		(header->gso_type != VIRTIO_NET_HDR_GSO_NONE &&
			header->gso_type != VIRTIO_NET_HDR_GSO_TCPV4 &&
			header->gso_type != VIRTIO_NET_HDR_GSO_TCPV6))
		abort();
	read_all(frame, len);
}

static void set_offloads(struct net *net, unsigned offloads)
{
}

/* User mode's kind, and a tap's. */
static const struct net_driver endpoints[2] = {
	{.run = idle, .send = swallow, .close = closed},
	{.run = idle,
		.send = swallow,
		.send_unfinished = swallow_unfinished,
		.set_offloads = set_offloads,
		.close = closed},
};
static struct side {
	struct net net;
	struct driver driver;
	struct nic *nic;
} sides[2];

static void receive(const struct side *side, const struct driver_step *step)
{
	const struct net_client *client = &side->net.client;
	struct virtio_net_hdr_v1 header;
	static uint8_t frame[65536 + 64];
	size_t len = step->flags & 1 ? 14 + step->a % 1500 : 14 + step->a % 65500;

	for (size_t i = 0; i < len; i++)
		frame[i] = step->bytes[i % sizeof step->bytes];
	/* Often TCP over IPv4, which may be segmented. */
	if (step->flags & 2) {
		frame[12] = 8;
		frame[13] = 0;
		frame[14] = 0x45;
		frame[23] = 6;
	}
	memcpy(&header, &step->bytes[4], sizeof header);
	if (side->nic && net_is_offloaded(&side->net))
		client->receive_unfinished(client->ctx, &header, frame, len);
	else
		client->receive(client->ctx, frame, len);
}

static void open_side(struct side *side)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};

	rig_open(&side->driver.rig);
	if (net_begin(&side->net, &endpoints[side - sides], NULL) ||
		virtio_net_create(&side->driver.rig.pci, &side->driver.rig.mem, &side->net, mac,
			NULL, &side->nic, NULL))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct side *side = &sides[size && data[0] & 0x80];
	const struct net_client *client = &side->net.client;
	struct driver_step step;

	if (!side->nic)
		open_side(side);
	driver_start(&side->driver, size ? ~0ull << (data[0] % 32) : ~0ull);
	for (; size >= sizeof step; data += sizeof step, size -= sizeof step) {
		memcpy(&step, data, sizeof step);
		switch (step.what >> 5) {
		case 0:
			receive(side, &step);
			break;
		case 1:
			client->transmit(client->ctx);
			client->flush(client->ctx);
			break;
		case 2:
			nic_set_link(side->nic, step.flags & 1);
			break;
		default:
			driver_take(&side->driver, &step);
		}
	}
	nic_set_link(side->nic, true);
	client->transmit(client->ctx);
	return 0;
}
