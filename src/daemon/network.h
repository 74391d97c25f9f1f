/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The networks that the daemon keeps (domain/network.h): each a bridge of the host's with addresses, rules and a dnsmasq, or,
 * in mode bridge, a name for one that is there. They last beyond the daemon; one that is active is put together again when the
 * daemon starts. A guest on one is given an address by its card's MAC, for as long as there is such a guest.
 *
 * Only as root. All on the loop's thread.
 */
#ifndef DACH_DAEMON_NETWORK_H
#define DACH_DAEMON_NETWORK_H

#include <jansson.h>

#include "domain/network.h"

struct daemon;
struct guest;

struct network {
	struct network *next;
	struct daemon *daemon;
	struct network_config config;
	bool active;
	bool loaded;    /* its rules were, when that was last tried */
	json_t *leases; /* MAC: address of IPv4 */
};

/* As the store has them. */
int network_load(struct daemon *daemon, const char *text, struct error *err);
void network_free_all(struct daemon *daemon);
/* At the daemon's start: those that were active; if it is the first of this boot of the host, those that start with that. -ETIMEDOUT: nft is too slow (rules.h). */
int network_restore(struct daemon *daemon, bool boot);
/* Those that are active and could not be started then, up to the first that takes too long. -ETIMEDOUT: as of network_restore(). */
int network_retry(struct daemon *daemon);

/* NULL: there is none. */
struct network *network_find(struct daemon *daemon, const char *name);
/* The host's bridge that it is. */
const char *network_bridge(const struct network *network);

/* Takes the configuration (left empty). -EEXIST; subnets that others have are refused, and one is chosen where none is named. */
int network_create(struct daemon *daemon, struct network_config *config, struct network **network,
	struct error *err);
/*
 * Has this configuration from now on, which is of the same name (taken; left empty on success alone). On failure it is what it was.
 * -EBUSY: guests that run are on it, and what changes is more than autostart and allow.
 */
int network_edit(struct network *network, struct network_config *config, struct error *err);
/* -EBUSY: guests that run are on it. */
int network_delete(struct network *network, struct error *err);
/* Whole or not at all; one that is active is mended. */
int network_start(struct network *network, struct error *err);
int network_stop(struct network *network, struct error *err);
/* The rules of those that are on and not in the list of tables (links/tables.h; NULL: of all) are loaded again. How many there were; -ETIMEDOUT: as of network_restore(). */
int network_mend(struct daemon *daemon, const char *list);
/* Of all: addresses of names are forgotten that no answer has any more (links/named.h); every NAMED_SECONDS, the next turn each time. */
void network_forget_names(struct daemon *daemon, unsigned turn);

/*
 * The address of IPv4 that the guest's interface has there: the one that its ip= names, the one it had, or the first
 * that is free. "": the network has none to give. Its names are told, too.
 */
int network_lease(struct network *network, const struct guest *guest, unsigned vif,
	char address[NET_ADDRESS_TEXT + 1], struct error *err);
/* What it gave the card of this MAC, and the host's own there; false: nothing. */
bool network_leased(const struct network *network, const char *mac, const char **address,
	struct network_subnet *subnet);
/* The one of IPv6 that the card makes of its MAC there; false: the network has no IPv6. */
bool network_address6(const struct network *network, const char *mac,
	char text[NET_ADDRESS_TEXT + 1]);

/*
 * doc/openapi.json's HostNetwork. whole: with what other tables of nftables do to it, for which nft has to be
 * asked. NULL: out of memory.
 */
json_t *network_describe(const struct network *network, bool whole);

#endif
