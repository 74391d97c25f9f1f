/* SPDX-License-Identifier: Apache-2.0 */
#include "links/named.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>

#include "links/tables.h"
#include "protocol/network.h"

#define SIZE_MAX_ELEMENTS 16384

/* By the turns in which they are emptied. */
static const char *const sets[2][2] = {{"named4a", "named6a"}, {"named4b", "named6b"}};

bool named_any(char *const *allow, unsigned allows)
{
	for (unsigned i = 0; i < allows; i++)
		if (net_is_name(allow[i]))
			return true;
	return false;
}

struct element_text {
	FILE *out;
	const char *between;
};

static void put_element(void *ctx, const uint8_t *value, size_t size)
{
	struct element_text *listing = ctx;
	char text[NET_ADDRESS_TEXT + 1];

	if ((size != 4 && size != 16) ||
		!inet_ntop(size == 4 ? AF_INET : AF_INET6, value, text, sizeof text))
		return;
	fprintf(listing->out, "%s%s", listing->between, text);
	listing->between = ", ";
}

void named_put_sets(FILE *out, const char *bridge, bool keep)
{
	for (unsigned turn = 0; turn < 2; turn++)
		for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
			struct element_text listing = {out, "elements = { "};

			fprintf(out, "	set %s {\n		type %s; size %u;\n		",
				sets[turn][ipv6], ipv6 ? "ipv6_addr" : "ipv4_addr",
				SIZE_MAX_ELEMENTS);
			if (keep)
				tables_each_element("inet", bridge, sets[turn][ipv6], put_element,
					&listing);
			fprintf(out, "%s\n	}\n", *listing.between == ',' ? " }" : "");
		}
}

void named_put_refused(FILE *out, const char *bridge)
{
	fprintf(out,
		"		iifname \"%s\" ip daddr 169.254.0.0/16 drop\n"
		"		iifname \"%s\" ip6 daddr { fd00:ec2::254, fd20:ce::254 } drop\n",
		bridge, bridge);
}

void named_put_rules(FILE *out, const char *bridge)
{
	named_put_refused(out, bridge);
	for (unsigned turn = 0; turn < 2; turn++)
		for (unsigned ipv6 = 0; ipv6 < 2; ipv6++)
			fprintf(out, "		iifname \"%s\" %s daddr @%s accept\n", bridge,
				ipv6 ? "ip6" : "ip", sets[turn][ipv6]);
}

void named_put_conf(FILE *out, const char *bridge, char *const *allow, unsigned allows)
{
	if (!named_any(allow, allows))
		return;
	/*
	 * No other names: they could be a way out by themselves. What ends in these is dnsmasq's to answer, as far as it is
	 * not one of the longer names below; "all" (/#/) would not come before the servers of resolv.conf.
	 */
	fprintf(out, "max-ttl=%u\nlocal=/", NAMED_TTL);
	for (const char *c = "abcdefghijklmnopqrstuvwxyz0123456789-_"; *c; c++)
		fprintf(out, "*%c/", *c);
	fputs("\n", out);
	for (unsigned i = 0; i < allows; i++) {
		const char *between = "/";

		if (!net_is_name(allow[i]))
			continue;
		fprintf(out, "server=/%s/#\nnftset=/%s", allow[i], allow[i]);
		for (unsigned set = 0; set < 4; set++, between = ",")
			fprintf(out, "%s%u#inet#%s%s#%s", between, set & 1 ? 6 : 4, TABLES_PREFIX,
				bridge, sets[set / 2][set & 1]);
		fputs("\n", out);
	}
}

int named_forget(const char *bridge, unsigned turn)
{
	int r = tables_empty_set("inet", bridge, sets[turn & 1][0]);

	return r ? r : tables_empty_set("inet", bridge, sets[turn & 1][1]);
}
