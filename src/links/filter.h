/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest may send on a tap: as itself alone. A table of nftables for each (family netdev, "dach-" and the
 * tap's name), with the one chain that its frames pass before anything else of the host's sees them, so that
 * neither a bridge's neighbours nor the host get what is refused, and no other table can let it through. It is
 * loaded whole or not at all, and touches no other table. Needs CAP_NET_ADMIN and nft(8).
 *
 * Refused: another source address than the card's; ARP that tells of another card; VLAN tags and whatever is
 * neither ARP, IPv4 nor IPv6; answers of DHCP servers, router advertisements, redirects, and neighbour discovery in
 * fragments (RFC 6980). With addresses listed: any other, in IPv4, IPv6, ARP and neighbour discovery, but those of IPv6
 * that are made of the card's MAC. Without: those that are said to be others'.
 */
#ifndef DACH_LINKS_FILTER_H
#define DACH_LINKS_FILTER_H

#include <stdbool.h>

#include "base/error.h"
#include "protocol/network.h"

struct filter {
	const char *tap;
	const uint8_t *mac; /* NET_MAC_LEN bytes */
	/* The only ones it may use (net_read_address()); none: any but others. */
	char *const *address;
	unsigned addresses;
	char *const *other;
	unsigned others;
};

/* All at once, in place of what was there for these taps. The taps are there, best not yet up. */
int filter_load(const struct filter *filter, unsigned count, struct error *err);
/* Nothing of it is left. Also when there was nothing. */
int filter_remove(const char *tap, struct error *err);
/*
 * Removes those of taps that are gone, of whoever was killed before he could.
 */
void filter_sweep(void);

#endif
