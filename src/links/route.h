/* SPDX-License-Identifier: Apache-2.0 */
/* The host's routes (rtnetlink(7)), and links of guests that are on no bridge but at the end of some. */
#ifndef DACH_LINKS_ROUTE_H
#define DACH_LINKS_ROUTE_H

#include "links/link.h"

/* A route of the host's main table, or an address of its own with its network. */
struct host_route {
	bool ipv6;
	bool advertised;     /* by a router (RFC 4861, 6.3.4) */
	uint8_t address[16]; /* of the network */
	unsigned bits;       /* 0: the rest of the world */
	int link;
};
/* Calls each for all of them; stops when it returns other than 0, and returns that. */
int route_each(int (*each)(void *ctx, const struct host_route *route), void *ctx,
	struct error *err);

/* A guest's link that packets reach by their address, as Xen's vif-route has it. */
struct route_port {
	const char *
		gateway; /* the link whose address of IPv4 the host has on this one, too; NULL: the way out's */
	unsigned mtu;         /* 0: as it is */
	char *const *address; /* the guest's: net_read_address() */
	unsigned addresses;
};
/*
 * Puts the link up, which answers for the rest of the world (proxy_arp), and has each address at its end. All of that goes with the link.
 */
int route_join(const char *name, const struct route_port *port, struct error *err);

#endif
