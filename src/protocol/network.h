/* SPDX-License-Identifier: Apache-2.0 */
/* One network of a guest: what the daemon hands over, what people write behind --net, what net/ opens. */
#ifndef DACH_PROTOCOL_NETWORK_H
#define DACH_PROTOCOL_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "protocol/fields.h"

#define NET_MAC_LEN 6
#define NET_MAC_TEXT 17 /* "02:00:00:12:34:56" */

enum net_kind {
	NET_USER, /* over this host's sockets */
	NET_NONE, /* a card without a cable */
	NET_KINDS,
};

#define NET_ADDR6_TEXT \
	39 /* the longest IPv6 address, as text; those that have IPv4 within are shorter */

/* A port of the host that leads to one of the guest: of IPv6 if host_addr6 is not "", else of IPv4. */
struct net_forward {
	bool udp;
	uint32_t host_addr, guest_addr; /* host byte order; guest_addr 0: the one DHCP gives */
	unsigned host_port, guest_port;
	char host_addr6[NET_ADDR6_TEXT + 1];
	char guest_addr6[NET_ADDR6_TEXT + 1]; /* "": the one that the guest shows first; TCP only */
};

struct net_spec {
	enum net_kind kind;
	char mac[NET_MAC_TEXT + 1]; /* small letters; "": the card makes one */
	bool loopback; /* USER: the guest reaches what listens on this host's loopback addresses */
	struct net_forward *forward; /* USER */
	unsigned forwards;
};

extern const struct field net_spec_fields[];

/*
 * none | user[,fwd=tcp|udp:ADDR:PORT-ADDR:PORT]...[,loopback][,mac=XX:XX:XX:XX:XX:XX]; each ADDR may be
 * left out, the host's is 127.0.0.1 then; those of IPv6 stand in [ ]. net_spec_free() after success.
 */
int net_spec_parse(const char *text, struct net_spec *spec, struct error *err);
/* What stands behind fwd= there. */
int net_forward_parse(const char *text, struct net_forward *forward, struct error *err);
/* The host's end can be reached from the host alone. */
bool net_forward_loopback(const struct net_forward *forward);
void net_spec_free(struct net_spec *spec);
/* false: it has none. */
bool net_spec_mac(const struct net_spec *spec, uint8_t mac[NET_MAC_LEN]);

#endif
