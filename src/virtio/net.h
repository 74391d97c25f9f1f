/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network device (virtio 1.2, 5.1): one pair of queues, mergeable receive
 * buffers, link status. Frames move on the endpoint's thread. They may be larger
 * than any wire's in both directions, as segmentation offload allows (TCP over IPv4; with an
 * endpoint that takes unfinished frames IPv6, too); a driver without it gets them cut up.
 */
#ifndef DACH_VIRTIO_NET_H
#define DACH_VIRTIO_NET_H

#include "base/error.h"
#include "machine/memory.h"
#include "net/announce.h"
#include "net/net.h"

struct pci_bus;
struct virtio_net;

/*
 * No vCPU runs: before the machine starts, or while it is paused. Starts the endpoint, which stays
 * the caller's and is closed after the device is destroyed. mac NULL: 02:64:61:63:68:NN, NN being
 * index.
 */
int virtio_net_create(struct pci_bus *bus, struct memory *memory, struct net *net,
	const uint8_t *mac, unsigned index, struct virtio_net **nic, struct error *err);
/* The PCI slot that it is in. */
unsigned virtio_net_slot(struct virtio_net *nic);
/*
 * The network goes (net_cut()), and the guest has not given the device up: the link is down for good, and it cannot be
 * saved. Any thread.
 */
void virtio_net_lose(struct virtio_net *nic);
/* While the machine is paused: it leaves the bus, and what is left to do is virtio_net_destroy(), which may be later. */
void virtio_net_unplug(struct virtio_net *nic);
/* No vCPU runs, or it is off the bus; before guest memory goes. Stops the endpoint. NULL is allowed. */
void virtio_net_destroy(struct virtio_net *nic);

/* Since it was made; received by the guest, and sent by it. Any thread. */
struct virtio_net_counters {
	uint64_t rx_frames, rx_bytes, tx_frames, tx_bytes;
};
void virtio_net_counters(struct virtio_net *nic, struct virtio_net_counters *counters);

/* Pulls the cable, or plugs it in: frames are dropped meanwhile. Any thread. */
void virtio_net_set_link(struct virtio_net *nic, bool up);
/* The driver has looked at the link since it changed, or there is none. Any thread. */
bool virtio_net_link_seen(struct virtio_net *nic);
/* Has the network hear where the guest and these addresses of its are now (net/announce.h). Any thread. */
void virtio_net_announce(struct virtio_net *nic, const uint8_t (*address)[ANNOUNCE_ADDRESS],
	unsigned count);
/* The address that a driver is told which starts from now on. Any thread. */
void virtio_net_set_mac(struct virtio_net *nic, const uint8_t mac[NET_MAC_LEN]);

#endif
