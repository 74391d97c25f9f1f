/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's network card, whatever its kind, as who has the guest knows it. The card is the client of an endpoint
 * (net.h), which it starts and stops and which stays its maker's, closed after the card is destroyed.
 */
#ifndef DACH_NET_NIC_H
#define DACH_NET_NIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/announce.h"
#include "protocol/network.h"

struct nic;

/* Since it was made; received by the guest, and sent by it. */
struct nic_counters {
	uint64_t rx_frames, rx_bytes, tx_frames, tx_bytes;
};

/* What a firmware finds at a card, to start from the network: a power of two of bytes, which outlive it. */
struct nic_rom {
	void *data; /* NULL: nothing */
	size_t size;
};

struct nic_ops {
	unsigned (*slot)(struct nic *nic);
	void (*counters)(struct nic *nic, struct nic_counters *counters);
	void (*set_link)(struct nic *nic, bool up);
	bool (*link_seen)(struct nic *nic);
	void (*announce)(struct nic *nic, const uint8_t (*address)[ANNOUNCE_ADDRESS],
		unsigned count);
	void (*set_mac)(struct nic *nic, const uint8_t mac[NET_MAC_LEN]);
	void (*lose)(struct nic *nic);
	void (*unplug)(struct nic *nic);
	void (*destroy)(struct nic *nic);
};

/* In a kind's own structure. */
struct nic {
	const struct nic_ops *ops;
};

/* The PCI slot that it is in. */
static inline unsigned nic_slot(struct nic *nic)
{
	return nic->ops->slot(nic);
}

/* Any thread, and so are all to nic_lose(). */
static inline void nic_counters(struct nic *nic, struct nic_counters *counters)
{
	nic->ops->counters(nic, counters);
}

/* Pulls the cable, or plugs it in: frames are dropped meanwhile. */
static inline void nic_set_link(struct nic *nic, bool up)
{
	nic->ops->set_link(nic, up);
}

/* The driver has looked at the link since it changed, or there is none. */
static inline bool nic_link_seen(struct nic *nic)
{
	return nic->ops->link_seen(nic);
}

/* Has the network hear where the guest and these addresses of its are now. */
static inline void nic_announce(struct nic *nic, const uint8_t (*address)[ANNOUNCE_ADDRESS],
	unsigned count)
{
	nic->ops->announce(nic, address, count);
}

/* The address that a driver is told which starts from now on. */
static inline void nic_set_mac(struct nic *nic, const uint8_t mac[NET_MAC_LEN])
{
	nic->ops->set_mac(nic, mac);
}

/*
 * The network goes (net_cut()), and the guest has not given the device up: the link is down for good, and it cannot be
 * saved.
 */
static inline void nic_lose(struct nic *nic)
{
	nic->ops->lose(nic);
}

/* While the machine is paused: it leaves the bus, and what is left to do is nic_destroy(), which may be later. */
static inline void nic_unplug(struct nic *nic)
{
	nic->ops->unplug(nic);
}

/* No vCPU runs, or it is off the bus; before guest memory goes. Stops the endpoint. NULL is allowed. */
static inline void nic_destroy(struct nic *nic)
{
	if (nic)
		nic->ops->destroy(nic);
}

#endif
