/* SPDX-License-Identifier: Apache-2.0 */
/* Frames by which a network hears where a guest is now. */
#ifndef DACH_NET_ANNOUNCE_H
#define DACH_NET_ANNOUNCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/network.h"

struct net;

#define ANNOUNCE_ADDRESS 16 /* bytes of an address of IPv6 */
#define ANNOUNCE_MAX 86     /* bytes of the longest frame */

/* A RARP request (RFC 903) for its own hardware address, to all: bridges learn where that is. The frame's length. */
size_t announce_rarp(uint8_t frame[ANNOUNCE_MAX], const uint8_t mac[NET_MAC_LEN]);
/* An unsolicited neighbour advertisement (RFC 4861, 4.4 and 7.2.6), to all nodes: the address is at this MAC. */
size_t announce_neighbour(uint8_t frame[ANNOUNCE_MAX], const uint8_t mac[NET_MAC_LEN],
	const uint8_t address[ANNOUNCE_ADDRESS]);

/* What a card is to tell: that, of addresses that it has a copy of. Starts zeroed; by the card's lock. */
struct announcement {
	bool wanted;
	uint8_t (*address)[ANNOUNCE_ADDRESS]; /* NULL: none */
	unsigned count;
};

/* In place of what was there. */
void announcement_set(struct announcement *announcement, const uint8_t (*address)[ANNOUNCE_ADDRESS],
	unsigned count);
void announcement_free(struct announcement *announcement);
/* What there was, which is nothing from now on. */
struct announcement announcement_take(struct announcement *announcement);
/* The endpoint's thread, without a lock: what was taken is told and freed. net NULL: there is no cable. */
void announcement_send(struct announcement *taken, struct net *net, const uint8_t mac[NET_MAC_LEN]);

#endif
