/* SPDX-License-Identifier: Apache-2.0 */
#include "net/announce.h"

#include <stdlib.h>
#include <string.h>

#include "net/frame.h"
#include "net/net.h"

#define RARP_LEN 60 /* with the padding of the shortest frame */
#define IP6_HEADER 40
#define ADVERT_LEN 32 /* of ICMPv6, with the option of the hardware address */
#define ICMPV6 58

size_t announce_rarp(uint8_t frame[ANNOUNCE_MAX], const uint8_t mac[NET_MAC_LEN])
{
	/* type, Ethernet, IPv4, lengths of their addresses, request reverse */
	static const uint8_t fixed[] = {0x80, 0x35, 0, 1, 8, 0, NET_MAC_LEN, 4, 0, 3};

	memset(frame, 0, RARP_LEN);
	memset(frame, 0xff, NET_MAC_LEN);
	memcpy(frame + 6, mac, NET_MAC_LEN);
	memcpy(frame + 12, fixed, sizeof fixed);
	memcpy(frame + 22, mac, NET_MAC_LEN);
	memcpy(frame + 32, mac, NET_MAC_LEN);
	return RARP_LEN;
}

size_t announce_neighbour(uint8_t frame[ANNOUNCE_MAX], const uint8_t mac[NET_MAC_LEN],
	const uint8_t address[ANNOUNCE_ADDRESS])
{
	/* To all nodes: the group's MAC; and version 6, the length, no further header than ICMPv6's, 255 hops. */
	static const uint8_t group_mac[NET_MAC_LEN] = {0x33, 0x33, 0, 0, 0, 1};
	static const uint8_t head[] = {0x86, 0xdd, 0x60, 0, 0, 0, 0, ADVERT_LEN, ICMPV6, 255};
	static const uint8_t group[ANNOUNCE_ADDRESS] = {0xff, 2, [15] = 1};
	uint8_t *ip = frame + FRAME_ETHERNET, *advert = ip + IP6_HEADER;
	/* The pseudo header (RFC 8200, 8.1) is the two addresses and this. */
	static const uint8_t rest[8] = {0, 0, 0, ADVERT_LEN, 0, 0, 0, ICMPV6};
	uint64_t sum;
	uint16_t folded;

	memset(frame, 0, ANNOUNCE_MAX);
	memcpy(frame, group_mac, NET_MAC_LEN);
	memcpy(frame + 6, mac, NET_MAC_LEN);
	memcpy(frame + 12, head, sizeof head);
	memcpy(ip + 8, address, ANNOUNCE_ADDRESS);
	memcpy(ip + 24, group, ANNOUNCE_ADDRESS);
	advert[0] = 136;
	/*
	 * No flag is set, the override flag neither: these are addresses that the card may have, and not all of them are this
	 * guest's. Who knows another MAC for one asks anew (RFC 4861, 7.2.5), and whoever has it answers.
	 */
	memcpy(advert + 8, address, ANNOUNCE_ADDRESS);
	advert[24] = 2; /* the target's hardware address, of 8 bytes once */
	advert[25] = 1;
	memcpy(advert + 26, mac, NET_MAC_LEN);
	sum = (uint64_t)checksum_add(ip + 8, 2 * ANNOUNCE_ADDRESS) +
		checksum_add(rest, sizeof rest) + checksum_add(advert, ADVERT_LEN);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	folded = (uint16_t)~sum;
	memcpy(advert + 2, &folded, sizeof folded);
	return ANNOUNCE_MAX;
}

void announcement_set(struct announcement *announcement, const uint8_t (*address)[ANNOUNCE_ADDRESS],
	unsigned count)
{
	announcement_free(announcement);
	announcement->address = count ? malloc(count * sizeof *address) : NULL;
	announcement->count = announcement->address ? count : 0;
	announcement->wanted = true;
	if (announcement->address)
		memcpy(announcement->address, address, count * sizeof *address);
}

void announcement_free(struct announcement *announcement)
{
	free(announcement->address);
	*announcement = (struct announcement){.wanted = false};
}

struct announcement announcement_take(struct announcement *announcement)
{
	const struct announcement taken = *announcement;

	*announcement = (struct announcement){.wanted = false};
	return taken;
}

void announcement_send(struct announcement *taken, struct net *net, const uint8_t mac[NET_MAC_LEN])
{
	uint8_t frame[ANNOUNCE_MAX];

	if (taken->wanted && net)
		net_send(net, frame, announce_rarp(frame, mac));
	for (unsigned i = 0; net && i < taken->count; i++)
		net_send(net, frame, announce_neighbour(frame, mac, taken->address[i]));
	announcement_free(taken);
}
