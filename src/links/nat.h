/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What passes between a network that we keep and the rest of the world: a table of nftables for each (family inet,
 * "dach-" and its bridge's name), loaded whole or not at all; no other table is touched. Needs CAP_NET_ADMIN and nft(8).
 */
#ifndef DACH_LINKS_NAT_H
#define DACH_LINKS_NAT_H

#include <stdbool.h>

#include "base/error.h"

struct nat {
	const char *bridge;
	const char *subnet, *subnet6; /* "10.5.0.0/24"; NULL */
	/* All that its guests may begin something with, beyond each other and the host's DHCP and names; none: anything. */
	char *const *allow;
	unsigned allows;
	bool keep;       /* addresses of names (named.h) that are let through now still are */
	bool apart;      /* its guests do not reach each other by the host either */
	bool isolated;   /* nothing is passed on, and the host gives DHCP and names only */
	bool masquerade; /* what leaves is the host's; nobody outside begins anything */
};

/* All at once, in place of what was there for these bridges. */
int nat_load(const struct nat *nat, unsigned count, struct error *err);
/* Also when there was nothing. */
int nat_remove(const char *bridge, struct error *err);
/*
 * Somebody else's chain that drops what is passed on and has no rule that speaks of the bridge, as "table ip filter, chain FORWARD": its
 * name; "" if there is none or it cannot be told.
 */
void nat_obstacle(const char *bridge, char *text, unsigned size);
/* The host passes packets on. ipv6: of that, too. A negative errno. */
int nat_forward(bool ipv6, struct error *err);

#endif
