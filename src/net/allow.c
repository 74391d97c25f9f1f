/* SPDX-License-Identifier: Apache-2.0 */
#include "net/allow.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "protocol/network.h"

/* Addresses of both kinds in one form: those of IPv4 are ::ffff:a.b.c.d. */
struct ip_address {
	uint8_t byte[16];
};

struct ip_range {
	struct ip_address address;
	bool ipv6;
	unsigned bits;
};

struct learned {
	struct ip_address address;
	uint64_t until; /* ns; 0: nothing is here */
};

struct allow {
	struct ip_range *range;
	char **name;
	unsigned ranges, names;
	unsigned last; /* the one that was found last time */
	struct learned learned[ALLOW_LEARNED];
};

static struct ip_address address_of(const uint8_t *bytes, bool ipv6)
{
	struct ip_address address = {{[10] = 0xff, [11] = 0xff}};

	if (ipv6)
		memcpy(address.byte, bytes, 16);
	else
		memcpy(address.byte + 12, bytes, 4);
	return address;
}

static int add(struct allow *allow, const char *text)
{
	char address[NET_ADDRESS_TEXT + 1];
	const char *slash = strchr(text, '/');
	uint8_t bytes[16];
	bool ipv6;

	if (net_check_destination(text, &ipv6)) {
		allow->name[allow->names] = strdup(text);
		return allow->name[allow->names++] ? 0 : -ENOMEM;
	}
	net_read_address(text, address, &ipv6);
	inet_pton(ipv6 ? AF_INET6 : AF_INET, address, bytes);
	allow->range[allow->ranges++] = (struct ip_range){address_of(bytes, ipv6), ipv6,
		(ipv6 ? 0 : 96) +
			(slash                 ? (unsigned)atoi(slash + 1)
					: ipv6 ? 128u
					       : 32u)};
	return 0;
}

int allow_create(char *const *list, unsigned count, struct allow **out, struct error *err)
{
	struct allow *allow = calloc(1, sizeof *allow);
	int r;

	if (!allow)
		return error_nomem(err);
	allow->range = calloc(count, sizeof *allow->range);
	allow->name = calloc(count, sizeof *allow->name);
	r = allow->range && allow->name ? 0 : -ENOMEM;
	for (unsigned i = 0; !r && i < count; i++)
		r = add(allow, list[i]);
	if (r) {
		allow_free(allow);
		return error_nomem(err);
	}
	*out = allow;
	return 0;
}

void allow_free(struct allow *allow)
{
	if (!allow)
		return;
	for (unsigned i = 0; i < allow->names; i++)
		free(allow->name[i]);
	free(allow->name);
	free(allow->range);
	free(allow);
}

bool allow_has_names(const struct allow *allow)
{
	return allow->names;
}

bool allow_name(const struct allow *allow, const char *name)
{
	const size_t len = strlen(name);

	for (unsigned i = 0; i < allow->names; i++) {
		const size_t size = strlen(allow->name[i]);

		if (size <= len && !strcasecmp(name + len - size, allow->name[i]) &&
			(size == len || name[len - size - 1] == '.'))
			return true;
	}
	return false;
}

static struct learned *find(struct allow *allow, const struct ip_address *address)
{
	if (!memcmp(&allow->learned[allow->last].address, address, sizeof *address))
		return &allow->learned[allow->last];
	for (unsigned i = 0; i < ALLOW_LEARNED; i++)
		if (!memcmp(&allow->learned[i].address, address, sizeof *address)) {
			allow->last = i;
			return &allow->learned[i];
		}
	return NULL;
}

void allow_learn(struct allow *allow, const uint8_t *bytes, bool ipv6, uint32_t ttl,
	uint64_t now_ns)
{
	const struct ip_address address = address_of(bytes, ipv6);
	const uint64_t seconds = ttl < ALLOW_TTL_MAX ? ttl : ALLOW_TTL_MAX;
	const uint64_t until = now_ns + seconds * 1000000000 + ALLOW_STAY_NS;
	struct learned *at = find(allow, &address);

	if (!at) {
		at = &allow->learned[0];
		for (unsigned i = 1; i < ALLOW_LEARNED; i++)
			if (allow->learned[i].until < at->until)
				at = &allow->learned[i];
		*at = (struct learned){address, 0};
	}
	if (at->until < until)
		at->until = until;
}

static bool begins(const struct ip_address *address, const struct ip_range *range)
{
	const unsigned bytes = range->bits / 8, rest = range->bits % 8;

	return !memcmp(address->byte, range->address.byte, bytes) &&
		(!rest || (address->byte[bytes] ^ range->address.byte[bytes]) >> (8 - rest) == 0);
}

bool allow_reach(struct allow *allow, const uint8_t *bytes, bool ipv6, bool goes_on,
	uint64_t now_ns)
{
	const struct ip_address address = address_of(bytes, ipv6);
	struct learned *at;

	for (unsigned i = 0; i < allow->ranges; i++)
		if (allow->range[i].ipv6 == ipv6 && begins(&address, &allow->range[i]))
			return true;
	at = find(allow, &address);
	if (!at || at->until <= now_ns)
		return false;
	if (goes_on && at->until < now_ns + ALLOW_IN_USE_NS)
		at->until = now_ns + ALLOW_IN_USE_NS;
	return true;
}
