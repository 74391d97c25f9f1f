/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a guest's frames go. An endpoint has a thread of its own, on which it
 * calls its client (the network device) and is called by it; net_kick() is how
 * others wake it.
 *
 * A frame is an Ethernet frame without its check sequence.
 */
#ifndef DACH_NET_NET_H
#define DACH_NET_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "protocol/network.h"

#define NET_HEADER_LEN 14
/* The largest frame: an IPv6 packet's limit (RFC 8200, 3). A client must be ready for them. */
#define NET_FRAME_MAX (NET_HEADER_LEN + 40 + 65535u)

/*
 * What is left to the other end (virtio 1.2, 5.1.6): the checksum to be finished, a TCP segment to be cut up.
 * Bits, with the values of TUN_F_... (linux/if_tun.h).
 */
#define NET_OFFLOAD_CSUM 1u
#define NET_OFFLOAD_TSO4 2u
#define NET_OFFLOAD_TSO6 4u

struct virtio_net_hdr_v1;

/* All called on the endpoint's thread. */
struct net_client {
	void *ctx;
	/*
	 * After a kick: hand what the guest sends to net_send(). true: there is more, call again
	 * soon.
	 */
	bool (*transmit)(void *ctx);
	/*
	 * A frame for the guest. false: no room; it is offered again after the next kick, before
	 * any other.
	 */
	bool (*receive)(void *ctx, const uint8_t *frame, size_t len);
	/* No more frames for the moment: show the guest those received. */
	void (*flush)(void *ctx);
	/* As receive(), of a frame with which something is left to do, as far as net_set_offloads() lets. */
	bool (*receive_unfinished)(void *ctx, const struct virtio_net_hdr_v1 *header,
		const uint8_t *frame, size_t len);
};

struct net;

/*
 * Opens what the spec (not NET_NONE) says; ports are bound here, and the descriptor of a tap is the network's
 * once this has succeeded. Frames do not move yet.
 */
int net_open(const struct net_spec *spec, struct net **net, struct error *err);
/* Starts the endpoint's thread. Once. */
int net_start(struct net *net, const struct net_client *client, struct error *err);
/* Ends the thread: no more calls to the client. */
void net_stop(struct net *net);
/*
 * Stops it, and closes what it has open to the world: the cable leads nowhere from now on. It can still be kicked, and
 * its event stays, until it is closed.
 */
void net_cut(struct net *net);
/* Stops it and frees all. NULL is allowed. */
void net_close(struct net *net);

/* The client wants its callbacks. Any thread; cheap when it has been kicked already. */
void net_kick(struct net *net);
/* An eventfd; to signal it is to kick. It stays the endpoint's. */
int net_kick_fd(struct net *net);
/* Sends a frame. The endpoint's thread. Frames that cannot be sent are dropped. */
void net_send(struct net *net, const uint8_t *frame, size_t len);
/*
 * An endpoint that takes unfinished frames: the next two are for it, and it alone calls
 * receive_unfinished(). Others get whole ones, of any size.
 */
bool net_is_offloaded(const struct net *net);
void net_send_unfinished(struct net *net, const struct virtio_net_hdr_v1 *header,
	const uint8_t *frame, size_t len);
/* What the client takes: NET_OFFLOAD_... The endpoint's thread; none at first. */
void net_set_offloads(struct net *net, unsigned offloads);

/*
 * What the guest sends is held to a rate: may the client take another frame of its now? If not, its transmit() is called
 * again when it may. And: it has taken one. The endpoint's thread.
 */
bool net_may_send(struct net *net);
void net_has_sent(struct net *net, size_t len);

/*
 * Forwards a port of this host's from now on or, with remove, no longer the one with this end on the host. The endpoint's thread does it, and any other
 * waits for it. -ENOTSUP: not this kind of network, or not this forward once it is open; -ENOENT: there is none to remove; what the host says.
 */
int net_forward(struct net *net, const struct net_forward *forward, bool remove, struct error *err);

/*
 * A tap's, or a port's, while a guest goes from one process to another, which both have it: no frame is taken from it here,
 * and nothing is changed about it, for as long as it is away. Any thread.
 */
void net_set_away(struct net *net, bool away);
/* What has to be handed over for that; it stays the endpoint's. -1: it has nothing of the kind. */
int net_descriptor(const struct net *net);

/* The largest packet of the network; 0: not known. */
unsigned net_mtu(const struct net *net);

#endif
