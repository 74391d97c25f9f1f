/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/network.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/fields.h"
#include "protocol/limits.h"

#define BITS4_MIN 8u
#define BITS4_MAX 30u
#define BITS6 64u    /* what SLAAC wants (RFC 4862, 5.5.3) */
#define MTU_MIN 1280 /* RFC 8200, 5 */

static const char *const modes[] = {"nat", "route", "isolated", "bridge", NULL};

const struct field network_config_fields[] = {
	FIELD_ROW(STRING, network_config, name, .needed = true, .min = 1, .max = NET_LINK_TEXT,
		.text = ""),
	FIELD_ROW(ENUM, network_config, mode, .names = modes, .number = NETWORK_NAT),
	FIELD_ROW(STRING, network_config, bridge, .min = 1, .max = NET_LINK_TEXT),
	FIELD_ROW(STRING, network_config, subnet, .min = 1, .max = NET_ADDRESS_TEXT + 4),
	FIELD_ROW(STRING, network_config, subnet6, .min = 1, .max = NET_ADDRESS_TEXT + 4),
	FIELD_ROW(STRING, network_config, domain, .min = 1, .max = LIMIT_NAME),
	FIELD_STRINGS_ROW("allow", network_config, allow, allows, NET_NAME_TEXT, LIMIT_ALLOWS),
	FIELD_ROW(COUNT, network_config, vlan, .max = NET_VLAN_MAX),
	FIELD_ROW(BOOL, network_config, isolated),
	FIELD_ROW(BOOL, network_config, autostart, .number = true),
	FIELD_ROW(COUNT, network_config, mtu, .max = NET_MTU_MAX),
	{.key = NULL},
};

const char *network_mode_name(enum network_mode mode)
{
	return modes[mode];
}

void network_config_free(struct network_config *config)
{
	fields_free(network_config_fields, config);
	memset(config, 0, sizeof *config);
}

static int check_subnet(const char *key, const char *text, bool ipv6, struct error *err)
{
	struct network_subnet subnet;

	if (!text)
		return 0;
	if (network_subnet_parse(text, &subnet) || subnet.ipv6 != ipv6)
		return error_set(err, EINVAL, "%s: '%s' is not %s", key, text,
			ipv6 ? "a network of IPv6 with 64 bits, as fd05::/64"
			     : "a network of IPv4 with 8 to 30 bits, as 10.5.0.0/24");
	return 0;
}

/* It goes into configuration files as it is. */
static int check_domain(const char *domain, struct error *err)
{
	if (!domain)
		return 0;
	if (!isalnum((unsigned char)*domain) ||
		domain[strspn(domain,
			"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")])
		return error_set(err, EINVAL, "domain: '%s' is no name of a domain", domain);
	return 0;
}

static int check_allow(const struct network_config *config, struct error *err)
{
	if (config->allows && config->mode != NETWORK_NAT && config->mode != NETWORK_ROUTE)
		return error_set(err, EINVAL, "allow: only for modes nat and route");
	for (unsigned i = 0; i < config->allows; i++)
		if (net_check_allowed("allow: ", config->allow[i], err))
			return -EINVAL;
	return 0;
}

static int check(const struct network_config *config, struct error *err)
{
	const bool bridge = config->mode == NETWORK_BRIDGE;
	int r = fields_check(network_config_fields, config, "", err);

	if (!r)
		r = net_check_link("name: ", config->name, err);
	if (!r && bridge != !!config->bridge)
		r = error_set(err, EINVAL,
			bridge ? "bridge: mode bridge needs the bridge that it is"
			       : "bridge: only for mode bridge; a network of another mode makes its own");
	if (!r && config->bridge)
		r = net_check_link("bridge: ", config->bridge, err);
	if (!r && bridge && (config->subnet || config->subnet6 || config->domain || config->mtu))
		r = error_set(err, EINVAL,
			"%s: not in mode bridge, where whoever is behind the bridge decides that",
			config->subnet            ? "subnet"
				: config->subnet6 ? "subnet6"
				: config->domain  ? "domain"
						  : "mtu");
	if (!r && config->vlan && !bridge)
		r = error_set(err, EINVAL,
			"vlan: only for mode bridge; the bridge of a network of another mode is its alone");
	if (!r)
		r = check_subnet("subnet", config->subnet, false, err);
	if (!r)
		r = check_subnet("subnet6", config->subnet6, true, err);
	if (!r)
		r = check_domain(config->domain, err);
	if (!r)
		r = check_allow(config, err);
	if (!r && config->mtu && config->mtu < MTU_MIN)
		r = error_set(err, EINVAL, "mtu: %u is less than %d", config->mtu, MTU_MIN);
	return r;
}

int network_config_from_json(const json_t *json, struct network_config *config, struct error *err)
{
	int r;

	memset(config, 0, sizeof *config);
	r = fields_default(network_config_fields, config);
	if (r)
		return error_nomem(err);
	r = fields_read(network_config_fields, json, config, "", err);
	if (!r)
		r = check(config, err);
	if (r)
		network_config_free(config);
	return r;
}

/* Subnets */

static bool bit(const uint8_t *address, unsigned n)
{
	return address[n / 8] >> (7 - n % 8) & 1;
}

static void set_host_part(uint8_t *address, unsigned bits, unsigned total, uint32_t value)
{
	for (unsigned n = total; n-- > bits; value >>= 1) {
		const uint8_t mask = (uint8_t)(1u << (7 - n % 8));

		address[n / 8] =
			(uint8_t)(value & 1 ? address[n / 8] | mask : address[n / 8] & ~mask);
	}
}

static uint32_t host_part(const uint8_t *address, unsigned bits)
{
	uint32_t value = 0;

	for (unsigned n = bits; n < 32; n++)
		value = value << 1 | bit(address, n);
	return value;
}

int network_subnet_parse(const char *text, struct network_subnet *subnet)
{
	char address[NET_ADDRESS_TEXT + 1];
	const char *slash = strchr(text, '/');
	bool zero = true;

	memset(subnet, 0, sizeof *subnet);
	if (!slash || net_read_address(text, address, &subnet->ipv6) ||
		inet_pton(subnet->ipv6 ? AF_INET6 : AF_INET, address, subnet->address) != 1)
		return -EINVAL;
	subnet->bits = atoi(slash + 1);
	if (subnet->ipv6 ? subnet->bits != BITS6
			 : subnet->bits < BITS4_MIN || subnet->bits > BITS4_MAX)
		return -EINVAL;
	for (unsigned n = subnet->bits; n < (subnet->ipv6 ? 128u : 32u); n++)
		zero = zero && !bit(subnet->address, n);
	if (zero)
		subnet->address[subnet->ipv6 ? 15 : 3] |= 1;
	/* The last of IPv4 is everybody's. */
	if (!subnet->ipv6 && host_part(subnet->address, subnet->bits) == UINT32_MAX >> subnet->bits)
		return -EINVAL;
	/* Nobody's, this host's own, a link's, a group's. */
	if (subnet->ipv6 ? subnet->address[0] == 0xff || subnet->address[0] == 0 ||
				(subnet->address[0] == 0xfe && subnet->address[1] >= 0x80)
			 : subnet->address[0] == 0 || subnet->address[0] == 127 ||
				subnet->address[0] >= 224)
		return -EINVAL;
	return 0;
}

bool network_subnets_overlap(const struct network_subnet *a, const struct network_subnet *b)
{
	const unsigned bits = a->bits < b->bits ? a->bits : b->bits;

	if (a->ipv6 != b->ipv6)
		return false;
	for (unsigned n = 0; n < bits; n++)
		if (bit(a->address, n) != bit(b->address, n))
			return false;
	return true;
}

bool network_subnet_nth(const struct network_subnet *subnet, uint32_t n,
	char text[NET_ADDRESS_TEXT + 1])
{
	uint8_t address[4];

	if (subnet->ipv6 || n >= UINT32_MAX >> subnet->bits)
		return false;
	memcpy(address, subnet->address, sizeof address);
	set_host_part(address, subnet->bits, 32, n);
	return inet_ntop(AF_INET, address, text, NET_ADDRESS_TEXT + 1);
}

uint32_t network_subnet_number(const struct network_subnet *subnet, const char *text)
{
	struct network_subnet one = {.bits = 32};
	uint32_t n;

	if (subnet->ipv6 || inet_pton(AF_INET, text, one.address) != 1 ||
		!network_subnets_overlap(subnet, &one))
		return 0;
	n = host_part(one.address, subnet->bits);
	return n == UINT32_MAX >> subnet->bits ? 0 : n;
}

void network_subnet_of_mac(const struct network_subnet *subnet, const uint8_t mac[NET_MAC_LEN],
	char text[NET_ADDRESS_TEXT + 1])
{
	const uint8_t half[8] = {mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]};
	uint8_t address[16];

	memcpy(address, subnet->address, 8);
	memcpy(address + 8, half, 8);
	inet_ntop(AF_INET6, address, text, NET_ADDRESS_TEXT + 1);
}

void network_subnet_text(const struct network_subnet *subnet, bool host,
	char text[NET_ADDRESS_TEXT + 1])
{
	uint8_t address[16];

	memcpy(address, subnet->address, sizeof address);
	if (!host)
		set_host_part(address, subnet->bits, subnet->ipv6 ? 128 : 32, 0);
	inet_ntop(subnet->ipv6 ? AF_INET6 : AF_INET, address, text, NET_ADDRESS_TEXT + 1);
}
