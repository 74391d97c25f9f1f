/* SPDX-License-Identifier: Apache-2.0 */
#include "links/filter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "links/link.h"
#include "links/tables.h"

static bool is_ipv6(const char *address)
{
	return strchr(address, ':') != NULL;
}

static unsigned count_of(char *const *address, unsigned count, bool ipv6)
{
	unsigned found = 0;

	for (unsigned i = 0; i < count; i++)
		found += is_ipv6(address[i]) == ipv6;
	return found;
}

/* "{ a, b }" of one family. */
static void put_set(FILE *out, char *const *address, unsigned count, bool ipv6)
{
	const char *between = "{ ";

	for (unsigned i = 0; i < count; i++) {
		if (is_ipv6(address[i]) != ipv6)
			continue;
		fprintf(out, "%s%s", between, address[i]);
		between = ", ";
	}
	fputs(" }", out);
}

/* The half of its addresses that a card makes of its MAC (RFC 4291, appendix A), whatever the network. */
static void put_own_half(FILE *out, const uint8_t *mac)
{
	fprintf(out, " 0x%02x%02x%02xfffe%02x%02x%02x ", mac[0] ^ 2, mac[1], mac[2], mac[3], mac[4],
		mac[5]);
}

/* The target of neighbour discovery (RFC 4861, 4.3 and 4.4), for which nft has no name. */
static void put_target(FILE *out, const char *type, const char *address, const char *verdict)
{
	uint8_t bytes[16];

	if (inet_pton(AF_INET6, address, bytes) != 1)
		return;
	fprintf(out, "		icmpv6 type %s @th,64,128 0x", type);
	for (unsigned i = 0; i < sizeof bytes; i++)
		fprintf(out, "%02x", bytes[i]);
	fprintf(out, " %s\n", verdict);
}

static void put_arp(FILE *out, const struct filter *filter, const char *mac)
{
	const bool listed = filter->addresses;

	fprintf(out,
		"	chain guest-arp {\n"
		"		arp htype != 1 drop\n"
		"		arp ptype != ip drop\n"
		"		arp saddr ether != %s drop\n",
		mac);
	/* 0.0.0.0: who asks whether an address is free (RFC 5227). */
	if (listed)
		fputs("		arp saddr ip 0.0.0.0 accept\n", out);
	if (listed && count_of(filter->address, filter->addresses, false)) {
		fputs("		arp saddr ip ", out);
		put_set(out, filter->address, filter->addresses, false);
		fputs(" accept\n", out);
	}
	if (!listed && count_of(filter->other, filter->others, false)) {
		fputs("		arp saddr ip ", out);
		put_set(out, filter->other, filter->others, false);
		fputs(" drop\n", out);
	}
	fprintf(out, "		%s\n	}\n", listed ? "drop" : "accept");
}

static void put_ip4(FILE *out, const struct filter *filter)
{
	const bool listed = filter->addresses;

	fputs("	chain guest-ip4 {\n"
	      "		udp sport 67 drop\n",
		out);
	if (listed)
		fputs("		ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept\n",
			out);
	if (listed && count_of(filter->address, filter->addresses, false)) {
		fputs("		ip saddr ", out);
		put_set(out, filter->address, filter->addresses, false);
		fputs(" accept\n", out);
	}
	if (!listed && count_of(filter->other, filter->others, false)) {
		fputs("		ip saddr ", out);
		put_set(out, filter->other, filter->others, false);
		fputs(" drop\n", out);
	}
	fprintf(out, "		%s\n	}\n", listed ? "drop" : "accept");
}

/* What it may claim and speak as: addresses made of its MAC, and those that are listed. */
static void put_ip6_listed(FILE *out, const struct filter *filter)
{
	fputs("		icmpv6 type nd-neighbor-advert @th,128,64", out);
	put_own_half(out, filter->mac);
	/* Asking whether an address is free is to claim it. */
	fputs("goto guest-source\n		icmpv6 type nd-neighbor-solicit @th,128,64", out);
	put_own_half(out, filter->mac);
	fputs("ip6 saddr :: accept\n", out);
	for (unsigned i = 0; i < filter->addresses; i++) {
		if (!is_ipv6(filter->address[i]))
			continue;
		put_target(out, "nd-neighbor-advert", filter->address[i], "goto guest-source");
		put_target(out, "nd-neighbor-solicit", filter->address[i], "ip6 saddr :: accept");
	}
	fputs("		icmpv6 type nd-neighbor-advert drop\n"
	      "		ip6 saddr :: icmpv6 type { nd-router-solicit, mld-listener-report, "
	      "mld2-listener-report, mld-listener-done } accept\n"
	      "		goto guest-source\n"
	      "	}\n",
		out);
}

static void put_ip6_source(FILE *out, const struct filter *filter)
{
	fputs("	chain guest-source {\n		@nh,128,64", out);
	put_own_half(out, filter->mac);
	fputs("accept\n", out);
	if (count_of(filter->address, filter->addresses, true)) {
		fputs("		ip6 saddr ", out);
		put_set(out, filter->address, filter->addresses, true);
		fputs(" accept\n", out);
	}
	fputs("		drop\n	}\n", out);
}

static void put_ip6_any(FILE *out, const struct filter *filter)
{
	if (count_of(filter->other, filter->others, true)) {
		fputs("		ip6 saddr ", out);
		put_set(out, filter->other, filter->others, true);
		fputs(" drop\n", out);
	}
	for (unsigned i = 0; i < filter->others; i++) {
		if (!is_ipv6(filter->other[i]))
			continue;
		put_target(out, "nd-neighbor-advert", filter->other[i], "drop");
		put_target(out, "nd-neighbor-solicit", filter->other[i], "ip6 saddr :: drop");
	}
	fputs("		accept\n	}\n", out);
}

static void put_ip6(FILE *out, const struct filter *filter)
{
	if (filter->addresses)
		put_ip6_source(out, filter);
	fputs("	chain guest-ip6 {\n"
	      "		ip6 hoplimit 255 exthdr frag exists drop\n"
	      "		udp sport 547 drop\n"
	      "		icmpv6 type { nd-router-advert, nd-redirect } drop\n",
		out);
	if (filter->addresses)
		put_ip6_listed(out, filter);
	else
		put_ip6_any(out, filter);
}

static void put_table(FILE *out, const char *list, const struct filter *filter)
{
	const uint8_t *b = filter->mac;
	char mac[NET_MAC_TEXT + 1];

	snprintf(mac, sizeof mac, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4],
		b[5]);
	tables_put_begin(out, list, "netdev", filter->tap);
	put_arp(out, filter, mac);
	put_ip4(out, filter);
	put_ip6(out, filter);
	fprintf(out,
		"	chain guest {\n"
		"		type filter hook ingress device \"%s\" priority filter; policy drop;\n"
		"		ether saddr != %s drop\n"
		"		ether type 0x8035 accept\n" /* RARP: where a guest is that has moved */
		"		ether type arp goto guest-arp\n"
		"		ether type ip goto guest-ip4\n"
		"		ether type ip6 goto guest-ip6\n"
		"	}\n}\n",
		filter->tap, mac);
}

struct filters {
	const struct filter *filter;
	unsigned count;
};

static void put_tables(FILE *out, const char *list, const void *ctx)
{
	const struct filters *all = ctx;

	for (unsigned i = 0; i < all->count; i++)
		put_table(out, list, &all->filter[i]);
}

int filter_load(const struct filter *filter, unsigned count, struct error *err)
{
	const struct filters all = {filter, count};
	struct error why = {""};
	int r = count ? tables_load(put_tables, &all, &why) : 0;

	if (!r)
		return 0;
	return error_set(err, -r,
		"%s: nothing would keep the guest from using others' addresses: %s (filter=off does "
		"without)",
		filter->tap, why.text);
}

int filter_remove(const char *tap, struct error *err)
{
	return tables_remove("netdev", tap, err);
}

static void sweep(const char *tap)
{
	struct link link;

	if (!net_check_link("", tap, NULL) && link_find(tap, &link, NULL) == -ENODEV)
		filter_remove(tap, NULL);
}

void filter_sweep(void)
{
	char *list = tables_list();

	if (list)
		tables_each(list, "netdev", sweep);
	free(list);
}
