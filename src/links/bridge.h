/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bridges that we make, with the host's addresses on them. They last until they are taken away; a mark, the
 * link's alias, tells them from those that somebody else has made. Needs CAP_NET_ADMIN.
 */
#ifndef DACH_LINKS_BRIDGE_H
#define DACH_LINKS_BRIDGE_H

#include "links/link.h"

/*
 * Made if it is not there: marked, up, without a spanning tree. One of that mark is taken as it is; -EEXIST: a
 * link of the name has another, or none.
 */
int bridge_make(const char *name, const char *mark, unsigned mtu, struct link *bridge,
	struct error *err);
/* One of that mark; nothing happens to another. */
int bridge_remove(const char *name, const char *mark, struct error *err);
/* That it has already is no error. */
int bridge_add_address(const struct link *bridge, const char *address, unsigned bits,
	struct error *err);

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

#endif
