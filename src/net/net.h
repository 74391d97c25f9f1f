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
/* The largest frame: an IPv4 packet's limit. A client must be ready for them. */
#define NET_FRAME_MAX (NET_HEADER_LEN + 65535u)

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
};

struct net;

/* Opens what the spec (not NET_NONE) says; ports are bound here. Frames do not move yet. */
int net_open(const struct net_spec *spec, struct net **net, struct error *err);
/* Starts the endpoint's thread. Once. */
int net_start(struct net *net, const struct net_client *client, struct error *err);
/* Ends the thread: no more calls to the client. */
void net_stop(struct net *net);
/* Stops it and frees all. NULL is allowed. */
void net_close(struct net *net);

/* The client wants its callbacks. Any thread; cheap when it has been kicked already. */
void net_kick(struct net *net);
/* An eventfd; to signal it is to kick. It stays the endpoint's. */
int net_kick_fd(struct net *net);
/* Sends a frame. The endpoint's thread. Frames that cannot be sent are dropped. */
void net_send(struct net *net, const uint8_t *frame, size_t len);

#endif
