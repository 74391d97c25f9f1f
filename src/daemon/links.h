/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The taps of a guest's life. They are made as it begins and go with its monitor, which has their only
 * descriptors: nothing that is killed leaves one behind. A container's links go with its network namespace. What keeps the guest to its own addresses there
 * (links/filter.h) does not go by itself: which there are stands in RUN/guests/UUID/links, by which this daemon
 * or the next takes them away.
 */
#ifndef DACH_DAEMON_LINKS_H
#define DACH_DAEMON_LINKS_H

#include <stdbool.h>

#include "base/error.h"
#include "protocol/network.h"

struct daemon;
struct guest;

/* It has a link on this host: it is neither in user mode nor a user's switch's. */
bool links_has(const struct guest *guest, unsigned vif);
/* The bridge that the interface is to be on; NULL: none, it is routed (script=vif-route) or in user mode. */
const char *links_bridge(const struct guest *guest, unsigned vif);
/* The name of its link here, in this life. */
void links_name(const struct guest *guest, unsigned vif, char name[NET_LINK_TEXT + 1]);
/* Of a container's: the other end of its link, which is put into the container. */
void links_peer(const struct guest *guest, unsigned vif, char name[NET_LINK_TEXT + 1]);
/*
 * Of count interfaces from first on, each of those with a link: its tap, ready, as the guest's owner may have it. fd in spec is the caller's. Of a
 * container: a pair of links, of which the one is as the tap would be. The life's folder is there. On failure what was made goes by
 * links_remove().
 */
int links_open(const struct guest *guest, unsigned first, unsigned count, struct net_spec *spec,
	struct error *err);
/* One of that name is not the guest's any more, and its descriptor is closed everywhere. */
void links_drop(const struct guest *guest, const char *name);
/* The life has ended, or did not begin. */
void links_remove(const struct guest *guest);
/*
 * What somebody took away from guests that run is put back: what is not in the list of tables (links/tables.h), or, after the daemon's
 * own start, all (NULL). How many there were; -ETIMEDOUT: nft is too slow for them (rules.h).
 */
int links_mend(struct daemon *daemon, const char *list);
/* And what is left of guests that are gone is removed. */
void links_sweep(const struct daemon *daemon);

#endif
