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

/* A card's address, not a group's, into small letters: to has NET_MAC_TEXT + 1 bytes. -EINVAL; nothing is said. */
int net_read_mac(const char *text, char *to);

#define NET_LINK_TEXT 15 /* the name of a link of Linux's, IFNAMSIZ - 1 */
#define NET_MTU_MIN 68   /* RFC 791, 3.2 */
#define NET_MTU_MAX 65535
#define NET_VLAN_MAX 4094 /* IEEE 802.1Q, 9.6 */
#define NET_RATE_MAX (1ull << 40)

enum net_kind {
	NET_USER, /* over this host's sockets */
	NET_NONE, /* a card without a cable */
	NET_TAP,  /* a link of this host's, made for it by who may; or a port of a switch */
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

/* What kind of card the guest has there. */
enum net_model { NET_VIRTIO, NET_E1000, NET_MODELS };
extern const char *const net_model_words[]; /* "virtio", "e1000"; a NULL ends them */

struct net_spec {
	enum net_kind kind;
	enum net_model model;
	char mac[NET_MAC_TEXT + 1]; /* small letters; "": the card makes one */
	bool loopback; /* USER: the guest reaches what listens on this host's loopback addresses */
	struct net_forward *forward; /* USER */
	unsigned forwards;
	char **allow; /* USER: all that the guest reaches outside, as net_check_allowed() has it; none: anything */
	unsigned allows;
	int fd;        /* TAP: open and ready: links/tap.h, protocol/switch.h; -1: not yet */
	unsigned mtu;  /* TAP: what the guest is told, and its link has; 0: as usual, 1500 */
	uint64_t rate; /* bytes a second that the guest may send; 0: as many as it can */
	unsigned rate_interval; /* microseconds over which that is held; 0: 50 ms */
	char **announced; /* TAP: addresses of IPv6 that the guest has, as far as is known: its network hears of
				   them where it comes from another host */
	unsigned announceds;
	/* Of words alone: */
	char bridge[NET_LINK_TEXT + 1]; /* TAP: its link is made, and put on that bridge; "" */
	char tap[NET_LINK_TEXT +
		1];      /* TAP: that one, which is there already; or the new one's name */
	bool unfiltered; /* TAP: the guest may pretend to be another */
	char **address;  /* TAP: the only ones that it may use; none: any */
	unsigned addresses;
};

extern const struct field net_spec_fields[];

/*
 * A name that a link can have here: letters, digits, and ._- behind the first, at most NET_LINK_TEXT. -EINVAL and
 * the sentence, which begins with where.
 */
int net_check_link(const char *where, const char *name, struct error *err);
/* An address of IPv4 or IPv6, with or without /LENGTH, into its usual form without. -EINVAL; nothing is said. */
#define NET_ADDRESS_TEXT 45
int net_read_address(const char *text, char to[NET_ADDRESS_TEXT + 1], bool *ipv6);
/* A name of DNS as people write it (RFC 1123, 2.1), which is no address: letters, digits, -, _ and dots between labels. */
#define NET_NAME_TEXT 253
bool net_is_name(const char *text);
/*
 * A destination that is allowed: an address, with or without /BITS, or such a name, which stands for all below it, too. It can go
 * into nft's rules and dnsmasq's configuration as it is. -EINVAL; the first says nothing, the sentence of the second begins with where.
 */
int net_check_destination(const char *text, bool *ipv6);
int net_check_allowed(const char *where, const char *text, struct error *err);

/*
 * Each with [,model=virtio|e1000], but none:
 * none | user[,fwd=tcp|udp:ADDR:PORT-ADDR:PORT]...[,allow=ADDR[/BITS]|NAME]...[,loopback][,mac=XX:XX:XX:XX:XX:XX]; each ADDR may be
 * left out, the host's is 127.0.0.1 then; those of IPv6 stand in [ ]. Or
 * bridge=NAME[,vifname=NAME][,ip=ADDRESS]...[,filter=off][,mtu=N][,mac=...] | tap=NAME[,mtu=N][,mac=...].
 * net_spec_free() after success.
 */
int net_spec_parse(const char *text, struct net_spec *spec, struct error *err);
#define NET_FORWARD_TEXT 191
/* What stands behind fwd= there; at most so many bytes. */
int net_forward_parse(const char *text, struct net_forward *forward, struct error *err);
/* Both have the same end on the host. */
bool net_forward_same(const struct net_forward *a, const struct net_forward *b);
/* The host's end can be reached from the host alone. */
bool net_forward_loopback(const struct net_forward *forward);
void net_spec_free(struct net_spec *spec);
/* false: it has none. */
bool net_spec_mac(const struct net_spec *spec, uint8_t mac[NET_MAC_LEN]);

#endif
