/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network of the host's that the daemon keeps: a bridge for guests, with what leads out of it. Like
 * domain/config.h, it is what the command line makes, the API carries and the store keeps.
 */
#ifndef DACH_DOMAIN_NETWORK_H
#define DACH_DOMAIN_NETWORK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "protocol/network.h"

enum network_mode {
	NETWORK_NAT,      /* guests reach what the host reaches, as the host */
	NETWORK_ROUTE,    /* as themselves: others know a route to them */
	NETWORK_ISOLATED, /* each other, and the host's DHCP and names */
	NETWORK_BRIDGE,   /* a bridge that the host has, by another name */
};

struct network_config {
	char *name; /* also its bridge's, but in mode bridge */
	enum network_mode mode;
	char *bridge;  /* mode bridge: the host's; NULL else */
	char *subnet;  /* "10.5.0.1/24": the host's own address in it; NULL: no IPv4 */
	char *subnet6; /* "fd05::1/64"; NULL: no IPv6 */
	char *domain;  /* guests are NAME.domain; NULL: the network's name */
	char **allow; /* what guests reach beyond it, "10.0.0.0/8", "fd00::1", "debian.org"; none: all that the mode lets them */
	unsigned allows;
	unsigned
		vlan; /* mode bridge: of that bridge, which its guests are in; 0: as the bridge has it */
	bool isolated; /* its guests do not reach each other */
	bool autostart;
	unsigned mtu; /* 0: 1500 */
};

extern const struct field network_config_fields[];

/* -EINVAL and a sentence that begins with the field's name. */
int network_config_from_json(const json_t *json, struct network_config *config, struct error *err);
void network_config_free(struct network_config *config);
const char *network_mode_name(enum network_mode mode);

/* A subnet, in numbers: the host's address in it, and how many bits its network has. */
struct network_subnet {
	bool ipv6;
	uint8_t address[16];
	unsigned bits;
};

/* ADDRESS/BITS. The network's own address stands for the first in it. -EINVAL: not, or too small or large. */
int network_subnet_parse(const char *text, struct network_subnet *subnet);
bool network_subnets_overlap(const struct network_subnet *a, const struct network_subnet *b);
/* The address of IPv4 with this number in it (0 is the network's own); false: it has no such. */
bool network_subnet_nth(const struct network_subnet *subnet, uint32_t n,
	char text[NET_ADDRESS_TEXT + 1]);
/* The number of an address of IPv4 that is in it; 0: it is not. */
uint32_t network_subnet_number(const struct network_subnet *subnet, const char *address);
/* The address of IPv6 there that a card makes of its MAC (RFC 4291, appendix A); bits is 64. */
void network_subnet_of_mac(const struct network_subnet *subnet, const uint8_t mac[NET_MAC_LEN],
	char text[NET_ADDRESS_TEXT + 1]);
/* The network's own address, and the host's in it. */
void network_subnet_text(const struct network_subnet *subnet, bool host,
	char text[NET_ADDRESS_TEXT + 1]);

#endif
