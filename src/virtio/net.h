/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network device (virtio 1.2, 5.1): one pair of queues, mergeable receive
 * buffers, link status. Frames move on the endpoint's thread. They may be larger
 * than any wire's in both directions, as segmentation offload of TCP allows; a driver without it gets them cut up.
 */
#ifndef DACH_VIRTIO_NET_H
#define DACH_VIRTIO_NET_H

#include "base/error.h"
#include "machine/memory.h"
#include "net/net.h"
#include "net/nic.h"

struct pci_bus;

/* No vCPU runs: before the machine starts, or while it is paused. rom NULL: none. */
int virtio_net_create(struct pci_bus *bus, struct memory *memory, struct net *net,
	const uint8_t mac[NET_MAC_LEN], const struct nic_rom *rom, struct nic **nic,
	struct error *err);

#endif
