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

#endif
