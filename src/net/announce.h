/* SPDX-License-Identifier: Apache-2.0 */
/* Frames by which a network hears where a guest is now. */
#ifndef DACH_NET_ANNOUNCE_H
#define DACH_NET_ANNOUNCE_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/network.h"

#define ANNOUNCE_ADDRESS 16 /* bytes of an address of IPv6 */
#define ANNOUNCE_MAX 86     /* bytes of the longest frame */

/* A RARP request (RFC 903) for its own hardware address, to all: bridges learn where that is. The frame's length. */
size_t announce_rarp(uint8_t frame[ANNOUNCE_MAX], const uint8_t mac[NET_MAC_LEN]);
/* An unsolicited neighbour advertisement (RFC 4861, 4.4 and 7.2.6), to all nodes: the address is at this MAC. */
size_t announce_neighbour(uint8_t frame[ANNOUNCE_MAX], const uint8_t mac[NET_MAC_LEN],
	const uint8_t address[ANNOUNCE_ADDRESS]);

#endif
