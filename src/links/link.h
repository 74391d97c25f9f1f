/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's links (rtnetlink(7)), in the network namespace that we are in: what is there, and changes of
 * single ones. Each function asks the kernel anew. Changes need CAP_NET_ADMIN.
 */
#ifndef DACH_LINKS_LINK_H
#define DACH_LINKS_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "protocol/network.h"

#define LINK_MAC_LEN 6
#define LINK_ADDRESSES_MAX 32

struct link {
	char name[NET_LINK_TEXT + 1];
	char kind[16];     /* "bridge", "tun", "veth", ...; "" of a card */
	int index, master; /* master 0: on no bridge */
	bool up;
	unsigned mtu;
	uint8_t mac[LINK_MAC_LEN];
	char mark[64];                                       /* its alias; "" */
	uint64_t rx_bytes, rx_packets, tx_bytes, tx_packets; /* as the host sees it */
	bool vlans;    /* a bridge that keeps VLANs apart (vlan_filtering) */
	unsigned pvid; /* the VLAN that its ports are in at first; 0: none */
};

/* -ENODEV: there is none of that name. */
int link_find(const char *name, struct link *link, struct error *err);
/* Calls each for all of them; stops when it returns other than 0, and returns that. */
int link_each(int (*each)(void *ctx, const struct link *link), void *ctx, struct error *err);
/* The names of all bridges, ", " between them, cut where the room ends; "" where there are none. */
void link_bridges(char *text, size_t size);
/* It is there, and a bridge; else -ENOENT or -EINVAL, and a sentence that names those which are. */
int link_find_bridge(const char *where, const char *name, struct link *link, struct error *err);

/* The addresses that a link has. How many, at most LINK_ADDRESSES_MAX; negative errno. */
int link_addresses(int index, char address[LINK_ADDRESSES_MAX][NET_ADDRESS_TEXT + 1],
	struct error *err);

/* That it has already is no error. */
int link_add_address(const struct link *link, const char *address, unsigned bits,
	struct error *err);

/* What is to be changed of a link. */
struct link_change {
	const uint8_t *mac; /* NULL: as it is; the same of what is 0 */
	unsigned mtu;
	int master;
	bool up;
	bool no_address; /* it makes itself no address of IPv6 */
	bool isolated;   /* of a bridge's port: it reaches none that is, too */
	unsigned
		vlan; /* of a bridge's port: its frames, without a tag, are of that VLAN alone, not of pvid */
	unsigned pvid;
};
int link_change(const char *name, const struct link_change *change, struct error *err);

#endif
