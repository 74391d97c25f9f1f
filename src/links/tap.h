/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taps: links whose other end is a descriptor (Linux, Documentation/networking/tuntap.rst). One that is made
 * here lasts for as long as any process has that descriptor, and no longer: whoever is killed leaves none
 * behind. Frames on it have a struct virtio_net_hdr_v1 in front, and nothing blocks.
 */
#ifndef DACH_LINKS_TAP_H
#define DACH_LINKS_TAP_H

#include "links/link.h"

/* name: of the new link, or with %d in it for the kernel to number. -EEXIST: there is one. It is down. */
int tap_make(const char *name, char made[NET_LINK_TEXT + 1], int *fd, struct error *err);
/* One that is there, made to last (ip tuntap add ... user ...) for who we are. It stays as it is. */
int tap_take(const char *name, int *fd, struct error *err);
/* The host's end has the highest address there is, fe:ff:ff:ff:ff:ff, as Xen's have: a bridge never takes it for its own. */
extern const uint8_t tap_mac[LINK_MAC_LEN];
/* Puts one that was made here on the bridge, with the bridge's MTU or mtu, and up. */
struct tap_port {
	unsigned mtu;  /* 0: the bridge's */
	bool isolated; /* it reaches no other that is */
	unsigned
		vlan; /* it is in that one; the bridge keeps them apart (link.vlans). 0: as the bridge has it */
};
int tap_join(const char *name, const struct link *bridge, const struct tap_port *port,
	struct error *err);

#endif
