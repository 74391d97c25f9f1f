/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pairs of links, each the other's cable (veth(4)): one end for a bridge of the host's, the other to be put into a container's network
 * namespace. They go with that namespace, or when either is removed.
 */
#ifndef DACH_LINKS_VETH_H
#define DACH_LINKS_VETH_H

#include "links/link.h"

/* Both are down; peer has that MAC and MTU. -EEXIST: there is a link of one of these names. */
int veth_make(const char *name, const char *peer, const uint8_t mac[LINK_MAC_LEN], unsigned mtu,
	struct error *err);
/* With its peer. Where there is none, and where that name is now another kind of link's, nothing happens. */
int veth_remove(const char *name, struct error *err);

#endif
